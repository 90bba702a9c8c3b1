import type { Span } from '@opentelemetry/api'
import { gatewayError } from '../contract/errors.ts'
import type { Awaitable, Principal, Reply } from '../contract/plugin.ts'
import type { Pipeline } from '../pipeline/run.ts'
import { hasScope } from '../services/access.ts'
import { authenticate, receive } from './inbound.ts'
import type { HttpCall } from './inbound.ts'

/** What {@link identify} decides by. */
export interface IdentifyOptions {
  readonly pipeline: Pipeline
  readonly allowAnonymous: boolean
}

/** Who calls over the control socket, or on the command line: whoever can do that may do everything. */
export const localAdministrator: Principal = {
  id: 'local',
  name: 'local administrator',
  scopes: ['admin', 'models', 'chat', 'completions', 'embeddings'],
}
const anonymous: Principal = { id: 'anonymous' }

/**
 * Finds out who is calling and whether the endpoint is theirs to call. Nobody known is nobody let in, whatever plugins run.
 *
 * @returns the reply of a plugin that answers the call itself
 */
export function identify(
  options: IdentifyOptions,
  call: HttpCall,
  caller: { readonly isLocal: boolean; readonly span: Span | undefined },
  scope: string,
): Awaitable<Reply | undefined> {
  if (caller.isLocal) call.identify(localAdministrator)
  else {
    const hookScope = { services: options.pipeline.services, span: caller.span }
    const received = receive(call, hookScope)
    const early = received instanceof Promise ? undefined : (received ?? authenticate(call, hookScope))
    // Nearly always no hook returns a promise.
    if (received instanceof Promise || early instanceof Promise)
      return (async () => {
        const reply =
          early instanceof Promise ? await early : ((await received) ?? (await authenticate(call, hookScope)))
        if (!reply) admit(options, call, scope)
        return reply
      })()
    if (early) return early
  }
  admit(options, call, scope)
  return undefined
}

/** @throws GatewayError `missing_credentials`, `insufficient_scope` */
function admit({ pipeline, allowAnonymous }: IdentifyOptions, call: HttpCall, scope: string): void {
  if (!call.principal) {
    if (!allowAnonymous || scope === 'admin')
      throw gatewayError('missing_credentials', whyUnknown(call, pipeline), {
        headers: { 'www-authenticate': 'Bearer' },
      })
    call.identify(anonymous)
  }
  if (!hasScope(call.principal!, scope))
    throw gatewayError('insufficient_scope', `This key lacks the scope "${scope}"`, { details: { required: scope } })
}

/** Why nobody is known: no credential at all, or one of a shape that no plugin took for its own. */
function whyUnknown({ headers }: HttpCall, pipeline: Pipeline): string {
  if (!headers['authorization'] && !headers['x-api-key'])
    return 'No API key provided. Send "Authorization: Bearer <key>" or "X-API-Key: <key>"'
  const hasKeys = pipeline.services.plan.steps.authenticate.some(({ plugin }) => plugin === 'auth')
  return `The credential is not one this gateway knows${hasKeys ? '; its keys begin with gw_live_' : ''}`
}
