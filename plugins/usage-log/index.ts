import { definePlugin } from '@hadrian/core/plugin'
import { forecastRoute } from './forecast-route.ts'
import { logRoutes } from './log-routes.ts'
import { PendingRows } from './pending-rows.ts'
import { Retention } from './retention.ts'
import { rowOf } from './row.ts'
import { RowQueue } from './row-queue.ts'
import { sumRoutes } from './sum-routes.ts'
import { writeRows } from './write.ts'

const name = 'usage-log'

export default definePlugin({
  name,
  api: 1,
  description: 'One row per exchange and attempt, sums of them, and a forecast of spend.',
  options: {
    type: 'object',
    additionalProperties: false,
    properties: {
      flush_interval_ms: {
        type: 'integer',
        minimum: 10,
        default: 500,
        description: 'How long a row waits in memory and journal at most before it is written to the database.',
      },
      batch_size: {
        type: 'integer',
        minimum: 1,
        maximum: 5000,
        default: 500,
        description: 'Rows per statement. As many as this are written at once, without waiting.',
      },
      retention_days: {
        type: 'integer',
        minimum: 0,
        maximum: 36_500,
        default: 90,
        description: 'Exchanges and attempts older than this are deleted; 0 keeps all.',
      },
      rollup_retention_days: {
        type: 'integer',
        minimum: 0,
        maximum: 36_500,
        default: 0,
        description: 'Sums older than this are deleted, by whole days of UTC; 0 keeps all.',
      },
    },
  },
  migrations: new URL('./migrations/', import.meta.url),

  setup({ options, db, clock, logger, journal, retain }) {
    const pending = retain(`${name}.pending`, () => new PendingRows())
    const queue = new RowQueue({
      write: (rows) => writeRows(db, rows),
      clock,
      logger,
      flushIntervalMs: options.flush_interval_ms,
      batchSize: options.batch_size,
      pending: pending.entries,
    })
    const retention = new Retention({
      database: db,
      clock,
      logger,
      days: options.retention_days,
      rollupDays: options.rollup_retention_days,
    })
    return {
      settle: (exchange, outcome) => queue.push(rowOf(exchange, outcome, clock.monotonicMs())),
      routes: [...logRoutes(db, clock), ...sumRoutes(db, clock), forecastRoute(db, clock)],
      async start() {
        const channel = await journal.open(name)
        pending.adopt(channel)
        queue.start(channel)
        retention.start()
      },
      async stop() {
        await retention.stop()
        await queue.stop()
      },
    }
  },
})
