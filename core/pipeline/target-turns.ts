import type { GatewayError } from '../contract/errors.ts'
import type { Clock, Target } from '../contract/plugin.ts'
import { parseRetryAfter } from '../contract/upstream-error.ts'
import type { RoutingSettings } from './services.ts'

/** Ceiling of the pause before the first further try of a target, doubled for each one after it. */
const firstPauseMs = 250
/** Longest pause of our own making. One that an upstream asks for may be longer. */
const longestPauseMs = 2_000

/** What to try next, and when. */
export interface Turn {
  readonly target: Target
  readonly waitMs: number
  readonly kind: 'first' | 'fallback' | 'retry'
}

interface Entry {
  readonly target: Target
  tries: number
  /** Not before this moment of the monotonic clock. */
  notBeforeMs: number
  isOut: boolean
}

/**
 * Whose turn it is: each target once in order, then round again from the first on, over those whose failure may pass, as
 * long as attempts, retries and time are left.
 */
export class TargetTurns {
  readonly #entries: readonly Entry[]
  readonly #routing: RoutingSettings
  readonly #clock: Clock
  #attemptsLeft: number
  #last = -1
  #deadlineMs = Infinity

  constructor(targets: readonly Target[], routing: RoutingSettings, clock: Clock) {
    this.#entries = targets.map((target) => ({ target, tries: 0, notBeforeMs: 0, isOut: false }))
    this.#routing = routing
    this.#clock = clock
    this.#attemptsLeft = routing.maxAttempts
  }

  /** Undefined when nothing more may be tried. */
  next(): Turn | undefined {
    if (this.#attemptsLeft <= 0) return undefined
    const nowMs = this.#clock.monotonicMs()
    const count = this.#entries.length
    let soonest: Turn | undefined
    for (let step = 1; step <= count; step++) {
      const entry = this.#entries[(this.#last + step) % count]!
      if (entry.isOut || entry.tries > this.#routing.retries) continue
      const waitMs = Math.max(0, entry.notBeforeMs - nowMs)
      if (nowMs + waitMs > this.#deadlineMs) continue
      const kind = entry.tries > 0 ? 'retry' : this.#last < 0 ? 'first' : 'fallback'
      const turn: Turn = { target: entry.target, waitMs, kind }
      // One that an upstream has put off gives way to those behind it.
      if (waitMs <= longestPauseMs) return turn
      if (soonest === undefined || waitMs < soonest.waitMs) soonest = turn
    }
    return soonest
  }

  /** What may run beside the attempt that is under way: the next target that is untried, else the only one there is. */
  spare(): Target | undefined {
    if (this.#attemptsLeft <= 0) return undefined
    const untried = this.#entries.slice(this.#last + 1).find(({ tries, isOut }) => tries === 0 && !isOut)
    if (untried) return untried.target
    return this.#entries.length === 1 && this.#routing.hedgeSameTarget ? this.#entries[0]!.target : undefined
  }

  /** An attempt has begun. */
  began(target: Target): void {
    const index = this.#entries.findIndex((entry) => entry.target === target)
    this.#last = index
    this.#entries[index]!.tries++
    this.#attemptsLeft--
  }

  /** It has reached no provider: it counts for nothing, and its target is left alone. */
  refused(target: Target): void {
    this.#entryOf(target).isOut = true
    this.#attemptsLeft++
  }

  failed(target: Target, error: GatewayError): void {
    const entry = this.#entryOf(target)
    const nowMs = this.#clock.monotonicMs()
    if (this.#deadlineMs === Infinity) this.#deadlineMs = nowMs + this.#routing.retryBudgetMs
    if (error.retryable === 'same') entry.notBeforeMs = nowMs + this.#pauseAfter(entry, error)
    else entry.isOut = true
  }

  #entryOf(target: Target): Entry {
    return this.#entries.find((entry) => entry.target === target)!
  }

  /** As long as the upstream asks for, else full jitter: clients that failed together do not come back together. */
  #pauseAfter({ tries }: Entry, { headers }: GatewayError): number {
    const wanted = headers['Retry-After'] ?? headers['retry-after']
    const wantedMs = wanted === undefined ? undefined : parseRetryAfter(wanted, this.#clock.now())
    return wantedMs ?? Math.random() * Math.min(firstPauseMs * 2 ** (tries - 1), longestPauseMs)
  }
}
