import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type {
  BudgetLimit,
  Hooks,
  JsonObject,
  Owner,
  PluginDefinition,
  Principal,
  StreamEvent,
} from '../../core/contract/plugin.ts'
import { openDatabase } from '../../core/services/database/index.ts'
import type { OpenedDatabase } from '../../core/services/database/index.ts'
import { fakeProvider, harness, memoryJournal, textEvents } from '../../core/testing/index.ts'
import type { FakeProvider, Harness, HarnessOptions } from '../../core/testing/index.ts'
import { pluginSuite } from '../../core/testing/plugin-suite.ts'
import budget from '../../plugins/budget/index.ts'
import { startPostgres } from '../postgres-server.ts'
import type { PostgresServer } from '../postgres-server.ts'
import { preparedDataDirectory } from '../prepared-database.ts'
import { silent } from './budget-simulation.ts'
import { inboundCall, withinOneSecond } from './plugin-instance.ts'

/** A dollar per output token, nothing for input: amounts in tests are dollars. */
const prices = { input_per_million: 0, output_per_million: 1_000_000 }
let server: PostgresServer
const urls: OpenedDatabase[] = []

before(async () => {
  server = await startPostgres()
})

after(async () => {
  for (const database of urls) await database.close()
  await server.stop()
})

interface Setting {
  readonly options?: JsonObject
  readonly provider?: FakeProvider
  readonly url?: string
  readonly journal?: HarnessOptions['journal']
  readonly definition?: PluginDefinition
  readonly watch?: (sql: string) => void | Promise<void>
}

interface Trial extends AsyncDisposable {
  readonly gateway: Harness
  readonly database: OpenedDatabase
  readonly url: string
}

async function start(setting: Setting = {}): Promise<Trial> {
  const url = setting.url ?? (await server.createDatabase())
  const database = await openDatabase({ url, dataDirectory: '/nonexistent', logger: silent })
  const inspect = await openDatabase({ url, dataDirectory: '/nonexistent', logger: silent })
  urls.push(inspect)
  const watched = Object.assign(Object.create(database) as OpenedDatabase, {
    query: async (sql: string, params?: readonly unknown[]) => {
      await setting.watch?.(sql)
      return database.query(sql, params)
    },
    tx: (...input: Parameters<OpenedDatabase['tx']>) => database.tx(...input),
    close: () => database.close(),
    healthy: () => database.healthy(),
  })
  const gateway = await harness({
    plugins: [[setting.definition ?? budget, setting.options ?? {}]],
    database: watched,
    ...(setting.provider && { provider: setting.provider }),
    ...(setting.journal && { journal: setting.journal }),
    config: { models: { 'fake/fake-model': { prices } } },
  })
  return { gateway, database: inspect, url, [Symbol.asyncDispose]: () => gateway.stop() }
}

function keyWith(limits: readonly (BudgetLimit | number)[], owners?: readonly Owner[]): Principal {
  const budgets = limits.map((limit): BudgetLimit =>
    typeof limit === 'number' ? { period: 'monthly', limitMicros: limit * 1_000_000 } : limit,
  )
  return { id: `key-${crypto.randomUUID()}`, budgets, ...(owners && { owners }) }
}

async function spentOf(database: OpenedDatabase, holder: string): Promise<number> {
  const [row] = await database.query<{ micros: string }>(
    'select sum(spent_micros) as micros from budget_accounts where holder_id = $1',
    [holder],
  )
  return Number(row?.micros ?? 0) / 1_000_000
}

async function drained(records: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of records) continue
}

function used(outputTokens: number): FakeProvider {
  return fakeProvider(() => textEvents('Hello there.', { inputTokens: 3, outputTokens }))
}

