import type { Dialect, GenerateRequest, JsonObject, Target } from '@hadrian/core/provider'
import { isObject } from './json.ts'
import type { Losses } from './losses.ts'
import type { Quirks } from './quirks.ts'

/** Models of OpenAI that search before every answer. Chat Completions has no others. */
const searchModels = /^gpt-[\w.]+(-mini)?-search(-|$)/
/** Models of OpenAI that have the search tool of the Responses API. */
const toolModels = /^(gpt-4o(-mini)?(-\d|$)|gpt-4\.1(?!-nano)|gpt-([5-9]|\d\d)|o3|o4)/

/** True if the upstream searches the web by itself, as far as the model's name and the catalog tell. */
export function searchesWeb(dialect: Dialect, target: Target, { isOpenAi }: Pick<Quirks, 'isOpenAi'>): boolean {
  if (target.info?.supportedParameters?.includes('web_search_options')) return true
  if (!isOpenAi) return false
  if (dialect === 'chat') return searchModels.test(target.model)
  return dialect === 'responses' && toolModels.test(target.model) && !searchModels.test(target.model)
}

/** `web_search_options` of Chat Completions; what the client wrote there itself is kept. */
export function encodeSearchOptions({ webSearch, extra }: GenerateRequest, losses: Losses): JsonObject {
  if (!webSearch) return {}
  const sent = isObject(extra['web_search_options']) ? extra['web_search_options'] : {}
  const { maxUses, includeDomains, excludeDomains, userLocation } = webSearch
  if (maxUses !== undefined) losses.parameter('plugins.web.max_uses')
  if (includeDomains?.length) losses.parameter('plugins.web.include_domains')
  if (excludeDomains?.length) losses.parameter('plugins.web.exclude_domains')
  const { type = 'approximate', ...approximate } = userLocation ?? {}
  return { web_search_options: { ...(userLocation && { user_location: { type, approximate } }), ...sent } }
}

/** The search tool of the Responses API. A client that has it among its tools has said all about it. */
export function searchTools({ webSearch, tools, extra }: GenerateRequest, losses: Losses): JsonObject[] {
  if (!webSearch) return []
  if (tools?.some((tool) => tool.type === 'native' && String(tool.value['type']).startsWith('web_search'))) return []
  const { maxUses, includeDomains = [], excludeDomains = [], userLocation } = webSearch
  if (maxUses !== undefined) losses.parameter('plugins.web.max_uses')
  if (excludeDomains.length > 0) losses.parameter('plugins.web.exclude_domains')
  const options = extra['web_search_options']
  const size = isObject(options) ? options['search_context_size'] : undefined
  return [
    {
      type: 'web_search',
      ...(includeDomains.length > 0 && {
        filters: { allowed_domains: includeDomains.map((domain) => hostOf(domain, losses)) },
      }),
      ...(typeof size === 'string' && { search_context_size: size }),
      ...(userLocation && { user_location: { type: 'approximate', ...userLocation } }),
    },
  ]
}

/** Allowed domains have neither wildcard nor path, and stand for their subdomains too. */
function hostOf(domain: string, losses: Losses): string {
  const host = domain.replace(/^\*\./, '').split('/', 1)[0]!
  if (host !== domain) losses.adjusted('plugins.web.include_domains', `${domain} was sent as ${host}`)
  return host
}
