import { jsonReply, pageBody, readPage } from '@hadrian/core/plugin'
import type { Database, Route } from '@hadrian/core/plugin'
import { readFields } from './fields.ts'
import type { OwnerKey } from './owner-index.ts'
import { ResourceTable } from './resource-table.ts'
import type { Resource } from './resources.ts'

/**
 * The admin API of one kind of owner.
 *
 * @param follow resolves when the gateway has seen a change
 */
export function resourceRoutes(
  database: Database,
  resource: Resource,
  follow: (owner: OwnerKey) => Promise<void>,
): Route[] {
  const { kind, noun, path, key, fields } = resource
  const table = new ResourceTable(database, resource)
  const one = `${path}/:${key.param}`
  const some = `${noun === 'organization' ? 'an' : 'a'} ${noun}`
  return [
    {
      method: 'POST',
      path,
      scope: 'admin',
      summary: `Create ${some}`,
      async handle(call) {
        const row = await table.create(call.params, readFields(fields, await call.body(), 'create'))
        await follow({ kind, id: row.id })
        return jsonReply(row, { status: 201 })
      },
    },
    {
      method: 'GET',
      path,
      scope: 'admin',
      summary: `List ${noun}s, the newest first`,
      async handle({ params, query }) {
        const page = readPage(query)
        const rows = await table.list(params, page)
        return jsonReply(
          pageBody(
            page,
            rows,
            ({ created_at: time, id }) => ({ time, id }),
            (row) => row,
          ),
        )
      },
    },
    {
      method: 'GET',
      path: one,
      scope: 'admin',
      summary: `Show ${some}`,
      handle: async ({ params }) => jsonReply(await table.read(params)),
    },
    {
      method: 'PATCH',
      path: one,
      scope: 'admin',
      summary: `Change ${some}; null clears a field`,
      async handle(call) {
        const row = await table.change(call.params, readFields(fields, await call.body(), 'change'))
        await follow({ kind, id: row.id })
        return jsonReply(row)
      },
    },
    {
      method: 'DELETE',
      path: one,
      scope: 'admin',
      summary: `Delete ${some}`,
      async handle({ params }) {
        const row = await table.remove(params)
        await follow({ kind, id: row.id })
        return jsonReply(row)
      },
    },
  ]
}
