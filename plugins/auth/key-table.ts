import type { Database, OwnerKind, Page, Queryable, Row } from '@hadrian/core/plugin'
import type { KeySettings } from './key-settings.ts'
import type { KeyFilter } from './requests.ts'

/** A secret from before a rotation. */
export interface EarlierSecret {
  readonly hash: string
  readonly prefix: string
  /** Milliseconds since 1970. */
  readonly valid_until_ms: number
}

/** What is needed to recognise a key and to say what it may do. */
export interface KeyIdentity extends KeySettings, Row {
  readonly id: string
  readonly key_hash: string
  /** Newest last. Some may be over. */
  readonly earlier_secrets: readonly EarlierSecret[]
  readonly owner_kind: OwnerKind | null
  readonly owner_id: string | null
}

/** A key as the admin API shows it, besides {@link KeyIdentity}. */
export interface KeyRecord extends KeyIdentity {
  readonly key_prefix: string
  readonly created_by: string | null
  readonly created_at: Date
  readonly rotated_at: Date | null
  readonly revoked_at: Date | null
  readonly last_used_at: Date | null
}

/** A row to insert; the database fills in the rest. */
export type NewKey = Pick<
  KeyRecord,
  keyof KeySettings | 'id' | 'key_hash' | 'key_prefix' | 'owner_kind' | 'owner_id' | 'created_by' | 'created_at'
>

/** A secret to take the place of a key's own. */
export interface Rotation {
  readonly key_hash: string
  readonly key_prefix: string
  /** Milliseconds that the secret of until now goes on. */
  readonly graceMs: number
}

/** The channel on which the database tells the id of each key that was changed, by whomever. */
export const changesChannel = 'auth_api_keys'

/** Secrets of one key that may be valid at once, besides its newest. */
export const mostEarlierSecrets = 100

const identityColumns =
  'id, key_hash, earlier_secrets, name, scopes, allowed_models, expires_at, owner_kind, owner_id, ip_allowlist, ' +
  'budgets, rate_limits'
const recordColumns = `${identityColumns}, key_prefix, created_by, created_at, rotated_at, revoked_at, last_used_at`
/** How the columns that `PATCH` may set are written. */
const settingTypes: Readonly<Record<keyof KeySettings, string>> = {
  name: 'text',
  scopes: 'text[]',
  allowed_models: 'text[]',
  expires_at: 'timestamptz',
  ip_allowlist: 'text[]',
  budgets: 'jsonb',
  rate_limits: 'jsonb',
}
const usableAt = (now: string): string => `revoked_at is null and (expires_at is null or expires_at > ${now})`
const nilId = '00000000-0000-0000-0000-000000000000'

/** The table of keys. Nothing here is called on the path of a model call. */
export class KeyTable {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  insert(key: NewKey): Promise<KeyRecord> {
    return insertInto(this.#database, key)
  }

  /** Inserts a key if the table is empty, whatever other instances do at the same time. */
  insertFirst(key: NewKey): Promise<KeyRecord | undefined> {
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

  /** The key as it is after the change; undefined if there is none with this id that is not revoked. */
  async change(id: string, change: Partial<KeySettings>): Promise<KeyRecord | undefined> {
    const fields = Object.keys(settingTypes).filter((field) => Object.hasOwn(change, field)) as (keyof KeySettings)[]
    // A statement that sets nothing is no statement.
    const assignments = ['id = id', ...fields.map((field, index) => `${field} = $${index + 2}::${settingTypes[field]}`)]
    const [record] = await this.#database.query<KeyRecord>(
      `update auth_api_keys set ${assignments.join(', ')} where id = $1 and revoked_at is null
       returning ${recordColumns}`,
      [id, ...fields.map((field) => columnValue(field, change))],
    )
    return record
  }

