import type { AttemptRecord, GatewayError } from '@hadrian/core/plugin'
import type { Verdict } from './breaker.ts'

/** Statuses below 500 that say something about the upstream or the operator's account with it. */
const targetsOwn = new Set([401, 402, 403, 408])
/** Codes of 429 that no waiting helps against: the operator's money or quota is used up. */
const usedUp = /insufficient_quota|billing|credit|payment/i
/** A refusal of the prompt by the upstream's own moderation, which some send as 403: the client's doing. */
const moderated = /moderation|content.?(policy|filter)|safety|flagged/i

/** What an attempt says about its target. A client that left, and what the client itself caused, say nothing. */
export function verdictOf({ outcome, error, firstEventMs }: AttemptRecord): Verdict {
  if (outcome === 'completed') return 'success'
  if (outcome !== 'failed' || !error) return 'neutral'
  return verdictOfError(error, firstEventMs !== undefined)
}

/**
 * What a failure says about the target. Upstreams that fail (5xx, 408), send nonsense, cannot be reached, break off or
 * keep silent, and such as refuse the operator's credentials or account, are at fault.
 *
 * @param hasBegun the answer had begun
 */
export function verdictOfError(error: GatewayError, hasBegun: boolean): Verdict {
  // What a plugin throws is no word of the upstream.
  if (error.plugin !== undefined) return 'neutral'
  // An answer can be too long for the total timeout because it is long, or because its client reads slowly.
  if (error.code === 'provider_timeout')
    return hasBegun && error.details?.['timeout'] === 'total' ? 'neutral' : 'failure'
  if (error.code !== 'provider_error') return 'neutral'
  const said = error.details?.['upstream_status']
  const status = typeof said === 'number' ? said : error.status
  if (status < 400 || status >= 500) return 'failure'
  const code = codeOf(error)
  if (status === 429) return usedUp.test(code) ? 'failure' : 'neutral'
  if (!targetsOwn.has(status)) return 'neutral'
  return status === 403 && (moderated.test(code) || moderated.test(error.message)) ? 'neutral' : 'failure'
}

/** Whether the upstream said that it is asked too often. */
export function isRateLimited(error: GatewayError): boolean {
  return (
    error.code === 'provider_error' &&
    error.plugin === undefined &&
    error.details?.['upstream_status'] === 429 &&
    !usedUp.test(codeOf(error))
  )
}

function codeOf({ details }: GatewayError): string {
  const code = details?.['upstream_code']
  return typeof code === 'string' ? code : ''
}
