import { invalidRequest } from '@hadrian/core/plugin'
import type { RequestMistake } from '@hadrian/core/plugin'
import { ownerName } from './caller.ts'
import { callerTable } from './columns.ts'
import type { Parameters } from './parameters.ts'

/** Kinds of owners that can be filtered and grouped by, as their query parameters are called. */
export const ownerKinds = ['organization', 'team', 'project', 'user', 'service_account'] as const

/** Filters of exchanges by a column of their own. */
const columnFilters = ['model', 'provider', 'requested_model', 'outcome', 'error_code'] as const
const outcomes = ['completed', 'refused', 'failed', 'aborted']
const timeShape = /^\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:[Zz]|[+-]\d\d:?\d\d))?$/

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
  for (const [name, value] of Object.entries(query)) {
    if (others.includes(name)) continue
    const message = mistakeOf(name, value, [...known, ...others])
    if (message !== undefined) mistakes.push({ path: name.slice(0, 64), message })
  }
  if (mistakes.length > 0) throw invalidRequest(mistakes)
  const present = <N extends string>(names: readonly N[]): [N, string][] =>
    names.flatMap((name) => (query[name] === undefined ? [] : [[name, query[name]]]))
  return {
    from: timeOf(query['from']),
    to: timeOf(query['to']),
    principal: query['principal'],
    owners: present(ownerKinds).map(([kind, id]) => ownerName(kind, id)),
    columns: present(columnFilters),
  }
}

function mistakeOf(name: string, value: string, known: readonly string[]): string | undefined {
  if (!known.includes(name)) return `is not a known filter; known are ${known.join(', ')}`
  if (value.includes('\0')) return 'must not contain NUL'
  if (name === 'outcome' && !outcomes.includes(value)) return `must be one of ${outcomes.join(', ')}`
  if ((name === 'from' || name === 'to') && !(timeShape.test(value) && !Number.isNaN(Date.parse(value))))
    return 'must be a date, or a time with its zone: 2030-01-31T12:00:00Z'
  return undefined
}

function timeOf(value: string | undefined): Date | undefined {
  return value === undefined ? undefined : new Date(value)
}

/** SQL for the ids of the callers that filters leave, or undefined if they leave all. */
export function callersSql({ principal, owners }: Filters, parameters: Parameters): string | undefined {
  const conditions = [
    ...(principal === undefined ? [] : [`principal_id = ${parameters.add(principal)}`]),
    ...(owners.length === 0 ? [] : [`owners @> ${parameters.add(owners)}::text[]`]),
  ]
  return conditions.length === 0 ? undefined : `select id from ${callerTable} where ${conditions.join(' and ')}`
}
