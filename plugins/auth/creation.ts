import { invalidRequest } from '@hadrian/core/plugin'
import type { JsonObject, RequestMistake } from '@hadrian/core/plugin'
import { knownScopes, nearestScope } from './scopes.ts'

/** What a caller says of a key to be made. Undefined and null: not said, except `allowedModels`. */
export interface Creation {
  readonly name: string
  readonly scopes: readonly string[] | null
  /** Undefined: what the creator has. Null: every model. */
  readonly allowedModels: readonly string[] | null | undefined
  readonly expiresAt: Date | null
}

const fields = ['name', 'scopes', 'allowed_models', 'expires_at']
const longestName = 255
const longestModel = 256
const mostModels = 1000
const timeShape = /^\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:[Zz]|[+-]\d\d:?\d\d))?$/
const unprintable = /[\p{Cc}\p{Cs}]/u

/**
 * Reads the body of a request for a new key.
 *
 * @throws GatewayError `invalid_request_error` with every mistake
 */
export function readCreation(body: JsonObject, nowMs: number): Creation {
  const mistakes: RequestMistake[] = []
  const wrong = (path: string, message: string): void => void mistakes.push({ path, message })
  for (const field of Object.keys(body))
    if (!fields.includes(field))
      wrong(field.slice(0, longestName), `is not a known key; known are ${fields.join(', ')}`)
  const creation = {
    name: readName(body['name'], wrong),
    scopes: readScopes(body['scopes'], wrong),
    allowedModels: readModels(body['allowed_models'], wrong),
    expiresAt: readExpiry(body['expires_at'], nowMs, wrong),
  }
  if (mistakes.length > 0) throw invalidRequest(mistakes)
  return creation
}

type Wrong = (path: string, message: string) => void

function readName(value: unknown, wrong: Wrong): string {
  if (value === undefined || value === null) return 'unnamed'
  const name = typeof value === 'string' ? value.trim() : ''
  if (typeof value !== 'string') wrong('name', 'must be a string')
  else if (name === '') wrong('name', 'must not be empty')
  else if (name.length > longestName) wrong('name', `must be at most ${longestName} characters long`)
  else if (unprintable.test(name)) wrong('name', 'must not contain control characters')
  return name
}

function readScopes(value: unknown, wrong: Wrong): readonly string[] | null {
  if (value === undefined || value === null) return null
  for (const [index, scope] of entries(value, 'scopes', wrong)) {
    if ((knownScopes as readonly unknown[]).includes(scope)) continue
    const path = `scopes[${index}]`
    if (typeof scope !== 'string') {
      wrong(path, 'must be a string')
      continue
    }
    const near = nearestScope(scope.slice(0, 64))
    wrong(
      path,
      `must be one of ${knownScopes.join(', ')}${near === undefined ? '' : `. Did you mean ${JSON.stringify(near)}?`}`,
    )
  }
  return Array.isArray(value) ? [...new Set(value as string[])] : null
}

function readModels(value: unknown, wrong: Wrong): readonly string[] | null | undefined {
  if (value === undefined || value === null) return value
  for (const [index, model] of entries(value, 'allowed_models', wrong)) {
    const path = `allowed_models[${index}]`
    if (typeof model !== 'string') wrong(path, 'must be a string')
    else if (model === '') wrong(path, 'must not be empty')
    else if (model.length > longestModel) wrong(path, `must be at most ${longestModel} characters long`)
    else if (unprintable.test(model)) wrong(path, 'must not contain control characters')
    else if (model.slice(0, -1).includes('*')) wrong(path, 'must be a model name, or a prefix that ends in one *')
  }
  return Array.isArray(value) ? [...new Set(value as string[])] : null
}

/** The items of a list, none if it is no usable list. */
function entries(value: unknown, path: string, wrong: Wrong): Iterable<[number, unknown]> {
  if (!Array.isArray(value)) wrong(path, 'must be an array')
  else if (value.length === 0) wrong(path, 'must have at least 1 item; leave it out for the default')
  else if (value.length > mostModels) wrong(path, `must have at most ${mostModels} items`)
  else return value.entries()
  return []
}

function readExpiry(value: unknown, nowMs: number, wrong: Wrong): Date | null {
  if (value === undefined || value === null) return null
  const time = typeof value === 'string' && timeShape.test(value) ? new Date(value) : new Date(NaN)
  if (Number.isNaN(time.getTime())) wrong('expires_at', 'must be a date, or a time with its zone: 2030-01-31T12:00:00Z')
  else if (time.getTime() <= nowMs) wrong('expires_at', 'must be in the future')
  return time
}
