import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import * as fc from 'fast-check'
import type { JournalEntry } from '../../core/contract/plugin.ts'
import { fakeProvider, harness, memoryJournal } from '../../core/testing/index.ts'
import { everyone } from '../../plugins/usage-log/columns.ts'
import usageLog from '../../plugins/usage-log/index.ts'
import type { UsageRow } from '../../plugins/usage-log/row.ts'
import { writeRows } from '../../plugins/usage-log/write.ts'
import { withinOneSecond } from './plugin-instance.ts'
import { away, rollups, rows, settle, UsageTests } from './usage-instance.ts'

const tests = new UsageTests()

after(() => tests.close())

/** What the rollups must be: the sums over the exchanges and attempts that are there. */
const bruteForce = (unit: 'hour' | 'day', caller = 'caller_id'): string => `
  with parts as (
    select started_at, caller_id, coalesce(provider, '') as provider, coalesce(model, '') as model, 1 as requests,
      (outcome = 'completed')::integer as completed, (outcome = 'aborted')::integer as aborted, 0 as calls,
      0 as input_tokens, 0 as cost_micros, case when outcome = 'completed' then duration_ms else 0 end as duration_ms
    from usage_log_exchanges
    union all
    select e.started_at, e.caller_id, a.provider, a.model, 0, 0, 0, 1, a.input_tokens, coalesce(a.cost_micros, 0), 0
    from usage_log_attempts a join usage_log_exchanges e on e.id = a.exchange_id where a.input_tokens is not null)
  select date_trunc('${unit}', started_at, 'UTC') as at, ${caller} as caller_id, provider, model, sum(requests)::text as requests,
    sum(completed)::text as completed, sum(aborted)::text as aborted, sum(calls)::text as calls,
    sum(input_tokens)::text as input_tokens, sum(cost_micros)::text as cost_micros, sum(duration_ms)::text as duration_ms
  from parts group by 1, 2, 3, 4 order by 1, 2, 3, 4`
const compared = [
  'at',
  'caller_id',
  'provider',
  'model',
  'requests',
  'completed',
  'aborted',
  'calls',
  'input_tokens',
  'cost_micros',
  'duration_ms',
]

const providers = ['openai', 'azure', 'vertex']
const models = ['small', 'large']
const exchange = fc.record({
  caller: fc.integer({ min: 0, max: 2 }),
  hour: fc.integer({ min: 0, max: 50 }),
  outcome: fc.constantFrom('completed', 'aborted', 'failed'),
  durationMs: fc.integer({ min: 0, max: 1000 }),
  tries: fc.array(
    fc.record({
      provider: fc.constantFrom(...providers),
      model: fc.constantFrom(...models),
      tokens: fc.option(fc.integer({ min: 0, max: 1000 }), { nil: null }),
      cost: fc.option(fc.integer({ min: 0, max: 1000 }), { nil: null }),
    }),
    { maxLength: 3 },
  ),
})
type Made = typeof exchange extends fc.Arbitrary<infer T> ? T : never

const callers = [1, 2, 3].map((number) => `00000000-0000-4000-8000-00000000000${number}`)

function rowOf({ caller, hour, outcome, durationMs, tries }: Made): UsageRow {
  const last = tries.at(-1)
  return {
    id: crypto.randomUUID(),
    started_at: new Date(Date.UTC(2026, 2, 28, hour, 59)),
    caller_id: callers[caller],
    principal_id: `key-${caller}`,
    owners: [],
    operation: 'generate',
    dialect: 'chat',
    provider: last?.provider ?? null,
    model: last?.model ?? null,
    outcome,
    http_status: 200,
    streamed: false,
    attempts: tries.length,
    estimated: false,
    duration_ms: durationMs,
    tries: tries.map(({ provider, model, tokens, cost }, index) => ({
      number: index + 1,
      started_at: new Date(0),
      provider,
      model,
      input_tokens: tokens,
      cost_micros: tokens === null ? null : cost,
      estimated: false,
    })),
  }
}

