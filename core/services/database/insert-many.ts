import { escapeIdentifier } from 'pg'
import type { Queryable, Row } from '../../contract/plugin.ts'

/** How the values of a column travel: `element` is its SQL type, `how` what becomes of a JavaScript value. */
type ColumnType = {
  readonly element: string
  readonly how: 'plain' | 'json' | 'array'
}

/** `-1` and not null as the type modifier: a cast to `character varying(3)` would cut what must be refused. */
const columnsSql = `
select a.attname as name,
       format_type(a.atttypid, -1) as element,
       case when t.typcategory = 'A' then 'array'
            when coalesce(nullif(t.typbasetype, 0), t.oid) in ('json'::regtype, 'jsonb'::regtype) then 'json'
            else 'plain' end as how
  from pg_catalog.pg_attribute a
  join pg_catalog.pg_type t on t.oid = a.atttypid
 where a.attrelid = to_regclass($1) and a.attnum > 0 and not a.attisdropped`

/** The types of tables' columns, read from the catalog once per table. */
export class ColumnTypes {
  readonly #tables = new Map<string, Promise<ReadonlyMap<string, ColumnType>>>()

  /** @throws if the table does not exist */
  of(database: Queryable, table: string): Promise<ReadonlyMap<string, ColumnType>> {
    const known = this.#tables.get(table)
    if (known !== undefined) return known
    const types = readColumns(database, table)
    this.#tables.set(table, types)
    types.catch(() => this.forget(table))
    return types
  }

  /** Call it when a statement failed: a migration may have changed the table. */
  forget(table: string): void {
    this.#tables.delete(table)
  }
}

async function readColumns(database: Queryable, table: string): Promise<ReadonlyMap<string, ColumnType>> {
  const rows = await database.query<ColumnType & { name: string }>(columnsSql, [quoteTable(table)])
  if (rows.length === 0) throw new Error(`the table ${table} does not exist`)
  return new Map(rows.map(({ name, element, how }) => [name, { element, how }]))
}

/** Quotes `table` and `schema.table`. */
function quoteTable(table: string): string {
  return table.split('.').map(escapeIdentifier).join('.')
}

/**
 * Inserts rows in one statement. JSON columns take any JavaScript value; null and
 * undefined are SQL nulls everywhere. Works inside a transaction too.
 * @returns the number of rows inserted, or updated by the conflict clause
 * @throws if rows differ in their keys, or name a column that does not exist
 */
export async function insertMany(
  database: Queryable,
  types: ColumnTypes,
  table: string,
  rows: readonly Row[],
  conflict = '',
): Promise<number> {
  const [first] = rows
  if (first === undefined) return 0
  const columns = Object.keys(first)
  checkKeys(table, columns, rows)
  const known = await columnTypes(database, types, table, columns)
  const declared = columns.map((column) => `${escapeIdentifier(column)} ${known.get(column)!.element}`)
  const names = columns.map(escapeIdentifier).join(', ')
  // One JSON text for all rows: the engine writes it faster than the driver can escape an array for each column.
  const json = JSON.stringify(
    rows.map((row) =>
      Object.fromEntries(columns.map((column) => [column, transported(row[column], known.get(column)!)])),
    ),
  )
  const sql = `with inserted as (
insert into ${quoteTable(table)} (${names})
select ${names} from json_to_recordset($1::json) as v(${declared.join(', ')})
${conflict}
returning 1) select count(*)::int as count from inserted`
  try {
    const [result] = await database.query<{ count: number }>(sql, [json])
    return result?.count ?? 0
  } catch (error) {
    types.forget(table)
    throw error
  }
}

function checkKeys(table: string, columns: readonly string[], rows: readonly Row[]): void {
  if (columns.length === 0) throw new Error(`rows for ${table} have no columns`)
  const expected = new Set(columns)
  for (const [index, row] of rows.entries()) {
    const keys = Object.keys(row)
    if (keys.length === columns.length && keys.every((key) => expected.has(key))) continue
    throw new Error(`all rows for ${table} must have the same keys: row ${index} has ${keys.join(', ')}`)
  }
}

/** Looks a second time if a column is missing: it may have been added since. */
async function columnTypes(
  database: Queryable,
  types: ColumnTypes,
  table: string,
  columns: readonly string[],
): Promise<ReadonlyMap<string, ColumnType>> {
  let known = await types.of(database, table)
  if (columns.every((column) => known.has(column))) return known
  types.forget(table)
  known = await types.of(database, table)
  const unknown = columns.filter((column) => !known.has(column))
  if (unknown.length > 0) throw new Error(`the table ${table} has no column ${unknown.join(', ')}`)
  return known
}

/** A value as JSON has it for a column: its own JSON, or the text that PostgreSQL reads the type from. */
function transported(value: unknown, { how }: ColumnType): unknown {
  if (value === null || value === undefined) return null
  if (how === 'json') return value
  if (how === 'array' && Array.isArray(value)) return value.map((entry) => plain(entry, how))
  return plain(value, how)
}

function plain(value: unknown, how: ColumnType['how']): unknown {
  switch (typeof value) {
    case 'string':
      // Half a character has no place in a database.
      return value.toWellFormed()
    case 'number':
      return Number.isFinite(value) ? value : String(value)
    case 'bigint':
      return value.toString()
    case 'object':
      if (value === null || value instanceof Date) return value
      if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString('hex')}`
      return how === 'array' && Array.isArray(value) ? value.map((entry) => plain(entry, how)) : JSON.stringify(value)
    default:
      return value
  }
}