describe('budgets', () => {
  it('charge what an exchange has cost, streamed or not', async () => {
    const { gateway, database } = await start()
    const principal = keyWith([100])
    await gateway.send({ max_tokens: 10 }, { principal })
    const { records, outcome } = await gateway.stream({ max_tokens: 10 }, { principal })
    await drained(records)
    assert.equal((await outcome).status, 'completed')
    await gateway.stop()
    assert.equal(await spentOf(database, principal.id), 4)
  })

  it('refuse before the call when too little is left', async () => {
    const { gateway } = await start({ provider: used(10) })
    const principal = keyWith([20])
    await gateway.send({ max_tokens: 10 }, { principal })
    await gateway.send({ max_tokens: 10 }, { principal })
    const refused = await gateway.send({ max_tokens: 10 }, { principal })
    assert.equal(refused.status, 402)
    assert.equal(refused.headers['x-should-retry'], 'false')
    const { request_id: _, ...error } = refused.body['error'] as JsonObject
    assert.deepEqual(error, {
      type: 'invalid_request_error',
      code: 'budget_exceeded',
      message: 'Budget limit exceeded for monthly period',
      param: null,
      details: {
        limit: 20,
        spent: 20,
        period: 'monthly',
        resets_at: '2026-02-01T00:00:00.000Z',
        scope: 'principal',
        scope_id: principal.id,
      },
    })
    assert.equal(refused.outcome.status, 'refused')
    assert.equal(gateway.provider.calls.length, 2)
    await gateway.stop()
  })

  it('clamp the output to what is left, with a warning, and refuse below the minimum', async () => {
    const provider = used(1)
    const { gateway } = await start({ provider, options: { minimum_output_tokens: 5 } })
    const principal = keyWith([10])
    const answer = await gateway.send({ max_tokens: 500 }, { principal, headers: { 'x-hadrian-metadata': 'enabled' } })
    assert.equal(answer.status, 200)
    assert.equal(provider.calls[0]!.request.maxOutputTokens, 10)
    assert.match(JSON.stringify(answer.body), /Output is limited to 10 tokens: the budget has no more left/)
    await gateway.send({ max_tokens: 5 }, { principal })
    for (let calls = 0; calls < 3; calls++) await gateway.send({ max_tokens: 5 }, { principal })
    assert.equal((await gateway.send({ max_tokens: 5 }, { principal })).status, 200, 'five are left')
    assert.equal((await gateway.send({ max_tokens: 5 }, { principal })).status, 402)
    assert.equal((await gateway.send({ max_tokens: 3 }, { principal })).status, 200, 'it asks for less')
    await gateway.stop()
  })

  it('hold a call to a bound where nobody knows one, but only if it is limited and has a price', async () => {
    const provider = used(1)
    const { gateway } = await start({ provider, options: { assumed_output_tokens: 77 } })
    await gateway.send({}, { principal: keyWith([1000]) })
    await gateway.send({}, { principal: { id: 'unlimited' } })
    await gateway.send({ model: 'fake/other' }, { principal: keyWith([1000]) })
    assert.deepEqual(
      provider.calls.map(({ request }) => request.maxOutputTokens),
      [77, undefined, undefined],
    )
    await gateway.stop()
  })

  it('charge failures what they cost, and refusals nothing', async () => {
    const scripts: ((signal: AbortSignal) => Iterable<StreamEvent> | AsyncIterable<StreamEvent>)[] = [
      () => {
        throw new Error('down')
      },
      () => textEvents('one two three four', { inputTokens: 3, outputTokens: 9 }).slice(0, 4),
    ]
    const provider = fakeProvider(({ signal }, number) => scripts[number - 1]!(signal))
    const { gateway, database } = await start({ provider, options: {} })
    const principal = keyWith([100])
    assert.equal((await gateway.send({ max_tokens: 50 }, { principal })).outcome.status, 'failed')
    const cut = await gateway.send({ max_tokens: 50 }, { principal })
    assert.equal(cut.outcome.status, 'failed')
    const cost = cut.outcome.usage!.costMicros! / 1_000_000
    assert.ok(cost > 0)
    await gateway.send({ temperature: 99 }, { principal })
    await gateway.stop()
    assert.equal(await spentOf(database, principal.id), cost)
  })

  it('charge what an aborted stream has given', async () => {
    const provider = fakeProvider(async function* ({ signal }) {
      yield* textEvents('one two three').slice(0, 3)
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
    })
    const { gateway, database } = await start({ provider })
    const principal = keyWith([100])
    const stream = await gateway.stream({ max_tokens: 50 }, { principal })
    await stream.records.next()
    stream.abort()
    const { status, usage } = await stream.outcome
    assert.equal(status, 'aborted')
    await gateway.stop()
    assert.equal(await spentOf(database, principal.id), usage!.costMicros! / 1_000_000)
  })

  it('let about K of 10 K concurrent streams through, and never overspend', async () => {
    const { gateway, database } = await start({ provider: used(10), options: { minimum_output_tokens: 10 } })
    const principal = keyWith([200])
    const streams = await Promise.all(
      Array.from({ length: 200 }, () => gateway.stream({ max_tokens: 10 }, { principal })),
    )
    await Promise.all(streams.map(({ records }) => drained(records)))
    const passed = streams.filter(({ status }) => status === 200).length
    assert.equal(passed, 20)
    await gateway.stop()
    assert.equal(await spentOf(database, principal.id), 200)
  })

  it('are all asked, and the tightest refuses and is named', async () => {
    const { gateway, database } = await start({
      provider: used(10),
      options: { limits: [{ period: 'total', limit_usd: 1000 }] },
    })
    const team: Owner = { kind: 'team', id: 'red', budgets: [{ period: 'weekly', limitMicros: 15_000_000 }] }
    const principal = keyWith([100], [team])
    await gateway.send({ max_tokens: 10 }, { principal })
    const other = keyWith([100], [team])
    const refused = await gateway.send({ max_tokens: 10 }, { principal: other })
    assert.equal(refused.status, 402, 'five are left, and a call needs ten or the minimum of sixteen')
    const { details } = refused.body['error'] as { details: JsonObject }
    assert.deepEqual([details['scope'], details['scope_id'], details['period']], ['team', 'red', 'weekly'])
    assert.equal(details['resets_at'], '2026-01-05T00:00:00.000Z')
    await gateway.stop()
    assert.equal(await spentOf(database, other.id), 0, 'what was taken from the others is back')
    assert.equal(await spentOf(database, 'gateway'), 10)
  })

  it('warn from a threshold on, through the overage, and stop there', async () => {
    const { gateway } = await start({ provider: used(10) })
    const principal = keyWith([{ period: 'daily', limitMicros: 20e6, overageMicros: 10e6, warnAt: 0.5 }])
    const headers = async (): Promise<Readonly<Record<string, string>>> =>
      (await gateway.send({ max_tokens: 10 }, { principal })).headers
    assert.equal((await headers())['x-budget-warning'], undefined)
    const warned = Object.entries(await headers()).filter(([name]) => name.startsWith('x-budget'))
    assert.deepEqual(Object.fromEntries(warned), {
      'x-budget-warning': 'true',
      'x-budget-spend-percentage': '50.0',
      'x-budget-current-spend': '10.00',
      'x-budget-limit': '20.00',
      'x-budget-period': 'daily',
      'x-budget-scope': 'principal',
    })
    assert.equal((await headers())['x-budget-spend-percentage'], '100.0', 'in the overage')
    assert.equal((await gateway.send({ max_tokens: 10 }, { principal })).status, 402)
    const lines = gateway.log.filter(({ message }) => message.includes('warning threshold'))
    assert.equal(lines.length, 1, 'one line for an account')
    await gateway.stop()
  })

  it('give principals without their own the default ones', async () => {
    const { gateway } = await start({
      provider: used(10),
      options: { default_budgets: [{ period: 'monthly', limit_usd: 10 }] },
    })
    const send = async (principal: Principal): Promise<number> =>
      (await gateway.send({ max_tokens: 10 }, { principal })).status
    assert.deepEqual([await send({ id: 'a' }), await send({ id: 'a' }), await send({ id: 'b' })], [200, 402, 200])
    assert.deepEqual([await send(keyWith([50])), await send({ id: 'b' })], [200, 402])
    await gateway.stop()
  })

  it('begin anew with the next window', async () => {
    const { gateway } = await start({ provider: used(10) })
    const principal = keyWith([{ period: 'daily', limitMicros: 10e6 }])
    assert.equal((await gateway.send({ max_tokens: 10 }, { principal })).status, 200)
    assert.equal((await gateway.send({ max_tokens: 10 }, { principal })).status, 402)
    await gateway.clock.advance(86_400_000)
    // To the ledger, a statement that was under way meanwhile has had no answer for a day: it needs time to get one.
    let status = 503
    await withinOneSecond(async () => {
      ;({ status } = await gateway.send({ max_tokens: 10 }, { principal }))
      if (status === 503) await gateway.clock.advance(25)
      assert.notEqual(status, 503)
    })
    assert.equal(status, 200)
    await gateway.stop()
  })

  it('refuse in admit, without a statement, what is known to be spent', async () => {
    const statements: string[] = []
    const { gateway } = await start({ provider: used(10), watch: (sql) => void statements.push(sql) })
    const principal = keyWith([10])
    await gateway.send({ max_tokens: 10 }, { principal })
    await gateway.send({ max_tokens: 10 }, { principal })
    statements.length = 0
    const refused = await gateway.send({ max_tokens: 10 }, { principal })
    assert.equal(refused.status, 402)
    assert.deepEqual([refused.outcome.error!.hook, statements], ['admit', []])
    await gateway.stop()
  })

  it('do nothing at all for a principal without any', async () => {
    const statements: string[] = []
    const journal = memoryJournal()
    const { gateway } = await start({ journal, watch: (sql) => void statements.push(sql) })
    statements.length = 0
    const before = journal.unreleased('budget')
    const { records } = await gateway.stream({}, { principal: { id: 'unlimited' } })
    await records.next()
    assert.deepEqual(statements, [])
    assert.deepEqual(journal.unreleased('budget'), before)
    await drained(records)
    await gateway.stop()
  })

  it('refuse with 503 what nobody can say, and go on with what is leased', async () => {
    let away = false
    const { gateway } = await start({
      provider: used(1),
      watch: () => {
        if (away) throw Object.assign(new Error('away'), { code: 'database_unavailable' })
      },
    })
    const principal = keyWith([1000])
    for (let calls = 0; calls < 3; calls++) await gateway.send({ max_tokens: 10 }, { principal })
    away = true
    assert.equal((await gateway.send({ max_tokens: 5 }, { principal })).status, 200)
    const waiting = gateway.send({ max_tokens: 5 }, { principal: keyWith([1000]) })
    await gateway.clock.advance(3000)
    const refused = await waiting
    assert.equal(refused.status, 503)
    assert.equal(refused.headers['Retry-After'] ?? refused.headers['retry-after'], '5')
    assert.equal((refused.body['error'] as JsonObject)['code'], 'budget_unavailable')
    away = false
    await gateway.stop()
  })

  it('refuse with 503 while the journal cannot be written', async () => {
    const journal = memoryJournal()
    const { gateway, database } = await start({ provider: used(1), journal })
    const principal = keyWith([1000])
    await gateway.send({ max_tokens: 10 }, { principal })
    journal.fail(new Error('disk full'))
    assert.equal((await gateway.send({ max_tokens: 10 }, { principal })).status, 503)
    assert.equal(gateway.provider.calls.length, 1)
    journal.fail()
    assert.equal((await gateway.send({ max_tokens: 10 }, { principal })).status, 200)
    await gateway.stop()
    assert.equal(await spentOf(database, principal.id), 2)
    assert.deepEqual(journal.unreleased('budget'), [])
  })

  it('charge a call whose process died at its estimate, and never twice', async () => {
    const journal = memoryJournal()
    const provider = fakeProvider(async function* ({ signal }, number) {
      if (number === 1) return yield* textEvents('Hello', { inputTokens: 1, outputTokens: 3 })
      yield* textEvents('one two three').slice(0, 3)
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
    })
    const first = await start({ provider, journal })
    const principal = keyWith([100])
    assert.equal((await first.gateway.send({ max_tokens: 20 }, { principal })).status, 200)
    const stream = await first.gateway.stream({ max_tokens: 20 }, { principal })
    await stream.records.next()
    journal.crash()
    const second = await start({ url: first.url, journal })
    await second.gateway.stop()
    assert.equal(await spentOf(first.database, principal.id), 23)
    const third = await start({ url: first.url, journal })
    await third.gateway.stop()
    assert.equal(await spentOf(first.database, principal.id), 23)
    assert.deepEqual(journal.unreleased('budget'), [])
    stream.abort()
    await first.gateway.stop()
    assert.equal(await spentOf(first.database, principal.id), 23)
  })

  it('keep their leases through a reload', async () => {
    const { gateway, database } = await start({ provider: used(10) })
    const principal = keyWith([30])
    await gateway.send({ max_tokens: 10 }, { principal })
    await gateway.gateway.reload()
    await gateway.send({ max_tokens: 10 }, { principal })
    assert.equal((await database.query('select * from budget_instances where not closed')).length, 1)
    await gateway.stop()
    assert.equal(await spentOf(database, principal.id), 20)
    assert.deepEqual(await database.query(`select * from budget_leases where state = 'active'`), [])
  })

  it('refuse a time zone that does not exist', async () => {
    await assert.rejects(start({ options: { time_zone: 'Europe/Atlantis' } }), /Atlantis/)
  })
})

