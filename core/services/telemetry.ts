import type { Meter, Span, Tracer } from '@opentelemetry/api'
import type { Dialect, FinishReason, GenerateRequest, Operation, Usage } from '../contract/canonical.ts'
import type { GatewayError } from '../contract/errors.ts'

/**
 * Names of metrics. Those of `gen_ai` are of the OpenTelemetry GenAI conventions, semantic-conventions 1.45; on
 * `/metrics` dots become underscores.
 */
export const metricNames = {
  attemptDuration: 'gen_ai.client.operation.duration',
  attemptFirstEvent: 'gen_ai.client.operation.time_to_first_chunk',
  tokens: 'gen_ai.client.token.usage',
  cost: 'hadrian.cost.micros',
  exchangeDuration: 'hadrian.exchange.duration',
  exchangeFirstEvent: 'hadrian.exchange.time_to_first_event',
  exchangesOpen: 'hadrian.exchanges.open',
  pluginDuration: 'hadrian.plugin.duration',
  warnings: 'hadrian.warnings',
  retries: 'hadrian.retries',
  fallbacks: 'hadrian.fallbacks',
  hedges: 'hadrian.hedges',
} as const

/** Names of attributes of spans and metrics. */
export const attributeNames = {
  httpMethod: 'http.request.method',
  httpRoute: 'http.route',
  httpStatus: 'http.response.status_code',
  errorType: 'error.type',
  operation: 'gen_ai.operation.name',
  providerType: 'gen_ai.provider.name',
  requestModel: 'gen_ai.request.model',
  requestStream: 'gen_ai.request.stream',
  requestMaxTokens: 'gen_ai.request.max_tokens',
  requestTemperature: 'gen_ai.request.temperature',
  requestTopP: 'gen_ai.request.top_p',
  requestTopK: 'gen_ai.request.top_k',
  requestFrequencyPenalty: 'gen_ai.request.frequency_penalty',
  requestPresencePenalty: 'gen_ai.request.presence_penalty',
  requestSeed: 'gen_ai.request.seed',
  requestChoices: 'gen_ai.request.choice.count',
  outputType: 'gen_ai.output.type',
  responseModel: 'gen_ai.response.model',
  responseId: 'gen_ai.response.id',
  finishReasons: 'gen_ai.response.finish_reasons',
  firstEvent: 'gen_ai.response.time_to_first_chunk',
  inputTokens: 'gen_ai.usage.input_tokens',
  outputTokens: 'gen_ai.usage.output_tokens',
  cachedInputTokens: 'gen_ai.usage.cache_read.input_tokens',
  cacheWriteTokens: 'gen_ai.usage.cache_creation.input_tokens',
  reasoningTokens: 'gen_ai.usage.reasoning.output_tokens',
  tokenType: 'gen_ai.token.type',
  costMicros: 'hadrian.cost.micros',
  provider: 'hadrian.provider',
  attempt: 'hadrian.attempt',
  dialect: 'hadrian.dialect',
  outcome: 'hadrian.outcome',
  streamed: 'hadrian.streamed',
  plugin: 'hadrian.plugin',
  hook: 'hadrian.hook',
  warning: 'hadrian.warning',
} as const

/** `gen_ai.operation.name` of our operations. */
export const operationNames: Readonly<Record<Operation, string>> = {
  generate: 'chat',
  completions: 'text_completion',
  embeddings: 'embeddings',
}

/** Name of the tracer and the meter. */
export const scopeName = 'hadrian'

/** An HTTP request as its span shows it. */
export interface ServerSpanInit {
  readonly method: string
  /** The pattern of the route, never the raw path. */
  readonly route: string
  /** In lower case; a `traceparent` among them makes the span a part of the caller's trace. */
  readonly headers: Readonly<Record<string, string | undefined>>
}

