import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import * as fc from 'fast-check'
import type { JsonObject, Principal } from '../../core/contract/plugin.ts'
import { csvLine } from '../../plugins/usage-log/csv.ts'
import { listExchanges } from '../../plugins/usage-log/exchanges.ts'
import { logFilters, readFilters } from '../../plugins/usage-log/filters.ts'
import type { PluginInstance } from './plugin-instance.ts'
import { attempt, away, rows, settle, target, usage, UsageTests } from './usage-instance.ts'

const tests = new UsageTests()
const logs = '/admin/v1/usage/logs'

after(() => tests.close())

type Query = Record<string, string>

async function list(instance: PluginInstance, query: Query = {}): Promise<JsonObject[]> {
  return (await instance.route('GET', logs, { query })).body['data'] as JsonObject[]
}

/** All pages of a list, one after the other; `between` runs between two of them. */
async function paged(
  instance: PluginInstance,
  query: Query,
  between = async (): Promise<void> => undefined,
): Promise<JsonObject[]> {
  const all: JsonObject[] = []
  for (let cursor: string | null = ''; cursor !== null;) {
    const { body } = await instance.route('GET', logs, { query: { ...query, ...(cursor !== '' && { cursor }) } })
    all.push(...(body['data'] as JsonObject[]))
    cursor = (body['pagination'] as { next_cursor: string | null }).next_cursor
    await between()
  }
  return all
}

async function download(instance: PluginInstance, query: Query = {}): Promise<string> {
  const { body } = await instance.route('GET', `${logs}/export`, { query })
  let text = ''
  for await (const piece of body as unknown as AsyncIterable<string>) text += piece
  return text
}

/** Reads RFC 4180, by a way of its own. */
function parseCsv(text: string): string[][] {
  const lines: string[][] = []
  let cells: string[] = []
  const cell = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/y
  while (cell.lastIndex < text.length) {
    const match = cell.exec(text)
    assert.ok(match, `no CSV at ${cell.lastIndex}`)
    cells.push(match[1]?.replaceAll('""', '"') ?? match[2] ?? '')
    if (match[3] === ',') continue
    lines.push(cells)
    cells = []
  }
  return lines
}

for (const kind of ['embedded', 'PostgreSQL'] as const)
  describe(`usage-log: lists (${kind})`, () => {
    let instance: PluginInstance
    let startMs: number
    const owner = (number: number): Principal => ({
      id: number % 2 === 0 ? 'even' : 'odd',
      owners: [
        { kind: 'project', id: `project-${number % 3}` },
        ...(number < 4 ? [{ kind: 'team', id: 'team' }] : []),
        { kind: 'organization', id: 'org' },
      ],
    })

    before(async () => {
      instance = await tests.start(kind === 'embedded' ? await tests.embedded() : await tests.connect())
      startMs = instance.clock.now()
      for (let count = 0; count < 10; count++) {
        const aborted = count % 5 === 0
        settle(instance, {
          principal: owner(count),
          requestedModel: count < 2 ? 'alias' : 'gpt-4o',
          outcome: {
            startedAt: startMs + (count >> 1) * 1000,
            ...(aborted && { status: 'aborted', httpStatus: 499, error: { code: 'request_cancelled' } as never }),
            target: { ...target, model: count < 3 ? 'small' : 'large', provider: count < 6 ? 'one' : 'two' },
          },
        })
      }
      await instance.clock.advance(10_000)
      await instance.hooks.stop?.()
    })

    it('are filtered', async () => {
      const from = new Date(startMs + 1000).toISOString()
      const to = new Date(startMs + 3000).toISOString()
      const expected: readonly (readonly [Query, number])[] = [
        [{}, 10],
        [{ principal: 'even' }, 5],
        [{ model: 'small' }, 3],
        [{ provider: 'two' }, 4],
        [{ outcome: 'aborted' }, 2],
        [{ outcome: 'aborted', principal: 'odd', provider: 'one' }, 1],
        [{ from }, 8],
        [{ to }, 6],
        [{ from, to }, 4],
        [{ requested_model: 'alias' }, 2],
        [{ error_code: 'request_cancelled' }, 2],
        [{ project: 'project-0' }, 4],
        [{ project: 'project-0', principal: 'even' }, 2],
        [{ team: 'team' }, 4],
        [{ team: 'team', organization: 'org', project: 'project-1' }, 1],
        [{ organization: 'org', model: 'small' }, 3],
        [{ organization: 'other' }, 0],
        [{ principal: `' or true --` }, 0],
        [{ team: '{"a","b"}' }, 0],
      ]
      for (const [query, count] of expected)
        assert.equal((await list(instance, query)).length, count, JSON.stringify(query))
    })

    it('are the same in pages, and in pages for many callers', async () => {
      for (const query of [{}, { principal: 'even' }, { organization: 'org' }, { team: 'team' }] as Query[]) {
        const all = await list(instance, query)
        assert.deepEqual(await paged(instance, { ...query, limit: '2' }), all)
        // A page so long that the callers cannot be merged.
        const walked = await listExchanges(instance.database, readFilters(query, logFilters), {
          fetch: 300_000,
          cursor: undefined,
          compare: '<',
          order: 'desc',
        })
        assert.deepEqual(
          walked.map(({ id }) => id),
          all.map(({ id }) => id),
        )
      }
    })

    it('go back as they came', async () => {
      const first = await instance.route('GET', logs, { query: { limit: '4', organization: 'org' } })
      const { next_cursor: next } = first.body['pagination'] as { next_cursor: string }
      const second = await instance.route('GET', logs, { query: { limit: '4', organization: 'org', cursor: next } })
      const { prev_cursor: previous } = second.body['pagination'] as { prev_cursor: string }
      const back = await instance.route('GET', logs, { query: { limit: '4', organization: 'org', cursor: previous } })
      assert.deepEqual(back.body['data'], first.body['data'])
    })

    it('refuse unknown filters, each with its name', async () => {
      const query = { outcome: 'lost', from: 'yesterday', modle: 'x', team: '\0' }
      for (const route of [logs, `${logs}/export`])
        await assert.rejects(
          instance.route('GET', route, { query }),
          (error: { status: number; details: { errors: { path: string }[] } }) => {
            assert.deepEqual(
              error.details.errors.map(({ path }) => path),
              ['outcome', 'modle', 'team', 'from'],
            )
            return error.status === 400
          },
        )
    })

    it('have no exchange of an unknown id', async () => {
      for (const id of [crypto.randomUUID(), 'nothing', '', '\0'])
        await assert.rejects(instance.route('GET', `${logs}/:id`, { params: { id } }), {
          status: 404,
          code: 'not_found',
        })
    })

    it('are exported whole and in the same order', async () => {
      const [header, ...lines] = parseCsv(await download(instance, { organization: 'org' }))
      const all = await list(instance, { organization: 'org' })
      assert.deepEqual(
        lines.map(([id]) => id),
        all.map(({ id }) => id),
      )
      const [line] = lines
      assert.equal(line?.[header!.indexOf('project_id')], all[0]?.['project_id'])
      assert.equal(line?.[header!.indexOf('cost_micros')], '1234')
      assert.deepEqual(new Date(line?.[header!.indexOf('started_at')] ?? ''), all[0]?.['started_at'])
    })
  })

