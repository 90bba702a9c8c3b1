/**
 * The one error class, and the one table of codes. The table in the README is generated from this file.
 */

/** What one error code means to a client. `type` is OpenAI's coarse class, derived from the status. */
export interface ErrorCodeEntry {
  readonly status: number
  readonly meaning: string
  /** What the reader of the error should do about it. */
  readonly remedy: string
}

/** Every code of the kernel and of the bundled plugins. */
export const errorCodes = {
  invalid_request_error: {
    status: 400,
    meaning: 'The body, a field of it or a `plugins` entry is not valid.',
    remedy: 'Read `details.errors`: each entry has the JSON path and what was expected there.',
  },
  invalid_json: {
    status: 400,
    meaning: 'The body is not JSON.',
    remedy: '`details.position` is the offset of the first character that is wrong.',
  },
  unsupported: {
    status: 400,
    meaning: 'A field that this gateway knows and does not serve.',
    remedy: 'Remove the field that `param` names.',
  },
  routing_error: {
    status: 400,
    meaning: 'No target can serve the request.',
    remedy: '`details.candidates` names what removed each target, `details.suggestions` the nearest model names.',
  },
  content_blocked: {
    status: 400,
    meaning: 'A guardrail refused the prompt or the answer.',
    remedy: 'Change the content; `details.categories` says what was found.',
  },
  missing_credentials: {
    status: 401,
    meaning: 'The request carries no credential that any enabled plugin knows.',
    remedy: 'Send `Authorization: Bearer <key>` or `X-API-Key: <key>`.',
  },
  invalid_api_key: {
    status: 401,
    meaning: 'The key is unknown, revoked or expired.',
    remedy: 'Use a valid key; `hadrian keys create` makes one.',
  },
  budget_exceeded: {
    status: 402,
    meaning: 'A budget has too little left for this request.',
    remedy: 'Wait until `details.resets_at`, ask for less (`max_tokens`), or raise the limit.',
  },
  insufficient_scope: {
    status: 403,
    meaning: 'The key lacks the scope of this endpoint.',
    remedy: 'Use a key whose scopes include the one in `details.required`.',
  },
  model_not_allowed: {
    status: 403,
    meaning: 'The key may not use one of the models the request names.',
    remedy: 'Use a model that `GET /api/v1/models` lists for this key.',
  },
  ip_not_allowed: {
    status: 403,
    meaning: 'The key may not be used from this address.',
    remedy: 'Call from an address on the IP list of the key.',
  },
  not_found: {
    status: 404,
    meaning: 'No such path or resource.',
    remedy: 'Check the path; `/openapi.json` lists all of them.',
  },
  method_not_allowed: {
    status: 405,
    meaning: 'The path exists, but not with this method.',
    remedy: 'Use a method of the `Allow` header.',
  },
  conflict: {
    status: 409,
    meaning: 'The resource exists already or has changed meanwhile.',
    remedy: 'Read it again, then decide.',
  },
  request_too_large: {
    status: 413,
    meaning: 'The body is larger than the gateway accepts.',
    remedy: 'Send at most `details.limit_bytes` bytes, or raise `server.body_limit_bytes`.',
  },
  unsupported_media_type: {
    status: 415,
    meaning: 'The body is not declared as JSON.',
    remedy: 'Send `Content-Type: application/json` without a content encoding.',
  },
  rate_limit_exceeded: {
    status: 429,
    meaning: 'A rate limit is used up.',
    remedy: 'Wait `details.retry_after_secs` seconds, also in `Retry-After`.',
  },
  request_cancelled: {
    status: 499,
    meaning: 'The client went away before the answer was complete.',
    remedy: 'Nothing; it is seen in logs only.',
  },
  internal_error: {
    status: 500,
    meaning: 'A defect of the gateway or of a plugin.',
    remedy: 'Give the `request_id` to the operator, whose log has the cause.',
  },
  provider_error: {
    status: 502,
    meaning: 'The upstream provider failed, or refused the request.',
    remedy: 'See `details.upstream_status` and `details.upstream_code`. Bad operator credentials land here too.',
  },
  provider_unavailable: {
    status: 503,
    meaning: 'No upstream can take the request at the moment.',
    remedy: 'Wait `details.retry_after_secs` seconds.',
  },
  budget_unavailable: {
    status: 503,
    meaning: 'Neither the gateway nor its database can say whether a budget has anything left.',
    remedy: 'Wait `details.retry_after_secs` seconds, also in `Retry-After`.',
  },
  rate_limits_unavailable: {
    status: 503,
    meaning: 'The database is away, and rate limits may not be enforced without it any longer.',
    remedy:
      'Wait `details.retry_after_secs` seconds; `database_away_seconds` of `rate-limit` says for how long they are.',
  },
  moderation_unavailable: {
    status: 503,
    meaning: 'A prompt or an answer could not be judged, so it may not pass.',
    remedy: 'Wait `details.retry_after_secs` seconds, also in `Retry-After`.',
  },
  database_unavailable: {
    status: 503,
    meaning: 'The database, which this needs, cannot be reached.',
    remedy: 'Try again. After a change, look first whether it was made.',
  },
  shutting_down: {
    status: 503,
    meaning: 'The gateway is stopping.',
    remedy: 'Try again; another instance or the restarted one will answer.',
  },
  provider_timeout: {
    status: 504,
    meaning: 'The upstream did not answer in time.',
    remedy: 'Try again, or raise the timeout that `details.timeout` names.',
  },
} as const satisfies Record<string, ErrorCodeEntry>