  /**
   * Puts a new secret in the place of the key's own, which goes on for a while; so do those of earlier rotations, each
   * as long as it was to. In one statement, so that of two rotations at once each leaves its secret.
   *
   * @returns undefined if there is no usable key with this id, or it has {@link mostEarlierSecrets} already
   */
  async rotate(id: string, rotation: Rotation, now: Date): Promise<KeyRecord | undefined> {
    const remaining = `jsonb_path_query_array(earlier_secrets, '$[*] ? (@.valid_until_ms > $now)',
      jsonb_build_object('now', $5::bigint))`
    const [record] = await this.#database.query<KeyRecord>(
      `update auth_api_keys set key_hash = $2, key_prefix = $3, rotated_at = $4,
         earlier_secrets = ${remaining}
           || jsonb_build_object('hash', key_hash, 'prefix', key_prefix, 'valid_until_ms', $6::bigint)
        where id = $1 and ${usableAt('$4')} and jsonb_array_length(${remaining}) < $7
       returning ${recordColumns}`,
      [
        id,
        rotation.key_hash,
        rotation.key_prefix,
        now,
        now.getTime(),
        now.getTime() + rotation.graceMs,
        mostEarlierSecrets,
      ],
    )
    return record
  }

  async read(id: string): Promise<KeyRecord | undefined> {
    const [record] = await this.#database.query<KeyRecord>(`select ${recordColumns} from auth_api_keys where id = $1`, [
      id,
    ])
    return record
  }

  list({ cursor, compare, order, fetch }: Page, filter: KeyFilter = {}): Promise<KeyRecord[]> {
    const params: unknown[] = [fetch]
    const conditions: string[] = []
    const add = (value: unknown): string => `$${params.push(value)}`
    if (cursor) conditions.push(`(created_at, id) ${compare} (${add(cursor.time)}, ${add(cursor.id)})`)
    if (filter.ownerKind !== undefined) conditions.push(`owner_kind = ${add(filter.ownerKind)}`)
    if (filter.ownerId !== undefined) conditions.push(`owner_id = ${add(filter.ownerId)}`)
    if (filter.revoked !== undefined) conditions.push(`revoked_at is ${filter.revoked ? 'not null' : 'null'}`)
    return this.#database.query<KeyRecord>(
      `select ${recordColumns} from auth_api_keys ${conditions.length > 0 ? `where ${conditions.join(' and ')}` : ''}
       order by created_at ${order}, id ${order} limit $1`,
      params,
    )
  }

  /** Those of these keys that may be used. */
  usable(ids: readonly string[], now: Date): Promise<KeyIdentity[]> {
    return this.#database.query<KeyIdentity>(
      `select ${identityColumns} from auth_api_keys
        where id = any($1::uuid[]) and ${usableAt('$2')}`,
      [ids, now],
    )
  }

  /** All keys that may be used, in pages, so that reading many does not hold up requests. */
  async *allUsable(now: Date, pageSize: number): AsyncGenerator<readonly KeyIdentity[], void> {
    let last = nilId
    for (;;) {
      const page = await this.#database.query<KeyIdentity>(
        `select ${identityColumns} from auth_api_keys
          where id > $1 and ${usableAt('$2')} order by id limit $3`,
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

async function insertInto(database: Queryable, key: NewKey): Promise<KeyRecord> {
  const fields = Object.keys(settingTypes) as (keyof KeySettings)[]
  const [record] = await database.query<KeyRecord>(
    `insert into auth_api_keys
       (id, key_hash, key_prefix, owner_kind, owner_id, created_by, created_at, ${fields.join(', ')})
     values ($1, $2, $3, $4, $5, $6, $7, ${fields.map((field, index) => `$${index + 8}::${settingTypes[field]}`).join(', ')})
     returning ${recordColumns}`,
    [
      key.id,
      key.key_hash,
      key.key_prefix,
      key.owner_kind,
      key.owner_id,
      key.created_by,
      key.created_at,
      ...fields.map((field) => columnValue(field, key)),
    ],
  )
  return record!
}

/** A list as a parameter is an array of the database, so JSON has to go as text. */
function columnValue(field: keyof KeySettings, settings: Partial<KeySettings>): unknown {
  const value = settings[field] ?? null
  return value !== null && settingTypes[field] === 'jsonb' ? JSON.stringify(value) : value
}
