import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { openDatabase } from '../../core/services/database/index.ts'
import type { OpenedDatabase } from '../../core/services/database/index.ts'
import type { AttemptRecord, Exchange, JsonObject, Outcome, Row, Usage } from '../../core/contract/plugin.ts'
import { gatewayError } from '../../core/contract/plugin.ts'
import { fakeProvider, harness } from '../../core/testing/index.ts'
import { pluginSuite } from '../../core/testing/plugin-suite.ts'
import usageLog from '../../plugins/usage-log/index.ts'
import { RowQueue } from '../../plugins/usage-log/row-queue.ts'
import { startPostgres } from '../postgres-server.ts'
import type { PostgresServer } from '../postgres-server.ts'
import { preparedDataDirectory } from '../prepared-database.ts'
import { pluginInstance, withinOneSecond } from './plugin-instance.ts'
import type { PluginInstance } from './plugin-instance.ts'

const logger = { debug() {}, info() {}, warn() {}, error() {} }
const logs = '/admin/v1/usage/logs'
const dayMs = 86_400_000
const opened: OpenedDatabase[] = []
const instances: PluginInstance[] = []
let server: PostgresServer
let embedded: OpenedDatabase

before(async () => {
  server = await startPostgres()
  embedded = await openDatabase({ dataDirectory: await preparedDataDirectory(), logger })
  opened.push(embedded)
})

after(async () => {
  for (const { hooks } of instances) await hooks.stop?.()
  for (const database of opened) await database.close()
  await server.stop()
})

async function connect(url?: string): Promise<OpenedDatabase> {
  const database = await openDatabase({ url: url ?? (await server.createDatabase()), dataDirectory: '', logger })
  opened.push(database)
  return database
}

async function start(database: OpenedDatabase, options: JsonObject = {}): Promise<PluginInstance> {
  const instance = await pluginInstance(usageLog, database, options)
  instances.push(instance)
  await instance.hooks.start?.()
  return instance
}

const target = { provider: 'openai', model: 'gpt-4o', name: 'openai/gpt-4o', requested: 'gpt-4o' }
const usage: Usage = {
  inputTokens: 100,
  outputTokens: 20,
  cachedInputTokens: 60,
  cacheWriteTokens: 5,
  reasoningTokens: 7,
  costMicros: 1234,
}

interface Ended {
  readonly id?: string
  readonly principal?: string
  readonly requestedModel?: string
  readonly outcome?: Partial<Outcome>
}

function settle(instance: PluginInstance, { id, principal, requestedModel, outcome }: Ended = {}): string {
  const exchange = {
    id: id ?? crypto.randomUUID(),
    operation: 'generate',
    dialect: 'chat',
    principal: { id: principal ?? 'key-1' },
    request: { model: requestedModel ?? 'gpt-4o', messages: [{ content: 'a secret prompt' }] },
  }
  const attempts: AttemptRecord[] = [
    { target, startedMs: 10, firstEventMs: 15, endedMs: 40, outcome: 'completed', usage },
  ]
  void instance.hooks.settle?.(exchange as unknown as Exchange, {
    status: 'completed',
    httpStatus: 200,
    usage,
    target,
    attempts,
    finishReason: 'stop',
    streamed: true,
    startedAt: instance.clock.now(),
    durationMs: 41.6,
    firstEventMs: 5.4,
    ...outcome,
  })
  return exchange.id
}

const rows = (database: OpenedDatabase): Promise<Row[]> =>
  database.query('select * from usage_log_exchanges order by started_at, id')

const inserts = ({ database }: PluginInstance): string[] =>
  database.statements.filter((statement) => statement.startsWith('insertMany'))

const away = Object.assign(new Error('The database cannot be reached'), { code: 'database_unavailable' })

