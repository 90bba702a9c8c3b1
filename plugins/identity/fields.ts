import { invalidRequest, isUuid, limitsBody, readLimits } from '@hadrian/core/plugin'
import type { JsonObject, RequestMistake } from '@hadrian/core/plugin'

type Wrong = (mistake: RequestMistake) => void

/** A field of a resource: its name is that of its column too. */
export interface Field {
  /** What is stored for a value that is neither null nor absent; what cannot be stored is told to `wrong`. */
  readonly read: (value: unknown, path: string, wrong: Wrong) => unknown
  /** Must be there and cannot be cleared. */
  readonly required?: boolean
  /** Given when the resource is made, and the same for ever. */
  readonly fixed?: boolean
  /** The column is `jsonb`. */
  readonly json?: boolean
}

/** Fields by name. */
export type Fields = Readonly<Record<string, Field>>

/** What slugs look like, as a regular expression of JSON Schema too. */
export const slugPattern = '^[a-z0-9][a-z0-9._-]{0,63}$'

const slugShape = new RegExp(slugPattern)
const unprintable = /[\p{Cc}\p{Cs}]/u
const longestEchoedName = 64

/** Whether a segment of a path can be a slug: it need not be looked for otherwise. */
export function isSlug(text: string): boolean {
  return slugShape.test(text)
}

/** A line of text of at most so many characters, without blanks around it. */
export function text(longest = 255): Field {
  return {
    read(value, path, wrong) {
      const line = typeof value === 'string' ? value.trim() : ''
      if (typeof value !== 'string') wrong({ path, message: 'must be a string' })
      else if (line === '') wrong({ path, message: 'must not be empty' })
      else if (line.length > longest) wrong({ path, message: `must be at most ${longest} characters long` })
      else if (unprintable.test(line)) wrong({ path, message: 'must not contain control characters' })
      return line
    },
  }
}

/** What a resource is called in paths. */
export const slug: Field = {
  required: true,
  fixed: true,
  read(value, path, wrong) {
    if (typeof value !== 'string' || !isSlug(value))
      wrong({
        path,
        message:
          'must be 1 to 64 small letters, digits, dots, dashes and underscores, beginning with a letter or digit',
      })
    return value
  },
}

/** The id of another resource. */
export const reference: Field = {
  read(value, path, wrong) {
    if (typeof value !== 'string' || !isUuid(value)) wrong({ path, message: 'must be a UUID' })
    return value
  },
}

/** One of some words. */
export function oneOf(words: readonly string[]): Field {
  return {
    read(value, path, wrong) {
      if (!(words as readonly unknown[]).includes(value)) wrong({ path, message: `must be one of ${words.join(', ')}` })
      return value
    },
  }
}

/** `budgets` and `rate_limits`. */
export const limits: Fields = {
  budgets: { json: true, read: (budgets, _, wrong) => limitsBody(readLimits({ budgets }, wrong)).budgets },
  rate_limits: {
    json: true,
    read: (rateLimits, _, wrong) => limitsBody(readLimits({ rate_limits: rateLimits }, wrong)).rate_limits,
  },
}

/**
 * Reads the body of a request that makes or changes a resource: the values that were given, by field. Null clears.
 *
 * @throws GatewayError `invalid_request_error` with every mistake
 */
export function readFields(fields: Fields, body: JsonObject, purpose: 'create' | 'change'): Record<string, unknown> {
  const mistakes: RequestMistake[] = []
  const wrong: Wrong = (mistake) => void mistakes.push(mistake)
  const open = Object.keys(fields).filter((name) => purpose === 'create' || !fields[name]!.fixed)
  for (const name of Object.keys(body))
    if (!Object.hasOwn(fields, name))
      wrong({ path: name.slice(0, longestEchoedName), message: `is not known; known are ${open.join(', ')}` })
  const values: Record<string, unknown> = {}
  for (const [path, { read, required, fixed }] of Object.entries(fields)) {
    const value = body[path]
    if (value === undefined) {
      if (required && purpose === 'create') wrong({ path, message: 'is missing' })
    } else if (fixed && purpose === 'change') wrong({ path, message: 'cannot be changed' })
    else if (value !== null) values[path] = read(value, path, wrong)
    else if (required) wrong({ path, message: 'must not be null' })
    else values[path] = null
  }
  if (mistakes.length > 0) throw invalidRequest(mistakes)
  return values
}

/** A parameter of a statement for a column of this field. */
export function placeholder(position: number, field: Field | undefined): string {
  return field?.json ? `$${position}::text::jsonb` : `$${position}`
}

/** The value of that parameter. Objects and lists would otherwise be written as PostgreSQL's own composite values. */
export function stored(value: unknown, field: Field | undefined): unknown {
  return field?.json && value !== null ? JSON.stringify(value) : value
}
