import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { OpenedDatabase } from '../../core/services/database/index.ts'
import { migrate } from '../../core/services/database/index.ts'
import type { AttemptRecord, JsonObject } from '../../core/contract/plugin.ts'
import { gatewayError } from '../../core/contract/plugin.ts'
import { fakeProvider, harness, memoryJournal } from '../../core/testing/index.ts'
import { pluginSuite } from '../../core/testing/plugin-suite.ts'
import usageLog from '../../plugins/usage-log/index.ts'
import { RowQueue } from '../../plugins/usage-log/row-queue.ts'
import { writeRows } from '../../plugins/usage-log/write.ts'
import { withinOneSecond } from './plugin-instance.ts'
import type { PluginInstance } from './plugin-instance.ts'
import { attempt, away, rollups, rows, settle, silent, target, UsageTests, writes } from './usage-instance.ts'

const logs = '/admin/v1/usage/logs'
const dayMs = 86_400_000
const tests = new UsageTests()
const connect = tests.connect.bind(tests)
const start = tests.start.bind(tests)

after(() => tests.close())

describe('usage-log: rows', () => {
  for (const kind of ['embedded', 'PostgreSQL'] as const)
    it(`say everything about an exchange and its attempts but their content (${kind})`, async () => {
      const database = kind === 'embedded' ? await tests.embedded() : await connect()
      const instance = await start(database)
      const failure = gatewayError('provider_error', 'Upstream said: a secret prompt', {
        details: { upstream_status: 429 },
      })
      const other = { ...target, provider: 'azure', name: 'azure/gpt-4o' }
      await instance.clock.advance(1000)
      const attempts: AttemptRecord[] = [
        { target: other, startedMs: 960, endedMs: 970, outcome: 'failed', error: failure },
        attempt({ startedMs: 970, firstEventMs: 975, endedMs: 1000 }),
      ]
      const startedAt = instance.clock.now() - 42
      const owners = [
        { kind: 'user', id: 'user-1' },
        { kind: 'team', id: 'team-1' },
        { kind: 'team', id: 'team-2' },
        { kind: 'organization', id: 'org-1' },
      ]
      const id = settle(instance, {
        principal: { id: 'key-1', name: 'a key', owners },
        requestPlugins: ['web'],
        outcome: { attempts, startedAt, durationMs: 42 },
      })
      await instance.clock.advance(500)
      await withinOneSecond(async () => assert.equal((await rows(database)).length, 1))
      const bill = {
        input_tokens: 100,
        output_tokens: 20,
        cached_tokens: 60,
        cache_write_tokens: 5,
        reasoning_tokens: 7,
        audio_input_tokens: 3,
        audio_output_tokens: 2,
        images: 1,
        cost_micros: 1234,
        reported_cost_micros: 1200,
        estimated: false,
      }
      const shown = {
        id,
        started_at: new Date(startedAt),
        principal_id: 'key-1',
        principal_name: 'a key',
        user_id: 'user-1',
        service_account_id: null,
        project_id: null,
        team_ids: ['team-1', 'team-2'],
        organization_ids: ['org-1'],
        operation: 'generate',
        dialect: 'chat',
        requested_model: 'gpt-4o',
        provider: 'openai',
        model: 'gpt-4o',
        outcome: 'completed',
        http_status: 200,
        error_code: null,
        plugin: null,
        plugins: ['web'],
        streamed: true,
        ...bill,
        purchases: null,
        finish_reason: 'stop',
        duration_ms: 42,
        first_event_ms: 5,
      }
      const list = await instance.route('GET', logs)
      assert.deepEqual(list.body['data'], [{ ...shown, attempts: 2 }])
      const nothing = Object.fromEntries(Object.keys(bill).map((name) => [name, null]))
      const one = await instance.route('GET', `${logs}/:id`, { params: { id } })
      assert.deepEqual(one.body, {
        ...shown,
        attempt_count: 2,
        attempts: [
          {
            number: 1,
            started_at: new Date(startedAt + 2),
            provider: 'azure',
            model: 'gpt-4o',
            outcome: 'failed',
            http_status: 429,
            error_code: 'provider_error',
            ...nothing,
            estimated: false,
            first_event_ms: null,
            duration_ms: 10,
          },
          {
            number: 2,
            started_at: new Date(startedAt + 12),
            provider: 'openai',
            model: 'gpt-4o',
            outcome: 'completed',
            http_status: null,
            error_code: null,
            ...bill,
            first_event_ms: 5,
            duration_ms: 30,
          },
        ],
      })
      assert.ok(!JSON.stringify([await rows(database), one.body, instance.log]).includes('secret'))
      await instance.hooks.stop?.()
    })

  it('of failures name the last target that was tried', async () => {
    const database = await connect()
    const instance = await start(database)
    const error = gatewayError('provider_timeout', 'too late')
    const attempts: AttemptRecord[] = [{ target, startedMs: 0, endedMs: 9, outcome: 'failed', error }]
    settle(instance, {
      outcome: { status: 'failed', httpStatus: 504, error, attempts, target: undefined, usage: undefined },
    })
    await instance.hooks.stop?.()
    const [row] = await rows(database)
    assert.deepEqual(
      [row?.['provider'], row?.['model'], row?.['error_code'], row?.['input_tokens'], row?.['cost_micros']],
      ['openai', 'gpt-4o', 'provider_timeout', null, null],
    )
  })

  it('take whatever clients and upstreams put into them, and sums of it too', async () => {
    const database = await connect()
    const instance = await start(database)
    const hostile = { inputTokens: 1e30, outputTokens: Number.NaN, cachedInputTokens: -4, reasoningTokens: 0.5 }
    const principal = { id: '\0key', name: '\ud800', owners: [{ kind: 'team', id: `{"',\\}\0` }] }
    for (let count = 0; count < 3; count++)
      settle(instance, {
        principal,
        requestedModel: `\0\ud800${'x'.repeat(10_000)}`,
        outcome: { usage: hostile, attempts: [attempt({ usage: hostile })] },
      })
    const named = settle(instance, { id: 'a name of its own' })
    settle(instance, { id: named })
    await instance.hooks.stop?.()
    const stored = await rows(database)
    assert.equal(stored.length, 4, 'one name is one row')
    const row = stored.find((each) => String(each['requested_model']).length > 100)
    assert.equal(row?.['input_tokens'], '1000000000000')
    assert.deepEqual([row?.['output_tokens'], row?.['cached_tokens'], row?.['reasoning_tokens']], [null, '0', '1'])
    const sum = await instance.route('GET', '/admin/v1/usage', { query: { team: `{"',\\}` } })
    assert.deepEqual([sum.body['request_count'], sum.body['input_tokens']], [3, 3e12])
    const one = await instance.route('GET', `${logs}/:id`, { params: { id: 'a name of its own' } })
    assert.equal(one.body['principal_id'], 'key-1')
  })

  it('keep the last name of a key, whichever comes last', async () => {
    const database = await connect()
    const instance = await start(database)
    const startedAt = instance.clock.now()
    settle(instance, { principal: { id: 'key-1', name: 'new' }, outcome: { startedAt } })
    await instance.clock.advance(500)
    settle(instance, { principal: { id: 'key-1', name: 'old' }, outcome: { startedAt: startedAt - 1000 } })
    await instance.hooks.stop?.()
    const { body } = await instance.route('GET', '/admin/v1/usage/by-key')
    assert.deepEqual(
      (body['data'] as JsonObject[]).map((key) => [key['principal_id'], key['principal_name'], key['request_count']]),
      [['key-1', 'new', 2]],
    )
  })

  it('of an earlier version of the table are moved', async () => {
    const database = await connect()
    const directory = await mkdtemp(join(tmpdir(), 'usage-log-'))
    const migrations = new URL('../../plugins/usage-log/migrations/', import.meta.url)
    await cp(new URL('001-exchanges.sql', migrations), join(directory, '001-exchanges.sql'))
    await migrate(database, 'usage-log', pathToFileURL(`${directory}/`))
    await rm(directory, { recursive: true })
    const id = crypto.randomUUID()
    await database.query(
      `insert into usage_log_exchanges (id, started_at, principal_id, operation, dialect, provider, model, outcome,
         http_status, streamed, attempts, estimated, duration_ms, first_event_ms, input_tokens, output_tokens,
         cost_micros, attempt_records)
       values ($1, '2026-01-01T10:30:00Z', 'old key', 'generate', 'chat', 'openai', 'gpt-4o', 'completed', 200, true, 2,
         false, 40, 5, 10, 20, 30, $2::jsonb)`,
      [
        id,
        JSON.stringify([
          { target: 'azure/deep/model', outcome: 'failed', status: 429, error_code: 'provider_error', tokens: null },
          {
            target: 'openai/gpt-4o',
            outcome: 'completed',
            tokens: { input_tokens: 10, output_tokens: 20 },
            cost_micros: 30,
          },
        ]),
      ],
    )
    const instance = await start(database)
    const { body } = await instance.route('GET', `${logs}/:id`, { params: { id } })
    assert.equal(body['principal_id'], 'old key')
    assert.deepEqual(
      (body['attempts'] as JsonObject[]).map((each) => [each['provider'], each['model'], each['cost_micros']]),
      [
        ['azure', 'deep/model', null],
        ['openai', 'gpt-4o', 30],
      ],
    )
    const sum = (await instance.route('GET', '/admin/v1/usage', { query: { principal: 'old key' } })).body
    assert.deepEqual(
      [sum['request_count'], sum['call_count'], sum['output_tokens'], sum['cost_micros'], sum['average_latency_ms']],
      [1, 1, 20, 30, 40],
    )
  })
})

