/** Readers of single fields of a JSON body or a query string, for the routes of plugins. */

import type { RequestMistake } from './errors.ts'

/** Collects what is wrong with a request: `(mistake) => mistakes.push(mistake)`. */
export type ReportMistake = (mistake: RequestMistake) => void

const timeShape = /^(\d{4})-(\d\d)-(\d\d)(?:[Tt ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:[Zz]|[+-]\d\d:?\d\d))?$/
const uuidShape = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/**
 * Reads a date (its midnight in UTC) or a time with its zone, as ISO 8601 writes them. Undefined for null and absent,
 * and for anything else, of which `wrong` is told.
 */
export function readTime(value: unknown, path: string, wrong: ReportMistake): Date | undefined {
  if (value === undefined || value === null) return undefined
  const [, year, month, day] = typeof value === 'string' ? (timeShape.exec(value) ?? []) : []
  const time = new Date(year === undefined ? Number.NaN : (value as string))
  // The engine makes the 3rd of March of a 31st of February.
  const exists = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day))).getUTCDate() === Number(day)
  if (exists && !Number.isNaN(time.getTime())) return time
  wrong({ path, message: 'must be a date, or a time with its zone: 2030-01-31T12:00:00Z' })
  return undefined
}

/** Whether a value is the text of a UUID, of any version and in either case: what may be compared with a `uuid` column. */
export function isUuid(value: unknown): value is string {
  return typeof value === 'string' && uuidShape.test(value)
}
