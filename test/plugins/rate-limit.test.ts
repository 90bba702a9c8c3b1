import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { definePlugin, GatewayError } from '../../core/contract/plugin.ts'
import type { JsonObject, PluginDefinition, Principal, RateLimits } from '../../core/contract/plugin.ts'
import { openDatabase } from '../../core/services/database/index.ts'
import type { OpenedDatabase } from '../../core/services/database/index.ts'
import { fakeProvider, harness, pluginSuite, textEvents } from '../../core/testing/index.ts'
import type { FakeScript, Harness, HarnessAnswer } from '../../core/testing/index.ts'
import rateLimit from '../../plugins/rate-limit/index.ts'
import { startPostgres } from '../postgres-server.ts'
import type { PostgresServer } from '../postgres-server.ts'
import { preparedDataDirectory } from '../prepared-database.ts'

const logger = { debug() {}, info() {}, warn() {}, error() {} }
const opened: OpenedDatabase[] = []
let server: PostgresServer
let embedded: OpenedDatabase

before(async () => {
  server = await startPostgres()
  embedded = await openDatabase({ dataDirectory: await preparedDataDirectory(), logger })
  opened.push(embedded)
})

after(async () => {
  for (const database of opened) await database.close()
  await server.stop()
})

pluginSuite(rateLimit, {
  options: {
    requests_per_minute: 1000,
    tokens_per_day: 1_000_000,
    concurrent_requests: 50,
    ip: { requests_per_minute: 1000 },
    models: { 'fake/*': { requests_per_day: 10_000 } },
  },
  database: async () => openDatabase({ dataDirectory: await preparedDataDirectory(), logger }),
})

async function connect(url: string): Promise<OpenedDatabase> {
  const database = await openDatabase({ url, dataDirectory: '', logger })
  opened.push(database)
  return database
}

interface Setting {
  readonly options?: JsonObject
  readonly database?: OpenedDatabase
  readonly script?: FakeScript
  readonly plugins?: readonly PluginDefinition[]
}

function gateway({ options = {}, database = embedded, script, plugins = [] }: Setting = {}): Promise<Harness> {
  return harness({
    plugins: [[rateLimit, options], ...plugins],
    database,
    ...(script && { provider: fakeProvider(script) }),
  })
}

let keys = 0
/** A caller nobody has counted yet. */
function caller(rateLimits: RateLimits = {}, owners?: Principal['owners']): Principal {
  return { id: `key-${++keys}`, rateLimits, ...(owners && { owners }) }
}

/** Lets statements come back, and time pass, in steps that no deadline of the gateway notices. */
async function pass(gateway: Harness, milliseconds: number): Promise<void> {
  for (let passed = 0; passed < milliseconds; passed += 500) {
    await gateway.clock.advance(Math.min(500, milliseconds - passed))
    await settled()
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5))

function passed(answers: readonly HarnessAnswer[]): number {
  for (const { status } of answers) assert(status === 200 || status === 429, String(status))
  return answers.filter(({ status }) => status === 200).length
}

const reply =
  (text: string, usage?: { readonly inputTokens: number; readonly outputTokens: number }): FakeScript =>
  () =>
    usage ? textEvents(text, usage) : textEvents(text)

