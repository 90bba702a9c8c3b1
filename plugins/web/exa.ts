import { listOf, microsOf, objectsAt, postJson } from './engine.ts'
import type { Engine } from './engine.ts'
import { exaModes } from './options.ts'
import type { Options, Params } from './options.ts'

/** List prices of a search with up to ten results, in dollars, from exa.ai/pricing. */
const listPrices: Partial<Record<NonNullable<Params['mode']>, number>> = {
  'deep-lite': 0.012,
  deep: 0.012,
  'deep-reasoning': 0.015,
}
const listPrice = 0.007
/** Results that a search includes, and the list price of each further one in dollars. */
const includedResults = 10
const furtherResult = 0.001

/** Text of each page that is asked for, in characters. */
const textLength = 1000

/** Exa: takes domains with paths and wildcards, to include and to exclude at once. */
export function exaEngine(settings: NonNullable<Options['exa']>): Engine {
  const { base_url: baseUrl, timeout_ms: timeoutMs, cost_usd: cost } = settings
  return {
    name: 'exa',
    baseUrl,
    timeoutMs,
    costMicros: ({ maxResults, mode }) =>
      microsOf(
        cost ?? ((mode && listPrices[mode]) ?? listPrice) + Math.max(0, maxResults - includedResults) * furtherResult,
      ),
    encode({ text, maxResults, domains, mode }) {
      const { include, exclude } = domains
      return postJson(
        '/search',
        { 'x-api-key': settings.api_key },
        {
          query: text,
          type: exaModes.find((each) => each === mode) ?? 'auto',
          numResults: maxResults,
          ...(include.length > 0 && { includeDomains: include.map(({ text: domain }) => domain) }),
          ...(exclude.length > 0 && { excludeDomains: exclude.map(({ text: domain }) => domain) }),
          contents: { text: { maxCharacters: textLength } },
        },
      )
    },
    decode: (body) =>
      objectsAt(body, 'results').map(({ url, title, highlights, summary, text }) => ({
        url,
        title,
        snippets: [summary, ...listOf(highlights), text],
      })),
  }
}
