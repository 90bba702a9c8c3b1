import { ChangeFollower } from '@hadrian/core/plugin'
import type { Clock, Database, Logger } from '@hadrian/core/plugin'
import { KeyIndex } from './key-index.ts'
import type { KnownKey, KnownSecret } from './known-key.ts'
import { changesChannel } from './key-table.ts'
import type { KeyIdentity, KeyTable } from './key-table.ts'

/** Rows per statement when all keys are read: parsing them holds up requests for some milliseconds. */
const pageSize = 2000

export interface KeyCacheOptions {
  readonly table: KeyTable
  readonly database: Pick<Database, 'listen'>
  readonly clock: Clock
  readonly logger: Logger
  /** Milliseconds between two readings of all keys. */
  readonly refreshIntervalMs: number
}

/** All usable keys in memory. While the database is away, what is known stays. */
export class KeyCache {
  readonly #options: KeyCacheOptions
  readonly #follower: ChangeFollower
  #index = new KeyIndex()
  /** What is being read in place of `#index`. Changes go to both. */
  #next: KeyIndex | undefined

  constructor(options: KeyCacheOptions) {
    this.#options = options
    this.#follower = new ChangeFollower({
      database: options.database,
      channel: changesChannel,
      clock: options.clock,
      logger: options.logger,
      what: 'API keys',
      refreshIntervalMs: options.refreshIntervalMs,
      readChanged: (ids, changedAgain) => this.#readChanged(ids, changedAgain),
      readAll: (catchUp) => this.#readAll(catchUp),
    })
  }

  /** The key with a secret of this hash, if it is known; it may be over. */
  find(hash: string): KnownSecret | undefined {
    return this.#index.get(hash)
  }

  byId(id: string): KnownKey | undefined {
    return this.#index.byId(id)
  }

  /** Reads all keys. Throws if the database cannot be reached: without keys nobody could come in. */
  start(): Promise<void> {
    return this.#follower.start()
  }

  stop(): Promise<void> {
    return this.#follower.stop()
  }

  /** A key that was just made or changed here is so at once. */
  add(identity: KeyIdentity): void {
    this.#forBoth((index) => this.#set(index, identity))
    void this.#follower.follow(identity.id)
  }

  /** A key that was just revoked stops working at once. */
  remove(id: string): void {
    this.#forBoth((index) => index.delete(id))
    void this.#follower.follow(id)
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

  async #readChanged(ids: readonly string[], changedAgain: (id: string) => boolean): Promise<void> {
    const { table, clock } = this.#options
    const usable = new Map((await table.usable(ids, new Date(clock.now()))).map((key) => [key.id, key]))
    for (const id of ids) {
      const identity = usable.get(id)
      if (!identity) this.#forBoth((index) => index.delete(id))
      // What was read may be old, and a key that was revoked must not come back.
      else if (!changedAgain(id)) this.#forBoth((index) => this.#set(index, identity))
    }
  }

  async #readAll(catchUp: () => Promise<boolean>): Promise<void> {
    const { table, clock } = this.#options
    const next = new KeyIndex()
    this.#next = next
    try {
      for await (const page of table.allUsable(new Date(clock.now()), pageSize)) {
        for (const identity of page) this.#set(next, identity)
        if (!(await catchUp())) return
      }
      this.#index = next
    } finally {
      this.#next = undefined
    }
  }
}
