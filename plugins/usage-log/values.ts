import { hash } from 'node:crypto'
import { isUuid } from '@hadrian/core/plugin'

/** Longest text kept: the model's name is the client's own words. */
const longestText = 256
/** No call has more tokens or costs more micro-dollars; millions of such numbers still add up within a `bigint`. */
const largest = 1e12

/** Whoever runs an exchange may have named it otherwise; the same name must be the same row. */
export function idOf(id: string): string {
  return isUuid(id) ? id : uuidOf(hash('sha256', id))
}

/** The first 32 digits of a hash in the shape of a UUID. */
export function uuidOf(digits: string): string {
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, '$1-$2-$3-$4-$5')
}

/** What PostgreSQL takes as text: without NUL, and no half of a surrogate pair. */
export function text(value: string | undefined): string | undefined {
  return value === undefined ? undefined : value.slice(0, longestText).replaceAll('\0', '').toWellFormed()
}

/** A whole number from 0 to 10^12, whatever an upstream says; undefined for what is no number. */
export function whole(value: number | undefined): number | undefined {
  if (value === undefined || Number.isNaN(value)) return undefined
  return Math.min(Math.max(Math.round(value), 0), largest)
}
