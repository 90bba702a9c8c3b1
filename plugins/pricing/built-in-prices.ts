import type { Logger, ProviderSummary } from '@hadrian/core/plugin'
import { findPriceLists } from './price-lists.ts'
import type { FoundLists } from './price-list.ts'

/** Nobody's public prices are those of a server on this machine. */
const ownMachine = /^https?:\/\/(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])(?:[:/]|$)/i

export interface BuiltInPricesOptions {
  readonly instances: readonly ProviderSummary[]
  /** Ids of price lists by instance, as the operator named them. */
  readonly named: Readonly<Record<string, string>>
  readonly isWanted: boolean
  readonly logger: Logger
}

/**
 * The public prices of the provider instances. An instance gets those of the company whose address its base URL is, or
 * whose list the operator named: an upstream that only speaks like OpenAI does not cost what OpenAI does.
 */
export class BuiltInPrices {
  readonly #options: BuiltInPricesOptions
  readonly #stopped = new AbortController()

  /** @throws Error that names instances which do not exist */
  constructor(options: BuiltInPricesOptions) {
    this.#options = options
    const names = options.instances.map(({ name }) => name)
    const missing = Object.keys(options.named).filter((name) => !names.includes(name))
    if (missing.length > 0)
      throw new Error(`providers names ${missing.join(', ')}; there are ${names.join(', ') || 'none'}`)
  }

  /**
   * The price lists, or undefined if none is wanted.
   *
   * @throws Error that names the lists which do not exist
   */
  async load(): Promise<FoundLists | undefined> {
    const { instances, named, isWanted, logger } = this.#options
    const baseUrls = Object.fromEntries(
      instances.flatMap(({ name, baseUrl = '' }) =>
        baseUrl === '' || ownMachine.test(baseUrl) || Object.hasOwn(named, name) ? [] : [[name, baseUrl]],
      ),
    )
    if (!isWanted || Object.keys({ ...baseUrls, ...named }).length === 0) return undefined
    const found = await findPriceLists({ baseUrls, named }, logger, this.#stopped.signal)
    if (found.unknown.length > 0)
      throw new Error(
        found.unknown
          .map((name) => `providers.${name}: there is no price list "${named[name]!}"; name it as genai-prices does`)
          .join('; '),
      )
    return found
  }

  /** Ends the reading, if it goes on. */
  stop(): void {
    this.#stopped.abort()
  }
}
