import { type GatewayError, upstreamError } from '@hadrian/core/provider'

import { isObject } from './wire.ts'

/** Status of each error type. Source: the page on errors of the Anthropic API. */
const statuses: Readonly<Record<string, number>> = {
  invalid_request_error: 400,
  authentication_error: 401,
  billing_error: 402,
  permission_error: 403,
  not_found_error: 404,
  request_too_large: 413,
  rate_limit_error: 429,
  api_error: 500,
  timeout_error: 504,
  overloaded_error: 529,
}

/** Refusals that depend on the model: another one has more context, or other scruples. */
const othersMayServe = /prompt is too long|exceed.{0,20}context (limit|window)|content filtering policy/i

/** The operator's unpaid bill comes as 400, which would blame the client. */
const unpaid = /credit balance is too low/i

/** An answer with an error status; `body` is Anthropic's `{type: "error", error}`, or whatever a proxy on the way wrote. */
export function decodeError(
  provider: string,
  status: number,
  headers: Readonly<Record<string, string>>,
  body: unknown,
): GatewayError {
  const { type, message } = readError(body)
  const said = message ?? `HTTP ${status} without an error message`
  // What refuses a credential may quote it, and it is the operator's.
  const text = status === 401 ? 'the credentials of the gateway were refused' : said
  return upstreamError(provider, {
    status: unpaid.test(text) ? 402 : status,
    message: text,
    headers,
    ...(type !== undefined && { code: type }),
    ...(othersMayServe.test(text) && { otherModelMayServe: true }),
  })
}

/** An error inside an answer that began with status 200. */
export function decodeStreamError(provider: string, body: unknown): GatewayError {
  const { type } = readError(body)
  return decodeError(provider, (type === undefined ? undefined : statuses[type]) ?? 500, {}, body)
}

/** An answer with status 200 that is none. */
export function senselessAnswer(provider: string, what: string): GatewayError {
  return upstreamError(provider, { status: 502, code: 'invalid_response', message: what })
}

function readError(body: unknown): { type?: string; message?: string } {
  const error = isObject(body) ? (isObject(body['error']) ? body['error'] : body) : {}
  const { type, message } = error
  return {
    ...(typeof type === 'string' && type !== 'error' && { type }),
    ...(typeof message === 'string' && message !== '' && { message }),
  }
}
