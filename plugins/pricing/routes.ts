import { randomUUID } from 'node:crypto'
import { gatewayError, invalidRequest, isUuid, jsonReply, pageBody, pricesBody, readPage } from '@hadrian/core/plugin'
import type { Catalog, Clock, GatewayError, Route } from '@hadrian/core/plugin'
import type { Book } from './book.ts'
import { readEntry, recordBody } from './price-body.ts'
import type { PriceTable } from './price-table.ts'

const path = '/admin/v1/model-pricing'

export interface PriceRoutesOptions {
  readonly table: PriceTable
  readonly book: Book
  readonly catalog: Catalog
  readonly clock: Clock
  /** Resolves when what was written is what is charged. */
  readonly refresh: () => Promise<void>
}

/** The admin API of prices. */
export function priceRoutes({ table, book, catalog, clock, refresh }: PriceRoutesOptions): Route[] {
  const instances = catalog.providers.map(({ name }) => name)
  const now = (): Date => new Date(clock.now())
  return [
    {
      method: 'POST',
      path,
      scope: 'admin',
      summary: 'Set the prices of a model, or of all whose names begin alike',
      async handle(call) {
        const record = await table.insert(randomUUID(), readEntry(await call.body(), instances), now())
        await refresh()
        return jsonReply(recordBody(record), { status: 201 })
      },
    },
    {
      method: 'GET',
      path,
      scope: 'admin',
      summary: 'List the prices that were set, the newest first',
      async handle({ query }) {
        const page = readPage(query)
        const records = await table.list(page)
        return jsonReply(pageBody(page, records, ({ createdAt: time, id }) => ({ time, id }), recordBody))
      },
    },
    {
      method: 'GET',
      path: `${path}/effective`,
      scope: 'admin',
      summary: 'Show what calls of a model are charged, and where that comes from',
      handle({ query: { provider = '', model = '' } }) {
        const mistakes = [
          ...(instances.includes(provider)
            ? []
            : [{ path: 'provider', message: `must be the name of a provider: ${instances.join(', ')}` }]),
          ...(model === '' ? [{ path: 'model', message: 'must be the name of a model' }] : []),
        ]
        if (mistakes.length > 0) throw invalidRequest(mistakes)
        const target = catalog.resolve(`${provider}/${model}`).find((each) => each.provider === provider) ?? {
          provider,
          model,
          name: `${provider}/${model}`,
          requested: `${provider}/${model}`,
        }
        const { source, origin } = book.find(target)
        const prices = book.prices(target)
        return jsonReply({
          provider: target.provider,
          model: target.model,
          source,
          origin: origin ?? null,
          prices: prices ? pricesBody(prices) : null,
        })
      },
    },
    {
      method: 'GET',
      path: `${path}/:id`,
      scope: 'admin',
      summary: 'Show prices that were set',
      async handle({ params: { id } }) {
        const record = isUuid(id) ? await table.read(id) : undefined
        if (!record) throw noSuchEntry()
        return jsonReply(recordBody(record))
      },
    },
    {
      method: 'PUT',
      path: `${path}/:id`,
      scope: 'admin',
      summary: 'Replace prices that were set',
      async handle(call) {
        const { id } = call.params
        const entry = readEntry(await call.body(), instances)
        const record = isUuid(id) ? await table.replace(id, entry, now()) : undefined
        if (!record) throw noSuchEntry()
        await refresh()
        return jsonReply(recordBody(record))
      },
    },
    {
      method: 'DELETE',
      path: `${path}/:id`,
      scope: 'admin',
      summary: 'Delete prices that were set',
      async handle({ params: { id } }) {
        const record = isUuid(id) ? await table.delete(id) : undefined
        if (!record) throw noSuchEntry()
        await refresh()
        return jsonReply(recordBody(record))
      },
    },
  ]
}

function noSuchEntry(): GatewayError {
  return gatewayError('not_found', 'There are no prices with this id')
}
