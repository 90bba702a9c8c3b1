import { KnownKey } from './known-key.ts'
import type { KnownSecret } from './known-key.ts'
import type { KeyIdentity } from './key-table.ts'

interface Entry {
  readonly key: KnownKey
  readonly hashes: readonly string[]
}

/** Keys by the hashes of their secrets, and by their id. About 1.4 kB each. */
export class KeyIndex {
  readonly #byHash = new Map<string, KnownSecret>()
  readonly #byId = new Map<string, Entry>()

  /**
   * A plain lookup, not a constant-time comparison: what is compared is a SHA-256 digest, of which a caller can choose no
   * part without knowing the key, so the time it takes tells nothing that helps to find one.
   */
  get(hash: string): KnownSecret | undefined {
    return this.#byHash.get(hash)
  }

  byId(id: string): KnownKey | undefined {
    return this.#byId.get(id)?.key
  }

  /** @throws Error if the row is not valid; the key is then not known */
  set(identity: KeyIdentity): void {
    const { id, key_hash: hash, owner_kind: kind, owner_id: ownerId, earlier_secrets: earlier } = identity
    this.delete(id)
    const owner = kind !== null && ownerId !== null ? { kind, id: ownerId } : undefined
    const key = new KnownKey({ ...settingsOf(identity), id, owner })
    const expiresAtMs = key.expiresAt?.getTime() ?? Infinity
    this.#byHash.set(hash, { key, validUntilMs: expiresAtMs })
    for (const secret of earlier)
      this.#byHash.set(secret.hash, { key, validUntilMs: Math.min(expiresAtMs, secret.valid_until_ms) })
    this.#byId.set(id, { key, hashes: earlier.length === 0 ? [hash] : [hash, ...earlier.map((secret) => secret.hash)] })
  }

  delete(id: string): void {
    for (const hash of this.#byId.get(id)?.hashes ?? []) this.#byHash.delete(hash)
    this.#byId.delete(id)
  }
}

function settingsOf(row: KeyIdentity): Omit<ConstructorParameters<typeof KnownKey>[0], 'id' | 'owner'> {
  const { name, scopes, allowed_models, expires_at, ip_allowlist, budgets, rate_limits } = row
  return { name, scopes, allowed_models, expires_at, ip_allowlist, budgets, rate_limits }
}