describe('rate-limit: requests', () => {
  it('lets exactly N of 10 N concurrent requests pass, on the embedded database', async () => {
    await using one = await gateway()
    const principal = caller({ requestsPerMinute: 5 })
    const answers = await Promise.all(Array.from({ length: 50 }, () => one.send({}, { principal })))
    assert.equal(passed(answers), 5)
  })

  for (const limit of [1, 5, 60])
    it(`lets exactly ${limit} of ${limit * 10} concurrent requests pass over three instances`, async () => {
      const url = await server.createDatabase()
      const instances = await Promise.all([1, 2, 3].map(async () => gateway({ database: await connect(url) })))
      const principal = caller({ requestsPerMinute: limit })
      const answers = await Promise.all(
        Array.from({ length: limit * 10 }, (_, index) => instances[index % 3]!.send({}, { principal })),
      )
      assert.equal(passed(answers), limit)
      for (const instance of instances) await instance.stop()
    })

  it('says what is limited, whose limit it is and when to come back, on success and refusal', async () => {
    await using one = await gateway()
    const principal = caller({ requestsPerMinute: 2, requestsPerDay: 100 })
    const first = await one.send({}, { principal })
    assert.deepEqual(limitHeaders(first), { limit: '2', remaining: '1', reset: '63' })
    await pass(one, 10_000)
    const second = await one.send({}, { principal })
    assert.deepEqual(limitHeaders(second), { limit: '2', remaining: '0', reset: '53' })
    const third = await one.send({}, { principal })
    assert.equal(third.status, 429)
    assert.deepEqual(limitHeaders(third), { limit: '2', remaining: '0', reset: '53' })
    assert.equal(third.headers['Retry-After'], '53')
    const { request_id: _, ...error } = third.body['error'] as JsonObject
    assert.deepEqual(error, {
      type: 'rate_limit_error',
      code: 'rate_limit_exceeded',
      message: 'Rate limit exceeded: 2 requests per minute',
      param: null,
      details: { limit: 2, window: 'minute', retry_after_secs: 53, scope: 'key' },
    })
    assert.equal(third.outcome.status, 'refused')
    await pass(one, 52_000)
    assert.equal((await one.send({}, { principal })).status, 429, 'not before the time named')
    await pass(one, 1000)
    assert.equal((await one.send({}, { principal })).status, 200, 'at the time named')
    assert.equal((await one.send({}, { principal })).status, 429)
  })

  it('holds for a key and each of its owners, and takes nothing of the others when one refuses', async () => {
    await using one = await gateway()
    const team = { kind: 'team', id: `team-${keys}`, name: 'platform', rateLimits: { requestsPerMinute: 3 } }
    const [a, b] = [caller({ requestsPerMinute: 2 }, [team]), caller({ requestsPerMinute: 5 }, [team])]
    assert.equal((await one.send({}, { principal: a })).status, 200)
    assert.equal((await one.send({}, { principal: a })).status, 200)
    const byKey = await one.send({}, { principal: a })
    assert.equal(scopeOf(byKey), 'key')
    assert.equal((await one.send({}, { principal: b })).status, 200, 'the refusal has taken nothing of the team')
    const byTeam = await one.send({}, { principal: b })
    assert.equal(scopeOf(byTeam), 'team platform')
    assert.equal((byTeam.body['error'] as JsonObject)['message'], 'Rate limit exceeded: 3 requests per minute')
    await pass(one, 64_000)
    for (const principal of [b, b, b]) assert.equal((await one.send({}, { principal })).status, 200)
    assert.equal((await one.send({}, { principal: b })).status, 429)
  })

  it('gives everything back when another plugin refuses', async () => {
    let refuse = true
    const refuser = definePlugin({
      name: 'refuser',
      api: 1,
      options: { type: 'object', properties: {}, additionalProperties: false },
      order: { after: ['rate-limit'] },
      setup: () => ({
        reserve() {
          if (refuse) throw new GatewayError('budget_exceeded', 402, 'Budget limit exceeded')
        },
      }),
    })
    await using one = await gateway({ plugins: [refuser] })
    const principal = caller({ requestsPerMinute: 1, tokensPerMinute: 1100, concurrentRequests: 1 })
    for (let count = 0; count < 3; count++) assert.equal((await one.send({}, { principal })).status, 402)
    refuse = false
    assert.equal((await one.send({}, { principal })).status, 200)
    assert.equal((await one.send({}, { principal })).status, 429)
  })

  it('counts failed and aborted exchanges', async () => {
    await using one = await gateway({
      // oxlint-disable-next-line require-yield
      script: function* () {
        throw new Error('broken')
      },
    })
    const principal = caller({ requestsPerMinute: 1 })
    assert.equal((await one.send({}, { principal })).status, 500)
    assert.equal((await one.send({}, { principal })).status, 429)
  })

  it('applies the defaults where a principal has no limit of that kind', async () => {
    await using one = await gateway({ options: { requests_per_minute: 1 } })
    const [plain, own] = [caller(), caller({ requestsPerMinute: 2 })]
    assert.equal((await one.send({}, { principal: plain })).status, 200)
    assert.equal((await one.send({}, { principal: plain })).status, 429)
    for (const status of [200, 200, 429]) assert.equal((await one.send({}, { principal: own })).status, status)
  })

  it('refuses all requests of a limit of 0', async () => {
    await using one = await gateway()
    const answer = await one.send({}, { principal: caller({ requestsPerDay: 0 }) })
    assert.equal(answer.status, 429)
    assert.equal(answer.headers['Retry-After'], '86400')
  })

  it('does nothing where nothing is limited', async () => {
    await using one = await gateway()
    const answer = await one.send()
    assert.equal(answer.status, 200)
    assert.deepEqual(
      Object.keys(answer.headers).filter((name) => name.includes('ratelimit')),
      [],
    )
    assert.equal(one.clock.pending, 0)
  })
})

