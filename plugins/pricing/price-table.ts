import { gatewayError } from '@hadrian/core/plugin'
import type { Database, GatewayError, ModelPrices, Page, PriceTier, Row } from '@hadrian/core/plugin'

/** What the operator set for one model of a provider instance, or for all whose names begin alike. */
export interface PriceEntry {
  readonly provider: string
  /** A name, or the beginning of names and an asterisk. */
  readonly model: string
  readonly prices: ModelPrices
}

/** An entry that is in the database. */
export interface PriceRecord extends PriceEntry {
  readonly id: string
  readonly createdAt: Date
  readonly updatedAt: Date
}

/** The channel on which the database tells that some price was changed, by whomever. */
export const changesChannel = 'pricing_models'

/** Columns of prices per million tokens, and the names of the contract. Tiers have the same, in JSON. */
const tokenColumns = {
  input: 'input',
  output: 'output',
  cached_input: 'cachedInput',
  cache_write: 'cacheWrite',
  cache_write_1h: 'cacheWrite1h',
  reasoning: 'reasoning',
  audio_input: 'audioInput',
  audio_output: 'audioOutput',
} as const satisfies Readonly<Record<string, keyof PriceTier>>
const priceColumns = { ...tokenColumns, request: 'request', image: 'image' } as const satisfies Readonly<
  Record<string, keyof ModelPrices>
>
const written = ['provider', 'model', ...Object.keys(priceColumns), 'tiers']
const columns = ['id', ...written, 'created_at', 'updated_at'].join(', ')

/** The table of prices that the operator set. Nothing here is called on the path of a model call. */
export class PriceTable {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  /** @throws GatewayError `conflict` */
  async insert(id: string, entry: PriceEntry, now: Date): Promise<PriceRecord> {
    const [row] = await this.#database.query(
      `insert into pricing_models (id, created_at, updated_at, ${written.join(', ')})
       values ($1, $2, $2, ${placeholders(3)}) on conflict (provider, model) do nothing returning ${columns}`,
      [id, now, ...valuesOf(entry)],
    )
    if (!row) throw taken(entry)
    return recordOf(row)
  }

  /** The entry as it is now; undefined if there is none with this id. @throws GatewayError `conflict` */
  async replace(id: string, entry: PriceEntry, now: Date): Promise<PriceRecord | undefined> {
    return this.#database.tx(async (transaction) => {
      // Keeps out every other writer, so that the name cannot be taken between.
      await transaction.query('lock table pricing_models in share row exclusive mode')
      const [other] = await transaction.query(
        'select 1 from pricing_models where provider = $1 and model = $2 and id <> $3',
        [entry.provider, entry.model, id],
      )
      if (other) throw taken(entry)
      const [row] = await transaction.query(
        `update pricing_models set (updated_at, ${written.join(', ')}) = ($2, ${placeholders(3)})
          where id = $1 returning ${columns}`,
        [id, now, ...valuesOf(entry)],
      )
      return row && recordOf(row)
    })
  }

  /** The entry as it was; undefined if there is none with this id. */
  async delete(id: string): Promise<PriceRecord | undefined> {
    const [row] = await this.#database.query(`delete from pricing_models where id = $1 returning ${columns}`, [id])
    return row && recordOf(row)
  }

  async read(id: string): Promise<PriceRecord | undefined> {
    const [row] = await this.#database.query(`select ${columns} from pricing_models where id = $1`, [id])
    return row && recordOf(row)
  }

  async list({ cursor, compare, order, fetch }: Page): Promise<PriceRecord[]> {
    const rows = await this.#database.query(
      `select ${columns} from pricing_models ${cursor ? `where (created_at, id) ${compare} ($2, $3)` : ''}
       order by created_at ${order}, id ${order} limit $1`,
      cursor ? [fetch, cursor.time, cursor.id] : [fetch],
    )
    return rows.map(recordOf)
  }

  async all(): Promise<PriceRecord[]> {
    return (await this.#database.query(`select ${columns} from pricing_models`)).map(recordOf)
  }
}

function taken({ provider, model }: PriceEntry): GatewayError {
  return gatewayError('conflict', `There are prices for ${provider}/${model} already`, { param: 'model' })
}

function placeholders(first: number): string {
  return written.map((column, index) => `$${first + index}${column === 'tiers' ? '::jsonb' : ''}`).join(', ')
}

function valuesOf({ provider, model, prices }: PriceEntry): unknown[] {
  const tiers = prices.tiers?.map((tier) => ({ above_input_tokens: tier.aboveInputTokens, ...toColumns(tier) }))
  return [
    provider,
    model,
    ...Object.values(priceColumns).map((name) => prices[name] ?? null),
    tiers ? JSON.stringify(tiers) : null,
  ]
}

function toColumns(tier: PriceTier): Row {
  return Object.fromEntries(
    Object.entries(tokenColumns).flatMap(([column, name]) => (tier[name] === undefined ? [] : [[column, tier[name]]])),
  )
}

function recordOf(row: Row): PriceRecord {
  const tiers = row['tiers'] as readonly Row[] | null
  return {
    id: row['id'] as string,
    provider: row['provider'] as string,
    model: row['model'] as string,
    prices: {
      ...(fromColumns(row, priceColumns) as unknown as ModelPrices),
      ...(tiers && {
        tiers: tiers.map((tier) => ({
          aboveInputTokens: Number(tier['above_input_tokens']),
          ...(fromColumns(tier, tokenColumns) as unknown as Omit<PriceTier, 'aboveInputTokens'>),
        })),
      }),
    },
    createdAt: row['created_at'] as Date,
    updatedAt: row['updated_at'] as Date,
  }
}

/** `bigint` columns arrive as strings; what is written fits a number. */
function fromColumns(row: Row, names: Readonly<Record<string, string>>): Row {
  return Object.fromEntries(
    Object.entries(names).flatMap(([column, name]) =>
      row[column] === null || row[column] === undefined ? [] : [[name, Number(row[column])]],
    ),
  )
}
