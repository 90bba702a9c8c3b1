import type { Clock } from '@hadrian/core/plugin'
import { issueKey } from './issue.ts'
import type { KeyCache } from './key-cache.ts'
import type { KeyTable } from './key-table.ts'
import { knownScopes } from './scopes.ts'

/** The service `bootstrap-key`: a way in for an operator who has none yet. */
export interface BootstrapKey {
  /**
   * Makes a key with every scope if there is no key at all (revoked ones count) and the config has none of its own.
   * Resolves to the key, to be shown once, for one caller of all instances on a database; to undefined for everybody
   * else.
   */
  createFirstKey(): Promise<string | undefined>
}

/** @param isNeeded whether the operator has no other way in */
export function bootstrapKey(table: KeyTable, cache: KeyCache, clock: Clock, isNeeded: boolean): BootstrapKey {
  return {
    async createFirstKey() {
      if (!isNeeded) return undefined
      const settings = { name: 'first key', scopes: [...knownScopes] }
      const { key, row } = issueKey({ settings, createdBy: null }, clock.now())
      const record = await table.insertFirst(row)
      if (!record) return undefined
      cache.add(record)
      return key
    },
  }
}
