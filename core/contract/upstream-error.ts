import { GatewayError } from './errors.ts'

/** What a provider read from a failed answer. */
export interface UpstreamFailure {
  readonly status: number
  /** The upstream's own code or type: `context_length_exceeded`, `overloaded_error`. */
  readonly code?: string
  readonly message: string
  readonly headers?: Readonly<Record<string, string>>
  /**
   * The failure is a context overflow or a moderation refusal, which another model may not share: falls back, although
   * its status says that the client is at fault. Its status is kept, 403 too.
   */
  readonly otherModelMayServe?: boolean
}

/** Statuses of an upstream that may pass, so that the same target can be tried again. */
const transient = new Set([408, 409, 425, 429, 500, 502, 503, 504, 529])

/**
 * The one mapping from an upstream's failure to ours. A caller's own mistake (400, 404, 413, 422, ...) and 429 keep their
 * status; bad operator credentials (401, 402, 403) and 5xx become 502; a timeout becomes 504. `Retry-After` is passed on.
 */
export function upstreamError(provider: string, failure: UpstreamFailure): GatewayError {
  const { status, code, message, headers } = failure
  const isRefusal = status === 403 && failure.otherModelMayServe === true
  const callersOwn =
    isRefusal || (status >= 400 && status < 500 && status !== 401 && status !== 403 && status !== 402 && status !== 408)
  const retryAfter = headers?.['retry-after']
  const fallsBack = !callersOwn || status === 404 || status === 429 || failure.otherModelMayServe === true
  return new GatewayError('provider_error', callersOwn ? status : 502, `Upstream provider returned error: ${message}`, {
    details: { provider, upstream_status: status, upstream_code: code ?? null },
    retryable: transient.has(status) ? 'same' : fallsBack,
    ...(retryAfter !== undefined &&
      parseRetryAfter(retryAfter, 0) !== undefined && {
        headers: { 'Retry-After': retryAfter },
      }),
  })
}

/**
 * Milliseconds to wait by a `Retry-After` header, which is seconds or an HTTP date; `nowMs` is milliseconds since 1970.
 * Undefined for anything else.
 */
export function parseRetryAfter(value: string, nowMs: number): number | undefined {
  if (/^\d+(\.\d+)?$/.test(value.trim())) return Math.ceil(Number(value) * 1000)
  const date = Date.parse(value)
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMs)
}