describe('usage-log: writing', () => {
  it('waits for the interval, and not at all for a full batch', async () => {
    const database = await connect()
    const instance = await start(database, { batch_size: 10 })
    for (let count = 0; count < 3; count++) settle(instance)
    await instance.clock.advance(499)
    assert.equal(writes(instance), 0)
    await instance.clock.advance(1)
    await withinOneSecond(async () => assert.equal((await rows(database)).length, 3))
    for (let count = 0; count < 10; count++) settle(instance)
    await withinOneSecond(async () => assert.equal((await rows(database)).length, 13))
    assert.equal(writes(instance), 2)
  })

  it('keeps rows while the database is away, tries less and less often, and loses none', async () => {
    const database = await connect()
    const instance = await start(database)
    instance.database.before = () => {
      throw away
    }
    const expected = new Set<string>()
    for (let count = 0; count < 1200; count++) expected.add(settle(instance))
    await instance.clock.advance(55_000)
    const tried = writes(instance)
    assert.ok(tried >= 5 && tried <= 10, `tried ${tried} times in a minute`)
    assert.ok(instance.log.every((line) => line.includes('"warn"') && line.includes('"waiting":1200')))
    instance.database.before = () => undefined
    await instance.clock.advance(30_000)
    await withinOneSecond(async () => {
      await instance.clock.advance(500)
      assert.deepEqual(new Set((await rows(database)).map(({ id }) => id)), expected)
    })
    assert.ok(instance.log.at(-1)?.includes('written again'))
  })

  it('writes a row once though nobody knew that the first time had worked', async () => {
    const database = await connect()
    const instance = await start(database)
    let cuts = 2
    instance.database.after = (sql) => {
      if (sql.includes('insert into') && cuts-- > 0) throw away
    }
    for (let count = 0; count < 5; count++) settle(instance)
    await instance.clock.advance(500)
    await withinOneSecond(async () => {
      await instance.clock.advance(1000)
      assert.equal(writes(instance), 3)
    })
    await instance.hooks.stop?.()
    assert.equal((await rows(database)).length, 5)
    assert.ok(!instance.log.some((line) => line.includes('"error"') && line.includes('left out')))
  })

  it('survives that every connection is cut', async () => {
    const server = await tests.server
    const url = await server.createDatabase()
    const instance = await start(await connect(url))
    settle(instance)
    await instance.clock.advance(500)
    await server.halt()
    const late = settle(instance)
    await instance.clock.advance(2000)
    await withinOneSecond(() => assert.ok(instance.log.some((line) => line.includes('kept and tried again'))))
    await server.start()
    const database = await connect(url)
    await withinOneSecond(async () => {
      await instance.clock.advance(30_000)
      assert.ok((await rows(database)).some(({ id }) => id === late))
    })
  })

  it('leaves out only the row that the database refuses', async () => {
    const database = await connect()
    const instance = await start(database)
    await database.query(`alter table usage_log_callers add check (principal_id <> 'refused')`)
    for (let count = 0; count < 20; count++) settle(instance, { principal: { id: count === 13 ? 'refused' : 'fine' } })
    await instance.clock.advance(500)
    await withinOneSecond(async () => assert.equal((await rows(database)).length, 19))
    assert.equal(instance.log.filter((line) => line.includes('left out')).length, 1)
  })

  it('leaves the oldest rows to the next start when too many wait, and says how many', async () => {
    const database = await connect()
    const journal = memoryJournal()
    const instance = await start(database)
    const said: object[] = []
    const queue = new RowQueue({
      write: (batch) => writeRows(instance.database, batch),
      clock: instance.clock,
      logger: { ...silent, info: (fields) => said.push(fields), warn: (fields) => said.push(fields) },
      flushIntervalMs: 500,
      batchSize: 5,
      pending: new Set(),
      mostWaiting: 20,
    })
    queue.start(await journal.open('usage-log'))
    instance.database.before = () => {
      throw away
    }
    let pushed = 0
    const push = (): void =>
      queue.push({
        id: crypto.randomUUID(),
        started_at: new Date(instance.clock.now() + pushed++),
        caller_id: crypto.randomUUID(),
        principal_id: 'a key',
        owners: [],
        operation: 'generate',
        dialect: 'chat',
        outcome: 'completed',
        http_status: 200,
        streamed: false,
        attempts: 0,
        estimated: false,
        duration_ms: 1,
        tries: [],
      })
    for (let count = 0; count < 5; count++) push()
    await instance.clock.advance(500)
    for (let count = 0; count < 30; count++) push()
    await instance.clock.advance(1000)
    instance.database.before = () => undefined
    await queue.stop()
    const stored = (await rows(database)).length
    assert.equal(stored, 25, 'five in the batch, twenty that waited')
    assert.equal(journal.unreleased('usage-log').length, 10)
    assert.ok(said.some((fields) => (fields as { set_aside?: number }).set_aside === 10))
    journal.crash()
    const next = await start(database, {}, { journal })
    await next.hooks.stop?.()
    assert.equal((await rows(database)).length, 35)
  })

  it('writes what is left when it stops, and leaves no timer', async () => {
    const database = await connect()
    const instance = await start(database)
    for (let count = 0; count < 1234; count++) settle(instance)
    await instance.hooks.stop?.()
    assert.equal((await rows(database)).length, 1234)
    assert.equal(instance.clock.pending, 0)
    await instance.hooks.stop?.()
  })

  it('says what it left in the journal if the database is away at the end', async () => {
    const instance = await start(await connect())
    settle(instance)
    instance.database.before = () => {
      throw away
    }
    await instance.hooks.stop?.()
    assert.ok(instance.log.at(-1)?.includes('"left":1'))
  })
})

