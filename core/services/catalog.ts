import type { Catalog, CatalogModel, ModelBook, NamedTarget, PriceBook, ProviderSummary } from '../contract/plugin.ts'
import type { ModelFacts, ModelInfo, Target } from '../contract/provider.ts'
import { mayUse } from './access.ts'
import { priceCeilingOf, priceOf } from './prices.ts'
import { nearest } from './spelling.ts'
import { mergeInfo } from './target-info.ts'

/** An entry of `[models]` in the config. */
export interface CatalogEntry {
  readonly name: string
  readonly aliases: readonly string[]
  /** Best first. Empty: the entry describes the target of its own name. */
  readonly targets: readonly NamedTarget[]
  readonly info: ModelFacts
}

/** The models that provider instances say they have. */
export interface ModelSource {
  /** What is known of an instance, without asking it. */
  known(instance: string): readonly ModelInfo[]
  /** The same of one model of it. */
  find?(instance: string, model: string): ModelInfo | undefined
  /** What an instance says; what is known of it while it does not answer. Never rejects. */
  list(instance: string): Promise<readonly ModelInfo[]>
  /** Asks an instance, to see whether it answers. Rejects if it does not, or has no list. */
  check?(instance: string, signal: AbortSignal): Promise<void>
  /** Grows whenever anything that is known changed. */
  readonly version?: number
}

/** What {@link createCatalog} makes a catalog of. */
export interface CatalogOptions {
  readonly entries: readonly CatalogEntry[]
  /** The provider instances by name. */
  readonly providers: ReadonlyMap<string, ProviderSummary>
  /** What holds for every target of an instance that nothing else is known of. */
  readonly instanceInfo?: ReadonlyMap<string, ModelFacts>
  /** The instance that serves bare model names. */
  readonly defaultProvider: string | undefined
  readonly lists: ModelSource
  /** The service `price-book`, asked for at every price: it is there when the plugins are set up, or never. */
  readonly priceBook?: () => PriceBook | undefined
  /** The service `model-book`, likewise. */
  readonly modelBook?: () => ModelBook | undefined
}

/** Different spellings of one name that client input could make us remember: bounded, oldest forgotten first. */
const rememberedNames = 10_000
/** Models to list before other work gets its turn: about a millisecond. */
const listedAtOnce = 100

