import { context, propagation, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import type { Attributes, Context, Span, Tracer } from '@opentelemetry/api'
import type { GenerateRequest, Usage } from '../contract/canonical.ts'
import { isGatewayError } from '../contract/errors.ts'
import { attributeNames as names, operationNames } from './telemetry.ts'
import type { AttemptSpanInit, Telemetry } from './telemetry.ts'

type Spans = Pick<
  Telemetry,
  | 'serverSpan'
  | 'hookSpan'
  | 'attemptSpan'
  | 'traceHeaders'
  | 'within'
  | 'endServerSpan'
  | 'endHookSpan'
  | 'endAttemptSpan'
>

/** The span half of {@link Telemetry} where nobody traces. */
export const noSpans: Spans = {
  serverSpan: () => undefined,
  hookSpan: () => undefined,
  attemptSpan: () => undefined,
  traceHeaders: () => ({}),
  within: (_span, work) => work(),
  endServerSpan() {},
  endHookSpan() {},
  endAttemptSpan() {},
}

/** Any other method is a client's invention, which must not become a name. */
const methods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

/** The span half of {@link Telemetry}. Parents are passed by hand, so nothing depends on an active context. */
export function createSpans(tracer: Tracer): Spans {
  return {
    serverSpan({ method, route, headers }) {
      const known = methods.has(method)
      return tracer.startSpan(
        `${known ? method : 'HTTP'} ${route}`,
        {
          kind: SpanKind.SERVER,
          attributes: { [names.httpMethod]: known ? method : '_OTHER', [names.httpRoute]: route },
        },
        propagation.extract(ROOT_CONTEXT, headers),
      )
    },

    hookSpan(parent, plugin, hook) {
      if (!parent?.isRecording()) return undefined
      const attributes = { [names.plugin]: plugin, [names.hook]: hook }
      return tracer.startSpan(`${hook} ${plugin}`, { kind: SpanKind.INTERNAL, attributes }, under(parent))
    },

    attemptSpan(parent, init) {
      const attributes = {
        [names.operation]: operationNames[init.operation],
        [names.providerType]: init.providerType,
        [names.requestModel]: init.model,
      }
      const span = tracer.startSpan(
        `${operationNames[init.operation]} ${init.model}`,
        { kind: SpanKind.CLIENT, attributes },
        under(parent),
      )
      if (span.isRecording()) span.setAttributes(requestAttributes(init))
      return span
    },

    traceHeaders(span) {
      const headers: Record<string, string> = {}
      if (span) propagation.inject(under(span), headers)
      return headers
    },

    within: (span, work) => (span ? context.with(trace.setSpan(context.active(), span), work) : work()),

    endServerSpan(span, { status, error }) {
      if (!span) return
      if (span.isRecording()) {
        span.setAttribute(names.httpStatus, status)
        if (error) span.setAttribute(names.errorType, error.code)
        // By the HTTP conventions a 4xx is no failure of the server.
        if (status >= 500) fail(span, error?.code ?? String(status))
      }
      span.end()
    },

    endHookSpan(span, error) {
      if (!span) return
      if (error !== undefined) fail(span, isGatewayError(error) ? error.code : 'internal_error')
      span.end()
    },

    endAttemptSpan(span, { usage, finishReason, responseModel, responseId, error, firstEventMs }) {
      if (!span) return
      if (span.isRecording()) {
        span.setAttributes({
          ...present(names.responseModel, responseModel),
          ...present(names.responseId, responseId),
          ...present(names.finishReasons, finishReason && [finishReason]),
          ...present(names.firstEvent, firstEventMs === undefined ? undefined : firstEventMs / 1000),
          ...(usage && usageAttributes(usage)),
        })
        if (error) fail(span, error.code)
      }
      span.end()
    },
  }
}

function under(parent: Span | undefined): Context {
  return parent ? trace.setSpan(ROOT_CONTEXT, parent) : ROOT_CONTEXT
}

/** Only the code: messages of upstreams may quote the prompt. */
function fail(span: Span, code: string): void {
  span.setAttribute(names.errorType, code)
  span.setStatus({ code: SpanStatusCode.ERROR, message: code })
}

function present(name: string, value: Attributes[string]): Attributes {
  return value === undefined ? {} : { [name]: value }
}

/** Numbers and switches only. Stop sequences and metadata are the client's own words, so they are left out. */
function requestAttributes({ provider, stream, number, request }: AttemptSpanInit): Attributes {
  return {
    [names.provider]: provider,
    [names.attempt]: number,
    [names.requestStream]: stream,
    ...present(names.requestMaxTokens, request.maxOutputTokens),
    ...present(names.requestTemperature, request.temperature),
    ...present(names.requestTopP, request.topP),
    ...present(names.requestTopK, request.topK),
    ...present(names.requestFrequencyPenalty, request.frequencyPenalty),
    ...present(names.requestPresencePenalty, request.presencePenalty),
    ...present(names.requestSeed, request.seed),
    ...present(names.requestChoices, request.n === 1 ? undefined : request.n),
    ...present(names.outputType, outputType(request)),
  }
}

function outputType(request: GenerateRequest): string | undefined {
  const type = request.responseFormat?.type
  if (type === 'json_object' || type === 'json_schema') return 'json'
  return type === 'text' ? 'text' : undefined
}

function usageAttributes(usage: Usage): Attributes {
  return {
    [names.inputTokens]: usage.inputTokens,
    [names.outputTokens]: usage.outputTokens,
    ...present(names.cachedInputTokens, usage.cachedInputTokens),
    ...present(names.cacheWriteTokens, usage.cacheWriteTokens),
    ...present(names.reasoningTokens, usage.reasoningTokens),
    ...present(names.costMicros, usage.costMicros ?? usage.reportedCostMicros),
  }
}