/** One attempt as its span shows it from the start. */
export interface AttemptSpanInit {
  readonly operation: Operation
  /** Name of the provider instance. */
  readonly provider: string
  /** Name of the provider package. */
  readonly providerType: string
  readonly model: string
  readonly stream: boolean
  /** Only its numbers and switches are shown, never what was said. */
  readonly request: GenerateRequest
  /** Counts from 1. */
  readonly number: number
}

/** What is known of an attempt at its end. */
export interface AttemptSpanEnd {
  readonly usage?: Usage
  readonly finishReason?: FinishReason | (string & {})
  readonly responseModel?: string
  readonly responseId?: string
  readonly error?: GatewayError
  /** Milliseconds from the start of the attempt. */
  readonly firstEventMs?: number
}

/** What an exchange adds to the metrics when it is settled. Durations in milliseconds. */
export interface ExchangeMeasures {
  readonly operation: Operation
  readonly dialect: Dialect
  /** Of the target that answered. Never what the client wrote: it would make a new series of each name. */
  readonly provider?: string
  readonly model?: string
  readonly outcome: 'completed' | 'refused' | 'failed' | 'aborted'
  readonly httpStatus: number
  readonly errorCode?: string
  readonly durationMs: number
  readonly firstEventMs?: number
  readonly streamed: boolean
}

/** What an attempt adds to the metrics when it is closed. Durations in milliseconds. */
export interface AttemptMeasures {
  readonly operation: Operation
  readonly provider: string
  /** Name of the provider package; default: `provider`. */
  readonly providerType?: string
  readonly model: string
  readonly outcome: 'completed' | 'failed' | 'aborted'
  readonly errorCode?: string
  readonly durationMs: number
  readonly firstEventMs?: number
  readonly usage?: Usage
}

/**
 * Traces and metrics of the gateway, made by hand. Where nothing is configured, every method returns at once. None
 * throws, and none lets a prompt, an answer or a key into an attribute.
 */
export interface Telemetry {
  /** The `tracer` service of plugins. */
  readonly tracer: Tracer
  /** The `meter` service of plugins. */
  readonly meter: Meter
  /** False: all spans are undefined, so callers skip the work for them altogether. */
  readonly tracing: boolean
  /** False: nothing is recorded, so callers need not build what they would pass. */
  readonly metering: boolean
  serverSpan(init: ServerSpanInit): Span | undefined
  /** Undefined without a parent, and if nobody records the parent. */
  hookSpan(parent: Span | undefined, plugin: string, hook: string): Span | undefined
  attemptSpan(parent: Span | undefined, init: AttemptSpanInit): Span | undefined
  /** Headers that carry the trace on to the upstream: `traceparent`, or what `OTEL_PROPAGATORS` says. */
  traceHeaders(span: Span | undefined): Record<string, string>
  /** Runs `work` so that spans which plugins start themselves become children of `span`. */
  within<T>(span: Span | undefined, work: () => T): T
  endServerSpan(span: Span | undefined, end: { readonly status: number; readonly error?: GatewayError }): void
  endHookSpan(span: Span | undefined, error?: unknown): void
  endAttemptSpan(span: Span | undefined, end: AttemptSpanEnd): void
  recordExchange(measures: ExchangeMeasures): void
  recordAttempt(measures: AttemptMeasures): void
  recordHook(plugin: string, hook: string, durationMs: number, failed: boolean): void
  recordWarning(code: string): void
  /** An attempt of a target that has failed before has begun. */
  recordRetry(provider: string): void
  /** An attempt of another target than the first has begun, after a failure. */
  recordFallback(provider: string): void
  /** A second attempt beside one that took long has ended. `completed`: it answered first. */
  recordHedge(provider: string, outcome: 'completed' | 'failed' | 'aborted'): void
  /** Add 1 when an exchange opens, -1 when it is settled. */
  exchangesOpen(delta: 1 | -1): void
  /** The text of `GET /metrics`; undefined unless metrics were asked for. */
  readonly prometheus?: () => Promise<string>
  /** Sends what is still buffered, in at most five seconds, and ends all exporters. */
  stop(): Promise<void>
}
