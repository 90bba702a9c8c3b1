import type { Usage } from '../contract/canonical.ts'
import { isGatewayError } from '../contract/errors.ts'
import type { Catalog, Logger, Principal } from '../contract/plugin.ts'
import type { ModelInfo, ModelPrices, Target } from '../contract/provider.ts'
import { mayUse } from './access.ts'
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
  /** Names of the provider instances. */
  readonly providers: ReadonlySet<string>
  /** The instance that serves bare model names. */
  readonly defaultProvider: string | undefined
  readonly lists: ModelSource
  readonly logger: Logger
}

/** Different spellings of one name that client input could make us remember: bounded, oldest forgotten first. */
const rememberedNames = 10_000

/** What the gateway knows about models, from config and from what providers say about themselves. */
export function createCatalog(options: CatalogOptions): Catalog {
  const { providers, defaultProvider, lists, logger } = options
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
      ...[...providers].flatMap((instance) => lists.known(instance).map(({ id }) => `${instance}/${id}`)),
    ])

  return {
    resolve(name) {
      let targets = remembered.get(name)
      if (!targets) {
        targets = find(name)
        if (remembered.size >= rememberedNames) remembered.delete(remembered.keys().next().value!)
        remembered.set(name, targets)
      }
      return targets
    },

    suggestions(name) {
      const known = knownNames()
      const near = nearest(name, known, 5)
      if (near.length > 0) return near
      // A bare name may be right but for its provider.
      const withProvider = [...known].filter((each) => each.endsWith(`/${name}`))
      if (withProvider.length > 0) return withProvider.slice(0, 5)
      return name.includes('/') ? [] : [...providers].map((instance) => `${instance}/${name}`).slice(0, 5)
    },

    async models(principal: Principal) {
      const listed = await Promise.all(
        [...providers].map(async (instance) => {
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
      return [...all.values()].filter(({ id }) => mayUse(principal, { name: id, requested: id }))
    },

    price(target, usage) {
      return target.info?.prices && priceOf(target.info.prices, usage)
    },
  }
}

/** Micro-dollars for a usage, rounded up to a whole one. Cached and written input are priced apart where prices say so. */
export function priceOf(prices: ModelPrices, usage: Usage): number {
  const cached = usage.cachedInputTokens ?? 0
  const written = usage.cacheWriteTokens ?? 0
  const fresh = Math.max(0, usage.inputTokens - cached - written)
  const perMillion =
    fresh * prices.input +
    cached * (prices.cachedInput ?? prices.input) +
    written * (prices.cacheWrite ?? prices.input) +
    usage.outputTokens * prices.output
  return Math.ceil(perMillion / 1_000_000 + (prices.request ?? 0))
}
