import { definePlugin, stateKey } from '@hadrian/core/plugin'
import type { Exchange, GenerateRequest, Target, WebSearchRequest } from '@hadrian/core/plugin'
import { Citations } from './citations.ts'
import { configuredEngines, defaultEngineOf } from './configured-engines.ts'
import { readDomains } from './domain-filter.ts'
import type { DomainFilter } from './domain-filter.ts'
import { chooseEngine } from './engine-choice.ts'
import type { EngineChoice } from './engine-choice.ts'
import type { Engine, SearchQuery } from './engine.ts'
import { exaModes, options, params } from './options.ts'
import type { EngineName, Params } from './options.ts'
import { lastUserMessage, queryOf } from './query.ts'
import { resultMessage, standardPrompt } from './result-message.ts'
import { search } from './search.ts'
import type { SearchResult } from './search.ts'

const citationsKey = stateKey<Citations>('web.citations')

/** Params that only some engines obey, beside those that all do. */
const obeyed: Readonly<Record<EngineName | 'native', ReadonlySet<string>>> = {
  native: new Set(['max_uses', 'user_location']),
  exa: new Set(['mode', 'search_prompt']),
  tavily: new Set(['search_prompt']),
  brave: new Set(['search_prompt']),
  searxng: new Set(['search_prompt']),
}
const particular = ['mode', 'search_prompt', 'max_uses', 'user_location'] as const satisfies readonly (keyof Params)[]

export default definePlugin({
  name: 'web',
  api: 1,
  description: 'Searches the web for the model and cites what the answer uses.',
  options,
  params,
  // Whoever judges, compresses or repairs must see the results, and the citations are those of the repaired text.
  order: { before: ['file-parser', 'context-compression', 'response-healing', 'blocklist', 'moderation'] },

  setup({ options: settings, catalog, clock, fetch }) {
    const engines = configuredEngines(settings)
    const defaultEngine = defaultEngineOf(settings, engines)
    const summaries = new Map(catalog.providers.map((summary) => [summary.name, summary]))

    function choose(exchange: Exchange, { engine }: Params, path: string): EngineChoice {
      const { targets, request } = exchange
      const searches = (target: Target): boolean =>
        summaries.get(target.provider)?.webSearch?.(request, target) === true
      return chooseEngine(engine, { engines, defaultEngine, targets, searches, path })
    }

    async function searchWith(
      engine: Engine,
      query: SearchQuery,
      exchange: Exchange,
    ): Promise<readonly SearchResult[] | undefined> {
      const purchase = { item: 'web_search', quantity: 1, costMicros: engine.costMicros(query) }
      let failure: unknown
      // What the engine does wrong may be passed over; that a budget has nothing left may not.
      const results = await exchange
        .buy(purchase, async () => {
          try {
            return await search(engine, query, { fetch, signal: exchange.signal })
          } catch (error) {
            failure = error
            throw error
          }
        })
        .catch((error: unknown) => {
          exchange.signal.throwIfAborted()
          if (error !== failure || settings.on_error === 'refuse') throw error
          return undefined
        })
      if (!results)
        exchange.warn({
          code: 'web_search_failed',
          message: `${(failure as Error).message}; the model was asked without a search`,
          param: 'plugins',
        })
      return results
    }

    return {
      async transform(exchange, given) {
        if (exchange.operation !== 'generate') {
          exchange.warn({
            code: 'web_search_skipped',
            message: `There is no web search for ${exchange.operation}`,
            param: 'plugins',
          })
          return
        }
        const path = pathOf(exchange.request)
        const domains = readDomains(given, path)
        const choice = choose(exchange, given, path)
        if (choice.engine === 'native') {
          reportUnheeded(exchange, given, 'native')
          for (const target of choice.without) exchange.exclude(target, 'web: it has no search of its own')
          exchange.edit((request) => ({ ...request, webSearch: nativeSearch(given, domains) }))
          return
        }
        const { engine } = choice
        reportUnheeded(exchange, given, engine.name)
        const text = queryOf(exchange.request)
        if (text === undefined) {
          exchange.warn({
            code: 'web_search_skipped',
            message: 'The last message of the user has no text to search for',
            param: 'plugins',
          })
          return
        }
        const results = await searchWith(
          engine,
          { text, maxResults: given.max_results, domains, mode: given.mode },
          exchange,
        )
        if (!results) return
        const message = resultMessage({
          prompt: given.search_prompt ?? standardPrompt,
          nowMs: clock.now(),
          results,
          mark: crypto.randomUUID(),
        })
        exchange.edit((request) => ({
          ...request,
          messages: request.messages.toSpliced(lastUserMessage(request), 0, message),
        }))
        if (results.length > 0) exchange.set(citationsKey, new Citations(results))
      },
      event: (exchange, event) => exchange.get(citationsKey)?.push(event),
      flush: (exchange) => exchange.get(citationsKey)?.flush(),
      explain(exchange, given) {
        if (exchange.operation !== 'generate') return
        const path = pathOf(exchange.request)
        readDomains(given, path)
        const { engine } = choose(exchange, given, path)
        if (engine === 'native') return { engine }
        const searches = queryOf(exchange.request) === undefined ? 0 : 1
        const costMicros = engine.costMicros({ maxResults: given.max_results, mode: given.mode })
        return { engine: engine.name, searches, cost_micros: searches * costMicros }
      },
    }
  },
})

/** Where in the request the plugin is named; `plugins` if it is not. */
function pathOf({ plugins = [] }: GenerateRequest): string {
  const index = plugins.findIndex(({ id }) => id === 'web')
  return index === -1 ? 'plugins' : `plugins[${index}]`
}

/** Warns of every param that the engine does not obey. */
function reportUnheeded(exchange: Exchange, given: Params, engine: EngineName | 'native'): void {
  const { mode } = given
  const isModeOfExa = exaModes.some((each) => each === mode)
  for (const name of particular) {
    if (given[name] === undefined) continue
    if (obeyed[engine].has(name) && (name !== 'mode' || isModeOfExa)) continue
    const what = name === 'mode' ? `mode ${mode}` : name
    exchange.warn({
      code: 'unsupported_parameter',
      message: `The search engine ${engine} has no ${what}; it was left out`,
      param: `plugins.web.${name}`,
    })
  }
}

function nativeSearch(given: Params, { include, exclude }: DomainFilter): WebSearchRequest {
  const { max_uses: maxUses, user_location: userLocation } = given
  return {
    ...(maxUses !== undefined && { maxUses }),
    ...(include.length > 0 && { includeDomains: include.map(({ text }) => text) }),
    ...(exclude.length > 0 && { excludeDomains: exclude.map(({ text }) => text) }),
    ...(userLocation && { userLocation }),
  }
}
