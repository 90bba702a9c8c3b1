import type { GatewayError } from '../contract/errors.ts'
import type { Exchanges } from '../http/server.ts'
import type { Generation } from './generation.ts'

/** The config in force, and those before it that still have open exchanges. */
export class Generations implements Exchanges {
  readonly #retiring = new Set<Generation>()
  #current: Generation

  constructor(first: Generation) {
    this.#current = first
  }

  /** The one that gets whatever comes in. */
  get current(): Generation {
    return this.#current
  }

  get open(): number {
    return this.#all().reduce((sum, { pipeline }) => sum + pipeline.open, 0)
  }

  async idle(): Promise<void> {
    await Promise.all(this.#all().map(({ pipeline }) => pipeline.idle()))
  }

  abortAll(reason: GatewayError): void {
    for (const { pipeline } of this.#all()) pipeline.abortAll(reason)
  }

  /**
   * Puts the next one in force, at once. What the one before has begun ends on it, however long that takes; then it is
   * stopped, and `retired` is called.
   */
  replace(next: Generation, retired: () => void): void {
    const previous = this.#current
    this.#current = next
    this.#retiring.add(previous)
    void this.#retire(previous, retired)
  }

  async #retire(previous: Generation, retired: () => void): Promise<void> {
    await previous.idle()
    await previous.lifecycle.stop()
    this.#retiring.delete(previous)
    retired()
  }

  /** Stops all, whether they are idle or not. Never rejects. */
  async stop(): Promise<void> {
    await Promise.all(this.#all().map(({ lifecycle }) => lifecycle.stop()))
  }

  #all(): Generation[] {
    return [...this.#retiring, this.#current]
  }
}
