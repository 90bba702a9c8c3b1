import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { pageBody, readPage } from '../../core/contract/plugin.ts'
import type { Page, PageBody } from '../../core/contract/plugin.ts'

interface Item {
  readonly time: Date
  readonly id: string
}

const before = (a: Item, b: Item): boolean =>
  a.time.getTime() === b.time.getTime() ? a.id < b.id : a.time.getTime() < b.time.getTime()

/** What a database does with the query that {@link Page} describes. */
function select(items: readonly Item[], { cursor, compare, order, fetch }: Page): Item[] {
  const matching = items.filter(
    (item) => cursor === undefined || (compare === '<' ? before(item, cursor) : before(cursor, item)),
  )
  return matching.toSorted((a, b) => (before(a, b) === (order === 'asc') ? -1 : 1)).slice(0, fetch)
}

function list(items: readonly Item[], query: Record<string, string>): PageBody<string> {
  const page = readPage(query)
  return pageBody(
    page,
    select(items, page),
    (item) => item,
    ({ id }) => id,
  )
}

const anyItems = fc.uniqueArray(
  fc.record({ time: fc.integer({ min: 0, max: 3 }).map((time) => new Date(time)), id: fc.uuid() }),
  { selector: ({ id }) => id, maxLength: 20 },
)

describe('cursor lists', () => {
  it('show every item once, newest first, and the same pages on the way back', () => {
    fc.assert(
      fc.property(anyItems, fc.integer({ min: 1, max: 7 }), (items, limit) => {
        const pages: PageBody<string>[] = []
        let next: string | null = ''
        while (next !== null) {
          const page: PageBody<string> = list(items, { limit: String(limit), ...(next !== '' && { cursor: next }) })
          pages.push(page)
          next = page.pagination.next_cursor
          assert.equal(page.pagination.has_more, next !== null)
        }
        const newestFirst = items.toSorted((a, b) => (before(a, b) ? 1 : -1)).map(({ id }) => id)
        assert.deepEqual(
          pages.flatMap(({ data }) => data),
          newestFirst,
        )
        assert.equal(pages[0]!.pagination.prev_cursor, null)
        for (let index = pages.length - 1; index > 0; index--) {
          const back = list(items, { limit: String(limit), cursor: pages[index]!.pagination.prev_cursor! })
          assert.deepEqual(back, pages[index - 1])
        }
      }),
    )
  })

  it('refuse what is no limit or cursor', () => {
    const forged = (text: string): string => Buffer.from(text).toString('base64url')
    const queries: Record<string, string>[] = [
      { limit: '0' },
      { limit: '1001' },
      { limit: '-1' },
      { limit: '' },
      { cursor: '' },
      { cursor: 'nonsense' },
      { cursor: forged(`<1.'; drop table`) },
      { cursor: forged('<999999999999999999.00000000-0000-0000-0000-000000000000') },
    ]
    for (const query of queries)
      assert.throws(() => readPage(query), { code: 'invalid_request_error', status: 400 }, JSON.stringify(query))
  })
})
