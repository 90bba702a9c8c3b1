import { randomUUID } from 'node:crypto'
import type { JsonObject } from '../contract/canonical.ts'
import { gatewayError, invalidRequest } from '../contract/errors.ts'
import type { Principal, Route } from '../contract/plugin.ts'
import { jsonReply } from '../contract/plugin.ts'
import type { Pipeline } from '../pipeline/run.ts'
import { hasScope } from '../services/access.ts'
import type { CancelSignal } from '../services/cancellation.ts'
import { modelRoutes } from './model-routes.ts'
import type { ModelRoute } from './model-routes.ts'

/** What tells the dialect of a body that is sent without saying it. */
const tellingFields = [
  ['messages', 'chat'],
  ['input', 'responses'],
  ['prompt', 'completions'],
] as const satisfies readonly (readonly [field: string, dialect: ModelRoute['dialect']])[]

/** What {@link explainedCall} makes a call of. */
export interface ExplainedCall {
  readonly body: JsonObject
  /** The dialect of the body, if it is named. */
  readonly dialect?: string | undefined
  readonly principal: Principal
  readonly signal: CancelSignal
  readonly headers?: Readonly<Record<string, string | undefined>>
  readonly requestId?: string
}

/** The endpoint that says what would become of a model call. */
export function explainRoute(prefix: string, pipeline: Pipeline): Route {
  return {
    method: 'POST',
    path: `${prefix}/explain`,
    scope: 'chat',
    summary: 'Explain what would become of a request',
    async handle(call) {
      const body = await call.body()
      const { headers, signal } = call
      const asked = { body, dialect: call.query['dialect'], headers, signal, requestId: call.id }
      return jsonReply(await explainCall(pipeline, { ...asked, principal: call.principal! }))
    },
  }
}

/**
 * Says what would become of a model call.
 *
 * @throws GatewayError `invalid_request_error` if nobody can tell the dialect, `insufficient_scope`, and what the call
 *   would be refused with before it reached a provider
 */
export async function explainCall(pipeline: Pipeline, call: ExplainedCall): Promise<JsonObject> {
  const { body, principal } = call
  const { operation, dialect, scope } = routeOf(body, call.dialect)
  if (!hasScope(principal, scope))
    throw gatewayError('insufficient_scope', `This key lacks the scope "${scope}"`, { details: { required: scope } })
  return pipeline.explain({
    id: randomUUID(),
    operation,
    dialect,
    body,
    principal,
    headers: call.headers ?? {},
    signal: call.signal,
    startedMs: pipeline.services.clock.monotonicMs(),
    ...(call.requestId !== undefined && { requestId: call.requestId }),
  })
}

/** The endpoint that the body is for, by the dialect that is named, or else by what the body has. */
function routeOf(body: JsonObject, named: string | undefined): ModelRoute {
  const told = tellingFields.find(([field]) => Object.hasOwn(body, field))?.[1]
  if (named === undefined && told === undefined)
    throw invalidRequest([
      { path: '', message: 'must have "messages" (chat), "input" (responses) or "prompt" (completions)' },
    ])
  const route = modelRoutes.find(({ dialect }) => dialect === (named ?? told))
  if (route) return route
  const known = modelRoutes.map(({ dialect }) => dialect).join(', ')
  throw invalidRequest([{ path: 'dialect', message: `must be one of ${known}` }])
}
