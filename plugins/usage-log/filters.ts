import { invalidRequest, ownerKinds, readTime } from '@hadrian/core/plugin'
import type { RequestMistake } from '@hadrian/core/plugin'
import { ownerName } from './caller.ts'
import { callerTable } from './columns.ts'
import type { Parameters } from './parameters.ts'

/** Filters of exchanges by a column of their own. */
const columnFilters = ['model', 'provider', 'requested_model', 'outcome', 'error_code'] as const
const outcomes = ['completed', 'refused', 'failed', 'aborted']

/** Filters that every list and sum takes. */
export const commonFilters = ['from', 'to', 'principal', 'model', 'provider', ...ownerKinds] as const
/** Filters of the lists of exchanges. */
export const logFilters = [...commonFilters, 'requested_model', 'outcome', 'error_code'] as const

/** What a query string narrows a list or a sum down to. */
export interface Filters {
  /** Inclusive. */
  readonly from: Date | undefined
  /** Exclusive. */
  readonly to: Date | undefined
  readonly principal: string | undefined
  /** `kind:id`; a caller must have them all. */
  readonly owners: readonly string[]
  /** Column and value. */
  readonly columns: readonly (readonly [string, string])[]
}

/**
 * Reads the filters of a query string. An unknown one is a mistake: a list that ignores it would show the wrong rows.
 *
 * @param known names of filters
 * @param others names of parameters that somebody else reads
 * @throws GatewayError `invalid_request_error` with every mistake
 */
export function readFilters(
  query: Readonly<Record<string, string>>,
  known: readonly string[],
  others: readonly string[] = [],
): Filters {
  const mistakes: RequestMistake[] = []
  const wrong = (mistake: RequestMistake): void => void mistakes.push(mistake)
  for (const [name, value] of Object.entries(query)) {
    if (others.includes(name)) continue
    const message = mistakeOf(name, value, [...known, ...others])
    if (message !== undefined) wrong({ path: name.slice(0, 64), message })
  }
  const from = readTime(query['from'], 'from', wrong)
  const to = readTime(query['to'], 'to', wrong)
  if (mistakes.length > 0) throw invalidRequest(mistakes)
  const present = <N extends string>(names: readonly N[]): [N, string][] =>
    names.flatMap((name) => (query[name] === undefined ? [] : [[name, query[name]]]))
  return {
    from,
    to,
    principal: query['principal'],
    owners: present(ownerKinds).map(([kind, id]) => ownerName(kind, id)),
    columns: present(columnFilters),
  }
}

function mistakeOf(name: string, value: string, known: readonly string[]): string | undefined {
  if (!known.includes(name)) return `is not a known filter; known are ${known.join(', ')}`
  if (value.includes('\0')) return 'must not contain NUL'
  if (name === 'outcome' && !outcomes.includes(value)) return `must be one of ${outcomes.join(', ')}`
  return undefined
}

/** SQL for the ids of the callers that filters leave, or undefined if they leave all. */
export function callersSql({ principal, owners }: Filters, parameters: Parameters): string | undefined {
  const conditions = [
    ...(principal === undefined ? [] : [`principal_id = ${parameters.add(principal)}`]),
    ...(owners.length === 0 ? [] : [`owners @> ${parameters.add(owners)}::text[]`]),
  ]
  return conditions.length === 0 ? undefined : `select id from ${callerTable} where ${conditions.join(' and ')}`
}
