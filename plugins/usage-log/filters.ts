import { invalidRequest } from '@hadrian/core/plugin'
import type { RequestMistake } from '@hadrian/core/plugin'

/** Conditions of SQL, to be joined by `and`, with the values of their parameters. */
export interface Conditions {
  readonly sql: readonly string[]
  readonly params: readonly unknown[]
}

const columns: Readonly<Record<string, string>> = {
  principal: 'principal_id =',
  model: 'model =',
  provider: 'provider =',
  outcome: 'outcome =',
  from: 'started_at >=',
  to: 'started_at <',
}
const outcomes = ['completed', 'refused', 'failed', 'aborted']
const timeShape = /^\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:[Zz]|[+-]\d\d:?\d\d))?$/

/**
 * Reads the filters of a query string. An unknown one is a mistake: a list that ignores it would show the wrong rows.
 *
 * @param firstParam number of the first SQL parameter
 * @throws GatewayError `invalid_request_error` with every mistake
 */
export function readFilters(query: Readonly<Record<string, string>>, firstParam: number): Conditions {
  const mistakes: RequestMistake[] = []
  const sql: string[] = []
  const params: unknown[] = []
  for (const [name, value] of Object.entries(query)) {
    if (name === 'limit' || name === 'cursor') continue
    const mistake = mistakeOf(name, value)
    if (mistake !== undefined) mistakes.push({ path: name.slice(0, 64), message: mistake })
    sql.push(`${columns[name]} $${firstParam + params.length}`)
    params.push(isTime(name) ? new Date(value) : value)
  }
  if (mistakes.length > 0) throw invalidRequest(mistakes)
  return { sql, params }
}

function mistakeOf(name: string, value: string): string | undefined {
  if (!Object.hasOwn(columns, name))
    return `is not a known filter; known are ${[...Object.keys(columns), 'limit', 'cursor'].join(', ')}`
  if (value.includes('\0')) return 'must not contain NUL'
  if (name === 'outcome' && !outcomes.includes(value)) return `must be one of ${outcomes.join(', ')}`
  if (isTime(name) && !(timeShape.test(value) && !Number.isNaN(Date.parse(value))))
    return 'must be a date, or a time with its zone: 2030-01-31T12:00:00Z'
  return undefined
}

function isTime(name: string): boolean {
  return name === 'from' || name === 'to'
}
