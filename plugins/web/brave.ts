import { isEmpty, siteOperators } from './domain-filter.ts'
import { listOf, microsOf, objectsAt } from './engine.ts'
import type { Engine } from './engine.ts'
import type { Options } from './options.ts'

/** Brave refuses queries with more characters or words than these. */
const longestQuery = 400
const mostWords = 50
/** Brave gives no more results at once. Asked for where some of them will be filtered out. */
const mostResults = 20

/** Brave: domains go into the query as `site:`, as far as they fit; all are filtered from the results too. */
export function braveEngine(settings: NonNullable<Options['brave']>): Engine {
  const costMicros = microsOf(settings.cost_usd)
  return {
    name: 'brave',
    baseUrl: settings.base_url,
    timeoutMs: settings.timeout_ms,
    costMicros: () => costMicros,
    encode({ text, maxResults, domains }) {
      const query = new URLSearchParams({
        q: withSites(text, siteOperators(domains)),
        count: String(isEmpty(domains) ? maxResults : mostResults),
        text_decorations: 'false',
        extra_snippets: 'true',
      })
      return {
        path: `/res/v1/web/search?${query.toString()}`,
        request: { headers: { accept: 'application/json', 'x-subscription-token': settings.api_key } },
      }
    },
    decode: (body) =>
      objectsAt(body, 'web', 'results').map(({ url, title, description, extra_snippets: more }) => ({
        url,
        title,
        snippets: [description, ...listOf(more)],
      })),
  }
}

/** The query with its operators; the words at its end make room for them. */
function withSites(text: string, sites: readonly string[]): string {
  const operators = sites.join(' ')
  const words = text.split(' ').slice(0, mostWords - operators.split(' ').length)
  while (words.length > 1 && words.join(' ').length + 1 + operators.length > longestQuery) words.pop()
  return [...words, ...sites].join(' ')
}
