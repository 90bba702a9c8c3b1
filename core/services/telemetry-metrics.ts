import { ValueType } from '@opentelemetry/api'
import type { Attributes, Meter } from '@opentelemetry/api'
import { attributeNames as names, metricNames, operationNames } from './telemetry.ts'
import type { Telemetry } from './telemetry.ts'

type Metrics = Pick<
  Telemetry,
  | 'recordExchange'
  | 'recordAttempt'
  | 'recordHook'
  | 'recordWarning'
  | 'recordRetry'
  | 'recordFallback'
  | 'recordHedge'
  | 'exchangesOpen'
>

/** The metric half of {@link Telemetry} where nobody reads it. */
export const noMetrics: Metrics = {
  recordExchange() {},
  recordAttempt() {},
  recordHook() {},
  recordWarning() {},
  recordRetry() {},
  recordFallback() {},
  recordHedge() {},
  exchangesOpen() {},
}

/** Seconds; the boundaries that the GenAI conventions ask for. */
const durationBoundaries = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
/** Tokens; the boundaries that the GenAI conventions ask for. */
const tokenBoundaries = [
  1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864,
]
/** Seconds, for work that takes microseconds to seconds. */
const hookBoundaries = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5]

/** Stands for all values beyond the limit of a {@link boundedLabel}. */
const otherLabel = 'other'

/**
 * Keeps the number of values of a label bounded: the first `limit` values that prove themselves are kept, of the others
 * the first `provisional`, and the rest becomes `other`. A client that asks for a new invented model with each request,
 * and so makes each attempt fail, uses up the provisional places only.
 */
export function boundedLabel(limit: number, provisional: number): (value: string, proven: boolean) => string {
  const kept = new Set<string>()
  const guests = new Set<string>()
  return (value, proven) => {
    if (kept.has(value)) return value
    if (proven && kept.size < limit) {
      kept.add(value)
      guests.delete(value)
      return value
    }
    if (guests.has(value)) return value
    if (guests.size >= provisional) return otherLabel
    guests.add(value)
    return value
  }
}

/** The metric half of {@link Telemetry}. Durations are recorded in seconds, by OpenTelemetry's rule. */
export function createMetrics(meter: Meter): Metrics {
  const seconds = (name: string, description: string, boundaries = durationBoundaries) =>
    meter.createHistogram(name, { description, unit: 's', advice: { explicitBucketBoundaries: boundaries } })
  const attemptDuration = seconds(metricNames.attemptDuration, 'Duration of calls of providers')
  const attemptFirstEvent = seconds(metricNames.attemptFirstEvent, 'Time until a provider sent its first event')
  const exchangeDuration = seconds(metricNames.exchangeDuration, 'Duration of exchanges')
  const exchangeFirstEvent = seconds(metricNames.exchangeFirstEvent, 'Time until the first event for the client')
  const pluginDuration = seconds(metricNames.pluginDuration, 'Duration of asynchronous hooks', hookBoundaries)
  const tokens = meter.createHistogram(metricNames.tokens, {
    description: 'Tokens of calls of providers',
    unit: '{token}',
    valueType: ValueType.INT,
    advice: { explicitBucketBoundaries: tokenBoundaries },
  })
  const cost = meter.createCounter(metricNames.cost, {
    description: 'Cost of calls of providers in micro-dollars',
    unit: '{microdollar}',
  })
  const warnings = meter.createCounter(metricNames.warnings, { description: 'Warnings to clients', unit: '{warning}' })
  const attempts = (name: string, description: string) => meter.createCounter(name, { description, unit: '{attempt}' })
  const retries = attempts(metricNames.retries, 'Further attempts of a target that had failed')
  const fallbacks = attempts(metricNames.fallbacks, 'Attempts of another target after a failure')
  const hedges = attempts(metricNames.hedges, 'Second attempts beside one that took long')
  const open = meter.createUpDownCounter(metricNames.exchangesOpen, {
    description: 'Exchanges under way',
    unit: '{exchange}',
  })
  const model = boundedLabel(500, 50)
  const errorCode = boundedLabel(0, 100)
  const warningCode = boundedLabel(0, 100)
  const failure = (code: string | undefined): Attributes =>
    code === undefined ? {} : { [names.errorType]: errorCode(code, false) }

  return {
    recordExchange(measures) {
      const attributes: Attributes = {
        [names.operation]: operationNames[measures.operation],
        [names.dialect]: measures.dialect,
        [names.outcome]: measures.outcome,
        [names.httpStatus]: measures.httpStatus,
        [names.streamed]: measures.streamed,
        ...(measures.provider !== undefined && { [names.provider]: measures.provider }),
        ...(measures.model !== undefined && {
          [names.requestModel]: model(measures.model, measures.outcome === 'completed'),
        }),
        ...failure(measures.errorCode),
      }
      exchangeDuration.record(measures.durationMs / 1000, attributes)
      if (measures.firstEventMs !== undefined) exchangeFirstEvent.record(measures.firstEventMs / 1000, attributes)
    },

    recordAttempt(measures) {
      const { usage } = measures
      const call: Attributes = {
        [names.operation]: operationNames[measures.operation],
        [names.providerType]: measures.providerType ?? measures.provider,
        [names.provider]: measures.provider,
        [names.requestModel]: model(measures.model, measures.outcome === 'completed'),
      }
      attemptDuration.record(measures.durationMs / 1000, {
        ...call,
        [names.outcome]: measures.outcome,
        ...failure(measures.errorCode),
      })
      if (measures.firstEventMs !== undefined) attemptFirstEvent.record(measures.firstEventMs / 1000, call)
      if (!usage) return
      tokens.record(usage.inputTokens, { ...call, [names.tokenType]: 'input' })
      tokens.record(usage.outputTokens, { ...call, [names.tokenType]: 'output' })
      const costMicros = usage.costMicros ?? usage.reportedCostMicros
      if (costMicros !== undefined) cost.add(costMicros, call)
    },

    recordHook(plugin, hook, durationMs, failed) {
      pluginDuration.record(durationMs / 1000, {
        [names.plugin]: plugin,
        [names.hook]: hook,
        [names.outcome]: failed ? 'failed' : 'completed',
      })
    },

    recordWarning(code) {
      warnings.add(1, { [names.warning]: warningCode(code, false) })
    },

    recordRetry(provider) {
      retries.add(1, { [names.provider]: provider })
    },

    recordFallback(provider) {
      fallbacks.add(1, { [names.provider]: provider })
    },

    recordHedge(provider, outcome) {
      hedges.add(1, { [names.provider]: provider, [names.outcome]: outcome })
    },

    exchangesOpen(delta) {
      open.add(delta)
    },
  }
}
