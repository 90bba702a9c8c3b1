import { jsonReply, limitsBody } from '@hadrian/core/plugin'
import type { JsonObject, Owner, Principal, Route } from '@hadrian/core/plugin'
import type { KnownKey } from './known-key.ts'

/**
 * What a caller may know of itself. Also for callers whom another plugin has identified.
 *
 * @param keyOf the key of a principal id, if it is one of this plugin's
 */
export function ownKeyRoute(keyOf: (id: string) => KnownKey | undefined): Route {
  return {
    method: 'GET',
    path: '/api/v1/key',
    scope: 'models',
    summary: 'Show what the key of this request may do, and its limits',
    handle(_, principal) {
      return jsonReply(principal ? body(principal, keyOf(principal.id)) : {}, {
        headers: { 'cache-control': 'no-store' },
      })
    },
  }
}

function body(principal: Principal, key: KnownKey | undefined): JsonObject {
  return {
    id: principal.id,
    name: principal.name ?? null,
    owners: (principal.owners ?? []).map(ownerBody),
    scopes: principal.scopes ?? null,
    allowed_models: principal.allowedModels ?? null,
    ...limitsBody(principal),
    expires_at: key?.expiresAt ?? null,
  }
}

function ownerBody({ kind, id, name, ...limits }: Owner): JsonObject {
  return { type: kind, id, name: name ?? null, ...limitsBody(limits) }
}
