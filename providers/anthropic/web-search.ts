import { gatewayError } from '@hadrian/core/provider'
import type { GenerateRequest, JsonObject, Target } from '@hadrian/core/provider'

import type { LossList } from './loss-list.ts'

/** Models from before the search tool of the Messages API. */
const searchless = /^claude-(instant|[12]|3-(opus|sonnet|haiku))/

/** True if the model can use the API's own web search. */
export function searchesWeb({ model }: Target): boolean {
  return !searchless.test(model)
}

/**
 * The API's own search tool, if the request wants it.
 *
 * @throws GatewayError `invalid_request_error` if domains are both included and excluded, which the API refuses
 */
export function searchTool({ webSearch }: GenerateRequest, losses: LossList): JsonObject | undefined {
  if (!webSearch) return undefined
  const { maxUses, includeDomains = [], excludeDomains = [], userLocation } = webSearch
  if (includeDomains.length > 0 && excludeDomains.length > 0)
    throw gatewayError(
      'invalid_request_error',
      'The web search of Anthropic takes domains to include or domains to exclude, not both',
      { param: 'plugins' },
    )
  return {
    type: 'web_search_20250305',
    name: 'web_search',
    ...(maxUses !== undefined && { max_uses: maxUses }),
    ...(includeDomains.length > 0 && { allowed_domains: includeDomains.map((domain) => wholeDomain(domain, losses)) }),
    ...(excludeDomains.length > 0 && { blocked_domains: excludeDomains.map((domain) => wholeDomain(domain, losses)) }),
    ...(userLocation && { user_location: userLocation }),
  }
}

/** The API takes no wildcard in a host: a domain stands for itself and its subdomains. */
function wholeDomain(domain: string, losses: LossList): string {
  if (!domain.startsWith('*.')) return domain
  losses.adjusted('plugins', `${domain} was sent as ${domain.slice(2)}, which has the domain itself too`)
  return domain.slice(2)
}
