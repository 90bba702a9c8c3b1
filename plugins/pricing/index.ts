import { definePlugin, readPrices } from '@hadrian/core/plugin'
import type { JsonObject, ModelPrices, PriceBook, ProviderSummary } from '@hadrian/core/plugin'
import { Book } from './book.ts'
import { BuiltInPrices } from './built-in-prices.ts'
import { EntryCache } from './entry-cache.ts'
import { options as optionsSchema } from './options.ts'
import { PriceTable } from './price-table.ts'
import { priceRoutes } from './routes.ts'
import { UnknownPrices } from './unknown-prices.ts'

export default definePlugin({
  name: 'pricing',
  api: 1,
  description: 'What calls cost: built-in prices, and those of the operator.',
  options: optionsSchema,
  provides: ['price-book'],
  migrations: new URL('./migrations/', import.meta.url),

  setup({ options, db, catalog, clock, logger, meter }) {
    const defaultPrices = options.default_prices && readDefault(options.default_prices)
    if (options.unknown === 'default' && !defaultPrices)
      throw new Error('unknown = "default" needs default_prices to charge')
    const book = new Book({
      clock,
      honoursReportedCost: options.reported_cost === 'prefer',
      free: freeInstances(catalog.providers, options.free),
      ...(options.unknown === 'default' && defaultPrices && { defaultPrices }),
    })
    const builtIn = new BuiltInPrices({
      instances: catalog.providers,
      named: options.providers,
      isWanted: options.built_in,
      logger,
    })
    const table = new PriceTable(db)
    const cache = new EntryCache({
      table,
      database: db,
      clock,
      logger,
      changed: (entries) => book.setEntries(entries),
    })
    const unknown = new UnknownPrices(book, meter, options.unknown)
    return {
      ...(options.unknown === 'refuse' && { route: (exchange) => unknown.exclude(exchange) }),
      reserve: (exchange, call) => unknown.check(exchange, call),
      settle: (_exchange, outcome) => unknown.count(outcome),
      routes: priceRoutes({ table, book, catalog, clock, refresh: () => cache.refresh() }),
      services: { 'price-book': book satisfies PriceBook },
      async start() {
        // Both to their end, whatever the other does, so that stop finds nothing under way.
        const [lists, entries] = await Promise.allSettled([builtIn.load(), cache.start()])
        if (entries.status === 'rejected') throw entries.reason
        if (lists.status === 'rejected') throw lists.reason
        if (lists.value) book.setLists(lists.value)
      },
      async stop() {
        builtIn.stop()
        await cache.stop()
      },
    }
  },
})

/** @throws Error that names instances which do not exist */
function freeInstances(instances: readonly ProviderSummary[], named: readonly string[]): ReadonlySet<string> {
  const missing = named.filter((each) => instances.every(({ name }) => name !== each))
  if (missing.length > 0)
    throw new Error(
      `free names ${missing.join(', ')}; there are ${instances.map(({ name }) => name).join(', ') || 'none'}`,
    )
  return new Set([...named, ...instances.filter(({ type }) => type === 'test').map(({ name }) => name)])
}

/** What no schema can see, two tiers from the same count of tokens on, is the only mistake left. */
function readDefault(prices: JsonObject): ModelPrices | undefined {
  return readPrices(prices, 'default_prices', ({ path, message }) => {
    throw new Error(`${path} ${message}`)
  })
}
