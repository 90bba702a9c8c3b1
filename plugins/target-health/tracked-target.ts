import type { AttemptRecord, Target } from '@hadrian/core/plugin'
import { Breaker } from './breaker.ts'
import type { BreakerSettings, Verdict } from './breaker.ts'
import type { Pool } from './pool.ts'
import { RollingHistogram } from './rolling-histogram.ts'
import { RollingShare } from './rolling-share.ts'

/** Milliseconds. */
export const lowestLatency = 1
/** Tokens per second. */
export const lowestThroughput = 0.1
/** An answer that came within this time came in one burst: how fast its tokens were made, only the whole time tells. */
const burstMs = 50
/** Of shorter answers the time is that of everything else. */
const fewestTokens = 10

/** Sums since the process began, or since the target was forgotten. */
export interface Totals {
  completed: number
  failed: number
  aborted: number
  inputTokens: number
  outputTokens: number
  costMicros: number
}

/** Everything that is known of one target. At most 10 kB. Times are monotonic milliseconds. */
export class TrackedTarget {
  readonly provider: string
  readonly model: string
  readonly name: string
  readonly breaker: Breaker
  inFlight = 0
  /** The upstream asked not to be called before. */
  heldUntilMs = 0
  /** The upstream said that it is asked too often, and not for how long. */
  slowedUntilMs = 0
  /** It has answered at least once, so its name is none that a client made up. */
  isProven = false
  lastFailure: { readonly code: string; readonly atMs: number } | undefined
  readonly totals: Totals = { completed: 0, failed: 0, aborted: 0, inputTokens: 0, outputTokens: 0, costMicros: 0 }
  /** Time to the first event of answers that came piece by piece. */
  firstEvents: RollingHistogram | undefined
  /** Time of whole answers. */
  durations: RollingHistogram | undefined
  throughputs: RollingHistogram | undefined
  toolCalls: RollingShare | undefined
  /** The pools its calls need a slot of, by the rules in {@link poolsOf}. */
  pools: readonly Pool[] = []
  poolsOf: object | undefined

  constructor(target: Target, source: { readonly breaker: BreakerSettings }) {
    this.provider = target.provider
    this.model = target.model
    this.name = target.name
    this.breaker = new Breaker(source)
  }

  /** 0 if a call may begin, else for how long none may. */
  waitMs(nowMs: number): number {
    return Math.max(this.breaker.waitMs(nowMs), this.heldUntilMs - nowMs, 0)
  }

  isDegraded(nowMs: number): boolean {
    return this.slowedUntilMs > nowMs || this.breaker.isDegraded(nowMs)
  }

  /** Lets calls through again, whatever came before. */
  release(nowMs: number): void {
    this.breaker.reset(nowMs)
    this.heldUntilMs = 0
    this.slowedUntilMs = 0
  }

  /** An answer with tool calls has ended. */
  countToolCalls(isSound: boolean, nowMs: number): void {
    this.toolCalls ??= new RollingShare()
    this.toolCalls.count(isSound, nowMs)
  }

  /** Adds an attempt that has ended to the sums. */
  count({ outcome, usage, error }: AttemptRecord, verdict: Verdict, nowMs: number): void {
    const { totals } = this
    if (verdict === 'failure') this.lastFailure = { code: error?.code ?? 'unknown', atMs: nowMs }
    if (outcome === 'completed') totals.completed++
    else if (outcome === 'aborted') totals.aborted++
    else totals.failed++
    if (!usage) return
    totals.inputTokens += usage.inputTokens
    totals.outputTokens += usage.outputTokens
    totals.costMicros += usage.costMicros ?? 0
  }

  /**
   * Takes the times of an attempt that has ended.
   *
   * @param begunMs when the call was made
   */
  measure(record: AttemptRecord, streamed: boolean, begunMs: number, nowMs: number): void {
    const { outcome, usage, firstEventMs, endedMs = nowMs } = record
    if (firstEventMs === undefined) return
    if (streamed) {
      this.firstEvents ??= new RollingHistogram(lowestLatency)
      this.firstEvents.record(firstEventMs - begunMs, nowMs)
    }
    if (outcome !== 'completed') return
    this.durations ??= new RollingHistogram(lowestLatency)
    this.durations.record(endedMs - begunMs, nowMs)
    const bodyMs = endedMs - firstEventMs
    const madeMs = streamed && bodyMs >= burstMs ? bodyMs : endedMs - begunMs
    if (usage === undefined || usage.outputTokens < fewestTokens || madeMs <= 0) return
    this.throughputs ??= new RollingHistogram(lowestThroughput)
    this.throughputs.record((usage.outputTokens * 1000) / madeMs, nowMs)
  }
}
