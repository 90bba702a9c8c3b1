import { gatewayError, parseRetryAfter } from '@hadrian/core/plugin'
import type {
  Attempt,
  AttemptRecord,
  Clock,
  Exchange,
  GatewayError,
  Principal,
  Reply,
  Target,
} from '@hadrian/core/plugin'
import type { Limits } from './limits.ts'
import type { HealthMetrics } from './metrics.ts'
import type { Pool } from './pool.ts'
import type { Targets } from './targets.ts'
import type { TrackedTarget } from './tracked-target.ts'
import { isRateLimited, verdictOf } from './verdict.ts'

/** For how long a target that says 429 and not for how long comes after the others. */
const slowedMs = 5_000
/** A `Retry-After` of more than this is asked again after this time. */
const longestHoldMs = 600_000
/** Timers may be early by this much: whoever waited as told must not be sent away. */
const timerSlackMs = 10
/** What a call that got no slot is told to wait: nobody knows how long the others take. */
const fullWaitMs = 1_000

/** Why calls of a target are held back. */
export type HeldBack = 'circuit_open' | 'rate_limited' | 'health_check' | 'concurrency'

export interface GuardOptions {
  readonly targets: Targets
  readonly limits: Limits
  readonly clock: Clock
  readonly metrics: HealthMetrics
  /** Whose calls go through whatever the state: those of health checks. */
  readonly checker: Principal
}

/** A call under way. */
interface Call {
  readonly tracked: TrackedTarget
  /** Whose slots it holds. */
  readonly pools: readonly Pool[]
  readonly permit: number
  readonly isProbe: boolean
  readonly isCheck: boolean
  readonly stream: boolean
  /** When it began, where that was after its attempt. */
  readonly begunMs: number | undefined
}

/** Lets calls of targets through or holds them back, and learns from how they end. */
export class Guard {
  readonly #targets: Targets
  readonly #limits: Limits
  readonly #clock: Clock
  readonly #metrics: HealthMetrics
  readonly #checker: Principal

  constructor({ targets, limits, clock, metrics, checker }: GuardOptions) {
    this.#targets = targets
    this.#limits = limits
    this.#clock = clock
    this.#metrics = metrics
    this.#checker = checker
  }

  /**
   * The `attempt` hook. Costs one closure and one promise where nothing has to be waited for.
   *
   * @throws GatewayError `provider_unavailable` while calls of the target are held back
   */
  attempt(exchange: Exchange, attempt: Attempt, next: () => Promise<Reply>): Promise<Reply> {
    const tracked = this.#targets.of(attempt.target)
    const nowMs = this.#clock.monotonicMs()
    const isCheck = exchange.principal === this.#checker
    if (!isCheck) this.#refuseIfHeld(exchange, tracked, nowMs)
    const pools = this.#limits.of(tracked)
    if (pools.length > 0) return this.#limited(exchange, attempt, next, { tracked, pools, isCheck })
    return this.#begin(attempt, next, { tracked, pools, isCheck }, nowMs, false)
  }

  /** How long no call of a target may begin; 0 if one may now. */
  waitMs(target: Pick<Target, 'name' | 'provider'>, nowMs = this.#clock.monotonicMs()): number {
    const tracked = this.#targets.known(target.name)
    const waitMs = tracked ? tracked.waitMs(nowMs) : 0
    const { checks } = this.#targets
    if (checks.size === 0) return waitMs
    for (const key of [target.provider, target.name]) {
      const check = checks.get(key)
      if (check?.status === 'open') return Math.max(waitMs, check.nextMs - nowMs, timerSlackMs)
    }
    return waitMs
  }