/** What the gateway knows about models, from config, from plugins and from what providers say about themselves. */
export function createCatalog(options: CatalogOptions): Catalog {
  const { providers, instanceInfo, defaultProvider, lists } = options
  const { priceBook = () => undefined, modelBook = () => undefined } = options
  const entries = new Map<string, CatalogEntry>()
  for (const entry of options.entries) for (const name of [entry.name, ...entry.aliases]) entries.set(name, entry)
  const remembered = new Map<string, readonly Target[]>()
  let rememberedVersion = 0

  /** `named` is what a name that leads to the target knows of it: in the admin API, and in the config. */
  const targetOf = (
    name: string,
    requested: string,
    named: { readonly admin?: Named; readonly config?: Named } = {},
  ): Target | undefined => {
    const slash = name.indexOf('/')
    const provider = name.slice(0, slash)
    const model = name.slice(slash + 1)
    if (slash < 1 || model === '' || !providers.has(provider)) return undefined
    const book = modelBook()
    const own = entries.get(name)
    const info = mergeInfo(name, [
      named.admin?.target,
      book?.info({ provider, model }),
      named.admin?.model,
      named.config?.target,
      own?.name === name && own.targets.length === 0 ? own.info : undefined,
      named.config?.model,
      instanceInfo?.get(provider),
      book?.known?.({ provider, model }),
      saidBy(lists.find?.(provider, model)),
    ])
    return { provider, model, name, requested, ...(info && { info }) }
  }

  const find = (name: string): readonly Target[] => {
    const entry = entries.get(name)
    if (entry && entry.targets.length > 0)
      return entry.targets.flatMap(({ target, info }) => {
        const config = { target: info, model: entry.info }
        // The operator wrote it, so what has no provider in front is a model of the default one, slashes or not.
        return (
          targetOf(target, name, { config }) ?? targetOf(`${defaultProvider ?? ''}/${target}`, name, { config }) ?? []
        )
      })
    const named = entry ? undefined : modelBook()?.find(name)
    if (named)
      return named.targets.flatMap(
        ({ target, info }) => targetOf(target, name, { admin: { target: info, model: named.info } }) ?? [],
      )
    const own = targetOf(entry?.name ?? name, name)
    if (own) return [own]
    if (name.includes('/') || name === '' || defaultProvider === undefined) return []
    const bare = targetOf(`${defaultProvider}/${name}`, name, { config: { model: entry?.info } })
    return bare ? [bare] : []
  }

  const resolve = (name: string): readonly Target[] => {
    const book = modelBook()
    // Each of them only grows, so their sum changes with either; and with the first sight of a book.
    const version = (book ? 1 + book.version : 0) + (lists.version ?? 0)
    if (version !== rememberedVersion) {
      remembered.clear()
      rememberedVersion = version
    }
    let targets = remembered.get(name)
    if (!targets) {
      targets = find(name)
      if (remembered.size >= rememberedNames) remembered.delete(remembered.keys().next().value!)
      remembered.set(name, targets)
    }
    return targets
  }

  const names = (): Set<string> => {
    const all = new Set<string>()
    for (const instance of providers.keys()) for (const { id } of lists.known(instance)) all.add(`${instance}/${id}`)
    for (const name of entries.keys()) all.add(name)
    for (const name of modelBook()?.names ?? []) all.add(name)
    return all
  }

  const prices: Catalog['prices'] = (target) => {
    const book = priceBook()
    return book ? book.prices(target) : target.info?.prices
  }

  const listed = (name: string): CatalogModel | undefined => {
    const targets = resolve(name)
    const [first] = targets
    if (!first) return undefined
    const { provider, model, info } = first
    // What is listed is what is charged; only where nobody knows, what the upstream says.
    const known = prices(first) ?? lists.find?.(provider, model)?.prices
    return { ...info, id: name, provider, targets, ...(known && { prices: known }) }
  }

  const isName = (name: string): boolean => {
    const book = modelBook()
    if (entries.has(name) || book?.find(name)) return true
    const slash = name.indexOf('/')
    const provider = slash < 0 ? defaultProvider : name.slice(0, slash)
    const model = name.slice(slash + 1)
    return provider !== undefined && Boolean(book?.info({ provider, model }) ?? lists.find?.(provider, model))
  }

  return {
    resolve,
    isName,
    providers: [...providers.values()],
    ...(lists.check && { check: (provider: string, signal: AbortSignal) => lists.check!(provider, signal) }),
    prices,

    suggestions(name) {
      const known = names()
      const near = nearest(name, known, 5)
      if (near.length > 0) return near
      // A bare name may be right but for its provider.
      const withProvider = [...known].filter((each) => each.endsWith(`/${name}`))
      if (withProvider.length > 0) return withProvider.slice(0, 5)
      return name.includes('/') ? [] : [...providers.keys()].map((instance) => `${instance}/${name}`).slice(0, 5)
    },

    async models(principal, id) {
      await Promise.all([...providers.keys()].map((instance) => lists.list(instance)))
      const all = names()
      const wanted = id === undefined ? all : all.has(id) ? [id] : []
      const models: CatalogModel[] = []
      let count = 0
      for (const name of wanted) {
        if (++count % listedAtOnce === 0) await new Promise((next) => void setImmediate(next))
        const model = listed(name)
        // As a call of it is refused if any of its targets is.
        if (model?.targets!.every((target) => mayUse(principal, target))) models.push(model)
      }
      return models
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

/** What a name says of one of its targets, and of all of them. */
interface Named {
  readonly target?: ModelFacts | undefined
  readonly model?: ModelFacts | undefined
}

/** Prices that an upstream states are shown in lists and charge nobody: that takes a price book, or the config. */
function saidBy(listed: ModelInfo | undefined): ModelFacts | undefined {
  if (!listed?.prices) return listed
  const { prices: _, ...info } = listed
  return info
}