describe('rate-limit: concurrent requests', () => {
  it('holds a slot until the exchange is settled, however it ends', async () => {
    const gate = Promise.withResolvers<void>()
    await using one = await gateway({
      script: async function* () {
        yield* textEvents('Hello').slice(0, 2)
        await gate.promise
        yield* textEvents('Hello').slice(2)
      },
    })
    const principal = caller({ concurrentRequests: 2 })
    const [kept, left] = [await one.stream({}, { principal }), await one.stream({}, { principal })]
    await kept.records.next()
    await left.records.next()
    const refused = await one.send({}, { principal })
    assert.equal(refused.status, 429)
    assert.equal((refused.body['error'] as JsonObject)['message'], 'Rate limit exceeded: 2 concurrent requests')
    assert.deepEqual((refused.body['error'] as JsonObject)['details'], {
      limit: 2,
      window: null,
      retry_after_secs: 1,
      scope: 'key',
    })
    left.abort()
    await left.outcome
    const third = await one.stream({}, { principal })
    assert.equal(third.status, 200)
    gate.resolve()
    for (const { records } of [kept, third]) for await (const _ of records);
    for (const { outcome } of [kept, third]) assert.equal((await outcome).status, 'completed')
    const answers = await Promise.all(Array.from({ length: 2 }, () => one.send({}, { principal })))
    assert.equal(passed(answers), 2)
  })
})

