import type { Clock, Database, Logger } from '@hadrian/core/plugin'
import { PriceEntries } from './price-entries.ts'
import { changesChannel } from './price-table.ts'
import type { PriceTable } from './price-table.ts'

const firstRetryMs = 500
const longestRetryMs = 30_000

export interface EntryCacheOptions {
  readonly table: Pick<PriceTable, 'all'>
  readonly database: Pick<Database, 'listen'>
  readonly clock: Clock
  readonly logger: Logger
  /** Called with the entries whenever they were read. */
  readonly changed: (entries: PriceEntries) => void
}

/**
 * The operator's prices in memory, some 500 bytes each. All are read again when the database tells of a change, and when
 * the connection that would have told was lost. While the database is away, what is known stays.
 */
export class EntryCache {
  readonly #options: EntryCacheOptions
  /** How often it was said that something changed, and how many of these the last reading came after. */
  #changes = 0
  #covered = 0
  #state: 'new' | 'running' | 'stopped' = 'new'
  #working: Promise<void> | undefined
  #failures = 0
  #cancelRetry = (): void => undefined
  #unlisten: (() => Promise<void>) | undefined

  constructor(options: EntryCacheOptions) {
    this.#options = options
  }

  /** Reads all entries. Throws if the database cannot be reached: nobody may be charged by prices that were replaced. */
  async start(): Promise<void> {
    const refresh = (): void => void this.refresh()
    // Before reading, so that no change falls between.
    this.#unlisten = await this.#options.database.listen(changesChannel, refresh, { missed: refresh })
    const covers = this.#changes
    await this.#read()
    this.#covered = covers
    if (this.#state === 'new') this.#state = 'running'
    if (this.#changes > covers) await this.refresh()
  }

  async stop(): Promise<void> {
    this.#state = 'stopped'
    this.#cancelRetry()
    const unlisten = this.#unlisten
    this.#unlisten = undefined
    await unlisten?.()
    await this.#working
  }

  /** Resolves when everything that was in the database at the time of the call is known, or could not be read. */
  async refresh(): Promise<void> {
    const change = ++this.#changes
    // What is being read may have been read before the change: then it is read once more.
    while (this.#covered < change && this.#state === 'running') {
      this.#working ??= this.#work()
      await this.#working
    }
  }

  async #work(): Promise<void> {
    const { clock, logger } = this.#options
    this.#cancelRetry()
    const covers = this.#changes
    try {
      await this.#read()
      if (this.#failures > 0) logger.info({}, 'prices are up to date again')
      this.#failures = 0
    } catch (error) {
      if (this.#failures === 0) logger.warn({ error }, 'prices could not be read again; going on with those known')
      const delayMs = Math.min(longestRetryMs, firstRetryMs * 2 ** Math.min(this.#failures++, 16))
      if (this.#state === 'running') this.#cancelRetry = clock.after(delayMs, () => void this.refresh())
    }
    // After a failure too: nobody waits for the database, which is asked again later.
    this.#covered = covers
    this.#working = undefined
  }

  async #read(): Promise<void> {
    const entries = new PriceEntries(await this.#options.table.all())
    if (this.#state !== 'stopped') this.#options.changed(entries)
  }
}
