import { hash } from 'node:crypto'
import type { Clock, Exchange } from '@hadrian/core/plugin'

interface Entry {
  readonly categories: readonly string[]
  readonly untilMs: number
}

/**
 * What was found in texts of the last minutes, so that the earlier turns of a conversation are not sent again. Holds
 * hashes, no texts, at most `capacity` of them; the one that was not used for the longest time goes first. Each caller has
 * entries of its own: how fast an answer comes must not tell what others have written.
 */
export class VerdictCache {
  readonly #entries = new Map<string, Entry>()
  readonly #clock: Clock
  readonly #lifetimeMs: number
  readonly #capacity: number

  constructor(clock: Clock, options: { readonly lifetimeMs: number; readonly capacity: number }) {
    this.#clock = clock
    this.#lifetimeMs = options.lifetimeMs
    this.#capacity = options.capacity
  }

  /** Names a text of this caller. */
  key({ principal }: Exchange, text: string): string {
    return hash('sha256', `${principal.id}\0${text}`, 'base64')
  }

  get(key: string): readonly string[] | undefined {
    const entry = this.#entries.get(key)
    if (!entry) return undefined
    this.#entries.delete(key)
    if (entry.untilMs <= this.#clock.monotonicMs()) return undefined
    this.#entries.set(key, entry)
    return entry.categories
  }

  set(key: string, categories: readonly string[]): void {
    if (this.#lifetimeMs === 0) return
    this.#entries.delete(key)
    this.#entries.set(key, { categories, untilMs: this.#clock.monotonicMs() + this.#lifetimeMs })
    if (this.#entries.size <= this.#capacity) return
    for (const oldest of this.#entries.keys()) {
      this.#entries.delete(oldest)
      return
    }
  }

  get size(): number {
    return this.#entries.size
  }
}