describe('usage-log: batches', () => {
  for (const kind of ['embedded', 'PostgreSQL'] as const)
    it(`change nothing when they are written again, in any order and mixture (${kind})`, async () => {
      const database = kind === 'embedded' ? await tests.embedded() : await tests.connect()
      const instance = await tests.start(database)
      await instance.hooks.stop?.()
      await fc.assert(
        fc.asyncProperty(
          fc.array(exchange, { minLength: 1, maxLength: 12 }),
          fc.infiniteStream(fc.nat()),
          async (made, random) => {
            for (const table of ['exchanges', 'attempts', 'callers', 'hours', 'days'])
              await database.query(`delete from usage_log_${table}`)
            const all = made.map(rowOf)
            const next = (below: number): number => random.next().value! % below
            const written = new Set<string>()
            for (let round = 0; round < 6; round++) {
              const batch = Array.from({ length: 1 + next(all.length + 3) }, () => all[next(all.length)]!)
              const fresh = new Set(batch.map(({ id }) => id)).difference(written)
              assert.equal(await writeRows(database, texts(batch)), fresh.size)
              for (const id of fresh) written.add(id)
            }
            assert.equal(await writeRows(database, texts(all)), all.length - written.size)
            const before = await rollups(database)
            assert.equal(await writeRows(database, texts(all.toReversed())), 0)
            assert.deepEqual(await rollups(database), before)
            const together = await rollups(database, 'everyone')
            for (const [unit, sums, caller] of [
              ['hour', before.hours, 'caller_id'],
              ['day', before.days, 'caller_id'],
              ['hour', together.hours, `'${everyone}'::uuid`],
              ['day', together.days, `'${everyone}'::uuid`],
            ] as const)
              assert.deepEqual(
                sums.map((row) => Object.fromEntries(compared.map((name) => [name, row[name]]))),
                await database.query(bruteForce(unit, caller)),
              )
            assert.equal((await rows(database)).length, all.length)
          },
        ),
        { numRuns: kind === 'embedded' ? 15 : 30 },
      )
    })

  it('written by several instances at once are one', async () => {
    const url = await (await tests.server).createDatabase()
    const databases = await Promise.all([tests.connect(url), tests.connect(url), tests.connect(url)])
    await tests.start(databases[0])
    const all = Array.from({ length: 600 }, (_, index) =>
      rowOf({
        caller: index % 3,
        hour: index % 7,
        outcome: 'completed',
        durationMs: 1,
        tries: [{ provider: providers[index % 2]!, model: models[index % 2]!, tokens: 1, cost: 2 }],
      }),
    )
    // Each has its own two hundred, and all have all of them in the end, in different orders.
    const counts = await Promise.all(
      databases.map(async (database, index) => {
        let count = 0
        const own = [...all.slice(index * 200), ...all.slice(0, index * 200)]
        for (let from = 0; from < own.length; from += 50)
          count += await writeAgain(database, own.slice(from, from + 50))
        return count
      }),
    )
    assert.equal(
      counts.reduce((sum, count) => sum + count),
      600,
    )
    const { hours } = await rollups(databases[0])
    assert.equal(
      hours.reduce((sum, row) => sum + Number(row['cost_micros']), 0),
      1200,
    )
    assert.equal(
      hours.reduce((sum, row) => sum + Number(row['requests']), 0),
      600,
    )
  })
})

const texts = (batch: readonly UsageRow[]): string[] => batch.map((row) => JSON.stringify(row))

/** As the queue does it: a statement that lost a race is written again. */
async function writeAgain(database: Parameters<typeof writeRows>[0], batch: readonly UsageRow[]): Promise<number> {
  for (;;)
    try {
      return await writeRows(database, texts(batch))
    } catch (error) {
      assert.equal((error as { code?: string }).code, '40P01')
    }
}