describe('rate-limit: tokens', () => {
  const usage = { inputTokens: 40, outputTokens: 60 }

  it('reserves the estimate and settles what was used, streams included', async () => {
    for (const streamed of [false, true]) {
      await using one = await gateway({ script: reply('Hello', usage), options: { estimated_output_tokens: 500 } })
      const principal = caller({ tokensPerMinute: 1000, tokensPerDay: 5000 })
      const send = async (): Promise<HarnessAnswer['headers']> => {
        if (!streamed) return (await one.send({}, { principal })).headers
        const { headers, records, outcome } = await one.stream({}, { principal })
        for await (const _ of records);
        await outcome
        return headers
      }
      // "Hello" is two tokens by the rule of thumb.
      assert.deepEqual(tokenHeaders(await send()), {
        limit: '1000',
        remaining: '498',
        used: '502',
        'day-limit': '5000',
        'day-remaining': '4498',
      })
      await pass(one, 1000)
      assert.equal(tokenHeaders(await send())['used'], '602')
    }
  })

  it('charges an aborted stream for what came, and a failed call for nothing', async () => {
    const gate = Promise.withResolvers<void>()
    let broken = true
    await using one = await gateway({
      script: async function* () {
        if (broken) throw new Error('broken')
        yield* textEvents('Hello there you all').slice(0, 4)
        await gate.promise
      },
    })
    const principal = caller({ tokensPerDay: 2000 })
    assert.equal((await one.send({}, { principal })).status, 500)
    broken = false
    const stream = await one.stream({}, { principal })
    await stream.records.next()
    stream.abort()
    const { usage: charged } = await stream.outcome
    gate.resolve()
    const used = (charged?.inputTokens ?? 0) + (charged?.outputTokens ?? 0)
    assert(used > 0)
    await pass(one, 5000)
    assert.equal(await counted(one, principal, 'tokens_per_day'), used)
  })

  it('counts what was used beyond the reservation', async () => {
    await using one = await gateway({ script: reply('Hello', { inputTokens: 500, outputTokens: 2000 }) })
    const principal = caller({ tokensPerMinute: 2000 })
    assert.equal((await one.send({ max_tokens: 100 }, { principal })).status, 200)
    await pass(one, 1000)
    const refused = await one.send({ max_tokens: 100 }, { principal })
    assert.equal(refused.status, 429)
    assert.equal((refused.body['error'] as JsonObject)['message'], 'Rate limit exceeded: 2000 tokens per minute')
    assert.equal(await counted(one, principal, 'tokens_per_minute'), 2500)
  })

  it('counts whole numbers, whatever an upstream says it used', async () => {
    for (const used of [0.75, 1e307, 1e308, -100]) {
      const script = reply('Hi', { inputTokens: used, outputTokens: used })
      await using one = await gateway({ script, options: { estimated_output_tokens: 1 } })
      await one.send({}, { principal: caller({ tokensPerMinute: 100 }) })
      await pass(one, 3000)
      assert.deepEqual(
        one.log.filter(({ level }) => level === 'warn'),
        [],
      )
    }
  })

  it('clamps the output to what the limit can hold, and refuses only an input that does not fit', async () => {
    await using one = await gateway({ script: reply('Hello', usage) })
    const clamped = await one.send({ max_tokens: 5000 }, { principal: caller({ tokensPerMinute: 300 }) })
    assert.equal(clamped.status, 200)
    assert.equal(one.provider.calls[0]?.request.maxOutputTokens, 298)
    assert.match(clamped.outcome ? JSON.stringify(one.log) : '', /adjusted_value max_tokens/)
    const long = { messages: [{ role: 'user', content: 'word '.repeat(300) }] }
    const refused = await one.send(long, { principal: caller({ tokensPerMinute: 300 }) })
    assert.equal(refused.status, 429)
    assert.equal(one.provider.calls.length, 1)
  })

  it('reserves output for every answer that is asked for', async () => {
    await using one = await gateway({ script: reply('Hello', usage) })
    const prompts = { prompt: ['a', 'b', 'c', 'd', 'e'], max_tokens: 1000, best_of: 2 }
    await one.send(prompts, { principal: caller({ tokensPerMinute: 5002 }), dialect: 'completions' })
    assert.equal(one.provider.calls[0]?.request.maxOutputTokens, 500)
  })

  it('reserves no output for embeddings', async () => {
    await using one = await gateway({ script: reply('Hello', { inputTokens: 2, outputTokens: 0 }) })
    const principal = caller({ tokensPerMinute: 2 })
    assert.notEqual((await one.send({}, { principal, dialect: 'embeddings' })).status, 429)
  })
})

