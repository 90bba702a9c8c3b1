import { gatewayError, modelInfoBody, readModelInfo } from '@hadrian/core/plugin'
import type { Database, GatewayError, JsonObject, Page, RequestMistake, Row } from '@hadrian/core/plugin'
import { readTargets, targetBody } from './entry-body.ts'
import type { ModelEntry, ModelRecord } from './entry.ts'

/** The channel on which the database tells that an entry was changed, by whomever. */
export const changesChannel = 'models_entries'

const columns = 'id, model, targets, info, created_at, updated_at'
const nilId = '00000000-0000-0000-0000-000000000000'

/** The table of what the operator set. Nothing here is called on the path of a model call. */
export class EntryTable {
  readonly #database: Database
  readonly #invalid: (id: string, mistakes: readonly RequestMistake[]) => void

  /** @param invalid told of what was written by hand and is not valid; the rest of that entry holds */
  constructor(database: Database, invalid: (id: string, mistakes: readonly RequestMistake[]) => void) {
    this.#database = database
    this.#invalid = invalid
  }

  /** @throws GatewayError `conflict` */
  async insert(id: string, entry: ModelEntry, now: Date): Promise<ModelRecord> {
    const [row] = await this.#database.query(
      `insert into models_entries (id, created_at, updated_at, model, targets, info)
       values ($1, $2, $2, $3, $4::jsonb, $5::jsonb) on conflict (model) do nothing returning ${columns}`,
      [id, now, ...valuesOf(entry)],
    )
    if (!row) throw taken(entry)
    return this.#record(row)
  }

  /** The entry as it is now; undefined if there is none with this id. @throws GatewayError `conflict` */
  async replace(id: string, entry: ModelEntry, now: Date): Promise<ModelRecord | undefined> {
    return this.#database.tx(async (transaction) => {
      // Keeps out every other writer, so that the name cannot be taken between.
      await transaction.query('lock table models_entries in share row exclusive mode')
      const [other] = await transaction.query('select 1 from models_entries where model = $1 and id <> $2', [
        entry.model,
        id,
      ])
      if (other) throw taken(entry)
      const [row] = await transaction.query(
        `update models_entries set (updated_at, model, targets, info) = ($2, $3, $4::jsonb, $5::jsonb)
          where id = $1 returning ${columns}`,
        [id, now, ...valuesOf(entry)],
      )
      return row && this.#record(row)
    })
  }

  /** The entry as it was; undefined if there is none with this id. */
  async delete(id: string): Promise<ModelRecord | undefined> {
    const [row] = await this.#database.query(`delete from models_entries where id = $1 returning ${columns}`, [id])
    return row && this.#record(row)
  }

  async read(ids: readonly string[]): Promise<ModelRecord[]> {
    const rows = await this.#database.query(`select ${columns} from models_entries where id = any($1::uuid[])`, [ids])
    return rows.map((row) => this.#record(row))
  }

  async list({ cursor, compare, order, fetch }: Page): Promise<ModelRecord[]> {
    const rows = await this.#database.query(
      `select ${columns} from models_entries ${cursor ? `where (created_at, id) ${compare} ($2, $3)` : ''}
       order by created_at ${order}, id ${order} limit $1`,
      cursor ? [fetch, cursor.time, cursor.id] : [fetch],
    )
    return rows.map((row) => this.#record(row))
  }

  /** Every entry, page by page: parsing them holds up requests. */
  async *all(pageSize: number): AsyncGenerator<readonly ModelRecord[], void> {
    let last = nilId
    for (;;) {
      const rows = await this.#database.query(
        `select ${columns} from models_entries where id > $1 order by id limit $2`,
        [last, pageSize],
      )
      const page = rows.map((row) => this.#record(row))
      yield page
      if (page.length < pageSize) return
      last = page.at(-1)!.id
    }
  }

  #record(row: Row): ModelRecord {
    const id = row['id'] as string
    const mistakes: RequestMistake[] = []
    const wrong = (mistake: RequestMistake): void => void mistakes.push(mistake)
    const { targets } = row
    const record = {
      id,
      model: row['model'] as string,
      targets: targets === null ? undefined : readTargets(targets, undefined, wrong).filter(hasName),
      info: readModelInfo(Object(row['info']) as JsonObject, '', wrong),
      createdAt: row['created_at'] as Date,
      updatedAt: row['updated_at'] as Date,
    }
    if (mistakes.length > 0) this.#invalid(id, mistakes)
    return record
  }
}

function hasName({ target }: { readonly target: unknown }): boolean {
  return typeof target === 'string'
}

function taken({ model }: ModelEntry): GatewayError {
  return gatewayError('conflict', `There is an entry for ${model} already`, { param: 'model' })
}

function valuesOf({ model, targets, info }: ModelEntry): unknown[] {
  return [model, targets ? JSON.stringify(targets.map(targetBody)) : null, JSON.stringify(modelInfoBody(info))]
}
