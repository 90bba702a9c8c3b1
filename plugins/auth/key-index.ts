import type { Principal } from '@hadrian/core/plugin'
import type { KeyIdentity } from './key-table.ts'

/** A key in memory. */
export interface KnownKey {
  readonly principal: Principal
  /** Milliseconds since 1970; infinite for a key that does not expire. */
  readonly expiresAtMs: number
}

/** Keys by the hash of the secret, and by their id. About 600 bytes each. */
export class KeyIndex {
  readonly #byHash = new Map<string, KnownKey>()
  readonly #hashes = new Map<string, string>()

  get size(): number {
    return this.#byHash.size
  }

  /**
   * A plain lookup, not a constant-time comparison: what is compared is a SHA-256 digest, of which a caller can choose no
   * part without knowing the key, so the time it takes tells nothing that helps to find one.
   */
  get(hash: string): KnownKey | undefined {
    return this.#byHash.get(hash)
  }

  set(identity: KeyIdentity): void {
    const { id, key_hash: hash } = identity
    this.delete(id)
    this.#byHash.set(hash, {
      principal: principalOf(identity),
      expiresAtMs: identity.expires_at?.getTime() ?? Infinity,
    })
    this.#hashes.set(id, hash)
  }

  delete(id: string): void {
    const hash = this.#hashes.get(id)
    if (hash === undefined) return
    this.#byHash.delete(hash)
    this.#hashes.delete(id)
  }
}

function principalOf({ id, name, scopes, allowed_models: allowedModels }: KeyIdentity): Principal {
  return { id, name, ...(scopes && { scopes }), ...(allowedModels && { allowedModels }) }
}