/** A code of the table, or one of a plugin's own in the same snake_case style. */
export type ErrorCode = keyof typeof errorCodes | (string & {})

/** What {@link GatewayError} takes besides code, status and message. */
export interface GatewayErrorInit {
  /** The failure behind this one. Logged, never sent to the client. */
  readonly cause?: unknown
  /** Facts for the client's program, sent as `error.details`. */
  readonly details?: Readonly<Record<string, unknown>>
  /** The JSON path of the offending field, sent as `error.param`. */
  readonly param?: string
  /** Extra response headers, for instance `Retry-After`. */
  readonly headers?: Readonly<Record<string, string>>
  /**
   * Another target may do better, so the kernel may fall back. `'same'`: the same target may do better too, so it may
   * also be tried again. False means the request itself is at fault.
   */
  readonly retryable?: boolean | 'same'
}

const brand: unique symbol = Symbol.for('hadrian.GatewayError')

/**
 * A failure that a client may see. Throw one from a hook to refuse the exchange; anything else that is thrown becomes
 * `internal_error` 500, and where the database is away `database_unavailable` 503; its text goes to the log only.
 * Branded by a global symbol, so that two copies of this package in one process recognise each other's errors: test with
 * {@link isGatewayError}, never with `instanceof`.
 */
export class GatewayError extends Error {
  readonly code: ErrorCode
  /** HTTP status, 400 to 599. */
  readonly status: number
  readonly details: Readonly<Record<string, unknown>> | undefined
  readonly param: string | undefined
  readonly headers: Readonly<Record<string, string>>
  readonly retryable: boolean | 'same'
  /** Stamped by the kernel: the plugin whose hook threw, or undefined for the kernel itself. */
  plugin?: string
  /** Stamped by the kernel: the hook that threw. */
  hook?: string
  readonly [brand] = true

  constructor(code: ErrorCode, status: number, message: string, init: GatewayErrorInit = {}) {
    super(message, init.cause === undefined ? undefined : { cause: init.cause })
    this.name = 'GatewayError'
    this.code = code
    this.status = status
    this.details = init.details
    this.param = init.param
    this.headers = init.headers ?? {}
    this.retryable = init.retryable ?? false
  }
}

/** True for a {@link GatewayError} of this or of any other copy of the package. */
export function isGatewayError(value: unknown): value is GatewayError {
  return typeof value === 'object' && value !== null && brand in value
}

/**
 * What was thrown as a {@link GatewayError}: the failure of a database that is away becomes `database_unavailable` 503,
 * anything else `internal_error` 500, with itself as the cause.
 */
export function asGatewayError(thrown: unknown): GatewayError {
  if (isGatewayError(thrown)) return thrown
  return (thrown as { code?: unknown } | null | undefined)?.code === 'database_unavailable'
    ? gatewayError('database_unavailable', 'The database cannot be reached at the moment', { cause: thrown })
    : gatewayError('internal_error', 'Internal error', { cause: thrown })
}

/** A {@link GatewayError} with the status its code has in the table. */
export function gatewayError(code: keyof typeof errorCodes, message: string, init?: GatewayErrorInit): GatewayError {
  return new GatewayError(code, errorCodes[code].status, message, init)
}

/** One mistake in a request, as `details.errors` lists it. */
export interface RequestMistake {
  /** JSON path of a field, or the name of a query parameter. */
  readonly path: string
  /** What is wrong there, to be read after the path: `must be at most 2`. */
  readonly message: string
}

/** The error for a request with these mistakes; at least one. `param` is the path of the first. */
export function invalidRequest(mistakes: readonly RequestMistake[]): GatewayError {
  const [first] = mistakes
  const message = first === undefined ? 'The request is not valid' : `${first.path} ${first.message}`.trim()
  return gatewayError('invalid_request_error', message, { param: first?.path, details: { errors: mistakes } })
}

/** OpenAI's coarse class of an error, which its SDKs read: `error.type` in the body. */
export function errorType(status: number): string {
  if (status === 401) return 'authentication_error'
  if (status === 403) return 'permission_error'
  if (status === 429) return 'rate_limit_error'
  return status >= 500 ? 'server_error' : 'invalid_request_error'
}

/** The error object of contract and dialects: what stands under `error` in every failed answer. */
export interface ErrorBody {
  readonly type: string
  readonly code: string
  readonly message: string
  readonly param: string | null
  readonly request_id: string
  readonly details?: Readonly<Record<string, unknown>>
}

/** Renders an error for a client. Anything that is no {@link GatewayError} is shown as `internal_error` without its text. */
export function errorBody(error: unknown, requestId: string): ErrorBody {
  const shown = asGatewayError(error)
  return {
    type: errorType(shown.status),
    code: shown.code,
    message: shown.message,
    param: shown.param ?? null,
    request_id: requestId,
    ...(shown.details && { details: shown.details }),
  }
}
