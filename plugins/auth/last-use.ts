import type { Clock, Logger } from '@hadrian/core/plugin'
import type { KeyTable } from './key-table.ts'

/** Milliseconds between two writes, and so how old `last_used_at` may be. */
const writeIntervalMs = 60_000

/** Collects when keys were used, and writes it now and then. A request only notes it. */
export class LastUse {
  readonly #table: KeyTable
  readonly #clock: Clock
  readonly #logger: Logger
  #uses = new Map<string, number>()
  #cancel: (() => void) | undefined
  #writing: Promise<void> = Promise.resolve()
  #stopped = false

  constructor(table: KeyTable, clock: Clock, logger: Logger) {
    this.#table = table
    this.#clock = clock
    this.#logger = logger
  }

  note(id: string): void {
    this.#uses.set(id, this.#clock.now())
    this.#schedule()
  }

  /** Writes what is left. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancel?.()
    await this.#writing
    await this.#write()
  }

  #schedule(): void {
    if (this.#stopped) return
    this.#cancel ??= this.#clock.after(writeIntervalMs, () => {
      this.#cancel = undefined
      this.#writing = this.#write()
    })
  }

  async #write(): Promise<void> {
    if (this.#uses.size === 0) return
    const uses = this.#uses
    this.#uses = new Map()
    try {
      await this.#table.noteUse(uses)
    } catch (error) {
      // There is at most one entry per key, so what waits cannot grow without bound.
      this.#uses = new Map([...uses, ...this.#uses])
      this.#logger.debug({ error }, 'the last use of API keys could not be written')
      this.#schedule()
    }
  }
}
