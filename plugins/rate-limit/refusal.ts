import { GatewayError, gatewayError } from '@hadrian/core/plugin'
import type { Demand, Refused } from './demand.ts'

/** What a 429 says. */
export interface Exceeded {
  readonly limit: number
  readonly unit: 'requests' | 'tokens'
  /** Null for concurrent requests. */
  readonly window: 'minute' | 'hour' | 'day' | null
  /** Whose limit it is: `key`, `team platform`, `model gpt-4o`, `ip`. */
  readonly scope: string
  readonly retryAfterMs: number
  readonly headers?: Readonly<Record<string, string>>
}

/** The error for a limit that is used up. */
export function limitExceeded({ limit, unit, window, scope, retryAfterMs, headers }: Exceeded): GatewayError {
  const retryAfterSeconds = Math.max(1, Math.ceil(retryAfterMs / 1000))
  const limited = window === null ? `${limit} concurrent requests` : `${limit} ${unit} per ${window}`
  return gatewayError('rate_limit_exceeded', `Rate limit exceeded: ${limited}`, {
    details: { limit, window, retry_after_secs: retryAfterSeconds, scope },
    headers: { 'Retry-After': String(retryAfterSeconds), ...headers },
  })
}

/** The error for what the engine refused. */
export function refusalOf({ demand, retryAfterMs }: Refused): GatewayError {
  if (demand) return limitExceeded({ ...limitOf(demand), retryAfterMs })
  return new GatewayError('rate_limits_unavailable', 503, 'The shared rate limits cannot be reached', {
    details: { retry_after_secs: Math.max(1, Math.ceil(retryAfterMs / 1000)) },
    headers: { 'Retry-After': String(Math.max(1, Math.ceil(retryAfterMs / 1000))) },
  })
}

function limitOf({ limit, kind, scope }: Demand): Pick<Exceeded, 'limit' | 'unit' | 'window' | 'scope'> {
  return { limit, unit: kind?.unit ?? 'requests', window: kind?.window ?? null, scope }
}
