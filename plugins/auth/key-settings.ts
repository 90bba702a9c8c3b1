import { limitsBody, ownerKinds, readLimits, readTime, isUuid } from '@hadrian/core/plugin'
import type { JsonObject, OwnerKind, ReportMistake } from '@hadrian/core/plugin'
import { isIpRange } from './ip-ranges.ts'
import { knownScopes, nearestScope } from './scopes.ts'

/** What can be set on a key, by the names of its columns. Null: no limit of that kind, and for a name none. */
export interface KeySettings {
  readonly name: string
  readonly scopes: readonly string[] | null
  readonly allowed_models: readonly string[] | null
  readonly expires_at: Date | null
  readonly ip_allowlist: readonly string[] | null
  /** As JSON, for which `readLimits` has found no mistake. */
  readonly budgets: readonly JsonObject[] | null
  readonly rate_limits: JsonObject | null
}

/** Who a key belongs to. */
export interface KeyOwner {
  readonly kind: OwnerKind
  readonly id: string
}

/** Who a key of the config belongs to, by what people call it. */
export interface NamedOwner {
  readonly kind: OwnerKind
  /** As `Identity.find` takes it, or an id. */
  readonly name: string
}

/** The fields that {@link readSettings} reads. */
export const settingFields = [
  'name',
  'scopes',
  'allowed_models',
  'expires_at',
  'ip_allowlist',
  'budgets',
  'rate_limits',
] as const satisfies readonly (keyof KeySettings)[]

const longestName = 255
const longestModel = 256
const mostModels = 1000
const mostRanges = 1000
const unprintable = /[\p{Cc}\p{Cs}]/u

/**
 * Reads what a body says of a key; what it does not name is not in the result.
 *
 * @param earliestMs milliseconds since 1970 that `expires_at` must be after
 */
export function readSettings(body: JsonObject, earliestMs: number, wrong: ReportMistake): Partial<KeySettings> {
  const named = (field: keyof KeySettings): boolean => body[field] !== undefined
  // The texts of amounts are stored as they were read, so that what is shown is what is in force.
  const limits = limitsBody(readLimits(body, wrong))
  return {
    ...(named('name') && { name: readName(body['name'], wrong) }),
    ...(named('scopes') && { scopes: readScopes(body['scopes'], 'scopes', wrong) }),
    ...(named('allowed_models') && { allowed_models: readModels(body['allowed_models'], wrong) }),
    ...(named('expires_at') && { expires_at: readExpiry(body['expires_at'], earliestMs, wrong) }),
    ...(named('ip_allowlist') && { ip_allowlist: readRanges(body['ip_allowlist'], wrong) }),
    ...(named('budgets') && { budgets: limits.budgets }),
    ...(named('rate_limits') && { rate_limits: limits.rate_limits }),
  }
}

/** Tells of every field of a body that is not among those known. */
export function reportUnknown(body: JsonObject, known: readonly string[], wrong: ReportMistake): void {
  for (const field of Object.keys(body))
    if (!known.includes(field))
      wrong({ path: field.slice(0, 64), message: `is not a known key; known are ${known.join(', ')}` })
}

/** Reads `{"type": "project", "project_id": "..."}`. Undefined for null and absent. Says nothing of whether it exists. */
export function readOwner(value: unknown, wrong: ReportMistake): KeyOwner | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'object' || Array.isArray(value)) {
    wrong({ path: 'owner', message: 'must be an object: {"type": "project", "project_id": "..."}' })
    return undefined
  }
  const owner = value as JsonObject
  const kind = ownerKinds.find((each) => each === owner['type'])
  if (kind === undefined) {
    wrong({ path: 'owner.type', message: `must be one of ${ownerKinds.join(', ')}` })
    return undefined
  }
  const field = `${kind}_id`
  for (const name of Object.keys(owner))
    if (name !== 'type' && name !== field)
      wrong({ path: `owner.${name.slice(0, 64)}`, message: `is not known; known are type, ${field}` })
  const id = owner[field]
  if (isUuid(id)) return { kind, id: id.toLowerCase() }
  wrong({ path: `owner.${field}`, message: 'must be a UUID' })
  return undefined
}

function readName(value: unknown, wrong: ReportMistake): string {
  if (value === undefined || value === null) return 'unnamed'
  const name = typeof value === 'string' ? value.trim() : ''
  const mistake = (message: string): void => wrong({ path: 'name', message })
  if (typeof value !== 'string') mistake('must be a string')
  else if (name === '') mistake('must not be empty')
  else if (name.length > longestName) mistake(`must be at most ${longestName} characters long`)
  else if (unprintable.test(name)) mistake('must not contain control characters')
  return name
}

/** Reads a list of scopes. Null for null, and for what is no list. */
export function readScopes(value: unknown, field: string, wrong: ReportMistake): readonly string[] | null {
  if (value === undefined || value === null) return null
  for (const [index, scope] of entries(value, field, mostModels, wrong)) {
    if ((knownScopes as readonly unknown[]).includes(scope)) continue
    const path = `${field}[${index}]`
    if (typeof scope !== 'string') {
      wrong({ path, message: 'must be a string' })
      continue
    }
    const near = nearestScope(scope.slice(0, 64))
    const hint = near === undefined ? '' : `. Did you mean ${JSON.stringify(near)}?`
    wrong({ path, message: `must be one of ${knownScopes.join(', ')}${hint}` })
  }
  return distinct(value)
}

function readModels(value: unknown, wrong: ReportMistake): readonly string[] | null {
  if (value === undefined || value === null) return null
  for (const [index, model] of entries(value, 'allowed_models', mostModels, wrong)) {
    const mistake = (message: string): void => wrong({ path: `allowed_models[${index}]`, message })
    if (typeof model !== 'string') mistake('must be a string')
    else if (model === '') mistake('must not be empty')
    else if (model.length > longestModel) mistake(`must be at most ${longestModel} characters long`)
    else if (unprintable.test(model)) mistake('must not contain control characters')
    else if (model.slice(0, -1).includes('*')) mistake('must be a model name, or a prefix that ends in one *')
  }
  return distinct(value)
}

function readRanges(value: unknown, wrong: ReportMistake): readonly string[] | null {
  if (value === undefined || value === null) return null
  for (const [index, range] of entries(value, 'ip_allowlist', mostRanges, wrong))
    if (typeof range !== 'string' || !isIpRange(range))
      wrong({ path: `ip_allowlist[${index}]`, message: 'must be an IP address, or a range such as 10.0.0.0/8' })
  return distinct(value)
}

/** The items of a list, none if it is no usable list. */
function entries(value: unknown, path: string, most: number, wrong: ReportMistake): Iterable<[number, unknown]> {
  if (!Array.isArray(value)) wrong({ path, message: 'must be an array' })
  else if (value.length === 0) wrong({ path, message: 'must have at least 1 item; leave it out for the default' })
  else if (value.length > most) wrong({ path, message: `must have at most ${most} items` })
  else return value.entries()
  return []
}

function distinct(value: unknown): readonly string[] | null {
  return Array.isArray(value) ? [...new Set(value as string[])] : null
}

function readExpiry(value: unknown, earliestMs: number, wrong: ReportMistake): Date | null {
  const time = readTime(value, 'expires_at', wrong)
  if (time && time.getTime() <= earliestMs) wrong({ path: 'expires_at', message: 'must be in the future' })
  return time ?? null
}
