import { isGatewayError } from '../contract/errors.ts'
import type { Catalog, Logger, PriceBook, Principal, ProviderSummary } from '../contract/plugin.ts'
import type { ModelInfo, Target } from '../contract/provider.ts'
import { mayUse } from './access.ts'
import { priceCeilingOf, priceOf } from './prices.ts'
import { nearest } from './spelling.ts'

/** An entry of `[models]` in the config. */
export interface CatalogEntry {
  readonly name: string
  readonly aliases: readonly string[]
  /** `provider/model` names, best first. Empty: the entry describes the target of its own name. */
  readonly targets: readonly string[]
  readonly info: ModelInfo
}

/** The models that provider instances say they have. */
export interface ModelSource {
  /** What is known of an instance, without asking it. */
  known(instance: string): readonly ModelInfo[]
  /** What an instance says. Rejects if it cannot be asked. */
  list(instance: string): Promise<readonly ModelInfo[]>
}

/** What {@link createCatalog} makes a catalog of. */
export interface CatalogOptions {
  readonly entries: readonly CatalogEntry[]
  /** The provider instances by name. */
  readonly providers: ReadonlyMap<string, ProviderSummary>
  /** The instance that serves bare model names. */
  readonly defaultProvider: string | undefined
  readonly lists: ModelSource
  readonly logger: Logger
  /** The service `price-book`, asked for at every price: it is there when the plugins are set up, or never. */
  readonly priceBook?: () => PriceBook | undefined
}

/** Different spellings of one name that client input could make us remember: bounded, oldest forgotten first. */
const rememberedNames = 10_000

/** What the gateway knows about models, from config and from what providers say about themselves. */
export function createCatalog(options: CatalogOptions): Catalog {
  const { providers, defaultProvider, lists, logger, priceBook = () => undefined } = options
  const entries = new Map<string, CatalogEntry>()
  for (const entry of options.entries) for (const name of [entry.name, ...entry.aliases]) entries.set(name, entry)
  const remembered = new Map<string, readonly Target[]>()

  const targetOf = (name: string, requested: string, inherited?: ModelInfo): Target | undefined => {
    const slash = name.indexOf('/')
    const provider = name.slice(0, slash)
    const model = name.slice(slash + 1)
    if (slash < 1 || model === '' || !providers.has(provider)) return undefined
    const own = entries.get(name)
    const info = own && own.targets.length === 0 ? own.info : inherited
    return { provider, model, name, requested, ...(info && { info }) }
  }

  const find = (name: string): readonly Target[] => {
    const entry = entries.get(name)
    if (entry && entry.targets.length > 0)
      return entry.targets.flatMap((target) => targetOf(target, name, entry.info) ?? [])
    const own = targetOf(entry?.name ?? name, name)
    if (own) return [own]
    if (name.includes('/') || name === '' || defaultProvider === undefined) return []
    const bare = targetOf(`${defaultProvider}/${name}`, name, entry?.info)
    return bare ? [bare] : []
  }

  const knownNames = (): Set<string> =>
    new Set([
      ...entries.keys(),
      ...[...providers.keys()].flatMap((instance) => lists.known(instance).map(({ id }) => `${instance}/${id}`)),
    ])

  const resolve = (name: string): readonly Target[] => {
    let targets = remembered.get(name)
    if (!targets) {
      targets = find(name)
      if (remembered.size >= rememberedNames) remembered.delete(remembered.keys().next().value!)
      remembered.set(name, targets)
    }
    return targets
  }

  const prices: Catalog['prices'] = (target) => {
    const book = priceBook()
    return book ? book.prices(target) : target.info?.prices
  }

  /** What is listed is what is charged, where a price book decides that. */
  const withPrices = <M extends ModelInfo>(model: M): M => {
    const [target] = priceBook() ? resolve(model.id) : []
    const known = target && prices(target)
    return known ? { ...model, prices: known } : model
  }

  return {
    resolve,
    providers: [...providers.values()],
    prices,

    suggestions(name) {
      const known = knownNames()
      const near = nearest(name, known, 5)
      if (near.length > 0) return near
      // A bare name may be right but for its provider.
      const withProvider = [...known].filter((each) => each.endsWith(`/${name}`))
      if (withProvider.length > 0) return withProvider.slice(0, 5)
      return name.includes('/') ? [] : [...providers.keys()].map((instance) => `${instance}/${name}`).slice(0, 5)
    },

    async models(principal: Principal) {
      const listed = await Promise.all(
        [...providers.keys()].map(async (instance) => {
          const models = await lists.list(instance).catch((error: unknown) => {
            // An upstream that is down is no defect: its stack would say nothing, at every listing.
            const why = isGatewayError(error) ? { error_code: error.code, reason: error.message } : { error }
            logger.warn({ provider: instance, ...why }, 'models of a provider could not be listed')
            return []
          })
          return models.map((info) => ({ ...info, id: `${instance}/${info.id}`, provider: instance }))
        }),
      )
      const all = new Map(listed.flat().map((model) => [model.id, model]))
      for (const entry of options.entries)
        for (const name of [entry.name, ...entry.aliases]) {
          const [target] = find(name)
          if (target) all.set(name, { ...all.get(target.name), ...entry.info, id: name, provider: target.provider })
        }
      return [...all.values()].filter(({ id }) => mayUse(principal, { name: id, requested: id })).map(withPrices)
    },

    price(target, usage) {
      const { reportedCostMicros } = usage
      if (reportedCostMicros !== undefined && priceBook()?.honoursReportedCost)
        return Math.min(Math.max(0, Math.ceil(reportedCostMicros)), Number.MAX_SAFE_INTEGER)
      const known = prices(target)
      return known && priceOf(known, usage)
    },

    priceCeiling(target, call) {
      const ahead = priceBook()?.pricesAhead?.(target)
      if (ahead && ahead.length > 0) return Math.max(...ahead.map((each) => priceCeilingOf(each, call)))
      const known = prices(target)
      return known && priceCeilingOf(known, call)
    },
  }
}
