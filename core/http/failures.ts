import type { ServerResponse } from 'node:http'
import { STATUS_CODES } from 'node:http'
import type Koa from 'koa'
import { asGatewayError, errorBody, gatewayError, isGatewayError } from '../contract/errors.ts'
import type { GatewayError } from '../contract/errors.ts'
import type { Logger } from '../contract/plugin.ts'
import { sendBody } from './send.ts'

/** The one log line of a request that became no exchange. The path and the headers may hold anything, so neither is in it. */
export function logRefusal(logger: Logger, context: Koa.Context, { status, code }: GatewayError): void {
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

/** The path exists, the method does not. */
export function methodNotAllowed(method: string, allowed: readonly string[]): GatewayError {
  return gatewayError('method_not_allowed', `${method} is not allowed here; use ${allowed.join(' or ')}`, {
    headers: { allow: allowed.join(', ') },
  })
}

/** Koa's own errors (a path that cannot be decoded) keep their status if they are the client's fault. */
export function httpError(error: unknown): GatewayError {
  if (isGatewayError(error)) return error
  const { status } = error as { status?: unknown }
  if (typeof status === 'number' && status >= 400 && status < 500)
    return gatewayError('invalid_request_error', STATUS_CODES[status] ?? 'Bad Request', { cause: error })
  return asGatewayError(error)
}

/** Answers with an error in the one shape that all have. */
export function sendError(response: ServerResponse, error: GatewayError, requestId: string): void {
  const headers = { 'content-type': 'application/json; charset=utf-8', 'x-request-id': requestId, ...error.headers }
  sendBody(response, error.status, headers, JSON.stringify({ error: errorBody(error, requestId) }))
}
