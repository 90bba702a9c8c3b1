import type { JsonObject, Percentiles, ProviderSummary } from '@hadrian/core/plugin'
import type { CheckState } from './check-state.ts'
import type { Health } from './health.ts'
import { mergedPercentiles } from './rolling-histogram.ts'
import type { RollingHistogram } from './rolling-histogram.ts'
import { lowestLatency, lowestThroughput } from './tracked-target.ts'
import type { TrackedTarget } from './tracked-target.ts'

/** What the admin API shows of one provider and its targets. */
export class ProviderView {
  readonly provider: ProviderSummary
  readonly targets: readonly TrackedTarget[]
  readonly #health: Health
  readonly #nowMs: number
  readonly #now: number

  constructor(provider: ProviderSummary, health: Health) {
    this.provider = provider
    this.#health = health
    this.targets = [...health.targets.all()].filter((target) => target.provider === provider.name)
    this.#nowMs = health.clock.monotonicMs()
    this.#now = health.clock.now()
  }

  summary(): JsonObject {
    const { name, type, baseUrl } = this.provider
    return {
      provider: name,
      type,
      base_url: baseUrl ?? null,
      status: this.#status(),
      circuit_breaker: this.#breakerState(),
      in_flight: this.#sum((target) => target.inFlight),
      targets: this.targets.map((target) => ({
        target: target.name,
        model: target.model,
        state: this.#health.state(target),
        retry_after_secs: this.#retryAfter(target),
        in_flight: target.inFlight,
      })),
    }
  }

  health(): JsonObject {
    const check = this.#health.targets.checks.get(this.provider.name)
    const latencyMs = check ? check.latencyMs : this.#merged('firstEvents', lowestLatency)?.p50
    return {
      provider: this.provider.name,
      status: this.#status(),
      ...checkBody(check, latencyMs),
      targets: this.targets.map((target) => {
        const own = this.#health.targets.checks.get(target.name)
        return {
          target: target.name,
          model: target.model,
          status: statusWords[this.#health.state(target)],
          last_failure: target.lastFailure
            ? { code: target.lastFailure.code, at: this.#time(target.lastFailure.atMs) }
            : null,
          ...checkBody(own, own ? own.latencyMs : this.#health.latencyMs(target)?.p50),
        }
      }),
    }
  }

  breaker(): JsonObject {
    return {
      provider: this.provider.name,
      state: this.#breakerState(),
      failure_count: this.#sum((target) => target.breaker.counts(this.#nowMs).failures),
      targets: this.targets.map((target) => {
        const { breaker } = target
        const { calls, failures, inRow } = breaker.counts(this.#nowMs)
        return {
          target: target.name,
          model: target.model,
          state: breaker.status,
          failure_count: failures,
          call_count: calls,
          consecutive_failures: inRow,
          consecutive_opens: breaker.consecutiveOpens,
          changed_at: breaker.changedMs === undefined ? null : this.#time(breaker.changedMs),
          retry_after_secs: this.#retryAfter(target),
        }
      }),
    }
  }

  stats(): JsonObject {
    return {
      provider: this.provider.name,
      ...this.#totals(this.targets),
      targets: this.targets.map((target) => ({
        target: target.name,
        model: target.model,
        ...this.#totals([target]),
        tool_calls: shareBody(target.toolCalls?.read(this.#nowMs)),
      })),
    }
  }

  #totals(targets: readonly TrackedTarget[]): JsonObject {
    const sum = (of: (target: TrackedTarget) => number): number => targets.reduce((total, each) => total + of(each), 0)
    const costMicros = sum(({ totals }) => totals.costMicros)
    return {
      request_count: sum(({ totals }) => totals.completed + totals.failed + totals.aborted),
      completed_count: sum(({ totals }) => totals.completed),
      failed_count: sum(({ totals }) => totals.failed),
      aborted_count: sum(({ totals }) => totals.aborted),
      in_flight: sum(({ inFlight }) => inFlight),
      input_tokens: sum(({ totals }) => totals.inputTokens),
      output_tokens: sum(({ totals }) => totals.outputTokens),
      cost_micros: costMicros,
      total_cost: costMicros / 1_000_000,
      first_event_ms: percentilesBody(this.#merged('firstEvents', lowestLatency, targets)),
      latency_ms: percentilesBody(this.#merged('durations', lowestLatency, targets)),
      tokens_per_second: percentilesBody(this.#merged('throughputs', lowestThroughput, targets)),
    }
  }

  /** `unknown` where there is neither a check nor a call. */
  #status(): string {
    const check = this.#health.targets.checks.get(this.provider.name)
    const states = this.targets.map((target) => this.#health.state(target))
    if (check?.checkedAt === undefined && states.length === 0) return 'unknown'
    if (check?.status === 'open' || (states.length > 0 && states.every((state) => state === 'open'))) return 'unhealthy'
    const isWell = (check?.status ?? 'healthy') === 'healthy' && states.every((state) => state === 'healthy')
    return isWell ? 'healthy' : 'degraded'
  }

  /** The worst of all targets. */
  #breakerState(): string {
    const states = new Set(this.targets.map(({ breaker }) => breaker.status))
    return ['open', 'half_open'].find((state) => states.has(state as 'open')) ?? 'closed'
  }

  #retryAfter(target: TrackedTarget): number {
    return Math.ceil(this.#health.retryAfterMs(target) / 1000)
  }

  #sum(of: (target: TrackedTarget) => number): number {
    return this.targets.reduce((total, target) => total + of(target), 0)
  }

  #merged(
    measure: 'firstEvents' | 'durations' | 'throughputs',
    lowest: number,
    targets = this.targets,
  ): ReturnType<typeof mergedPercentiles> {
    const histograms = targets.map((target) => target[measure]).filter((each): each is RollingHistogram => !!each)
    return mergedPercentiles(histograms, lowest, this.#nowMs)
  }

  #time(atMs: number): string {
    return new Date(this.#now - (this.#nowMs - atMs)).toISOString()
  }
}

const statusWords: Readonly<Record<ReturnType<Health['state']>, string>> = {
  healthy: 'healthy',
  degraded: 'degraded',
  open: 'unhealthy',
}

/** The fields of a check are null where there is none; `latency_ms` is then that of real calls. */
function checkBody(check: CheckState | undefined, latencyMs: number | undefined): JsonObject {
  return {
    source: check ? 'check' : 'traffic',
    latency_ms: latencyMs === undefined ? null : rounded(latencyMs),
    status_code: check?.statusCode ?? null,
    last_check: check?.checkedAt === undefined ? null : new Date(check.checkedAt).toISOString(),
    consecutive_failures: check?.failures ?? 0,
    consecutive_successes: check?.successes ?? 0,
    error: check?.error ?? null,
  }
}

function percentilesBody(percentiles: (Percentiles & { readonly p95?: number }) | undefined): JsonObject | null {
  if (!percentiles) return null
  return Object.fromEntries(
    Object.entries(percentiles).map(([name, value]) => [name, name === 'count' ? value : rounded(value)]),
  )
}

function shareBody(measured: { readonly share: number; readonly count: number } | undefined): JsonObject | null {
  return measured ? { success_ratio: measured.share, count: measured.count } : null
}

/** Three digits are more than is known. */
function rounded(value: number): number {
  return Number(value.toPrecision(3))
}
