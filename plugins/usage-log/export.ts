import type { Queryable } from '@hadrian/core/plugin'
import { billColumns } from './columns.ts'
import { csvLine } from './csv.ts'
import { exchangeBody, listExchanges } from './exchanges.ts'
import type { StoredExchange } from './exchanges.ts'
import type { Filters } from './filters.ts'

/** Rows in memory at a time. */
const pageSize = 1000

const columns = [
  'id',
  'started_at',
  'principal_id',
  'principal_name',
  'user_id',
  'service_account_id',
  'project_id',
  'team_ids',
  'organization_ids',
  'operation',
  'dialect',
  'requested_model',
  'provider',
  'model',
  'outcome',
  'http_status',
  'error_code',
  'plugin',
  'plugins',
  'streamed',
  'attempts',
  ...billColumns,
  'estimated',
  'purchases',
  'finish_reason',
  'duration_ms',
  'first_event_ms',
] as const

/**
 * All exchanges that filters leave as CSV, the newest first, a page at a time. The first page is read before this
 * resolves, so that a failure is still an answer of its own.
 */
export async function exportExchanges(database: Queryable, filters: Filters): Promise<AsyncIterable<string>> {
  const first = await readPage(database, filters, undefined)
  return pages(database, filters, first)
}

async function* pages(
  database: Queryable,
  filters: Filters,
  first: readonly StoredExchange[],
): AsyncGenerator<string, void> {
  yield csvLine(columns)
  for (let page = first; page.length > 0;) {
    yield page.map(lineOf).join('')
    const last = page.at(-1)!
    if (page.length < pageSize) return
    page = await readPage(database, filters, { time: last.started_at, id: last.id })
  }
}

function readPage(
  database: Queryable,
  filters: Filters,
  cursor: { readonly time: Date; readonly id: string } | undefined,
): Promise<StoredExchange[]> {
  return listExchanges(database, filters, { fetch: pageSize, cursor, compare: '<', order: 'desc' })
}

function lineOf(row: StoredExchange): string {
  const body = exchangeBody(row)
  return csvLine(columns.map((name) => body[name]))
}
