import { siteOperators } from './domain-filter.ts'
import { microsOf, objectsAt } from './engine.ts'
import type { Engine } from './engine.ts'
import type { Options } from './options.ts'

/** SearXNG: domains go into the query as `site:`, which most of its engines know; all are filtered from the results too. */
export function searxngEngine(settings: NonNullable<Options['searxng']>): Engine {
  const costMicros = microsOf(settings.cost_usd)
  return {
    name: 'searxng',
    baseUrl: settings.base_url,
    timeoutMs: settings.timeout_ms,
    costMicros: () => costMicros,
    encode({ text, domains }) {
      const query = new URLSearchParams({ q: [text, ...siteOperators(domains)].join(' '), format: 'json' })
      return { path: `/search?${query.toString()}`, request: { headers: { accept: 'application/json' } } }
    },
    decode: (body) =>
      objectsAt(body, 'results').map(({ url, title, content }) => ({ url, title, snippets: [content] })),
  }
}
