import { gatewayError, jsonReply, pageBody, readPage } from '@hadrian/core/plugin'
import type { Clock, GatewayError, JsonObject, Route } from '@hadrian/core/plugin'
import { readCreation } from './creation.ts'
import { grantedModels } from './grants.ts'
import { issueKey } from './issue.ts'
import type { KeyCache } from './key-cache.ts'
import type { KeyRecord, KeyTable } from './key-table.ts'

const path = '/admin/v1/api-keys'
const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** The admin API of keys. */
export function keyRoutes(table: KeyTable, cache: KeyCache, clock: Clock): Route[] {
  return [
    {
      method: 'POST',
      path,
      scope: 'admin',
      summary: 'Create an API key; the answer is the only one that shows it',
      async handle(call, principal) {
        const creation = readCreation(await call.body(), clock.now())
        const { key, row } = issueKey(
          {
            name: creation.name,
            scopes: creation.scopes,
            allowed_models: grantedModels(principal, creation.allowedModels),
            expires_at: creation.expiresAt,
            created_by: principal?.id ?? null,
          },
          clock.now(),
        )
        const record = await table.insert(row)
        cache.add(record)
        return jsonReply({ ...recordBody(record), key }, { status: 201, headers: { 'cache-control': 'no-store' } })
      },
    },
    {
      method: 'GET',
      path,
      scope: 'admin',
      summary: 'List API keys, the newest first',
      async handle(call) {
        const page = readPage(call.query)
        const rows = await table.list(page)
        return jsonReply(pageBody(page, rows, ({ created_at: time, id }) => ({ time, id }), recordBody))
      },
    },
    {
      method: 'GET',
      path: `${path}/:id`,
      scope: 'admin',
      summary: 'Show an API key',
      async handle({ params: { id = '' } }) {
        const record = uuid.test(id) ? await table.read(id) : undefined
        if (!record) throw unknownKey()
        return jsonReply(recordBody(record))
      },
    },
    {
      method: 'DELETE',
      path: `${path}/:id`,
      scope: 'admin',
      summary: 'Revoke an API key',
      async handle({ params: { id = '' } }) {
        const record = uuid.test(id) ? await table.revoke(id, new Date(clock.now())) : undefined
        if (!record) throw unknownKey()
        cache.remove(record.id)
        return jsonReply(recordBody(record))
      },
    },
  ]
}

/** Does not repeat the id: it may be a key that somebody put in the wrong place. */
function unknownKey(): GatewayError {
  return gatewayError('not_found', 'There is no API key with this id')
}

function recordBody(record: KeyRecord): JsonObject {
  return {
    id: record.id,
    name: record.name,
    key_prefix: record.key_prefix,
    scopes: record.scopes,
    allowed_models: record.allowed_models,
    created_by: record.created_by,
    created_at: record.created_at,
    expires_at: record.expires_at,
    revoked_at: record.revoked_at,
    last_used_at: record.last_used_at,
  }
}
