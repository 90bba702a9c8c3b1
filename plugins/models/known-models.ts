import type { Logger, ModelFacts, ProviderSummary, Target } from '@hadrian/core/plugin'
import { findListed } from './model-list.ts'
import type { FoundLists } from './model-list.ts'
import { findModelLists } from './model-lists.ts'
import { findWellKnown } from './well-known-models.ts'

/** Nobody's public models are those of a server on this machine. */
const ownMachine = /^https?:\/\/(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])(?:[:/]|$)/i

export interface KnownModelsOptions {
  readonly instances: readonly ProviderSummary[]
  /** Ids of companies by instance, as the operator named them. */
  readonly named: Readonly<Record<string, string>>
  readonly isWanted: boolean
  readonly logger: Logger
}

/**
 * What is public about the models of provider instances. An instance has those of the company whose address its base URL
 * is, or that the operator named: an upstream that only speaks like OpenAI does not have OpenAI's models.
 */
export class KnownModels {
  readonly #options: KnownModelsOptions
  readonly #stopped = new AbortController()
  #found: FoundLists | undefined
  #loading: Promise<void> | undefined

  /** @throws Error that names instances which do not exist */
  constructor(options: KnownModelsOptions) {
    this.#options = options
    const names = options.instances.map(({ name }) => name)
    const missing = Object.keys(options.named).filter((name) => !names.includes(name))
    if (missing.length > 0)
      throw new Error(`providers names ${missing.join(', ')}; there are ${names.join(', ') || 'none'}`)
  }

  /**
   * Reads the lists of the companies, if any is wanted. Resolves to whether something is known now.
   *
   * @throws Error that names the companies which do not exist
   */
  async load(): Promise<boolean> {
    const { instances, named, isWanted, logger } = this.#options
    const baseUrls = Object.fromEntries(
      instances.flatMap(({ name, baseUrl = '' }) =>
        baseUrl === '' || ownMachine.test(baseUrl) || Object.hasOwn(named, name) ? [] : [[name, baseUrl]],
      ),
    )
    if (!isWanted || Object.keys({ ...baseUrls, ...named }).length === 0) return false
    const reading = findModelLists({ baseUrls, named }, logger, this.#stopped.signal)
    this.#loading = reading.then(
      () => undefined,
      () => undefined,
    )
    const found = await reading
    if (found.unknown.length > 0)
      throw new Error(
        found.unknown
          .map((name) => `providers.${name}: there is no company "${named[name]!}"; name it as genai-prices does`)
          .join('; '),
      )
    this.#found = found
    return true
  }

  /** Ends the reading, if it goes on. */
  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#loading
  }

  find({ provider, model }: Pick<Target, 'provider' | 'model'>): ModelFacts | undefined {
    if (!this.#found) return undefined
    const { byInstance, lists } = this.#found
    const company = Object.hasOwn(byInstance, provider) ? byInstance[provider] : undefined
    if (company === undefined) return undefined
    const listed = findListed(lists[company] ?? [], model)
    const known = findWellKnown(company, model)
    if (!listed) return known
    const { name, contextLength } = listed
    return { contextLength, ...(name !== undefined && { name }), ...known }
  }
}
