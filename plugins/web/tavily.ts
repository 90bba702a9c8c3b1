import { hostsOf, wholeHostsOf } from './domain-filter.ts'
import { microsOf, objectsAt, postJson } from './engine.ts'
import type { Engine } from './engine.ts'
import type { Options } from './options.ts'

/** Tavily: takes whole domains only; paths and wildcards are filtered from its results. */
export function tavilyEngine(settings: NonNullable<Options['tavily']>): Engine {
  const costMicros = microsOf(settings.cost_usd)
  return {
    name: 'tavily',
    baseUrl: settings.base_url,
    timeoutMs: settings.timeout_ms,
    costMicros: () => costMicros,
    encode({ text, maxResults, domains }) {
      const include = hostsOf(domains.include)
      const exclude = wholeHostsOf(domains.exclude)
      return postJson(
        '/search',
        { authorization: `Bearer ${settings.api_key}` },
        {
          query: text,
          max_results: maxResults,
          search_depth: 'basic',
          ...(include.length > 0 && { include_domains: include }),
          ...(exclude.length > 0 && { exclude_domains: exclude }),
        },
      )
    },
    decode: (body) =>
      objectsAt(body, 'results').map(({ url, title, content }) => ({ url, title, snippets: [content] })),
  }
}
