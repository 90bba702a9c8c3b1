import { invalidRequest, isUuid, ownerKinds } from '@hadrian/core/plugin'
import type { Identity, JsonObject, OwnerKind, ReportMistake, RequestMistake } from '@hadrian/core/plugin'
import { readOwner, readSettings, reportUnknown, settingFields } from './key-settings.ts'
import type { KeyOwner, KeySettings } from './key-settings.ts'

/** What a caller says of a key to be made: some settings, and the owner. */
export interface Creation {
  readonly settings: Partial<KeySettings>
  readonly owner: KeyOwner | undefined
}

/** Which keys a list shows. */
export interface KeyFilter {
  readonly ownerKind?: OwnerKind
  readonly ownerId?: string
  readonly revoked?: boolean
}

const defaultGraceSeconds = 86_400
const longestGraceSeconds = 604_800
const filterFields = ['owner_type', 'owner_id', 'revoked', 'limit', 'cursor']

/**
 * Reads the body of a request for a new key. Its owner must exist.
 *
 * @throws GatewayError `invalid_request_error` with every mistake, as all of these
 */
export function readCreation(body: JsonObject, nowMs: number, identity: Identity): Creation {
  return checked((wrong) => {
    reportUnknown(body, [...settingFields, 'owner'], wrong)
    const owner = readOwner(body['owner'], wrong)
    if (owner && !identity.chain(owner.kind, owner.id))
      wrong({ path: `owner.${owner.kind}_id`, message: `is the id of no ${owner.kind.replace('_', ' ')}` })
    return { settings: readSettings(body, nowMs, wrong), owner }
  })
}

/** Reads the body of a request to change a key: what it does not name stays. */
export function readChange(body: JsonObject, nowMs: number): Partial<KeySettings> {
  return checked((wrong) => {
    if (body['owner'] !== undefined)
      wrong({ path: 'owner', message: 'cannot be changed: the spend of a key stays with its owner' })
    const { owner: _, ...rest } = body
    reportUnknown(rest, settingFields, wrong)
    return readSettings(rest, nowMs, wrong)
  })
}

/** Reads the body of a request to rotate a key: how long the secret of until now goes on, in milliseconds. */
export function readGraceMs(body: JsonObject): number {
  return checked((wrong) => {
    reportUnknown(body, ['grace_period_seconds'], wrong)
    const seconds = body['grace_period_seconds'] ?? defaultGraceSeconds
    const fits = Number.isInteger(seconds) && (seconds as number) >= 1 && (seconds as number) <= longestGraceSeconds
    if (!fits)
      wrong({
        path: 'grace_period_seconds',
        message: `must be a whole number from 1 to ${longestGraceSeconds}; to end a key at once, revoke it and make another`,
      })
    return fits ? (seconds as number) * 1000 : 0
  })
}

/** Reads the filters of a list. An unknown one is a mistake: a list that ignores it would show the wrong keys. */
export function readFilter(query: Readonly<Record<string, string>>): KeyFilter {
  return checked((wrong) => {
    reportUnknown(query, filterFields, wrong)
    const { owner_type: type, owner_id: id, revoked } = query
    const ownerKind = ownerKinds.find((kind) => kind === type)
    if (type !== undefined && !ownerKind)
      wrong({ path: 'owner_type', message: `must be one of ${ownerKinds.join(', ')}` })
    if (id !== undefined && !isUuid(id)) wrong({ path: 'owner_id', message: 'must be a UUID' })
    if (revoked !== undefined && revoked !== 'true' && revoked !== 'false')
      wrong({ path: 'revoked', message: 'must be true or false' })
    return {
      ...(ownerKind && { ownerKind }),
      ...(id !== undefined && { ownerId: id }),
      ...(revoked !== undefined && { revoked: revoked === 'true' }),
    }
  })
}

function checked<T>(read: (wrong: ReportMistake) => T): T {
  const mistakes: RequestMistake[] = []
  const result = read((mistake) => void mistakes.push(mistake))
  if (mistakes.length > 0) throw invalidRequest(mistakes)
  return result
}