describe('usage-log: journal', () => {
  it('keeps what a killed process had not written, and the next start writes it once', async () => {
    const database = await tests.connect()
    const journal = memoryJournal()
    const killed = await tests.start(database, {}, { journal: journal.process() })
    const written = Array.from({ length: 5 }, () => settle(killed))
    await killed.clock.advance(500)
    await withinOneSecond(async () => assert.equal((await rows(database)).length, 5))
    await withinOneSecond(() => assert.equal(journal.unreleased('usage-log').length, 0))
    // Written to the database, and killed before it knew.
    killed.database.after = () => {
      throw away
    }
    const doubtful = settle(killed)
    await killed.clock.advance(500)
    await withinOneSecond(async () => assert.equal((await rows(database)).length, 6))
    const lost = settle(killed, {
      principal: { id: 'key-2', name: 'a name', owners: [{ kind: 'team', id: 'team-1' }] },
    })
    await new Promise((resolve) => setImmediate(resolve))
    journal.crash()
    const next = await tests.start(database, {}, { journal: journal.process() })
    await next.clock.advance(500)
    await withinOneSecond(async () =>
      assert.deepEqual(new Set((await rows(database)).map(({ id }) => id)), new Set([...written, doubtful, lost])),
    )
    await withinOneSecond(() => assert.equal(journal.unreleased('usage-log').length, 0))
    const { body } = await next.route('GET', '/admin/v1/usage')
    assert.deepEqual([body['request_count'], body['call_count'], body['cost_micros']], [7, 7, 7 * 1234])
    const team = await next.route('GET', '/admin/v1/usage', { query: { team: 'team-1' } })
    assert.equal(team.body['request_count'], 1)
  })

  it('keeps what the database did not take before a normal end', async () => {
    const database = await tests.connect()
    const journal = memoryJournal()
    const process = journal.process()
    const first = await tests.start(database, {}, { journal: process })
    first.database.before = () => {
      throw away
    }
    settle(first)
    await first.hooks.stop?.()
    process.end()
    const next = await tests.start(database, {}, { journal: journal.process() })
    await next.hooks.stop?.()
    assert.equal((await rows(database)).length, 1)
  })

  it('hands what is pending to the next generation of the plugin after a reload', async () => {
    const database = await tests.connect()
    const journal = memoryJournal()
    const retained = new Map<string, unknown>()
    const retain = (name: string, create: () => unknown): unknown => {
      if (!retained.has(name)) retained.set(name, create())
      return retained.get(name)
    }
    const first = await tests.start(database, {}, { journal, retain })
    first.database.before = () => {
      throw away
    }
    const id = settle(first)
    await first.hooks.stop?.()
    const second = await tests.start(database, {}, { journal, retain })
    await second.clock.advance(500)
    await withinOneSecond(async () =>
      assert.deepEqual(
        (await rows(database)).map((row) => row['id']),
        [id],
      ),
    )
    await withinOneSecond(() => assert.equal(journal.unreleased('usage-log').length, 0))
    const third = await tests.start(database, {}, { journal, retain })
    await third.clock.advance(500)
    await third.hooks.stop?.()
    assert.equal(third.database.statements.length, 0, 'nothing is written twice for want of a memory')
  })

  it('that takes nothing costs no row', async () => {
    const database = await tests.connect()
    const full = {
      open: async () => ({
        left: [],
        append(): JournalEntry {
          throw new Error('no space left on device')
        },
        written: () => Promise.resolve(),
        release: () => undefined,
      }),
    }
    const instance = await tests.start(database, {}, { journal: full })
    settle(instance)
    settle(instance)
    await instance.hooks.stop?.()
    assert.equal((await rows(database)).length, 2)
    assert.equal(instance.log.filter((line) => line.includes('not journalled')).length, 1)
  })

  it('costs a request no statement and no promise', async () => {
    const instance = await tests.start(await tests.connect())
    const exchangeOf = settle.bind(undefined, instance)
    for (let count = 0; count < 100; count++) exchangeOf()
    assert.equal(instance.database.statements.length, 0)
    let returned: unknown = 'not called'
    const hooks = {
      settle: (...input: unknown[]) =>
        (returned = (instance.hooks.settle as (...input: unknown[]) => unknown)(...input)),
    }
    settle({ ...instance, hooks: hooks as never })
    assert.equal(returned, undefined)
  })

  it('of a whole gateway that is killed loses no exchange that ended', async () => {
    const database = await tests.connect()
    const journal = memoryJournal()
    const killed = await harness({ plugins: [usageLog], provider: fakeProvider(), database, journal })
    for (let count = 0; count < 20; count++) await killed.send()
    await new Promise((resolve) => setImmediate(resolve))
    journal.crash()
    const elsewhere = await tests.connect()
    const next = await harness({ plugins: [usageLog], provider: fakeProvider(), database: elsewhere, journal })
    await next.stop()
    assert.equal((await rows(elsewhere)).length, 20)
    assert.equal(journal.unreleased('usage-log').length, 0)
    await killed.stop()
  })
})