describe('usage-log: retention', () => {
  async function withOldRows(options: JsonObject): Promise<[PluginInstance, OpenedDatabase]> {
    const database = await connect()
    const instance = await start(database, options)
    await database.query(
      `with old as (
         insert into usage_log_exchanges (id, started_at, caller_id, operation, dialect, outcome, http_status, streamed,
           attempts, estimated, duration_ms)
         select gen_random_uuid(), $1::timestamptz - n * interval '1 minute', $2, 'generate', 'chat', 'completed', 200,
           false, 1, false, 1 from generate_series(1, 12000) as n
         returning id, started_at)
       insert into usage_log_attempts (exchange_id, number, started_at, provider, model, estimated)
       select id, 1, started_at, 'openai', 'gpt-4o', false from old`,
      [new Date(instance.clock.now() - 90 * dayMs), crypto.randomUUID()],
    )
    settle(instance, { principal: { id: 'new' } })
    settle(instance, {
      principal: { id: 'nearly old' },
      outcome: { startedAt: instance.clock.now() - 90 * dayMs + 120_000 },
    })
    return [instance, database]
  }
  const deletes = ({ database }: PluginInstance): number =>
    database.statements.filter((sql) => sql.includes('delete from usage_log_exchanges')).length
  const count = async (database: OpenedDatabase, table: string): Promise<number> =>
    Number((await database.query(`select count(*) from usage_log_${table}`))[0]?.['count'])

  it('deletes old exchanges and their attempts in batches, and only those', async () => {
    const [instance, database] = await withOldRows({})
    await instance.clock.advance(60_000)
    await withinOneSecond(() => assert.ok(instance.log.some((line) => line.includes('"rows":12000'))))
    await withinOneSecond(async () =>
      assert.deepEqual(
        (await rows(database)).map((row) => row['principal_id']),
        ['nearly old', 'new'],
      ),
    )
    assert.equal(await count(database, 'attempts'), 2)
    assert.equal(deletes(instance), 3)
    await instance.clock.advance(3_600_000)
    await withinOneSecond(async () => assert.equal((await rows(database)).length, 1))
    assert.equal(await count(database, 'attempts'), 1)
    assert.equal((await rollups(database)).hours.length, 2, 'sums stay')
  })

  it('keeps all with 0', async () => {
    const [instance, database] = await withOldRows({ retention_days: 0 })
    await instance.clock.advance(24 * 3_600_000)
    assert.equal(deletes(instance), 0)
    await withinOneSecond(async () => assert.equal(await count(database, 'exchanges'), 12_002))
  })

  it('deletes old sums by whole days, and keeps exchanges of the same time', async () => {
    const database = await connect()
    const instance = await start(database, { retention_days: 0, rollup_retention_days: 10 })
    await instance.clock.advance(dayMs / 2)
    const nowMs = instance.clock.now()
    for (const days of [0, 1, 9.9, 10.4, 10.6, 11, 30])
      settle(instance, { outcome: { startedAt: nowMs - days * dayMs } })
    await withinOneSecond(async () => {
      await instance.clock.advance(600_000)
      const { hours, days } = await rollups(database)
      assert.deepEqual([hours.length, days.length], [4, 3])
    })
    assert.equal((await rows(database)).length, 7)
  })
})

describe('usage-log: in a gateway', () => {
  it('has a row for each exchange, streamed or not', async () => {
    const database = await connect()
    await using gateway = await harness({ plugins: [usageLog], provider: fakeProvider(), database })
    const answer = await gateway.send()
    const stream = await gateway.stream()
    for await (const _ of stream.records) continue
    const streamed = await stream.outcome
    await gateway.stop()
    const stored = (await rows(database)).toSorted((a, b) => Number(a['streamed']) - Number(b['streamed']))
    assert.deepEqual(
      stored.map((row) => [row['streamed'], row['provider'], row['outcome'], Number(row['input_tokens'])]),
      [
        [false, 'fake', 'completed', answer.outcome.usage!.inputTokens],
        [true, 'fake', 'completed', streamed.usage!.inputTokens],
      ],
    )
  })
})

pluginSuite(usageLog, { database: () => connect() })