describe('the admin API of budgets', () => {
  it('lists accounts and shows those of one holder', async () => {
    const hooks: Hooks[] = []
    const definition: PluginDefinition = {
      ...(budget as PluginDefinition),
      async setup(services) {
        hooks.push(await (budget as PluginDefinition).setup(services))
        return hooks[0]!
      },
    }
    const { gateway } = await start({ provider: used(10), definition })
    const call = async (path: string, query: JsonObject = {}, params: JsonObject = {}): Promise<JsonObject> => {
      const route = hooks[0]!.routes!.find((each) => each.path === path)!
      assert.equal(route.scope, 'admin')
      const reply = await route.handle(
        { ...inboundCall({}), query, params, body: async () => ({}) } as never,
        undefined,
      )
      return reply.body as JsonObject
    }
    const team: Owner = { kind: 'team', id: 'red', budgets: [{ period: 'weekly', limitMicros: 150e6 }] }
    const principals = [
      keyWith([50, { period: 'total', limitMicros: 60e6, overageMicros: 5e6 }], [team]),
      keyWith([70]),
    ]
    for (const principal of principals) await gateway.send({ max_tokens: 10 }, { principal })
    await withinOneSecond(async () => {
      await gateway.clock.advance(1000)
      const [account] = (await call('/admin/v1/budgets/:kind/:id', {}, { kind: 'team', id: 'red' }))[
        'data'
      ] as JsonObject[]
      const { id, created_at: created, starts_at: starts, resets_at: resets, ...rest } = account!
      assert.match(String(id), /^[0-9a-f-]{36}$/)
      assert.ok(created instanceof Date)
      assert.deepEqual([starts, resets], [new Date('2025-12-29'), new Date('2026-01-05')])
      assert.deepEqual(rest, {
        kind: 'team',
        holder_id: 'red',
        period: 'weekly',
        limit_usd: 150,
        overage_usd: 0,
        spent_usd: 10,
        reserved_usd: 0,
        unconfirmed_usd: 0,
        remaining_usd: 140,
      })
    })
    const list = '/admin/v1/budgets'
    const all = await call(list)
    assert.equal((all['data'] as JsonObject[]).length, 4)
    const own = await call(list, { kind: 'principal', id: principals[0]!.id })
    assert.deepEqual(
      (own['data'] as JsonObject[]).map(({ period }) => String(period)).toSorted((a, b) => a.localeCompare(b)),
      ['monthly', 'total'],
    )
    assert.equal(((await call(list, { period: 'total', current: 'true' }))['data'] as JsonObject[]).length, 1)
    const seen: unknown[] = []
    for (let cursor: unknown; ;) {
      const page = await call(list, { limit: '3', ...(cursor !== undefined && { cursor }) })
      seen.push(...(page['data'] as JsonObject[]).map(({ id }) => id))
      cursor = (page['pagination'] as JsonObject)['next_cursor']
      if (cursor === null) break
    }
    assert.equal(new Set(seen).size, 4)
    assert.deepEqual((await call('/admin/v1/budgets/:kind/:id', {}, { kind: 'team', id: 'blue' }))['data'], [])
    await assert.rejects(call(list, { owner: 'x', current: 'no' }), (error: { details?: JsonObject }) => {
      assert.deepEqual(
        (error.details!['errors'] as JsonObject[]).map(({ path }) => path),
        ['owner', 'current'],
      )
      return true
    })
    await gateway.stop()
  })
})

pluginSuite(budget, {
  options: { limits: [{ period: 'monthly', limit_usd: 1_000_000 }] },
  database: async () => openDatabase({ dataDirectory: await preparedDataDirectory(), logger: silent }),
})
