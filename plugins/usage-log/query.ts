import { invalidRequest } from '@hadrian/core/plugin'
import { isTimeZone } from './calendar.ts'

type Query = Readonly<Record<string, string>>

/**
 * Reads a whole number of a query string.
 *
 * @throws GatewayError `invalid_request_error`
 */
export function readWhole(
  query: Query,
  name: string,
  { standard, from, to }: { readonly standard: number; readonly from: number; readonly to: number },
): number {
  const text = query[name] ?? String(standard)
  const value = /^\d{1,9}$/.test(text) ? Number(text) : NaN
  if (value >= from && value <= to) return value
  throw invalidRequest([{ path: name, message: `must be a whole number from ${from} to ${to}` }])
}

/**
 * Reads one of some words of a query string.
 *
 * @throws GatewayError `invalid_request_error`
 */
export function readWord<W extends string>(query: Query, name: string, words: readonly W[], standard: W): W {
  const value = query[name] ?? standard
  const word = words.find((each) => each === value)
  if (word === undefined) throw invalidRequest([{ path: name, message: `must be one of ${words.join(', ')}` }])
  return word
}

/**
 * Reads `time_zone` of a query string; default UTC.
 *
 * @throws GatewayError `invalid_request_error`
 */
export function readTimeZone(query: Query): string {
  const zone = query['time_zone'] ?? 'UTC'
  if (isTimeZone(zone)) return zone
  throw invalidRequest([{ path: 'time_zone', message: 'must be the name of a time zone: Europe/Berlin' }])
}

/**
 * Reads an amount of dollars as micro-dollars; undefined if it is not there.
 *
 * @throws GatewayError `invalid_request_error`
 */
export function readDollars(query: Query, name: string): number | undefined {
  const text = query[name]
  if (text === undefined) return undefined
  const micros = /^\d{1,10}(?:\.\d{1,12})?$/.test(text) ? Math.round(Number(text) * 1_000_000) : NaN
  if (!Number.isNaN(micros)) return micros
  throw invalidRequest([{ path: name, message: 'must be an amount of dollars: 12.50' }])
}
