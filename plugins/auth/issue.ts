import { randomUUID } from 'node:crypto'
import type { KeyOwner, KeySettings } from './key-settings.ts'
import { createKey, hashOf, prefixOf } from './keys.ts'
import type { NewKey } from './key-table.ts'

/** What a key has of which nothing is said. */
const noSettings: KeySettings = {
  name: 'unnamed',
  scopes: null,
  allowed_models: null,
  expires_at: null,
  ip_allowlist: null,
  budgets: null,
  rate_limits: null,
}

/** A new secret with what is stored of it. The secret is shown once and kept nowhere. */
export function issueSecret(): { readonly key: string; readonly key_hash: string; readonly key_prefix: string } {
  const key = createKey()
  return { key, key_hash: hashOf(key), key_prefix: prefixOf(key) }
}

/** A new key with the row that stands for it. */
export function issueKey(
  content: {
    readonly settings: Partial<KeySettings>
    readonly owner?: KeyOwner | undefined
    readonly createdBy: string | null
  },
  nowMs: number,
): { readonly key: string; readonly row: NewKey } {
  const { key, ...secret } = issueSecret()
  const row = {
    id: randomUUID(),
    ...secret,
    ...noSettings,
    ...content.settings,
    owner_kind: content.owner?.kind ?? null,
    owner_id: content.owner?.id ?? null,
    created_by: content.createdBy,
    created_at: new Date(nowMs),
  }
  return { key, row }
}
