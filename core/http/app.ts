import type { IncomingMessage, ServerResponse } from 'node:http'
import { STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { Router } from '@koa/router'
import Koa from 'koa'
import { asGatewayError, errorBody, gatewayError, isGatewayError } from '../contract/errors.ts'
import type { GatewayError } from '../contract/errors.ts'
import type { Logger, Principal, Reply, Route } from '../contract/plugin.ts'
import { hasScope } from '../services/access.ts'
import type { Pipeline } from '../pipeline/run.ts'
import type { ClientAddress } from './address.ts'
import { asObject } from './body.ts'
import { refuseConnection } from './client-error.ts'
import { HttpCall, authenticate, receive, requestIdOf } from './inbound.ts'
import { apiPrefixes, modelRoutes } from './routes.ts'
import type { ModelRoute } from './routes.ts'
import { sendBody, sendReply, sendResult } from './send.ts'

/** What {@link createApp} makes the HTTP shell of. */
export interface AppOptions {
  readonly pipeline: Pipeline
  /** Endpoints of the kernel and of plugins. */
  readonly routes: readonly Route[]
  readonly bodyLimitBytes: number
  readonly allowAnonymous: boolean
  readonly keepAliveIntervalMs: number
  readonly clientAddress: ClientAddress
}

/** What the server calls for whatever comes in. */
export interface App {
  /** For the public port. */
  readonly callback: (request: IncomingMessage, response: ServerResponse) => void
  /** For the control socket: whoever can open it is an administrator. */
  readonly localCallback: (request: IncomingMessage, response: ServerResponse) => void
  /** For bytes that are no HTTP. */
  readonly clientError: (error: Error, socket: Duplex) => void
  /** Answers 503 to whatever comes from now on over connections that are still open. */
  refuseNewWork(): void
}

/** Who calls over the control socket. */
const localAdministrator: Principal = { id: 'local', name: 'local administrator', scopes: ['admin', 'models', 'chat'] }
const anonymous: Principal = { id: 'anonymous' }

/**
 * The HTTP shell: trace and error boundary, then the exact paths of model calls, then the router. Everything behind it is
 * the pipeline, which knows no Koa.
 */
export function createApp(options: AppOptions): App {
  const { pipeline } = options
  const { telemetry, logger } = pipeline.services
  const local = new WeakSet<IncomingMessage>()
  let refusing = false

  const modelPaths = new Map<string, ModelRoute>()
  for (const route of modelRoutes) for (const prefix of apiPrefixes) modelPaths.set(prefix + route.path, route)
  const router = new Router()
  for (const route of options.routes)
    router.register(route.path, route.method === 'GET' ? ['get', 'head'] : [route.method.toLowerCase()], (context) =>
      runRoute(options, context, route, local),
    )

  const koa = new Koa()
  koa.use(async (context, next) => {
    // The answer is written to the socket by `send`: Koa's own responder would end it when the headers go out.
    context.respond = false
    const { req: request, res: response } = context
    const requestId = requestIdOf(request)
    context.state['requestId'] = requestId
    const path = pathOf(context)
    const span = telemetry.tracing
      ? telemetry.serverSpan({
          method: context.method,
          route: path !== undefined && modelPaths.has(path) ? path : 'other',
          headers: request.headers as Record<string, string | undefined>,
        })
      : undefined
    context.state['span'] = span
    let failure: GatewayError | undefined
    try {
      if (refusing) throw gatewayError('shutting_down', 'The gateway is stopping', { headers: { connection: 'close' } })
      if (request.headers.host === undefined && request.httpVersion === '1.1')
        throw gatewayError('invalid_request_error', 'The request has no Host header')
      if (path === undefined) throw gatewayError('invalid_request_error', 'The target of the request is no valid URL')
      await next()
    } catch (error) {
      failure = httpError(error)
      if (failure.status >= 500)
        logger.error({ request: requestId, method: context.method, error: failure }, 'request failed')
      else logRefusal(logger, context, failure)
      sendError(response, failure, requestId)
    } finally {
      if (span) telemetry.endServerSpan(span, { status: response.statusCode, ...(failure && { error: failure }) })
    }
  })
  koa.use(async (context, next) => {
    const route = modelPaths.get(context.path)
    if (!route) return next()
    context.state['route'] = context.path
    if (context.method !== 'POST') throw methodNotAllowed(context.method, ['POST'])
    return runModelCall(options, context, route, local)
  })
  koa.use(router.routes())
  koa.use((context) => {
    const methods = router.match(context.path, context.method).path.flatMap((layer) => layer.methods)
    if (methods.length > 0) throw methodNotAllowed(context.method, [...new Set(methods)])
    throw gatewayError('not_found', `No such path: ${context.path.slice(0, 200)}`)
  })
  // What reaches Koa's own handler are sockets that broke under an answer: clients that left, who are settled already.
  koa.on('error', (error: unknown) => logger.debug({ error }, 'connection broken'))
  const callback = koa.callback()
  const answers = new WeakMap<Duplex, ServerResponse>()
  const handle: App['callback'] = (request, response) => {
    answers.set(request.socket, response)
    void callback(request, response)
  }

  return {
    callback: handle,
    localCallback: (request, response) => {
      local.add(request)
      handle(request, response)
    },
    clientError: (error, socket) => refuseConnection(error, socket, answers.get(socket)),
    refuseNewWork: () => {
      refusing = true
    },
  }
}

async function runModelCall(
  options: AppOptions,
  context: Koa.Context,
  route: ModelRoute,
  local: WeakSet<IncomingMessage>,
): Promise<void> {
  const { pipeline } = options
  const { clock } = pipeline.services
  const startedMs = clock.monotonicMs()
  const requestId = context.state['requestId'] as string
  const call = openCall(options, context, {})
  const headers = { 'x-request-id': requestId }
  const early = await identify(options, call, context, local, route.scope)
  if (early) {
    sendReply(context.res, early, headers)
    return
  }
  const { bytes, value } = await call.modelBody()
  const result = await pipeline.execute({
    // An id of the client's own choosing is none to account by.
    id: context.req.headers['x-request-id'] === requestId ? crypto.randomUUID() : requestId,
    requestId,
    operation: route.operation,
    dialect: route.dialect,
    headers: call.headers,
    principal: call.principal!,
    body: asObject(value),
    bytes,
    signal: call.cancellation,
    startedMs,
    span: context.state['span'],
  })
  await sendResult(context.res, result, headers, { clock, keepAliveIntervalMs: options.keepAliveIntervalMs })
}

async function runRoute(
  options: AppOptions,
  context: Koa.Context & { params?: unknown },
  route: Route,
  local: WeakSet<IncomingMessage>,
): Promise<void> {
  context.state['route'] = route.path
  const call = openCall(options, context, (context.params ?? {}) as Record<string, string>)
  const early = route.scope === null ? undefined : await identify(options, call, context, local, route.scope)
  const reply = early ?? (await route.handle(call, call.principal))
  sendReply(context.res, reply, { 'x-request-id': context.state['requestId'] as string })
}

function openCall(options: AppOptions, context: Koa.Context, params: Readonly<Record<string, string>>): HttpCall {
  return new HttpCall({
    request: context.req,
    response: context.res,
    path: context.path,
    search: context.querystring,
    params,
    ip: options.clientAddress(context.req),
    bodyLimitBytes: options.bodyLimitBytes,
    id: context.state['requestId'] as string,
  })
}

/**
 * Finds out who is calling and whether the endpoint is theirs to call. Nobody known is nobody let in, whatever plugins run.
 *
 * @returns the reply of a plugin that answers the call itself
 */
async function identify(
  options: AppOptions,
  call: HttpCall,
  context: Koa.Context,
  local: WeakSet<IncomingMessage>,
  scope: string,
): Promise<Reply | undefined> {
  const hookScope = { services: options.pipeline.services, span: context.state['span'] }
  if (local.has(context.req)) call.identify(localAdministrator)
  else {
    const early = (await receive(call, hookScope)) ?? (await authenticate(call, hookScope))
    if (early) return early
  }
  if (!call.principal) {
    if (!options.allowAnonymous || scope === 'admin')
      throw gatewayError('missing_credentials', whyUnknown(call, options), {
        headers: { 'www-authenticate': 'Bearer' },
      })
    call.identify(anonymous)
  }
  if (!hasScope(call.principal!, scope))
    throw gatewayError('insufficient_scope', `This key lacks the scope "${scope}"`, { details: { required: scope } })
  return undefined
}

/** Why nobody is known: no credential at all, or one of a shape that no plugin took for its own. */
function whyUnknown({ headers }: HttpCall, { pipeline }: AppOptions): string {
  if (!headers['authorization'] && !headers['x-api-key'])
    return 'No API key provided. Send "Authorization: Bearer <key>" or "X-API-Key: <key>"'
  const hasKeys = pipeline.services.plan.steps.authenticate.some(({ plugin }) => plugin === 'auth')
  return `The credential is not one this gateway knows${hasKeys ? '; its keys begin with gw_live_' : ''}`
}

/** The one log line of a request that became no exchange. The path and the headers may hold anything, so neither is in it. */
function logRefusal(logger: Logger, context: Koa.Context, { status, code }: GatewayError): void {
  const fields = {
    request: context.state['requestId'] as string,
    method: context.method,
    route: (context.state['route'] as string | undefined) ?? 'other',
    status,
    error_code: code,
  }
  // Scanners ask for paths that do not exist all day.
  if (status === 404 || status === 405) logger.debug(fields, 'request refused')
  else logger.info(fields, 'request refused')
}

/** The path; undefined for a target that is no URL (`GET http://[`), where Koa throws. */
function pathOf(context: Koa.Context): string | undefined {
  try {
    return context.path
  } catch {
    return undefined
  }
}

function methodNotAllowed(method: string, allowed: readonly string[]): GatewayError {
  return gatewayError('method_not_allowed', `${method} is not allowed here; use ${allowed.join(' or ')}`, {
    headers: { allow: allowed.join(', ') },
  })
}

/** Koa's own errors (a path that cannot be decoded) keep their status if they are the client's fault. */
function httpError(error: unknown): GatewayError {
  if (isGatewayError(error)) return error
  const { status } = error as { status?: unknown }
  if (typeof status === 'number' && status >= 400 && status < 500)
    return gatewayError('invalid_request_error', STATUS_CODES[status] ?? 'Bad Request', { cause: error })
  return asGatewayError(error)
}

function sendError(response: ServerResponse, error: GatewayError, requestId: string): void {
  const headers = { 'content-type': 'application/json; charset=utf-8', 'x-request-id': requestId, ...error.headers }
  sendBody(response, error.status, headers, JSON.stringify({ error: errorBody(error, requestId) }))
}
