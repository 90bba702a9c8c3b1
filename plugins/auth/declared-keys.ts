import { createHash } from 'node:crypto'
import { invalidRequest, ownerKinds } from '@hadrian/core/plugin'
import type { ReportMistake, RequestMistake } from '@hadrian/core/plugin'
import { readSettings } from './key-settings.ts'
import type { NamedOwner } from './key-settings.ts'
import { hashOf } from './keys.ts'
import { KnownKey } from './known-key.ts'
import type { KnownSecret } from './known-key.ts'
import { knownScopes } from './scopes.ts'

/** A key as it stands under `[plugins.auth.keys.NAME]`. */
export interface DeclaredKey {
  readonly key: string
  readonly [field: string]: unknown
}

/** The keys of the config. */
export class DeclaredKeys {
  readonly #byHash = new Map<string, KnownSecret>()
  /** Of the secrets, so that other tokens need not be hashed to see that they are none. */
  readonly #lengths = new Set<number>()
  readonly #byId = new Map<string, KnownKey>()

  get size(): number {
    return this.#byId.size
  }

  /** All of them, for a look at their owners. */
  get keys(): Iterable<KnownKey> {
    return this.#byId.values()
  }

  /** The key with this secret; it may be over. */
  find(token: string): KnownSecret | undefined {
    return this.#lengths.has(token.length) ? this.#byHash.get(hashOf(token)) : undefined
  }

  byId(id: string): KnownKey | undefined {
    return this.#byId.get(id)
  }

  /** @returns false if another key has the same secret */
  add(secret: string, key: KnownKey): boolean {
    const hash = hashOf(secret)
    if (this.#byHash.has(hash)) return false
    this.#byHash.set(hash, { key, validUntilMs: key.expiresAt?.getTime() ?? Infinity })
    this.#lengths.add(secret.length)
    this.#byId.set(key.id, key)
    return true
  }
}

/**
 * Reads the options `bootstrap_key` and `keys`, of which the schema has checked the secrets.
 *
 * @throws GatewayError `invalid_request_error` with every mistake, by its path in the options
 */
export function readDeclaredKeys(
  bootstrapKey: string | undefined,
  declared: Readonly<Record<string, DeclaredKey>>,
): DeclaredKeys {
  const mistakes: RequestMistake[] = []
  const keys = new DeclaredKeys()
  if (bootstrapKey !== undefined)
    keys.add(
      bootstrapKey,
      new KnownKey({
        ...unlimited,
        id: stableId('bootstrap_key'),
        name: 'bootstrap key',
        scopes: [...knownScopes],
        owner: undefined,
      }),
    )
  for (const [name, { key: secret, ...body }] of Object.entries(declared)) {
    const path = `keys.${name}`
    const before = mistakes.length
    const wrong = (mistake: RequestMistake): void => void mistakes.push({ ...mistake, path: `${path}.${mistake.path}` })
    // One that is over must not keep the gateway from starting.
    const settings = readSettings(body, -Infinity, wrong)
    const owner = readNamedOwner(body['owner'], wrong)
    if (mistakes.length > before) continue
    const known = new KnownKey({ ...unlimited, ...settings, id: stableId(`keys.${name}`), name, owner })
    if (!keys.add(secret, known)) wrong({ path: 'key', message: 'is the same as that of another key' })
  }
  if (mistakes.length > 0) throw invalidRequest(mistakes)
  return keys
}

/** Reads `project:acme/search`. Undefined for absent. Says nothing of whether it exists. */
function readNamedOwner(value: unknown, wrong: ReportMistake): NamedOwner | undefined {
  if (value === undefined) return undefined
  const [kind, ...rest] = typeof value === 'string' ? value.split(':') : []
  const name = rest.join(':')
  const known = ownerKinds.find((each) => each === kind)
  if (known !== undefined && name !== '') return { kind: known, name }
  wrong({
    path: 'owner',
    message: `must be a kind and a name, as project:acme/search; kinds are ${ownerKinds.join(', ')}`,
  })
  return undefined
}

const unlimited = {
  scopes: null,
  allowed_models: null,
  expires_at: null,
  ip_allowlist: null,
  budgets: null,
  rate_limits: null,
}

/** A UUID (version 8) that is made of a name, so that spend survives restarts and a change of the secret. */
function stableId(name: string): string {
  const bytes = createHash('sha256').update(`hadrian:auth:${name}`).digest().subarray(0, 16)
  bytes[6] = (bytes[6]! & 0x0f) | 0x80
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}
