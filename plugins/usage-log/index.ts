import { definePlugin } from '@hadrian/core/plugin'
import { Retention } from './retention.ts'
import { logRoutes } from './routes.ts'
import { rowOf } from './row.ts'
import { RowQueue } from './row-queue.ts'

export default definePlugin({
  name: 'usage-log',
  api: 1,
  description: 'One row per exchange.',
  options: {
    type: 'object',
    additionalProperties: false,
    properties: {
      flush_interval_ms: {
        type: 'integer',
        minimum: 10,
        default: 500,
        description: 'How long a row waits in memory at most; what a killed process loses.',
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
        description: 'Rows older than this are deleted; 0 keeps all.',
      },
    },
  },
  migrations: new URL('./migrations/', import.meta.url),

  setup({ options, db, clock, logger }) {
    const queue = new RowQueue({
      database: db,
      clock,
      logger,
      flushIntervalMs: options.flush_interval_ms,
      batchSize: options.batch_size,
    })
    const retention = new Retention(db, clock, logger, options.retention_days)
    return {
      settle: (exchange, outcome) => queue.push(rowOf(exchange, outcome)),
      routes: logRoutes(db),
      start: () => retention.start(),
      async stop() {
        await retention.stop()
        await queue.stop()
      },
    }
  },
})
