import { randomUUID } from 'node:crypto'
import {
  gatewayError,
  invalidRequest,
  isUuid,
  jsonReply,
  modelInfoBody,
  pageBody,
  readPage,
} from '@hadrian/core/plugin'
import type { Catalog, Clock, GatewayError, Route } from '@hadrian/core/plugin'
import { readEntry, recordBody } from './entry-body.ts'
import type { EntryTable } from './entry-table.ts'

const path = '/admin/v1/models'

export interface ModelRoutesOptions {
  readonly table: EntryTable
  readonly catalog: Catalog
  readonly clock: Clock
  /** Resolves when the entry that was written is what requests see. */
  readonly follow: (id: string) => Promise<void>
}

/** The admin API of models. */
export function modelRoutes({ table, catalog, clock, follow }: ModelRoutesOptions): Route[] {
  const instances = catalog.providers.map(({ name }) => name)
  const now = (): Date => new Date(clock.now())
  return [
    {
      method: 'POST',
      path,
      scope: 'admin',
      summary: 'Add a model of your own, or say what is known of one of a provider',
      async handle(call) {
        const record = await table.insert(randomUUID(), readEntry(await call.body(), instances), now())
        await follow(record.id)
        return jsonReply(recordBody(record), { status: 201 })
      },
    },
    {
      method: 'GET',
      path,
      scope: 'admin',
      summary: 'List the models that were added, the newest first',
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
      summary: 'Show where a name leads, and what is known of each target, whatever said so',
      handle({ query: { model = '' } }) {
        if (model === '') throw invalidRequest([{ path: 'model', message: 'must be the name of a model' }])
        const targets = catalog.resolve(model)
        if (targets.length === 0)
          throw gatewayError('not_found', `Model '${model}' not found`, {
            details: { suggestions: catalog.suggestions(model) },
          })
        return jsonReply({
          model,
          targets: targets.map(({ name, info = {} }) => ({ target: name, ...modelInfoBody(info) })),
        })
      },
    },
    {
      method: 'GET',
      path: `${path}/:id`,
      scope: 'admin',
      summary: 'Show a model that was added',
      async handle({ params: { id } }) {
        const [record] = isUuid(id) ? await table.read([id]) : []
        if (!record) throw noSuchEntry()
        return jsonReply(recordBody(record))
      },
    },
    {
      method: 'PUT',
      path: `${path}/:id`,
      scope: 'admin',
      summary: 'Replace a model that was added',
      async handle(call) {
        const { id } = call.params
        const entry = readEntry(await call.body(), instances)
        const record = isUuid(id) ? await table.replace(id, entry, now()) : undefined
        if (!record) throw noSuchEntry()
        await follow(record.id)
        return jsonReply(recordBody(record))
      },
    },
    {
      method: 'DELETE',
      path: `${path}/:id`,
      scope: 'admin',
      summary: 'Delete a model that was added',
      async handle({ params: { id } }) {
        const record = isUuid(id) ? await table.delete(id) : undefined
        if (!record) throw noSuchEntry()
        await follow(record.id)
        return jsonReply(recordBody(record))
      },
    },
  ]
}

function noSuchEntry(): GatewayError {
  return gatewayError('not_found', 'There is no model with this id')
}
