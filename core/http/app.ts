import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Span } from '@opentelemetry/api'
import { Router } from '@koa/router'
import Koa from 'koa'
import { gatewayError } from '../contract/errors.ts'
import type { GatewayError } from '../contract/errors.ts'
import type { Route } from '../contract/plugin.ts'
import type { Pipeline } from '../pipeline/run.ts'
import type { ClientAddress } from './address.ts'
import { asObject } from './body.ts'
import { httpError, logRefusal, methodNotAllowed, sendError } from './failures.ts'
import { identify } from './identify.ts'
import { HttpCall, requestIdOf } from './inbound.ts'
import { OpenRequests } from './open-requests.ts'
import { apiPrefixes, modelRoutes } from './model-routes.ts'
import type { ModelRoute } from './model-routes.ts'
import { sendReply, sendResult } from './send.ts'

/** What {@link createApp} makes the HTTP shell of. */
export interface AppOptions {
  readonly pipeline: Pipeline
  /** Endpoints of the kernel and of plugins. */
  readonly routes: readonly Route[]
  readonly bodyLimitBytes: number
  readonly allowAnonymous: boolean
  readonly keepAliveIntervalMs: number
  readonly clientAddress: ClientAddress
  /** True: whatever comes over connections that are still open is answered with 503. */
  readonly isStopping: () => boolean
}

/** The HTTP shell of one config. */
export interface App {
  /** For the public port. */
  readonly callback: (request: IncomingMessage, response: ServerResponse) => void
  /** For the control socket: whoever can open it is an administrator. */
  readonly localCallback: (request: IncomingMessage, response: ServerResponse) => void
  /** The requests it is answering. */
  readonly open: OpenRequests
}

/**
 * The HTTP shell: trace and error boundary, then the exact paths of model calls, then the router. Everything behind it is
 * the pipeline, which knows no Koa.
 */
export function createApp(options: AppOptions): App {
  const { pipeline } = options
  const { telemetry, logger } = pipeline.services
  const local = new WeakSet<IncomingMessage>()
  const open = new OpenRequests()

  const modelPaths = new Map<string, ModelRoute>()
  for (const route of modelRoutes) for (const prefix of apiPrefixes) modelPaths.set(prefix + route.path, route)
  const router = new Router()
  for (const route of options.routes)
    router.register(route.path, route.method === 'GET' ? ['get', 'head'] : [route.method.toLowerCase()], (context) =>
      runRoute(options, context, route, local),
    )

  /** Trace and error boundary. */
  const bounded = async (context: Koa.Context, work: () => Promise<void>): Promise<void> => {
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
      if (options.isStopping())
        throw gatewayError('shutting_down', 'The gateway is stopping', { headers: { connection: 'close' } })
      if (request.headers.host === undefined && request.httpVersion === '1.1')
        throw gatewayError('invalid_request_error', 'The request has no Host header')
      if (path === undefined) throw gatewayError('invalid_request_error', 'The target of the request is no valid URL')
      await work()
    } catch (error) {
      failure = httpError(error)
      if (failure.status >= 500)
        logger.error({ request: requestId, method: context.method, error: failure }, 'request failed')
      else logRefusal(logger, context, failure)
      sendError(response, failure, requestId)
    } finally {
      if (span) telemetry.endServerSpan(span, { status: response.statusCode, ...(failure && { error: failure }) })
    }
  }
  const koa = new Koa()
  koa.use(bounded)
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
  const handle: App['callback'] = (request, response) => {
    open.add(request, response)
    const path = request.url!
    const route = request.method === 'POST' ? modelPaths.get(path) : undefined
    if (!route) {
      void callback(request, response)
      return
    }
    // The same as below, without the layers of the onion between.
    const context = koa.createContext(request, response)
    context.state['route'] = path
    bounded(context, () => runModelCall(options, context, route, local)).catch((error: unknown) => {
      logger.error({ error }, 'an answer could not be written')
      response.destroy()
    })
  }

  return {
    callback: handle,
    localCallback: (request, response) => {
      local.add(request)
      handle(request, response)
    },
    open,
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
  const identified = identify(options, call, callerOf(context, local), route.scope)
  const early = identified instanceof Promise ? await identified : identified
  if (early) {
    await sendReply(context.res, early, headers)
    return
  }
  const { bytes, value } = await call.modelBody()
  const result = await pipeline.execute({
    // An id of the client's own choosing is none to account by.
    id: context.req.headers['x-request-id'] === requestId ? randomUUID() : requestId,
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
  const early = route.scope === null ? undefined : await identify(options, call, callerOf(context, local), route.scope)
  const reply = early ?? (await route.handle(call, call.principal))
  await sendReply(context.res, reply, { 'x-request-id': context.state['requestId'] as string })
}

function callerOf(context: Koa.Context, local: WeakSet<IncomingMessage>): { isLocal: boolean; span: Span | undefined } {
  return { isLocal: local.has(context.req), span: context.state['span'] as Span | undefined }
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

/** The path; undefined for a target that is no URL (`GET http://[`), where Koa throws. */
function pathOf(context: Koa.Context): string | undefined {
  try {
    return context.path
  } catch {
    return undefined
  }
}
