import type { Span } from '@opentelemetry/api'
import type { Dialect, GenerateRequest, JsonObject, Operation } from '../contract/canonical.ts'
import { gatewayError } from '../contract/errors.ts'
import type { Principal } from '../contract/plugin.ts'
import { dialects } from '../dialects/index.ts'
import { validateBody } from '../dialects/request-validation.ts'
import type { CancelSignal } from '../services/cancellation.ts'
import { ExchangeState } from './exchange.ts'
import { isGuarded } from './guards.ts'
import { activePlugins } from './request-plugins.ts'
import { refuseUnserved } from './served-preferences.ts'
import type { PipelineServices } from './services.ts'

/** A model call whose caller is known and whose body is parsed. */
export interface ModelCall {
  /** What accounting goes by: never chosen by the client. */
  readonly id: string
  /** What errors show to the client; default: the id. */
  readonly requestId?: string
  readonly operation: Operation
  readonly dialect: Dialect
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly principal: Principal
  readonly body: JsonObject
  /** The body as it came, for byte passthrough. */
  readonly bytes?: Uint8Array | undefined
  /** Aborts when the caller goes away. Its reason, if a `GatewayError`, is the exchange's failure. */
  readonly signal: CancelSignal
  /** Monotonic milliseconds when the request came in. */
  readonly startedMs: number
  readonly span?: Span | undefined
}

/**
 * Reads the body of a call: the exchange it makes, whose candidates are not known yet.
 *
 * @throws GatewayError `invalid_request_error`, `unsupported`
 */
export function openExchange(call: ModelCall, services: PipelineServices): ExchangeState {
  const { plan } = services
  validateBody(call.dialect, call.body)
  const request = dialects[call.dialect].decode(call.body)
  refuseUnserved(plan, request)
  const active = activePlugins(plan, request)
  if (request.operation !== 'generate' && isGuarded(plan, active)) refuseUnreadable(request)
  return new ExchangeState(
    {
      id: call.id,
      requestId: call.requestId ?? call.id,
      operation: call.operation,
      dialect: call.dialect,
      headers: call.headers,
      principal: call.principal,
      request,
      body: call.body,
      bytes: call.bytes,
      active,
      startedMs: call.startedMs,
      span: call.span,
    },
    services,
  )
}

/** Top-level fields of the passthrough operations that may hold token ids instead of text. */
const tokenFields = ['input', 'prompt']

/** Token ids are prompts nobody here can read: a gateway that guards its prompts does not take them. */
function refuseUnreadable(request: GenerateRequest): void {
  for (const field of tokenFields) {
    const value = request.extra[field]
    const entries = Array.isArray(value) ? (value as readonly unknown[]).flat() : []
    if (entries.some((entry) => typeof entry === 'number'))
      throw gatewayError('unsupported', `The guardrails of this gateway cannot read token ids; send ${field} as text`, {
        param: field,
      })
  }
}
