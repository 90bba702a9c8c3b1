import type { ModelBook, ModelFacts, NamedTarget, Target } from '@hadrian/core/plugin'
import type { EntryCache } from './entry-cache.ts'
import type { KnownModels } from './known-models.ts'

/** The operator's entries, and behind them what is public. All of it is in memory. */
export class Book implements ModelBook {
  readonly #entries: EntryCache
  readonly #known: KnownModels
  #readings = 0

  constructor(entries: EntryCache, known: KnownModels) {
    this.#entries = entries
    this.#known = known
  }

  get version(): number {
    return this.#entries.version + this.#readings
  }

  get names(): Iterable<string> {
    return this.#entries.names
  }

  info({ provider, model }: Pick<Target, 'provider' | 'model'>): ModelFacts | undefined {
    const entry = this.#entries.find(`${provider}/${model}`)
    return entry && !entry.targets ? entry.info : undefined
  }

  known(target: Pick<Target, 'provider' | 'model'>): ModelFacts | undefined {
    return this.#known.find(target)
  }

  find(name: string): { readonly targets: readonly NamedTarget[]; readonly info: ModelFacts } | undefined {
    const entry = this.#entries.find(name)
    return entry?.targets && { targets: entry.targets, info: entry.info }
  }

  /** What is public is known from now on. */
  noteReading(): void {
    this.#readings += 1
  }
}
