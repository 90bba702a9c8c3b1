import { jsonReply, pageBody, readPage } from '@hadrian/core/plugin'
import type { JsonObject, Queryable, Route, Row } from '@hadrian/core/plugin'
import { readFilters } from './filters.ts'
import { table } from './row-queue.ts'

interface StoredRow extends Row {
  readonly id: string
  readonly started_at: Date
}

/** `bigint` columns, which arrive as strings; what is written fits a number. */
const numbers = new Set([
  'input_tokens',
  'output_tokens',
  'cached_tokens',
  'cache_write_tokens',
  'reasoning_tokens',
  'cost_micros',
  'duration_ms',
  'first_event_ms',
])

/** The admin API of the log. */
export function logRoutes(database: Queryable): Route[] {
  return [
    {
      method: 'GET',
      path: '/admin/v1/usage/logs',
      scope: 'admin',
      summary: 'List exchanges, the newest first; filter by principal, model, provider, outcome, from and to',
      async handle(call) {
        const page = readPage(call.query)
        const { cursor, compare, order } = page
        const filters = readFilters(call.query, cursor ? 4 : 2)
        const conditions = [...(cursor ? [`(started_at, id) ${compare} ($2, $3)`] : []), ...filters.sql]
        const rows = await database.query<StoredRow>(
          `select * from ${table} ${conditions.length > 0 ? `where ${conditions.join(' and ')}` : ''}
           order by started_at ${order}, id ${order} limit $1`,
          [page.fetch, ...(cursor ? [cursor.time, cursor.id] : []), ...filters.params],
        )
        return jsonReply(pageBody(page, rows, ({ started_at: time, id }) => ({ time, id }), rowBody))
      },
    },
  ]
}

function rowBody(row: StoredRow): JsonObject {
  return Object.fromEntries(
    Object.entries(row).map(([name, value]) => [name, numbers.has(name) && value !== null ? Number(value) : value]),
  )
}
