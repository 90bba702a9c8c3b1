import { ChangeFollower, isUuid } from '@hadrian/core/plugin'
import type { Clock, Database, Logger } from '@hadrian/core/plugin'
import type { ModelRecord } from './entry.ts'
import { changesChannel } from './entry-table.ts'
import type { EntryTable } from './entry-table.ts'

/** Rows per statement when all entries are read. */
const pageSize = 500

export interface EntryCacheOptions {
  readonly table: Pick<EntryTable, 'all' | 'read'>
  readonly database: Pick<Database, 'listen'>
  readonly clock: Clock
  readonly logger: Logger
  readonly refreshIntervalMs: number
}

/** The operator's entries in memory, about 1 kB each. While the database is away, what is known stays. */
export class EntryCache {
  readonly #table: EntryCacheOptions['table']
  readonly #follower: ChangeFollower
  #byId = new Map<string, ModelRecord>()
  /** What is being read in place of `#byId`. Changes go to both. */
  #next: Map<string, ModelRecord> | undefined
  #byModel = new Map<string, ModelRecord>()
  #version = 0

  constructor(options: EntryCacheOptions) {
    this.#table = options.table
    this.#follower = new ChangeFollower({
      database: options.database,
      channel: changesChannel,
      clock: options.clock,
      logger: options.logger,
      what: 'models of the admin API',
      refreshIntervalMs: options.refreshIntervalMs,
      readChanged: (ids) => this.#readChanged(ids),
      readAll: (catchUp) => this.#readAll(catchUp),
    })
  }

  /** Grows with every change. */
  get version(): number {
    return this.#version
  }

  get names(): Iterable<string> {
    return this.#byModel.keys()
  }

  find(model: string): ModelRecord | undefined {
    return this.#byModel.get(model)
  }

  /** Reads all entries. Throws if the database cannot be reached: nobody may be sent where the operator forbade it. */
  start(): Promise<void> {
    return this.#follower.start()
  }

  stop(): Promise<void> {
    return this.#follower.stop()
  }

  /** The entry was just changed here. Resolves when that is seen, or will be as soon as the database is back. */
  follow(id: string): Promise<void> {
    return this.#follower.follow(id)
  }

  async #readChanged(keys: readonly string[]): Promise<void> {
    const ids = keys.filter(isUuid)
    const read = await this.#table.read(ids)
    const changed = new Map(this.#byId)
    for (const byId of this.#next ? [changed, this.#next] : [changed]) {
      for (const id of ids) byId.delete(id)
      for (const record of read) byId.set(record.id, record)
    }
    this.#set(changed)
  }

  async #readAll(catchUp: () => Promise<boolean>): Promise<void> {
    const next = new Map<string, ModelRecord>()
    this.#next = next
    try {
      for await (const page of this.#table.all(pageSize)) {
        for (const record of page) next.set(record.id, record)
        if (!(await catchUp())) return
      }
      this.#set(next)
    } finally {
      this.#next = undefined
    }
  }

  #set(byId: Map<string, ModelRecord>): void {
    this.#byId = byId
    this.#byModel = new Map([...byId.values()].map((record) => [record.model, record]))
    this.#version += 1
  }
}
