/** Cursor lists, as every list of the admin API answers them: newest first, by time and then by id. */

import { invalidRequest } from './errors.ts'

/** One page that a caller asked for, ready for a query by `(time, id)`. */
export interface Page {
  /** Rows to show at most. */
  readonly limit: number
  /** Rows to ask the database for: one more than `limit`, which tells whether the list goes on. */
  readonly fetch: number
  /** Where the page begins, exclusive; undefined for the end of the list that `order` begins with. */
  readonly cursor: { readonly time: Date; readonly id: string } | undefined
  /** SQL: `(time, id) < ($1, $2)` with this operator. */
  readonly compare: '<' | '>'
  /** SQL: order of both columns. `asc` for a page before the cursor; {@link pageBody} turns it round. */
  readonly order: 'desc' | 'asc'
}

/** The JSON of a list. `has_more` and `next_cursor` speak of what is older. */
export interface PageBody<T> {
  readonly data: readonly T[]
  readonly pagination: {
    readonly limit: number
    readonly has_more: boolean
    readonly next_cursor: string | null
    readonly prev_cursor: string | null
  }
}

const defaultLimit = 100
const highestLimit = 1000
const cursorShape = /^([<>])(\d{1,15})\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/

/**
 * Reads `limit` (1 to 1,000, default 100) and `cursor` of a query string.
 *
 * @throws GatewayError `invalid_request_error`
 */
export function readPage(query: Readonly<Record<string, string>>): Page {
  const { limit: limitText = String(defaultLimit), cursor: cursorText } = query
  const limit = /^\d{1,4}$/.test(limitText) ? Number(limitText) : 0
  if (limit < 1 || limit > highestLimit)
    throw invalidRequest([{ path: 'limit', message: `must be a whole number from 1 to ${highestLimit}` }])
  const fetch = limit + 1
  if (cursorText === undefined) return { limit, fetch, cursor: undefined, compare: '<', order: 'desc' }
  const [, direction, milliseconds, id] =
    cursorShape.exec(Buffer.from(cursorText, 'base64url').toString('latin1')) ?? []
  const time = new Date(Number(milliseconds))
  if (id === undefined || Number.isNaN(time.getTime()))
    throw invalidRequest([{ path: 'cursor', message: 'must be a cursor that a list has returned' }])
  const forward = direction === '<'
  return { limit, fetch, cursor: { time, id }, compare: forward ? '<' : '>', order: forward ? 'desc' : 'asc' }
}

/**
 * Makes a list of the rows that a query for `page` returned.
 *
 * @param rows in the order of the query, at most `page.fetch`
 * @param positionOf the two columns of the order; times must be whole milliseconds (`timestamptz(3)`) and ids UUIDs
 */
export function pageBody<R, T>(
  page: Page,
  rows: readonly R[],
  positionOf: (row: R) => { readonly time: Date; readonly id: string },
  show: (row: R) => T,
): PageBody<T> {
  const further = rows.length > page.limit
  const shown = rows.slice(0, page.limit)
  const forward = page.order === 'desc'
  if (!forward) shown.reverse()
  // Whoever came with a cursor came from a row on the other side of it.
  const older = forward ? further : shown.length > 0
  const newer = forward ? page.cursor !== undefined : further
  const first = shown[0]
  const last = shown.at(-1)
  const nextCursor = older && last !== undefined ? cursorText('<', positionOf(last)) : null
  return {
    data: shown.map(show),
    pagination: {
      limit: page.limit,
      has_more: nextCursor !== null,
      next_cursor: nextCursor,
      prev_cursor: newer && first !== undefined ? cursorText('>', positionOf(first)) : null,
    },
  }
}

function cursorText(direction: '<' | '>', { time, id }: { readonly time: Date; readonly id: string }): string {
  return Buffer.from(`${direction}${time.getTime()}.${id}`).toString('base64url')
}
