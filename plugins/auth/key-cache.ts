import type { Clock, Database, Logger } from '@hadrian/core/plugin'
import { KeyIndex } from './key-index.ts'
import type { KnownKey, KnownSecret } from './known-key.ts'
import { changesChannel } from './key-table.ts'
import type { KeyIdentity, KeyTable } from './key-table.ts'

/** Rows per statement when all keys are read: parsing them holds up requests for some milliseconds. */
const pageSize = 2000
const firstRetryMs = 500
const longestRetryMs = 30_000

export interface KeyCacheOptions {
  readonly table: KeyTable
  readonly database: Pick<Database, 'listen'>
  readonly clock: Clock
  readonly logger: Logger
  /** Milliseconds between two readings of all keys. */
  readonly refreshIntervalMs: number
}

/**
 * All usable keys in memory. The database tells which keys have changed, and those are read again; all are read again
 * when that connection was lost, and now and then in any case. While the database is away, what is known stays.
 */
export class KeyCache {
  readonly #options: KeyCacheOptions
  #index = new KeyIndex()
  /** What is being read in place of `#index`. Changes go to both. */
  #next: KeyIndex | undefined
  readonly #changed = new Set<string>()
  #reloadDue = false
  #working: Promise<void> | undefined
  #state: 'new' | 'running' | 'stopped' = 'new'
  #failures = 0
  #cancelRefresh = (): void => undefined
  #cancelRetry = (): void => undefined
  #unlisten: (() => Promise<void>) | undefined

  constructor(options: KeyCacheOptions) {
    this.#options = options
  }

  /** The key with a secret of this hash, if it is known; it may be over. */
  find(hash: string): KnownSecret | undefined {
    return this.#index.get(hash)
  }

  byId(id: string): KnownKey | undefined {
    return this.#index.byId(id)
  }

  /** Reads all keys. Throws if the database cannot be reached: without keys nobody could come in. */
  async start(): Promise<void> {
    const { database } = this.#options
    // Before reading, so that no change falls between.
    this.#unlisten = await database.listen(changesChannel, (id) => this.#note(id), { missed: () => this.#refresh() })
    await this.#reload()
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

  /** A key that was just made or changed here is so at once. */
  add(identity: KeyIdentity): void {
    this.#forBoth((index) => this.#set(index, identity))
    this.#note(identity.id)
  }

  /** A key that was just revoked stops working at once. */
  remove(id: string): void {
    this.#forBoth((index) => index.delete(id))
    this.#note(id)
  }

  #set(index: KeyIndex, identity: KeyIdentity): void {
    try {
      index.set(identity)
    } catch (error) {
      this.#options.logger.error({ key: identity.id, error }, 'an API key is not valid as it is stored; it is refused')
    }
  }

  #forBoth(change: (index: KeyIndex) => void): void {
    change(this.#index)
    if (this.#next) change(this.#next)
  }

  #note(id: string): void {
    this.#changed.add(id)
    this.#wake()
  }

  #refresh(): void {
    this.#reloadDue = true
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
    try {
      while (this.#state === 'running' && (this.#reloadDue || this.#changed.size > 0)) {
        if (this.#changed.size > 0) await this.#readChanged()
        else await this.#reload()
      }
      if (this.#failures > 0) this.#options.logger.info({}, 'API keys are up to date again')
      this.#failures = 0
    } catch (error) {
      this.#retryLater(error)
    }
    // In the same turn as the last look at what is due, so that nothing can be noted between and forgotten.
    this.#working = undefined
  }

  async #readChanged(): Promise<void> {
    const { table, clock } = this.#options
    const ids = [...this.#changed]
    this.#changed.clear()
    try {
      const usable = new Map((await table.usable(ids, new Date(clock.now()))).map((key) => [key.id, key]))
      for (const id of ids) {
        const identity = usable.get(id)
        if (!identity) this.#forBoth((index) => index.delete(id))
        // Changed once more while it was read: what was read may be old, and a key that was revoked must not come back.
        else if (!this.#changed.has(id)) this.#forBoth((index) => this.#set(index, identity))
      }
    } catch (error) {
      for (const id of ids) this.#changed.add(id)
      throw error
    }
  }

  async #reload(): Promise<void> {
    const { table, clock } = this.#options
    // Another one may become due meanwhile.
    this.#reloadDue = false
    const next = new KeyIndex()
    this.#next = next
    try {
      for await (const page of table.allUsable(new Date(clock.now()), pageSize)) {
        for (const identity of page) this.#set(next, identity)
        // What was read may be old already, and a key that is revoked must not wait for the end of a long reading.
        if (this.#changed.size > 0) await this.#readChanged()
        if (this.#state === 'stopped') return
      }
      this.#index = next
    } catch (error) {
      this.#reloadDue = true
      throw error
    } finally {
      this.#next = undefined
    }
  }

  #retryLater(error: unknown): void {
    const { clock, logger } = this.#options
    if (this.#state === 'stopped') return
    if (this.#failures === 0)
      logger.warn({ error, keys: this.#index.size }, 'API keys could not be read again; going on with those known')
    const delayMs = Math.min(longestRetryMs, firstRetryMs * 2 ** Math.min(this.#failures++, 16))
    this.#cancelRetry = clock.after(delayMs, () => this.#wake())
  }
}
