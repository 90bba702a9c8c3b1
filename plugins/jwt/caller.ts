import { createHash } from 'node:crypto'
import type { Identity, JsonObject, Owner, Principal } from '@hadrian/core/plugin'
import type { IssuerSettings } from './issuer-settings.ts'
import { ordinaryScopes } from './issuer-settings.ts'

/** Who a proven token is of, before the gateway's own owners are looked up. */
export interface Caller {
  readonly id: string
  readonly name: string
  readonly scopes: readonly string[]
  /** Undefined: every model. */
  readonly allowedModels: readonly string[] | undefined
  readonly user: string
  readonly organization: string | undefined
}

const longestUser = 512
const longestName = 255
const longestModel = 256
const mostWords = 1000
const unprintable = /[\p{Cc}\p{Cs}]/u

/** Reads the claims of a proven token; undefined if they do not say who it is of, or are of wrong kinds. */
export function readCaller(claims: JsonObject, settings: IssuerSettings): Caller | undefined {
  const { claims: names } = settings
  const user = claimAt(claims, names.user)
  if (!isText(user, longestUser)) return undefined
  const organization = names.organization === undefined ? undefined : claimAt(claims, names.organization)
  if (organization !== undefined && !isText(organization, longestUser)) return undefined
  const values = words(claimAt(claims, names.scopes))
  const models = names.models === undefined ? undefined : claimAt(claims, names.models)
  const allowedModels = models === undefined ? undefined : words(models)?.filter((model) => isText(model, longestModel))
  // What cannot be read must not become "no limit".
  if (!values || (models !== undefined && !allowedModels)) return undefined
  const name = claimAt(claims, names.name)
  return {
    id: principalId(settings.issuer, user),
    name: isText(name, longestName) ? name : user,
    scopes: scopesOf(values, settings),
    allowedModels,
    user,
    organization,
  }
}

/** The principal of a caller, with the owners of this moment; undefined if it must be refused for one that is unknown. */
export function principalOf(caller: Caller, settings: IssuerSettings, identity: Identity): Principal | undefined {
  const owners: Owner[] = []
  const add = (kind: 'user' | 'organization', name: string): boolean => {
    const id = identity.find(kind, name)
    const chain = id === undefined ? undefined : identity.chain(kind, id)
    for (const owner of chain ?? [])
      if (!owners.some((each) => each.kind === owner.kind && each.id === owner.id)) owners.push(owner)
    return chain !== undefined
  }
  const isKnown = add('user', caller.user)
  const isMember = caller.organization === undefined || add('organization', caller.organization)
  if (!(isKnown && isMember) && !settings.allowsUnknownUsers) return undefined
  const { id, name, scopes, allowedModels } = caller
  return { id, name, scopes, ...(allowedModels && { allowedModels }), ...(owners.length > 0 && { owners }) }
}

/** Stable for one user of one issuer, whatever tokens it comes with; says nothing of either to whoever reads a log. */
function principalId(issuer: string, user: string): string {
  return `jwt:${createHash('sha256').update(`${issuer}\0${user}`).digest('base64url')}`
}

function scopesOf(values: readonly string[], { scopeMap, defaultScopes }: IssuerSettings): readonly string[] {
  const given = scopeMap
    ? values.flatMap((value) => scopeMap.get(value) ?? [])
    : values.filter((value) => ordinaryScopes.includes(value))
  return given.length > 0 ? [...new Set(given)] : defaultScopes
}

/** A claim by its name, which may have dots (`https://example.com/roles`), or by a path through objects. */
function claimAt(claims: JsonObject, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name] ?? undefined
  let value: unknown = claims
  for (const step of name.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined
    value = (value as JsonObject)[step]
  }
  return value ?? undefined
}

/** The words of a text, or the texts of a list; undefined for anything else. */
function words(value: unknown): readonly string[] | undefined {
  if (value === undefined) return []
  const list: unknown = typeof value === 'string' ? value.split(' ').filter((word) => word !== '') : value
  const isList = Array.isArray(list) && list.length <= mostWords && list.every((word) => typeof word === 'string')
  return isList ? list : undefined
}

function isText(value: unknown, longest: number): value is string {
  return typeof value === 'string' && value !== '' && value.length <= longest && !unprintable.test(value)
}
