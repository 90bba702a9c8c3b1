import type { Awaitable, Clock, Logger, Retain } from '../contract/plugin.ts'
import { withDeadline } from './deadline.ts'

/** A value that outlives the plugin that made it. */
interface Retained {
  close?(): Awaitable<void>
}

/** Deadline of one value's `close`: it may write what it holds to the database. */
const closeTimeoutMs = 10_000

/** The values behind the `retain` service. They belong to the process: a reload of the config does not touch them. */
export class RetainedValues {
  readonly #values = new Map<string, Retained>()
  readonly #clock: Clock
  readonly #logger: Logger
  #closed: Promise<void> | undefined

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock
    this.#logger = logger
  }

  /** The service. A `create` that throws leaves nothing behind. Throws once the values are closed. */
  readonly retain: Retain = <T extends object>(name: string, create: () => T): T => {
    if (this.#closed) throw new Error(`"${name}" cannot be retained: the gateway has stopped`)
    const known = this.#values.get(name)
    if (known) return known as T
    const value = create()
    this.#values.set(name, value)
    return value
  }

  /** Closes the values, the last made first, whatever happens in the others. Calling it again waits. Never rejects. */
  close(): Promise<void> {
    this.#closed ??= this.#closeAll()
    return this.#closed
  }

  async #closeAll(): Promise<void> {
    const values = [...this.#values].toReversed()
    this.#values.clear()
    for (const [name, value] of values) {
      if (!value.close) continue
      try {
        // One after the other: what was made first may be what the later ones write to.
        await withDeadline(this.#clock, closeTimeoutMs, () => value.close!())
      } catch (error) {
        this.#logger.error({ retained: name, error }, 'close failed')
      }
    }
  }
}
