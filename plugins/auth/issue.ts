import { randomUUID } from 'node:crypto'
import { createKey, hashOf, prefixOf } from './keys.ts'
import type { KeyRecord } from './key-table.ts'

/** A new secret with the row that stands for it. The secret is shown once and kept nowhere. */
export function issueKey(
  content: Pick<KeyRecord, 'name' | 'scopes' | 'allowed_models' | 'expires_at' | 'created_by'>,
  nowMs: number,
): { readonly key: string; readonly row: Omit<KeyRecord, 'revoked_at' | 'last_used_at'> } {
  const key = createKey()
  const { name, scopes, allowed_models, expires_at, created_by } = content
  const row = {
    id: randomUUID(),
    key_hash: hashOf(key),
    key_prefix: prefixOf(key),
    created_at: new Date(nowMs),
    name,
    scopes,
    allowed_models,
    expires_at,
    created_by,
  }
  return { key, row }
}
