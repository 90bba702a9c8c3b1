import { gatewayError, isUuid, jsonReply, pageBody, readPage } from '@hadrian/core/plugin'
import type { Clock, GatewayError, Identity, JsonObject, Reply, Route } from '@hadrian/core/plugin'
import { grantedModels } from './grants.ts'
import { issueKey, issueSecret } from './issue.ts'
import type { KeyCache } from './key-cache.ts'
import { mostEarlierSecrets } from './key-table.ts'
import type { KeyRecord, KeyTable } from './key-table.ts'
import { readChange, readCreation, readFilter, readGraceMs } from './requests.ts'

const path = '/admin/v1/api-keys'

/** What the admin API of keys works with. */
export interface KeyRoutesOptions {
  readonly table: KeyTable
  readonly cache: KeyCache
  readonly clock: Clock
  readonly identity: Identity
}

/** The admin API of keys. */
export function keyRoutes({ table, cache, clock, identity }: KeyRoutesOptions): Route[] {
  const show = (record: KeyRecord): JsonObject => recordBody(record, clock.now())
  const read = async (id: string): Promise<KeyRecord> => {
    const record = isUuid(id) ? await table.read(id) : undefined
    if (!record) throw unknownKey()
    return record
  }
  return [
    {
      method: 'POST',
      path,
      scope: 'admin',
      summary: 'Create an API key; the answer is the only one that shows it',
      async handle(call, principal) {
        const { settings, owner } = readCreation(await call.body(), clock.now(), identity)
        const allowed_models = grantedModels(principal, settings.allowed_models)
        const createdBy = principal?.id ?? null
        const { key, row } = issueKey({ settings: { ...settings, allowed_models }, owner, createdBy }, clock.now())
        const record = await table.insert(row)
        cache.add(record)
        return withSecret(show(record), key)
      },
    },
    {
      method: 'GET',
      path,
      scope: 'admin',
      summary: 'List API keys, the newest first',
      async handle(call) {
        const filter = readFilter(call.query)
        const page = readPage(call.query)
        const rows = await table.list(page, filter)
        return jsonReply(pageBody(page, rows, ({ created_at: time, id }) => ({ time, id }), show))
      },
    },
    {
      method: 'GET',
      path: `${path}/:id`,
      scope: 'admin',
      summary: 'Show an API key',
      handle: async ({ params: { id = '' } }) => jsonReply(show(await read(id))),
    },
    {
      method: 'PATCH',
      path: `${path}/:id`,
      scope: 'admin',
      summary: 'Change an API key; what the body does not name stays',
      async handle(call, principal) {
        const { id } = await read(call.params['id'] ?? '')
        const change = readChange(await call.body(), clock.now())
        if (change.allowed_models !== undefined) grantedModels(principal, change.allowed_models)
        const record = await table.change(id, change)
        if (!record) throw unusable(await read(id), clock.now())
        cache.add(record)
        return jsonReply(show(record))
      },
    },
    {
      method: 'POST',
      path: `${path}/:id/rotate`,
      scope: 'admin',
      summary: 'Give an API key a new secret; the one of until now goes on for a while',
      async handle(call, principal) {
        const { id, allowed_models } = await read(call.params['id'] ?? '')
        const graceMs = readGraceMs(await call.body())
        // Whoever rotates a key holds it.
        grantedModels(principal, allowed_models)
        const { key, ...secret } = issueSecret()
        const record = await table.rotate(id, { ...secret, graceMs }, new Date(clock.now()))
        if (!record) throw unusable(await read(id), clock.now())
        cache.add(record)
        return withSecret(show(record), key)
      },
    },
    {
      method: 'DELETE',
      path: `${path}/:id`,
      scope: 'admin',
      summary: 'Revoke an API key, with all its secrets',
      async handle({ params: { id = '' } }) {
        const record = isUuid(id) ? await table.revoke(id, new Date(clock.now())) : undefined
        if (!record) throw unknownKey()
        cache.remove(record.id)
        return jsonReply(show(record))
      },
    },
  ]
}

function withSecret(record: JsonObject, key: string): Reply {
  return jsonReply({ ...record, key }, { status: 201, headers: { 'cache-control': 'no-store' } })
}

/** Does not repeat the id: it may be a key that somebody put in the wrong place. */
function unknownKey(): GatewayError {
  return gatewayError('not_found', 'There is no API key with this id')
}

/** Why a key that is there could not be changed or rotated. */
function unusable({ revoked_at: revokedAt, expires_at: expiresAt }: KeyRecord, nowMs: number): GatewayError {
  if (revokedAt) return gatewayError('conflict', 'The key is revoked')
  if (expiresAt && expiresAt.getTime() <= nowMs)
    return gatewayError('conflict', 'The key has expired; give it a later expires_at first')
  return gatewayError(
    'conflict',
    `The key has ${mostEarlierSecrets} secrets from before rotations that are still valid; wait, or revoke it`,
  )
}

function recordBody(record: KeyRecord, nowMs: number): JsonObject {
  const { owner_kind: kind, owner_id: ownerId } = record
  return {
    id: record.id,
    name: record.name,
    key_prefix: record.key_prefix,
    owner: kind === null ? null : { type: kind, [`${kind}_id`]: ownerId },
    scopes: record.scopes,
    allowed_models: record.allowed_models,
    ip_allowlist: record.ip_allowlist,
    budgets: record.budgets,
    rate_limits: record.rate_limits,
    created_by: record.created_by,
    created_at: record.created_at,
    expires_at: record.expires_at,
    rotated_at: record.rotated_at,
    previous_keys: record.earlier_secrets
      .filter(({ valid_until_ms: untilMs }) => untilMs > nowMs && record.revoked_at === null)
      .map(({ prefix, valid_until_ms: untilMs }) => ({ key_prefix: prefix, valid_until: new Date(untilMs) })),
    revoked_at: record.revoked_at,
    last_used_at: record.last_used_at,
  }
}
