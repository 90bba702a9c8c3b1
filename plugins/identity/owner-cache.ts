import type { Clock, Database, Identity, Logger, Owner, OwnerKind } from '@hadrian/core/plugin'
import { ChangeFollower, isUuid, ownerKinds } from '@hadrian/core/plugin'
import { OwnerIndex, ownersAbove } from './owner-index.ts'
import type { KnownOwner, OwnerKey } from './owner-index.ts'
import { changesChannel, OwnerTable } from './owner-table.ts'

/** Rows per statement when all owners are read: parsing them holds up requests for some milliseconds. */
const pageSize = 1000

export interface OwnerCacheOptions {
  readonly database: Pick<Database, 'query' | 'listen'>
  readonly clock: Clock
  readonly logger: Logger
  /** Milliseconds between two readings of all owners. */
  readonly refreshIntervalMs: number
}

/** All owners in memory. While the database is away, what is known stays. */
export class OwnerCache implements Identity {
  readonly #table: OwnerTable
  readonly #follower: ChangeFollower
  #index = new OwnerIndex()
  /** What is being read in place of `#index`. Changes go to both. */
  #next: OwnerIndex | undefined
  #version = 0

  constructor({ database, clock, logger, refreshIntervalMs }: OwnerCacheOptions) {
    this.#table = new OwnerTable(database, ({ kind, id }, mistakes) =>
      logger.warn({ kind, id, mistakes }, 'some limits of an owner are not valid and do not hold'),
    )
    this.#follower = new ChangeFollower({
      database,
      channel: changesChannel,
      clock,
      logger,
      what: 'owners of keys',
      refreshIntervalMs,
      readChanged: (keys) => this.#readChanged(keys),
      readAll: (catchUp) => this.#readAll(catchUp),
    })
  }

  get version(): number {
    return this.#version
  }

  get size(): number {
    return this.#index.size
  }

  chain(kind: OwnerKind, id: string): readonly Owner[] | undefined {
    return this.#index.chain(kind, id)
  }

  find(kind: OwnerKind, name: string): string | undefined {
    return this.#index.find(kind, name)
  }

  /** Reads all owners. Throws if the database cannot be reached: whose limits hold could not be known. */
  start(): Promise<void> {
    return this.#follower.start()
  }

  stop(): Promise<void> {
    return this.#follower.stop()
  }

  /** The owner was just changed here. Resolves when that is seen, or will be as soon as the database is back. */
  follow({ kind, id }: OwnerKey): Promise<void> {
    return this.#follower.follow(`${kind}:${id}`)
  }

  async #readChanged(keys: readonly string[]): Promise<void> {
    const changed = keys.flatMap(parseKey)
    const found: KnownOwner[] = []
    let wanted: readonly OwnerKey[] = changed
    while (wanted.length > 0) {
      const read = await this.#read(wanted)
      found.push(...read)
      // Made by another instance that has not told us yet.
      const known = new Set([...changed, ...found].map(keyText))
      wanted = read.flatMap(ownersAbove).filter((key) => !this.#index.has(key.kind, key.id) && !known.has(keyText(key)))
    }
    const indexes = this.#next ? [this.#index, this.#next] : [this.#index]
    for (const index of indexes) {
      for (const key of changed) index.delete(key)
      for (const owner of found) index.set(owner)
    }
    this.#version += 1
  }

  async #read(keys: readonly OwnerKey[]): Promise<KnownOwner[]> {
    const found: KnownOwner[] = []
    for (const [kind, group] of Map.groupBy(keys, (key) => key.kind))
      found.push(...(await this.#table.read(kind, [...new Set(group.map(({ id }) => id))])))
    return found
  }

  async #readAll(catchUp: () => Promise<boolean>): Promise<void> {
    const next = new OwnerIndex()
    this.#next = next
    try {
      for await (const page of this.#table.readAll(pageSize)) {
        for (const owner of page) next.set(owner)
        if (!(await catchUp())) return
      }
      this.#index = next
      this.#version += 1
    } finally {
      this.#next = undefined
    }
  }
}

/** Anybody who can connect to the database can send anything. */
function parseKey(text: string): OwnerKey[] {
  const [kind, id = ''] = text.split(':', 2)
  const known = ownerKinds.find((each) => each === kind)
  return known !== undefined && isUuid(id) ? [{ kind: known, id }] : []
}

function keyText({ kind, id }: OwnerKey): string {
  return `${kind}:${id}`
}