describe('rate-limit: models', () => {
  const config = { models: { both: { targets: ['fake/one', 'fake/two'] } } }

  it('limits a model over all callers, and leaves it out while there is another to try', async () => {
    const id = `model-${++keys}`
    await using one = await harness({
      plugins: [[rateLimit, { models: { [`fake/${id}`]: { requests_per_minute: 1 } } }]],
      database: embedded,
      config: { models: { pair: { targets: [`fake/${id}`, 'fake/spare'] } } },
    })
    const first = await one.send({ model: 'pair' }, { principal: caller() })
    const second = await one.send({ model: 'pair' }, { principal: caller() })
    assert.deepEqual([first.headers['x-model'], second.headers['x-model']], [id, 'spare'])
    const refused = await one.send({ model: `fake/${id}` }, { principal: caller() })
    assert.equal(refused.status, 429)
    assert.equal(scopeOf(refused), `model fake/${id}`)
  })

  it('does not count a model that was not tried', async () => {
    const id = `model-${++keys}`
    await using one = await harness({
      plugins: [[rateLimit, { models: { [`fake/${id}*`]: { requests_per_minute: 1 } } }]],
      database: embedded,
      config: { models: { pair: { targets: ['fake/spare', `fake/${id}-large`] } } },
    })
    for (let count = 0; count < 3; count++)
      assert.equal((await one.send({ model: 'pair' })).headers['x-model'], 'spare')
    assert.equal((await one.send({ model: `fake/${id}-large` })).status, 200)
    assert.equal((await one.send({ model: `fake/${id}-small` })).status, 429)
  })

  it('knows a model by the name that was asked for', async () => {
    await using one = await harness({
      plugins: [[rateLimit, { models: { both: { requests_per_minute: 1 } } }]],
      database: embedded,
      config,
    })
    assert.equal((await one.send({ model: 'both' })).status, 200)
    assert.equal((await one.send({ model: 'both' })).status, 429)
    assert.equal((await one.send({ model: 'fake/one' })).status, 200)
  })
})

describe('rate-limit: the admin API', () => {
  it('lists the use of limits', async () => {
    await using one = await gateway()
    const principal = caller({ requestsPerMinute: 10, concurrentRequests: 3 })
    await one.send({}, { principal })
    const route = one.gateway.plan.plugins
      .find(({ definition }) => definition.name === 'rate-limit')!
      .hooks.routes!.find(({ path }) => path === '/admin/v1/rate-limits')!
    assert.equal(route.scope, 'admin')
    const list = async (query: Record<string, string>): Promise<unknown> =>
      ((await route.handle({ query } as never, undefined)).body as { data: unknown }).data
    assert.deepEqual(await list({ subject: `key:${principal.id}` }), [
      { subject: `key:${principal.id}`, limit: 'concurrent_requests', allowed: 3, used: 1, instances: 1 },
      { subject: `key:${principal.id}`, limit: 'requests_per_minute', allowed: 10, used: 1, instances: 1 },
    ])
    assert(((await list({})) as unknown[]).length > 1)
    await assert.rejects(list({ subject: 'nonsense' }), { code: 'invalid_request_error' })
  })
})

function limitHeaders({ headers }: HarnessAnswer): Record<string, string | undefined> {
  return {
    limit: headers['x-ratelimit-limit'],
    remaining: headers['x-ratelimit-remaining'],
    reset: headers['x-ratelimit-reset'],
  }
}

function tokenHeaders(headers: Readonly<Record<string, string>>): Record<string, string> {
  const prefix = 'x-tokenratelimit-'
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      name.startsWith(prefix) ? [[name.slice(prefix.length), value]] : [],
    ),
  )
}

function scopeOf({ status, body }: HarnessAnswer): unknown {
  assert.equal(status, 429)
  return ((body['error'] as JsonObject)['details'] as JsonObject)['scope']
}

async function counted(_gateway: Harness, principal: Principal, kind: string): Promise<number> {
  const [row] = await embedded.query<{ used: string }>(
    `select coalesce(sum(units), 0) as used from rate_limit_windows, unnest(counts) as units where subject = $1 and kind = $2`,
    [`key:${principal.id}`, kind],
  )
  return Number(row!.used)
}