describe('usage-log: rows', () => {
  for (const kind of ['embedded', 'PostgreSQL'] as const)
    it(`say everything about an exchange but its content (${kind})`, async () => {
      const database = kind === 'embedded' ? embedded : await connect()
      const instance = await start(database)
      const failure = gatewayError('provider_error', 'Upstream said: a secret prompt', {
        details: { upstream_status: 429 },
      })
      const other = { ...target, provider: 'azure', name: 'azure/gpt-4o' }
      const attempts: AttemptRecord[] = [
        { target: other, startedMs: 3, endedMs: 10, outcome: 'failed', error: failure },
        { target, startedMs: 10, firstEventMs: 15, endedMs: 40, outcome: 'completed', usage },
      ]
      const id = settle(instance, { outcome: { attempts } })
      await instance.clock.advance(500)
      await withinOneSecond(async () => assert.equal((await rows(database)).length, 1))
      const { body } = await instance.route('GET', logs)
      const tokens = {
        input_tokens: 100,
        output_tokens: 20,
        cached_tokens: 60,
        cache_write_tokens: 5,
        reasoning_tokens: 7,
      }
      assert.deepEqual(body['data'], [
        {
          id,
          started_at: new Date(instance.clock.now() - 500),
          principal_id: 'key-1',
          operation: 'generate',
          dialect: 'chat',
          requested_model: 'gpt-4o',
          provider: 'openai',
          model: 'gpt-4o',
          outcome: 'completed',
          http_status: 200,
          error_code: null,
          plugin: null,
          streamed: true,
          attempts: 2,
          ...tokens,
          cost_micros: 1234,
          estimated: false,
          finish_reason: 'stop',
          duration_ms: 42,
          first_event_ms: 5,
          attempt_records: [
            {
              target: 'azure/gpt-4o',
              outcome: 'failed',
              status: 429,
              error_code: 'provider_error',
              tokens: null,
              cost_micros: null,
              ms: 7,
              first_event_ms: null,
            },
            {
              target: 'openai/gpt-4o',
              outcome: 'completed',
              status: null,
              error_code: null,
              tokens,
              cost_micros: 1234,
              ms: 30,
              first_event_ms: 5,
            },
          ],
        },
      ])
      assert.ok(!JSON.stringify([await rows(database), instance.log]).includes('secret'))
      await database.query('delete from usage_log_exchanges')
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

  it('take whatever clients and upstreams put into them', async () => {
    const database = await connect()
    const instance = await start(database)
    const hostile = { inputTokens: 1e30, outputTokens: Number.NaN, cachedInputTokens: -4, reasoningTokens: 0.5 }
    settle(instance, { requestedModel: `\0\ud800${'x'.repeat(10_000)}`, outcome: { usage: hostile } })
    const named = settle(instance, { id: 'a name of its own' })
    settle(instance, { id: named })
    await instance.hooks.stop?.()
    const stored = await rows(database)
    assert.equal(stored.length, 2, 'one name is one row')
    const row = stored.find((each) => String(each['requested_model']).length > 100)
    assert.equal(row?.['input_tokens'], String(Number.MAX_SAFE_INTEGER))
    assert.deepEqual([row?.['output_tokens'], row?.['cached_tokens'], row?.['reasoning_tokens']], [null, '0', '1'])
  })
})

describe('usage-log: writing', () => {
  it('waits for the interval, and not at all for a full batch', async () => {
    const database = await connect()
    const instance = await start(database, { batch_size: 10 })
    for (let count = 0; count < 3; count++) settle(instance)
    await instance.clock.advance(499)
    assert.deepEqual(inserts(instance), [])
    await instance.clock.advance(1)
    await withinOneSecond(async () => assert.equal((await rows(database)).length, 3))
    for (let count = 0; count < 10; count++) settle(instance)
    await withinOneSecond(async () => assert.equal((await rows(database)).length, 13))
    assert.deepEqual(inserts(instance), ['insertMany 3', 'insertMany 10'])
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
    const tried = inserts(instance).length
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
      if (sql.startsWith('insertMany') && cuts-- > 0) throw away
    }
    for (let count = 0; count < 5; count++) settle(instance)
    await instance.clock.advance(500)
    await withinOneSecond(async () => {
      await instance.clock.advance(1000)
      assert.equal(inserts(instance).length, 3)
    })
    await instance.hooks.stop?.()
    assert.equal((await rows(database)).length, 5)
    assert.ok(!instance.log.some((line) => line.includes('"error"') && line.includes('left out')))
  })

  it('survives that every connection is cut', async () => {
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
    await database.query(`alter table usage_log_exchanges add check (principal_id <> 'refused')`)
    for (let count = 0; count < 20; count++) settle(instance, { principal: count === 13 ? 'refused' : 'fine' })
    await instance.clock.advance(500)
    await withinOneSecond(async () => assert.equal((await rows(database)).length, 19))
    assert.equal(instance.log.filter((line) => line.includes('left out')).length, 1)
  })

  it('drops the oldest rows when too many wait, and says how many', async () => {
    const database = await connect()
    const instance = await start(database)
    const queue = new RowQueue({
      database: instance.database,
      clock: instance.clock,
      logger: { ...logger, info: (fields) => said.push(fields), warn: (fields) => said.push(fields) },
      flushIntervalMs: 500,
      batchSize: 5,
      mostWaiting: 20,
    })
    const said: object[] = []
    instance.database.before = () => {
      throw away
    }
    const push = (principal: string): void =>
      queue.push({
        id: crypto.randomUUID(),
        started_at: new Date(instance.clock.now()),
        principal_id: principal,
        operation: 'generate',
        dialect: 'chat',
        outcome: 'completed',
        http_status: 200,
        streamed: false,
        attempts: 0,
        estimated: false,
        duration_ms: 1,
        attempt_records: [],
      })
    for (let count = 0; count < 5; count++) push('in the first batch')
    await instance.clock.advance(500)
    for (let count = 0; count < 30; count++) push(count < 10 ? 'old' : 'new')
    await instance.clock.advance(1000)
    instance.database.before = () => undefined
    await queue.stop()
    const principals = (await rows(database)).map((row) => row['principal_id'])
    assert.deepEqual(principals.filter((name) => name === 'new').length, 20)
    assert.ok(principals.length <= 25)
    assert.ok(said.some((fields) => (fields as { dropped?: number }).dropped === 10))
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

  it('says what it lost if the database is away at the end', async () => {
    const instance = await start(await connect())
    settle(instance)
    instance.database.before = () => {
      throw away
    }
    await instance.hooks.stop?.()
    assert.ok(instance.log.at(-1)?.includes('"lost":1'))
  })
})

describe('usage-log: retention', () => {
  async function withOldRows(options: JsonObject): Promise<[PluginInstance, OpenedDatabase]> {
    const database = await connect()
    const instance = await start(database, options)
    await database.query(
      `insert into usage_log_exchanges (id, started_at, principal_id, operation, dialect, outcome, http_status,
         streamed, attempts, estimated, duration_ms, attempt_records)
       select gen_random_uuid(), $1::timestamptz - n * interval '1 minute', 'old', 'generate', 'chat', 'completed', 200,
         false, 1, false, 1, '[]' from generate_series(1, 12000) as n`,
      [new Date(instance.clock.now() - 90 * dayMs)],
    )
    settle(instance, { principal: 'new' })
    settle(instance, { principal: 'nearly old', outcome: { startedAt: instance.clock.now() - 90 * dayMs + 120_000 } })
    return [instance, database]
  }
  const deletes = ({ database }: PluginInstance): number =>
    database.statements.filter((sql) => sql.includes('delete from')).length

  it('deletes old rows in batches, and only those', async () => {
    const [instance, database] = await withOldRows({})
    await instance.clock.advance(60_000)
    await withinOneSecond(() => assert.ok(instance.log.some((line) => line.includes('"rows":12000'))))
    await withinOneSecond(async () =>
      assert.deepEqual(
        (await rows(database)).map((row) => row['principal_id']),
        ['nearly old', 'new'],
      ),
    )
    assert.equal(deletes(instance), 3)
    await instance.clock.advance(3_600_000)
    await withinOneSecond(async () => assert.equal((await rows(database)).length, 1))
  })

  it('keeps all with 0', async () => {
    const [instance, database] = await withOldRows({ retention_days: 0 })
    await instance.clock.advance(24 * 3_600_000)
    assert.equal(deletes(instance), 0)
    await withinOneSecond(async () => assert.equal((await rows(database)).length, 12_002))
  })
})

describe('usage-log: admin API', () => {
  it('filters and pages', async () => {
    const instance = await start(await connect())
    const startMs = instance.clock.now()
    for (let count = 0; count < 10; count++) {
      const failed = count % 5 === 0
      settle(instance, {
        principal: count % 2 === 0 ? 'even' : 'odd',
        outcome: {
          startedAt: startMs + (count >> 1) * 1000,
          ...(failed && { status: 'aborted', httpStatus: 499 }),
          target: { ...target, model: count < 3 ? 'small' : 'large', provider: count < 6 ? 'one' : 'two' },
        },
      })
    }
    await instance.hooks.stop?.()
    const list = async (query: Record<string, string>): Promise<JsonObject[]> =>
      (await instance.route('GET', logs, { query })).body['data'] as JsonObject[]
    const count = async (query: Record<string, string>): Promise<number> => (await list(query)).length
    assert.equal(await count({}), 10)
    assert.equal(await count({ principal: 'even' }), 5)
    assert.equal(await count({ model: 'small' }), 3)
    assert.equal(await count({ provider: 'two' }), 4)
    assert.equal(await count({ outcome: 'aborted' }), 2)
    assert.equal(await count({ outcome: 'aborted', principal: 'odd', provider: 'one' }), 1)
    const from = new Date(startMs + 1000).toISOString()
    const to = new Date(startMs + 3000).toISOString()
    assert.equal(await count({ from }), 8)
    assert.equal(await count({ to }), 6)
    assert.equal(await count({ from, to }), 4)
    const all = await list({ principal: 'even' })
    const paged: JsonObject[] = []
    for (let cursor: string | null = ''; cursor !== null;) {
      const query: Record<string, string> = { principal: 'even', limit: '2', ...(cursor !== '' && { cursor }) }
      const { body } = await instance.route('GET', logs, { query })
      paged.push(...(body['data'] as JsonObject[]))
      cursor = (body['pagination'] as { next_cursor: string | null }).next_cursor
    }
    assert.deepEqual(paged, all)
    await assert.rejects(
      instance.route('GET', logs, { query: { outcome: 'lost', from: 'yesterday', modle: 'x' } }),
      (error: { status: number; details: { errors: { path: string }[] } }) => {
        assert.deepEqual(
          error.details.errors.map(({ path }) => path),
          ['outcome', 'from', 'modle'],
        )
        return error.status === 400
      },
    )
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

pluginSuite(usageLog, { database: async () => embedded })
