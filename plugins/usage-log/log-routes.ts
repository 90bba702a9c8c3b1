import { gatewayError, jsonReply, pageBody, readPage } from '@hadrian/core/plugin'
import type { Clock, Queryable, Route } from '@hadrian/core/plugin'
import { adminRoute } from './admin-route.ts'
import { exchangeBody, listExchanges, readAttempts, readExchange } from './exchanges.ts'
import { exportExchanges } from './export.ts'
import { logFilters, readFilters } from './filters.ts'
import { idOf } from './values.ts'

/** The admin API of single exchanges. */
export function logRoutes(database: Queryable, clock: Clock): Route[] {
  return [
    adminRoute('/logs', 'List exchanges, the newest first', async ({ query }) => {
      const page = readPage(query)
      const rows = await listExchanges(database, readFilters(query, logFilters, ['limit', 'cursor']), page)
      return jsonReply(pageBody(page, rows, ({ started_at: time, id }) => ({ time, id }), exchangeBody))
    }),
    // Before the next one, whose path it matches too.
    adminRoute('/logs/export', 'Download exchanges as CSV, the newest first', async ({ query }) => {
      const filters = readFilters(query, logFilters)
      // Without an end it would run after what comes in meanwhile.
      const bounded = { ...filters, to: filters.to ?? new Date(clock.now() + 1) }
      return {
        status: 200,
        headers: {
          'content-type': 'text/csv; charset=utf-8; header=present',
          'content-disposition': 'attachment; filename="usage.csv"',
          'cache-control': 'no-store',
        },
        body: await exportExchanges(database, bounded),
      }
    }),
    adminRoute('/logs/:id', 'Show an exchange with its attempts', async ({ params }) => {
      const row = await readExchange(database, idOf(params['id'] ?? ''))
      if (!row) throw gatewayError('not_found', 'There is no exchange with this id')
      const { attempts: attempt_count, ...body } = exchangeBody(row)
      return jsonReply({ ...body, attempt_count, attempts: await readAttempts(database, row.id) })
    }),
  ]
}
