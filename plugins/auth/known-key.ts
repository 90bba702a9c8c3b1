import { isUuid, readLimits } from '@hadrian/core/plugin'
import type { Identity, Principal } from '@hadrian/core/plugin'
import { IpRanges } from './ip-ranges.ts'
import type { KeyOwner, KeySettings, NamedOwner } from './key-settings.ts'

/** What a key in memory is made of. */
export interface KeyContent extends KeySettings {
  readonly id: string
  readonly owner: KeyOwner | NamedOwner | undefined
}

/** A key in memory, and the principal it makes of its caller. */
export class KnownKey {
  readonly id: string
  readonly expiresAt: Date | null
  readonly owner: KeyOwner | NamedOwner | undefined
  /** Without owners. */
  readonly #own: Principal
  readonly #ipAllowlist: readonly string[] | null
  #ranges: IpRanges | undefined
  #principal: Principal | undefined
  /** The version of identities that `#principal` was made at. */
  #version: number | undefined

  /** @throws Error if its limits are not valid: a key that was changed by hand must not go on without them */
  constructor(content: KeyContent) {
    const { id, name, scopes, allowed_models: allowedModels, budgets, rate_limits } = content
    const limits = readLimits({ budgets, rate_limits }, ({ path, message }) => {
      throw new Error(`${path} ${message}`)
    })
    this.id = id
    this.expiresAt = content.expires_at
    this.owner = content.owner
    this.#ipAllowlist = content.ip_allowlist
    this.#own = { id, name, ...(scopes && { scopes }), ...(allowedModels && { allowedModels }), ...limits }
  }

  /** Undefined while its owner does not exist. The same object as long as nothing has changed. */
  principal(identity: Identity): Principal | undefined {
    if (!this.owner) return this.#own
    const { version } = identity
    if (version === this.#version) return this.#principal
    const id = 'id' in this.owner ? this.owner.id : idOf(this.owner, identity)
    const owners = id === undefined ? undefined : identity.chain(this.owner.kind, id)
    this.#principal = owners && { ...this.#own, owners }
    this.#version = version
    return this.#principal
  }

  /** Whether the key may be used from an address. */
  mayComeFrom(ip: string): boolean {
    if (!this.#ipAllowlist) return true
    // Made at the first use, as most keys of most gateways are idle.
    this.#ranges ??= new IpRanges(this.#ipAllowlist)
    return this.#ranges.includes(ip)
  }
}

function idOf({ kind, name }: NamedOwner, identity: Identity): string | undefined {
  return isUuid(name) ? name.toLowerCase() : identity.find(kind, name)
}

/** One secret of a key. */
export interface KnownSecret {
  readonly key: KnownKey
  /** Milliseconds since 1970; infinite for one that does not expire. */
  readonly validUntilMs: number
}
