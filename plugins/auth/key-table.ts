import type { Database, Page, Queryable, Row } from '@hadrian/core/plugin'

/** What is needed to recognise a key and to say what it may do. */
export interface KeyIdentity extends Row {
  readonly id: string
  readonly key_hash: string
  readonly name: string
  readonly scopes: readonly string[] | null
  readonly allowed_models: readonly string[] | null
  readonly expires_at: Date | null
}

/** A key as the admin API shows it, besides {@link KeyIdentity}. */
export interface KeyRecord extends KeyIdentity {
  readonly key_prefix: string
  readonly created_by: string | null
  readonly created_at: Date
  readonly revoked_at: Date | null
  readonly last_used_at: Date | null
}

/** The channel on which the database tells the id of each key that was changed, by whomever. */
export const changesChannel = 'auth_api_keys'

const identityColumns = 'id, key_hash, name, scopes, allowed_models, expires_at'
const recordColumns = `${identityColumns}, key_prefix, created_by, created_at, revoked_at, last_used_at`
const nilId = '00000000-0000-0000-0000-000000000000'

/** The table of keys. Nothing here is called on the path of a model call. */
export class KeyTable {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  insert(key: Omit<KeyRecord, 'revoked_at' | 'last_used_at'>): Promise<KeyRecord> {
    return insertInto(this.#database, key)
  }

  /** Inserts a key if the table is empty, whatever other instances do at the same time. */
  insertFirst(key: Omit<KeyRecord, 'revoked_at' | 'last_used_at'>): Promise<KeyRecord | undefined> {
    return this.#database.tx(async (transaction) => {
      // Keeps out every other writer until the end of the transaction, and lets readers through.
      await transaction.query('lock table auth_api_keys in share row exclusive mode')
      const [any] = await transaction.query('select 1 from auth_api_keys limit 1')
      return any === undefined ? insertInto(transaction, key) : undefined
    })
  }

  /** The key as it is after it was revoked, now or earlier; undefined if there is none with this id. */
  async revoke(id: string, at: Date): Promise<KeyRecord | undefined> {
    const [record] = await this.#database.query<KeyRecord>(
      `update auth_api_keys set revoked_at = coalesce(revoked_at, $2) where id = $1 returning ${recordColumns}`,
      [id, at],
    )
    return record
  }

  async read(id: string): Promise<KeyRecord | undefined> {
    const [record] = await this.#database.query<KeyRecord>(`select ${recordColumns} from auth_api_keys where id = $1`, [
      id,
    ])
    return record
  }

  list({ cursor, compare, order, fetch }: Page): Promise<KeyRecord[]> {
    return this.#database.query<KeyRecord>(
      `select ${recordColumns} from auth_api_keys ${cursor ? `where (created_at, id) ${compare} ($2, $3)` : ''}
       order by created_at ${order}, id ${order} limit $1`,
      cursor ? [fetch, cursor.time, cursor.id] : [fetch],
    )
  }

  /** Those of these keys that may be used. */
  usable(ids: readonly string[], now: Date): Promise<KeyIdentity[]> {
    return this.#database.query<KeyIdentity>(
      `select ${identityColumns} from auth_api_keys
        where id = any($1::uuid[]) and revoked_at is null and (expires_at is null or expires_at > $2)`,
      [ids, now],
    )
  }

  /** All keys that may be used, in pages, so that reading many does not hold up requests. */
  async *allUsable(now: Date, pageSize: number): AsyncGenerator<readonly KeyIdentity[], void> {
    let last = nilId
    for (;;) {
      const page = await this.#database.query<KeyIdentity>(
        `select ${identityColumns} from auth_api_keys
          where id > $1 and revoked_at is null and (expires_at is null or expires_at > $2) order by id limit $3`,
        [last, now, pageSize],
      )
      yield page
      if (page.length < pageSize) return
      last = page.at(-1)!.id
    }
  }

  /** Notes when keys were last used. Rows that another instance is writing are skipped: it notes the same. */
  async noteUse(uses: ReadonlyMap<string, number>): Promise<void> {
    await this.#database.query(
      `update auth_api_keys k set last_used_at = greatest(k.last_used_at, u.used_at)
         from unnest($1::uuid[], $2::timestamptz[]) as u(id, used_at)
        where k.id = u.id and k.id in (select id from auth_api_keys where id = any($1::uuid[]) for update skip locked)`,
      [[...uses.keys()], [...uses.values()].map((usedMs) => new Date(usedMs).toISOString())],
    )
  }
}

async function insertInto(
  database: Queryable,
  key: Omit<KeyRecord, 'revoked_at' | 'last_used_at'>,
): Promise<KeyRecord> {
  const [record] = await database.query<KeyRecord>(
    `insert into auth_api_keys
       (id, key_hash, name, scopes, allowed_models, expires_at, key_prefix, created_by, created_at)
     values ($1, $2, $3, $4::text[], $5::text[], $6, $7, $8, $9) returning ${recordColumns}`,
    [
      key.id,
      key.key_hash,
      key.name,
      key.scopes,
      key.allowed_models,
      key.expires_at,
      key.key_prefix,
      key.created_by,
      key.created_at,
    ],
  )
  return record!
}
