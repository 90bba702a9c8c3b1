import type { Catalog, Clock, Logger, Principal, Run } from '@hadrian/core/plugin'
import { isGatewayError } from '@hadrian/core/plugin'
import type { CheckState } from './check-state.ts'
import type { HealthMetrics } from './metrics.ts'
import type { Targets } from './targets.ts'
import { verdictOf, verdictOfError } from './verdict.ts'

/** One active check. */
export interface CheckSettings {
  readonly kind: 'models' | 'completion'
  readonly intervalMs: number
  readonly timeoutMs: number
  /** Failures in a row until `whenFailing` holds. */
  readonly failures: number
  readonly whenFailing: 'degraded' | 'open'
  /** What to ask for a completion: `provider/model`. */
  readonly target: string
  readonly prompt: string
}

export interface ChecksOptions {
  /** By the name of a provider instance, or of a target. */
  readonly settings: ReadonlyMap<string, CheckSettings>
  readonly targets: Targets
  readonly catalog: Catalog
  readonly run: Run
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: HealthMetrics
  readonly checker: Principal
  /** 0 to 1, for tests. */
  readonly random?: () => number
}

/** What one check came to. */
interface Result {
  readonly passed: boolean
  readonly statusCode: number | undefined
  readonly error: string | undefined
}

/** Checks begin within this time, so that they do not all come at once. */
const firstWithinMs = 5_000
/** Intervals differ by up to this share either way, so that gateways do not come in step. */
const jitter = 0.1

/** Asks upstreams at intervals whether they are well. */
export class Checks {
  readonly #options: ChecksOptions
  readonly #random: () => number
  readonly #cancels = new Map<string, () => void>()
  readonly #running = new Set<AbortController>()
  /** Grows when they are stopped, so that a check under way knows that it is of before. */
  #stops = 0

  constructor(options: ChecksOptions) {
    this.#options = options
    this.#random = options.random ?? Math.random
  }

  /** Begins, or begins again. Forgets what other checks have come to. */
  start(): void {
    const { targets, settings } = this.#options
    for (const key of targets.checks.keys()) if (!settings.has(key)) targets.checks.delete(key)
    for (const [key, check] of settings) {
      const known = targets.checks.get(key)
      if (known?.kind !== check.kind) targets.checks.set(key, freshState(check.kind))
      this.#schedule(key, check, this.#random() * Math.min(firstWithinMs, check.intervalMs))
    }
  }

  /** Ends them; those under way are left. Safe to call twice. */
  stop(): void {
    this.#stops++
    for (const cancel of this.#cancels.values()) cancel()
    this.#cancels.clear()
    for (const controller of this.#running) controller.abort(new Error('health checks end'))
    this.#running.clear()
  }

  #schedule(key: string, check: CheckSettings, delayMs: number): void {
    const { clock, targets } = this.#options
    const state = targets.checks.get(key)
    if (state) state.nextMs = clock.monotonicMs() + delayMs
    this.#cancels.set(
      key,
      clock.after(delayMs, () => void this.#check(key, check)),
    )
  }

  async #check(key: string, check: CheckSettings): Promise<void> {
    const { clock, targets, metrics, logger } = this.#options
    const stops = this.#stops
    const controller = new AbortController()
    this.#running.add(controller)
    const startedMs = clock.monotonicMs()
    // What does not heed the signal must not hold up the next check.
    const timedOut = Promise.withResolvers<Result>()
    const cancelTimeout = clock.after(check.timeoutMs, () => {
      timedOut.resolve({ passed: false, statusCode: undefined, error: `no answer within ${check.timeoutMs} ms` })
      controller.abort(new Error('the health check takes too long'))
    })
    const asked = check.kind === 'models' ? this.#listModels(key, controller.signal) : this.#complete(check, controller)
    const result = await Promise.race([asked, timedOut.promise])
    cancelTimeout()
    this.#running.delete(controller)
    if (stops !== this.#stops) return
    const state = targets.checks.get(key)!
    const durationMs = clock.monotonicMs() - startedMs
    if (result) {
      const before = state.status
      record(state, check, result, durationMs, clock.now())
      metrics.checked(key, result.passed, durationMs)
      if (state.status !== before)
        logger.warn({ check: key, status: state.status, error: state.error ?? null }, 'health check changed its mind')
    }
    this.#schedule(key, check, check.intervalMs * (1 - jitter + 2 * jitter * this.#random()))
  }

  /** Undefined if nothing was learned. */
  async #listModels(key: string, signal: AbortSignal): Promise<Result | undefined> {
    const { catalog, logger } = this.#options
    const provider = catalog.providers.find(({ name }) => name === key)?.name ?? key.slice(0, key.indexOf('/'))
    try {
      if (!catalog.check) return undefined
      await catalog.check(provider, signal)
      return { passed: true, statusCode: 200, error: undefined }
    } catch (error) {
      if (!isGatewayError(error)) {
        logger.error({ check: key, error }, 'health check failed to run')
        return undefined
      }
      const status = error.details?.['upstream_status']
      if (error.code === 'unsupported')
        logger.warn({ check: key }, 'health check says nothing: the provider cannot list models')
      return {
        // An upstream that answers no is there.
        passed: error.code !== 'internal_error' && verdictOfError(error, false) !== 'failure',
        statusCode: typeof status === 'number' ? status : undefined,
        error: error.message,
      }
    }
  }

  async #complete(check: CheckSettings, { signal }: AbortController): Promise<Result | undefined> {
    const { run, checker, logger } = this.#options
    const body = { model: check.target, messages: [{ role: 'user', content: check.prompt }], max_tokens: 1 }
    const { settled } = await run({ operation: 'generate', dialect: 'chat', body }, checker, signal)
    const { attempts, error, httpStatus } = await settled
    const last = attempts.at(-1)
    if (!last) {
      logger.warn({ check: check.target, error_code: error?.code ?? null }, 'health check was refused by the gateway')
      return undefined
    }
    const said = last.error?.details?.['upstream_status']
    return {
      passed: verdictOf(last) !== 'failure' && last.outcome !== 'aborted',
      statusCode: typeof said === 'number' ? said : last.outcome === 'completed' ? httpStatus : undefined,
      error: last.error?.message,
    }
  }
}

function freshState(kind: CheckState['kind']): CheckState {
  return {
    kind,
    status: 'healthy',
    failures: 0,
    successes: 0,
    latencyMs: undefined,
    statusCode: undefined,
    checkedAt: undefined,
    error: undefined,
    nextMs: 0,
  }
}

function record(state: CheckState, check: CheckSettings, result: Result, durationMs: number, now: number): void {
  state.latencyMs = durationMs
  state.checkedAt = now
  state.statusCode = result.statusCode
  state.error = result.passed ? undefined : result.error
  if (result.passed) {
    state.successes++
    state.failures = 0
    state.status = 'healthy'
    return
  }
  state.failures++
  state.successes = 0
  if (state.failures >= check.failures) state.status = check.whenFailing
}
