import { upstreamError } from '@hadrian/core/provider'
import type { GatewayError } from '@hadrian/core/provider'
import { filled, isObject } from './json.ts'

/** Longest message that is passed on, in characters. */
const messageLimit = 500

/** What a body of any compatible server says went wrong. */
interface Failure {
  readonly message: string | undefined
  readonly code: string | undefined
}

function codeOf(value: unknown): string | undefined {
  return typeof value === 'number' ? String(value) : filled(value)
}

/** FastAPI servers have `detail`: a text, or a list of what is wrong with each field. */
function detailOf(detail: unknown): string | undefined {
  if (!Array.isArray(detail)) return filled(detail)
  const messages = detail.map((entry) => (isObject(entry) ? filled(entry['msg']) : filled(entry)))
  return filled(messages.filter((message) => message !== undefined).join('; '))
}

function readFailure(body: unknown): Failure {
  if (Array.isArray(body)) return readFailure(body[0])
  if (!isObject(body)) return { message: textOf(body), code: undefined }
  const error = body['error'] ?? body
  if (!isObject(error)) return { message: filled(error) ?? filled(body['message']), code: undefined }
  const message = filled(error['message']) ?? detailOf(error['detail']) ?? detailOf(body['detail'])
  const metadata = isObject(error['metadata']) ? error['metadata'] : {}
  const named = filled(error['code']) ?? filled(metadata['error_type']) ?? filled(error['type'])
  return { message: message ?? detailOf(error['error']), code: named ?? codeOf(error['code']) }
}

/** A body that is no JSON: plain text as it is, a page by its title. */
function textOf(body: unknown): string | undefined {
  const text = filled(body)?.trim()
  if (!text?.startsWith('<')) return filled(text)
  return filled(/<title>([^<]*)<\/title>/i.exec(text)?.[1]?.trim())
}

const overflow =
  /context.?length|context window|maximum context|(prompt|input|request) (is )?too (long|large)|too many (input )?tokens|exceeds? the (model|max)/i
const refusal = /content.?(policy|filter|management)|moderation|safety system|responsible.?ai|flagged/i

/** A context overflow or a refusal by the provider's own moderation, which another model may not share. */
function otherModelMayServe(status: number, failure: Failure): boolean {
  if (status !== 400 && status !== 413 && status !== 422 && status !== 403) return false
  const { code = '', message = '' } = failure
  return [overflow, refusal].some((pattern) => pattern.test(code) || pattern.test(message))
}

function shownMessage(status: number, message: string | undefined): string {
  // Upstreams quote the credential they refuse, which is the operator's.
  if (status === 401) return 'the credentials of the gateway were refused'
  const short = message?.replaceAll(/\s+/g, ' ').slice(0, messageLimit)
  return short || `HTTP ${status} without a message`
}

/** An answer with an error status, as JSON, text, HTML or nothing at all. `provider` is the name of the instance. */
export function decodeError(
  provider: string,
  status: number,
  headers: Readonly<Record<string, string>>,
  body: unknown,
): GatewayError {
  const failure = readFailure(body)
  return upstreamError(provider, {
    status,
    headers,
    message: shownMessage(status, failure.message),
    ...(failure.code !== undefined && { code: failure.code }),
    otherModelMayServe: otherModelMayServe(status, failure),
  })
}

/** Statuses that the types of errors have where no status is given. */
const statuses: Readonly<Record<string, number>> = {
  invalid_request_error: 400,
  context_length_exceeded: 400,
  rate_limit_error: 429,
  rate_limit_exceeded: 429,
  insufficient_quota: 429,
  server_overloaded: 503,
  overloaded_error: 503,
}

/** The status of an error that came without one, inside a stream or an answer with status 200. */
function statusOf(body: unknown): number {
  const error = isObject(body) ? body['error'] : undefined
  const { code, status, type } = isObject(error) ? error : {}
  for (const value of [status, code]) {
    const number = typeof value === 'number' ? value : Number(filled(value))
    if (Number.isInteger(number) && number >= 400 && number < 600) return number
  }
  for (const value of [code, type]) {
    if (typeof value === 'string' && Object.hasOwn(statuses, value)) return statuses[value] ?? 502
  }
  return 502
}

/** An error object inside a stream or an answer whose status says that all is well. */
export function decodeInnerError(provider: string, body: unknown): GatewayError {
  return decodeError(provider, statusOf(body), {}, body)
}

/** A body that is no answer of this API. */
export function senselessAnswer(provider: string): GatewayError {
  return upstreamError(provider, { status: 502, message: 'the answer has no choices' })
}