for (const kind of ['embedded', 'PostgreSQL'] as const)
  it(`usage-log: purchases are shown in logs and CSV, and counted in sums (${kind})`, async () => {
    const instance = await tests.start(kind === 'embedded' ? await tests.embedded() : await tests.connect())
    const model = `buyer-${kind}`
    const buyer = { ...target, model }
    const attempts = [attempt({ target: buyer })]
    const purchases = [
      { item: 'web_search', quantity: 3, costMicros: 15_000 },
      { item: 'document_pages', costMicros: 2_000 },
    ]
    const bought = { ...usage, costMicros: 1234 + 17_000 }
    const id = settle(instance, { outcome: { target: buyer, attempts, purchases, usage: bought } })
    // What was bought for an answer that never came belongs to the target that was tried, or to none.
    settle(instance, {
      outcome: {
        status: 'failed',
        target: undefined,
        attempts: [{ ...attempts[0]!, outcome: 'failed', usage: undefined }] as never,
        purchases: purchases.slice(1),
        usage: { inputTokens: 0, outputTokens: 0, costMicros: 2_000 },
      } as never,
    })
    settle(instance, { outcome: { target: buyer, attempts } })
    await instance.clock.advance(1_000)
    await instance.hooks.stop?.()

    const shown = [
      { item: 'web_search', quantity: 3, cost_micros: 15_000 },
      { item: 'document_pages', quantity: 1, cost_micros: 2_000 },
    ]
    const { body } = await instance.route('GET', `${logs}/:id`, { params: { id } })
    assert.deepEqual(body['purchases'], shown)
    assert.equal(body['cost_micros'], 18_234)
    const all = await list(instance, { model })
    assert.deepEqual(
      all.map((each) => each['purchases']).filter((each) => each === null),
      [null],
    )
    const [header, ...lines] = parseCsv(await download(instance, { model }))
    const cells = new Map(lines.map((line) => [line[0], line[header!.indexOf('purchases')]]))
    assert.deepEqual(JSON.parse(cells.get(id)!), shown)
    assert.equal([...cells.values()].filter((cell) => cell === '').length, 1)
    const sum = (await instance.route('GET', '/admin/v1/usage', { query: { model } })).body
    assert.deepEqual(
      [sum['request_count'], sum['call_count'], sum['unpriced_call_count'], sum['cost_micros']],
      [3, 2, 0, 18_234 + 2_000 + 1_234],
    )
  })

