import type { Clock, Database, Logger } from './services.ts'

const firstRetryMs = 500
const longestRetryMs = 30_000

/** What {@link ChangeFollower} follows, and what it calls. */
export interface ChangeFollowerOptions {
  readonly database: Pick<Database, 'listen'>
  /** The channel on which the database tells the key of each row that was changed. */
  readonly channel: string
  readonly clock: Clock
  readonly logger: Logger
  /** What is read, for the log: `API keys`. */
  readonly what: string
  /** Milliseconds between two readings of everything. */
  readonly refreshIntervalMs: number
  /** Reads these rows. Those that `changedAgain` while they were read are read once more. */
  readonly readChanged: (keys: readonly string[], changedAgain: (key: string) => boolean) => Promise<void>
  /** Reads everything. Calls `catchUp` between pages, which reads what has changed meanwhile; ends when it says false. */
  readonly readAll: (catchUp: () => Promise<boolean>) => Promise<void>
}

/**
 * Says when to read what, to keep a copy of tables in memory true. The database tells which rows have changed, and those
 * are read again; everything is read again when that connection was lost, and now and then in any case. While the
 * database is away it is tried again, less and less often. For plugins whose hooks need what is in their tables.
 */
export class ChangeFollower {
  readonly #options: ChangeFollowerOptions
  readonly #changed = new Set<string>()
  #allDue = false
  #working: Promise<void> | undefined
  #state: 'new' | 'running' | 'stopped' = 'new'
  #failures = 0
  #cancelRefresh = (): void => undefined
  #cancelRetry = (): void => undefined
  #unlisten: (() => Promise<void>) | undefined

  constructor(options: ChangeFollowerOptions) {
    this.#options = options
  }

  /** Reads everything. Throws if the database cannot be reached. */
  async start(): Promise<void> {
    const { database, channel } = this.#options
    // Before reading, so that no change falls between.
    this.#unlisten = await database.listen(channel, (key) => this.#note(key), { missed: () => this.#refresh() })
    await this.#readAll()
    if (this.#state === 'new') this.#state = 'running'
    this.#wake()
    this.#scheduleRefresh()
  }

  async stop(): Promise<void> {
    this.#state = 'stopped'
    this.#cancelRefresh()
    this.#cancelRetry()
    const unlisten = this.#unlisten
    this.#unlisten = undefined
    await unlisten?.()
    await this.#working
  }

  /**
   * The row was just changed here. Resolves when it was read again; if it cannot be read now, at once: it will be, like
   * any other. Never rejects.
   */
  async follow(key: string): Promise<void> {
    this.#note(key)
    await this.#working
  }

  #note(key: string): void {
    this.#changed.add(key)
    this.#wake()
  }

  #refresh(): void {
    this.#allDue = true
    this.#wake()
  }

  #scheduleRefresh(): void {
    if (this.#state !== 'running') return
    this.#cancelRefresh = this.#options.clock.after(this.#options.refreshIntervalMs, () => {
      this.#refresh()
      this.#scheduleRefresh()
    })
  }

  /** One reading at a time, the first by `start`: of two, the one that comes in last might be the older one. */
  #wake(): void {
    if (this.#state !== 'running' || this.#working) return
    this.#cancelRetry()
    this.#working = this.#work()
  }

  async #work(): Promise<void> {
    // Collects what one transaction, or one burst of them, has changed.
    await Promise.resolve()
    const { logger, what } = this.#options
    try {
      while (this.#state === 'running' && (this.#allDue || this.#changed.size > 0)) {
        if (this.#changed.size > 0) await this.#readChanged()
        else await this.#readAll()
      }
      if (this.#failures > 0) logger.info({}, `${what} are up to date again`)
      this.#failures = 0
    } catch (error) {
      this.#retryLater(error)
    }
    // In the same turn as the last look at what is due, so that nothing can be noted between and forgotten.
    this.#working = undefined
  }

  async #readChanged(): Promise<void> {
    const keys = [...this.#changed]
    this.#changed.clear()
    try {
      await this.#options.readChanged(keys, (key) => this.#changed.has(key))
    } catch (error) {
      for (const key of keys) this.#changed.add(key)
      throw error
    }
  }

  async #readAll(): Promise<void> {
    // Another one may become due meanwhile.
    this.#allDue = false
    try {
      await this.#options.readAll(async () => {
        // What was read may be old already, and a change must not wait for the end of a long reading.
        if (this.#changed.size > 0) await this.#readChanged()
        return this.#state !== 'stopped'
      })
    } catch (error) {
      this.#allDue = true
      throw error
    }
  }

  #retryLater(error: unknown): void {
    const { clock, logger, what } = this.#options
    if (this.#state === 'stopped') return
    if (this.#failures === 0) logger.warn({ error }, `${what} could not be read again; going on with those known`)
    const delayMs = Math.min(longestRetryMs, firstRetryMs * 2 ** Math.min(this.#failures++, 16))
    this.#cancelRetry = clock.after(delayMs, () => this.#wake())
  }
}