  #refuseIfHeld(exchange: Exchange, tracked: TrackedTarget, nowMs: number): void {
    if (this.waitMs(tracked, nowMs) === 0) return
    const reason: HeldBack =
      tracked.breaker.waitMs(nowMs) > 0 ? 'circuit_open' : tracked.heldUntilMs > nowMs ? 'rate_limited' : 'health_check'
    // Whoever comes again then finds at least one of its targets open to it.
    const waits = [tracked, ...exchange.targets].map((target) => this.waitMs(target, nowMs))
    throw this.#refusal(tracked, reason, Math.min(...waits.filter((waitMs) => waitMs > 0)))
  }

  #refusal(tracked: TrackedTarget, reason: HeldBack, waitMs: number): GatewayError {
    this.#metrics.refused(tracked, reason)
    const seconds = Math.max(1, Math.ceil(waitMs / 1000))
    return gatewayError('provider_unavailable', `${tracked.name} is unavailable: ${reasons[reason]}`, {
      details: { provider: tracked.provider, reason, retry_after_secs: seconds },
      headers: { 'Retry-After': String(seconds) },
      retryable: true,
    })
  }

  async #limited(
    exchange: Exchange,
    attempt: Attempt,
    next: () => Promise<Reply>,
    begun: Pick<Call, 'tracked' | 'pools' | 'isCheck'>,
  ): Promise<Reply> {
    const { tracked, pools, isCheck } = begun
    const taken: Pool[] = []
    let waited = false
    try {
      for (const pool of pools) {
        if (!pool.take()) {
          if (this.#hasOther(exchange, attempt.target)) throw this.#refusal(tracked, 'concurrency', fullWaitMs)
          waited = true
          const refusal = await pool.wait(this.#clock, exchange.signal, attempt.done)
          if (refusal) throw this.#refusal(tracked, 'concurrency', fullWaitMs)
        }
        taken.push(pool)
      }
      const nowMs = this.#clock.monotonicMs()
      if (waited && !isCheck) this.#refuseIfHeld(exchange, tracked, nowMs)
      // From here on the slots are given back when the attempt has ended, which may be long after its first event.
      taken.length = 0
      return await this.#begin(attempt, next, begun, nowMs, waited)
    } finally {
      for (const pool of taken) pool.release()
    }
  }

  #begin(
    attempt: Attempt,
    next: () => Promise<Reply>,
    { tracked, pools, isCheck }: Pick<Call, 'tracked' | 'pools' | 'isCheck'>,
    nowMs: number,
    waited: boolean,
  ): Promise<Reply> {
    const { breaker } = tracked
    const permit = breaker.begin(nowMs)
    const isProbe = breaker.isProbe(permit)
    const { stream } = attempt.request
    tracked.inFlight++
    const call: Call = { tracked, pools, permit, isProbe, isCheck, stream, begunMs: waited ? nowMs : undefined }
    void attempt.done.then((record) => this.#end(record, call))
    const answer = next()
    if (!isProbe) return answer
    return answer.then((reply) => {
      breaker.firstEvent(permit, this.#clock.monotonicMs())
      return reply
    })
  }

  #end(record: AttemptRecord, { tracked, pools, permit, isProbe, stream, begunMs, isCheck }: Call): void {
    for (const pool of pools) pool.release()
    const { breaker } = tracked
    const nowMs = this.#clock.monotonicMs()
    const verdict = verdictOf(record)
    tracked.inFlight--
    if (!tracked.isProven && record.firstEventMs !== undefined) this.#targets.prove(tracked)
    if (breaker.end(permit, verdict, isProbe, nowMs)) this.#metrics.opened(tracked)
    if (record.error && isRateLimited(record.error)) this.#hold(tracked, record.error, nowMs)
    tracked.count(record, verdict, nowMs)
    // One token says nothing about how fast a target makes them.
    if (!isCheck) tracked.measure(record, stream, begunMs ?? record.startedMs, nowMs)
  }

  /** The upstream has said 429. */
  #hold(tracked: TrackedTarget, error: GatewayError, nowMs: number): void {
    if (!this.#targets.breaker.enabled) return
    const wanted = error.headers['Retry-After']
    const wantedMs = wanted === undefined ? undefined : parseRetryAfter(wanted, this.#clock.now())
    if (wantedMs === undefined) tracked.slowedUntilMs = nowMs + slowedMs
    else tracked.heldUntilMs = Math.max(tracked.heldUntilMs, nowMs + Math.min(wantedMs, longestHoldMs) - timerSlackMs)
  }

  /** Whether a later target may take the call. */
  #hasOther(exchange: Exchange, target: Target): boolean {
    const { targets } = exchange
    for (let index = targets.indexOf(target) + 1; index < targets.length; index++)
      if (targets[index] !== target && this.waitMs(targets[index]!) === 0) return true
    return false
  }
}

const reasons: Readonly<Record<HeldBack, string>> = {
  circuit_open: 'too many calls of it have failed',
  rate_limited: 'it asked to be called later',
  health_check: 'its health check fails',
  concurrency: 'too many calls of it are under way',
}