describe('usage-log: pages', () => {
  it('show each row once while others arrive, older and newer ones', async () => {
    const database = await tests.connect()
    const instance = await tests.start(database, { batch_size: 1 })
    const startMs = instance.clock.now()
    const there = new Set<string>()
    for (let count = 0; count < 50; count++)
      // Many at the same time, so that the id decides.
      there.add(settle(instance, { outcome: { startedAt: startMs + (count % 3) } }))
    await instance.clock.advance(500)
    for (let stored = 0; stored < 50; stored = (await rows(database)).length) await instance.clock.advance(500)
    let arrived = 0
    const seen = await paged(instance, { limit: '7' }, async () => {
      for (const offsetMs of [-1, 1, 10]) settle(instance, { outcome: { startedAt: startMs + offsetMs } })
      arrived += 3
      for (let stored = 0; stored < 50 + arrived; stored = (await rows(database)).length)
        await instance.clock.advance(500)
    })
    const ids = seen.map(({ id }) => id as string)
    assert.equal(new Set(ids).size, ids.length, 'a row was shown twice')
    assert.deepEqual(there.difference(new Set(ids)), new Set(), 'a row was left out')
  })

  it('of an export hold a thousand rows each, and do not run after what arrives', async () => {
    const database = await tests.connect()
    const instance = await tests.start(database)
    for (let count = 0; count < 2500; count++)
      settle(instance, { outcome: { startedAt: instance.clock.now() - count } })
    await instance.hooks.stop?.()
    const { body } = await instance.route('GET', `${logs}/export`)
    const ids = new Set<string>()
    let pieces = 0
    for await (const piece of body as unknown as AsyncIterable<string>) {
      if (pieces++ === 0) continue
      const lines = parseCsv(piece)
      assert.ok(lines.length <= 1000)
      for (const [id] of lines) ids.add(id!)
      await instance.clock.advance(1000)
      settle(instance, { outcome: { startedAt: instance.clock.now() } })
    }
    assert.deepEqual([ids.size, pieces], [2500, 4])
  })

  it('of an export that fails later break it off', async () => {
    const instance = await tests.start(await tests.connect())
    for (let count = 0; count < 1500; count++) settle(instance)
    await instance.hooks.stop?.()
    const { body } = await instance.route('GET', `${logs}/export`)
    instance.database.before = () => {
      throw away
    }
    await assert.rejects(
      async () => {
        for await (const _ of body as unknown as AsyncIterable<string>) continue
      },
      { code: 'database_unavailable' },
    )
  })
})

describe('usage-log: CSV', () => {
  const hostile = [
    '=1+1',
    '+1',
    '-1',
    '@SUM(A1)',
    '\t=1',
    '\r=1',
    '=HYPERLINK("http://x","y")',
    'a,b',
    'a;=1',
    'a"b',
    'line\r\nbreak',
    '\n',
    ' space ',
    '＝1',
    '',
    'ü€😀',
  ]

  it('keeps every text as it is, but what a spreadsheet would run', async () => {
    const instance = await tests.start(await tests.connect())
    for (const [index, requestedModel] of hostile.entries())
      settle(instance, {
        requestedModel,
        principal: { id: requestedModel, name: requestedModel },
        outcome: { startedAt: instance.clock.now() + index },
      })
    await instance.clock.advance(1000)
    await instance.hooks.stop?.()
    const [header, ...lines] = parseCsv(await download(instance))
    const column = (name: string): string[] => lines.map((line) => line[header!.indexOf(name)]!).toReversed()
    const expected = hostile.map((text) => (/^[=+\-@\t\r\n＝]/.test(text) ? `'${text}` : text))
    for (const name of ['requested_model', 'principal_id', 'principal_name']) assert.deepEqual(column(name), expected)
    assert.ok(lines.every((line) => line.length === header!.length))
  })

  it('is read back as it was written', () => {
    const text = fc.string({ unit: fc.constantFrom('a', '"', ',', '\r', '\n', ' ', ';', '=', '-', '\t', 'é') })
    fc.assert(
      fc.property(fc.array(text, { minLength: 1 }), (cells) => {
        const [line, ...more] = parseCsv(csvLine(cells))
        assert.equal(more.length, 0)
        for (const [index, cell] of cells.entries()) {
          assert.ok(line![index] === cell || line![index] === `'${cell}`)
          assert.ok(!/^[=+\-@\t\r\n]/.test(line![index]), 'a formula')
        }
      }),
    )
    assert.equal(
      csvLine([-1, null, undefined, true, new Date(0), ['a', 'b']]),
      '-1,,,true,1970-01-01T00:00:00.000Z,a b\r\n',
    )
  })
})
