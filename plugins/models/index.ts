import { definePlugin } from '@hadrian/core/plugin'
import type { ModelBook } from '@hadrian/core/plugin'
import { Book } from './book.ts'
import { EntryCache } from './entry-cache.ts'
import { EntryTable } from './entry-table.ts'
import { KnownModels } from './known-models.ts'
import { options as optionsSchema } from './options.ts'
import { modelRoutes } from './routes.ts'

export default definePlugin({
  name: 'models',
  api: 1,
  description: 'What models can do: built-in data, and what the operator says.',
  options: optionsSchema,
  provides: ['model-book'],
  migrations: new URL('./migrations/', import.meta.url),

  setup({ options, db, catalog, clock, logger }) {
    const known = new KnownModels({
      instances: catalog.providers,
      named: options.providers,
      isWanted: options.built_in,
      logger,
    })
    const table = new EntryTable(db, (id, mistakes) =>
      logger.warn({ id, mistakes }, 'some fields of a model are not valid as they are stored, and do not hold'),
    )
    const cache = new EntryCache({
      table,
      database: db,
      clock,
      logger,
      refreshIntervalMs: options.refresh_interval_ms,
    })
    const book = new Book(cache, known)
    return {
      routes: modelRoutes({ table, catalog, clock, follow: (id) => cache.follow(id) }),
      services: { 'model-book': book satisfies ModelBook },
      async start() {
        // Both to their end, whatever the other does, so that stop finds nothing under way.
        const [reading, entries] = await Promise.allSettled([known.load(), cache.start()])
        if (entries.status === 'rejected') throw entries.reason
        if (reading.status === 'rejected') throw reading.reason
        if (reading.value) book.noteReading()
      },
      async stop() {
        await known.stop()
        await cache.stop()
      },
    }
  },
})
