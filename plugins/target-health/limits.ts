import type { Pool, PoolSettings } from './pool.ts'
import { Pool as NewPool } from './pool.ts'
import type { TrackedTarget } from './tracked-target.ts'

const noPools: readonly Pool[] = []

/** The concurrency limits of one config. */
export class Limits {
  readonly #rules: readonly { readonly key: string; readonly settings: PoolSettings }[]
  readonly #pools: Map<string, Pool>

  /** @param pools those of earlier configs too, whose slots may be in use */
  constructor(rules: ReadonlyMap<string, PoolSettings>, pools: Map<string, Pool>) {
    // Narrow ones first: whoever waits for a slot of one model must not hold one of the whole provider meanwhile.
    this.#rules = [...rules]
      .map(([key, settings]) => ({ key, settings }))
      .toSorted((a, b) => b.key.length - a.key.length)
    this.#pools = pools
  }

  /** Puts them in force. */
  apply(): void {
    for (const { key, settings } of this.#rules) this.#poolOf(key, settings).configure(settings)
    for (const [key, pool] of this.#pools)
      if (!this.#rules.some((rule) => rule.key === key)) {
        pool.configure({ concurrent: Infinity, queue: 0, queueTimeoutMs: 0 })
        if (pool.inUse === 0) this.#pools.delete(key)
      }
  }

  /** The pools that a call of a target needs a slot of, in the order to take them. */
  of(tracked: TrackedTarget): readonly Pool[] {
    if (this.#rules.length === 0) return noPools
    if (tracked.poolsOf !== this) {
      tracked.pools = this.#rules.flatMap(({ key, settings }) =>
        matches(key, tracked) ? [this.#poolOf(key, settings)] : [],
      )
      tracked.poolsOf = this
    }
    return tracked.pools
  }

  #poolOf(key: string, settings: PoolSettings): Pool {
    const known = this.#pools.get(key)
    if (known) return known
    const pool = new NewPool(key, settings)
    this.#pools.set(key, pool)
    return pool
  }
}

/** `openai` is every target of that provider, `openai/gpt-4o` one, `openai/gpt-4o*` those whose names begin so. */
export function matches(key: string, target: { readonly provider: string; readonly name: string }): boolean {
  if (key.endsWith('*')) return target.name.startsWith(key.slice(0, -1))
  return key === target.provider || key === target.name
}
