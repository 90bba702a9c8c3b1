import type { JsonObject, Page, Queryable, Row } from '@hadrian/core/plugin'
import { attemptTable, billColumns, callerTable, exchangeTable } from './columns.ts'
import { callersSql } from './filters.ts'
import type { Filters } from './filters.ts'
import { Parameters } from './parameters.ts'

/** An exchange with its caller, as the database returns it. */
export interface StoredExchange extends Row {
  readonly id: string
  readonly started_at: Date
  readonly owners: readonly string[]
}

/** Which rows of a list come next, and how many; {@link Page} is one. */
export type Position = Pick<Page, 'fetch' | 'cursor' | 'compare' | 'order'>

/**
 * Index entries read for one page at most when the newest rows of each caller are merged. Beyond it the rows of all
 * callers are walked through instead: callers as many as that have a good part of them.
 */
const mostMerged = 500_000

/** `bigint` columns, which arrive as strings; what is written fits a number. */
const numbers = new Set<string>([...billColumns, 'duration_ms', 'first_event_ms'])

/** Exchanges that filters leave, by time and id. Every query walks an index from the cursor on, never a whole table. */
export async function listExchanges(
  database: Queryable,
  filters: Filters,
  position: Position,
): Promise<StoredExchange[]> {
  const callers = await callersOf(database, filters, Math.floor(mostMerged / position.fetch))
  if (callers !== undefined && callers !== 'many' && callers.length === 0) return []
  const parameters = new Parameters()
  const conditions = conditionsOf(filters, position, parameters)
  const order = (alias: string): string =>
    `order by ${alias}.started_at ${position.order}, ${alias}.id ${position.order}`
  const pageOf = (more: readonly string[]): string => {
    const all = [...more, ...conditions]
    return `select e.id, e.started_at from ${exchangeTable} e ${all.length > 0 ? `where ${all.join(' and ')}` : ''}
      ${order('e')} limit ${position.fetch}`
  }
  let page: string
  if (callers === undefined) page = pageOf([])
  else if (callers === 'many') page = pageOf([`e.caller_id in (${callersSql(filters, parameters)})`])
  else {
    const ids = parameters.add(callers)
    // With another filter the newest rows of each caller would be looked for among all it has; the planner knows better.
    page =
      callers.length === 1 || filters.columns.length > 0
        ? pageOf([callers.length === 1 ? `e.caller_id = (${ids}::uuid[])[1]` : `e.caller_id = any(${ids}::uuid[])`])
        : `select newest.* from unnest(${ids}::uuid[]) as caller(id)
           cross join lateral (${pageOf(['e.caller_id = caller.id'])}) as newest
           ${order('newest')} limit ${position.fetch}`
  }
  return database.query<StoredExchange>(
    `with page as materialized (${page})
     select e.*, c.principal_id, c.principal_name, c.owners
     from page join ${exchangeTable} e on e.id = page.id left join ${callerTable} c on c.id = e.caller_id
     ${order('page')}`,
    parameters.values,
  )
}

/** One exchange, or undefined if there is none. */
export async function readExchange(database: Queryable, id: string): Promise<StoredExchange | undefined> {
  const [row] = await database.query<StoredExchange>(
    `select e.*, c.principal_id, c.principal_name, c.owners
     from ${exchangeTable} e left join ${callerTable} c on c.id = e.caller_id where e.id = $1`,
    [id],
  )
  return row
}

/** The attempts of an exchange, the first one first. */
export async function readAttempts(database: Queryable, exchangeId: string): Promise<JsonObject[]> {
  const rows = await database.query(`select * from ${attemptTable} where exchange_id = $1 order by number`, [
    exchangeId,
  ])
  return rows.map(({ exchange_id: _, ...row }) => withNumbers(row))
}

/** An exchange as the admin API shows it. */
export function exchangeBody(row: StoredExchange): JsonObject {
  const { caller_id: _, owners, principal_id: id, principal_name: name, ...rest } = row
  const all = (kind: string): string[] =>
    (owners ?? []).flatMap((owner) => (owner.startsWith(`${kind}:`) ? [owner.slice(kind.length + 1)] : []))
  return {
    ...withNumbers(rest),
    principal_id: id,
    principal_name: name,
    user_id: all('user')[0] ?? null,
    service_account_id: all('service_account')[0] ?? null,
    project_id: all('project')[0] ?? null,
    team_ids: all('team'),
    organization_ids: all('organization'),
  }
}

function withNumbers(row: Row): JsonObject {
  return Object.fromEntries(
    Object.entries(row).map(([name, value]) => [name, numbers.has(name) && value !== null ? Number(value) : value]),
  )
}

/** The callers that filters leave: undefined for all, `'many'` for more than `most`. */
async function callersOf(
  database: Queryable,
  filters: Filters,
  most: number,
): Promise<readonly string[] | 'many' | undefined> {
  const parameters = new Parameters()
  const sql = callersSql(filters, parameters)
  if (sql === undefined) return undefined
  const rows = await database.query<{ id: string }>(`${sql} limit ${most + 1}`, parameters.values)
  return rows.length > most ? 'many' : rows.map(({ id }) => id)
}

function conditionsOf({ from, to, columns }: Filters, { cursor, compare }: Position, parameters: Parameters): string[] {
  return [
    ...(cursor
      ? [`(e.started_at, e.id) ${compare} (${parameters.add(cursor.time)}, ${parameters.add(cursor.id)})`]
      : []),
    ...(from ? [`e.started_at >= ${parameters.add(from)}`] : []),
    ...(to ? [`e.started_at < ${parameters.add(to)}`] : []),
    ...columns.map(([name, value]) => `e.${name} = ${parameters.add(value)}`),
  ]
}
