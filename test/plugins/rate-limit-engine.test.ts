import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { defaultPlugins } from '../../core/boot/selection.ts'
import { openDatabase } from '../../core/services/database/index.ts'
import type { OpenedDatabase } from '../../core/services/database/index.ts'
import { definePlugin } from '../../core/contract/plugin.ts'
import { createGateway } from '../../core/index.ts'
import type { Hooks, Principal } from '../../core/contract/plugin.ts'
import { FakeClock, fakeProvider, harness } from '../../core/testing/index.ts'
import { isRefused } from '../../plugins/rate-limit/demand.ts'
import rateLimit from '../../plugins/rate-limit/index.ts'
import { IpLimit, networkOf } from '../../plugins/rate-limit/ip-limit.ts'
import { Store } from '../../plugins/rate-limit/store.ts'
import { startPostgres } from '../postgres-server.ts'
import type { PostgresServer } from '../postgres-server.ts'
import { preparedDataDirectory } from '../prepared-database.ts'
import { inboundCall, WatchedDatabase, withinOneSecond } from './plugin-instance.ts'
import { dayDemand, Fleet, minuteDemand, slotDemand } from './rate-limit-fleet.ts'

const logger = { debug() {}, info() {}, warn() {}, error() {} }
let server: PostgresServer
let shared: OpenedDatabase
let embedded: OpenedDatabase

before(async () => {
  server = await startPostgres()
  shared = await openDatabase({ url: await server.createDatabase(), dataDirectory: '', logger })
  embedded = await openDatabase({ dataDirectory: await preparedDataDirectory(), logger })
})

after(async () => {
  await shared.close()
  await embedded.close()
  await server.stop()
})

for (const [name, database] of [
  ['PostgreSQL', () => shared],
  ['the embedded database', () => embedded],
] as const)
  describe(`rate-limit: counters on ${name}`, () => {
    it('let no steady request wait for SQL, and need few statements', async () => {
      const fleet = await Fleet.on(database(), 1)
      const [one] = fleet.instances
      const demands = [minuteDemand(100_000), dayDemand(100_000), slotDemand(50)]
      let waited = 0
      const request = async (): Promise<void> => {
        const result = one!.engine.take(demands, 1)
        if (result instanceof Promise) waited++
        const taken = await result
        assert(!isRefused(taken))
        one!.engine.settle(taken, 1)
        one!.engine.releaseSlots(taken)
      }
      for (let count = 0; count < 20; count++) {
        await request()
        await fleet.pass(20)
      }
      const [before, waitedBefore] = [one!.wire.statements, waited]
      for (let count = 0; count < 500; count++) {
        await request()
        if (count % 2 === 0) await fleet.pass(20)
      }
      assert.equal(waited, waitedBefore, 'requests that waited')
      // Five seconds.
      assert(one!.wire.statements - before <= 20, `${one!.wire.statements - before} statements`)
      const burst = one!.wire.statements
      for (let count = 0; count < 20; count++)
        assert(!(one!.engine.take([minuteDemand(100_000)], 1) instanceof Promise))
      assert.equal(one!.wire.statements, burst)
      await fleet.close()
    })

    it('refuse from memory once the limit is used up', async () => {
      const fleet = await Fleet.on(database(), 1)
      const [one] = fleet.instances
      assert.equal(await fleet.count(one!, [minuteDemand(5)], 10), 5)
      const before = one!.wire.statements
      for (let second = 0; second < 5; second++) {
        for (let count = 0; count < 200; count++) await fleet.request(one!, [minuteDemand(5)])
        await fleet.pass(1000)
      }
      assert(one!.wire.statements - before <= 6, `${one!.wire.statements - before} statements for 1,000 refusals`)
      await fleet.close()
    })

    it('never let more than N through in any window, and no burst at its edges', async () => {
      const fleet = await Fleet.on(database(), 1)
      const [one] = fleet.instances
      for (let step = 0; step < 150; step++) {
        await fleet.count(one!, [minuteDemand(10)], 2)
        await fleet.pass(937)
      }
      fleet.assertWithin(10, 60_000)
      assert(fleet.passed.length >= 20 && fleet.passed.length <= 30, String(fleet.passed.length))
      await fleet.close()
    })

    it('clear away what nobody counts any more', async () => {
      const fleet = await Fleet.on(database(), 1)
      const [one] = fleet.instances
      const passed = await fleet.request(one!, [minuteDemand(5), slotDemand(5)])
      assert('open' in passed)
      fleet.finish(passed, 1)
      for (let minute = 0; minute < 12; minute++) await fleet.pass(60_000)
      // A second request keeps the clock of the engine running.
      await fleet.count(one!, [minuteDemand(5, 'key:b')], 1)
      await fleet.pass(60_000)
      await withinOneSecond(async () => {
        const rows = await database().query(`select subject from rate_limit_windows where subject = 'key:a'
          union all select subject from rate_limit_slots`)
        assert.deepEqual(rows, [])
      })
      await fleet.close()
    })
  })

describe('rate-limit: several instances', () => {
  it('share what is left over within a few seconds', async () => {
    const fleet = await Fleet.on(shared, 3)
    const [a, b] = fleet.instances
    // A steady use makes the first stock up.
    for (let count = 0; count < 30; count++) {
      await fleet.count(a!, [minuteDemand(100)], 1)
      await fleet.pass(100)
    }
    const used = fleet.passed.length
    const early = await fleet.count(b!, [minuteDemand(100)], 100)
    assert(early <= 100 - used)
    await fleet.pass(4000)
    assert.equal(early + (await fleet.count(b!, [minuteDemand(100)], 100)), 100 - used)
    await fleet.close()
  })

  it('let exactly N of 10 N concurrent requests into N slots, and the next ones when those are free', async () => {
    const fleet = await Fleet.on(shared, 3)
    const admit = async (): Promise<number> =>
      (await Promise.all(fleet.instances.map((instance) => fleet.count(instance, [slotDemand(5)], 17)))).reduce(
        (sum, count) => sum + count,
      )
    assert.equal(await admit(), 5)
    for (const passed of fleet.passed) fleet.finish(passed, 0)
    await fleet.pass(3000)
    assert.equal(await admit(), 5)
    await fleet.close()
    for (const passed of fleet.passed) passed.open = false
  })

  it('free the slots of an instance that was killed when its lease ends, and no earlier', async () => {
    const fleet = await Fleet.on(shared, 2)
    const [a, b] = fleet.instances
    assert.equal(await fleet.count(a!, [slotDemand(4)], 4), 4)
    // A lease that is in use is renewed.
    await fleet.pass(40_000)
    assert.equal(await fleet.count(b!, [slotDemand(4)], 4), 0)
    fleet.kill(a!)
    await fleet.pass(5000)
    assert.equal(await fleet.count(b!, [slotDemand(4)], 4), 0)
    await fleet.pass(12_000)
    assert.equal(await fleet.count(b!, [slotDemand(4)], 8), 4)
    await fleet.close()
  })

  it('count units for as long as they may still be used', async () => {
    const fleet = await Fleet.on(shared, 2)
    const [a, b] = fleet.instances
    await fleet.pass(990)
    assert.equal(await fleet.count(a!, [minuteDemand(10)], 4), 4)
    await a!.engine.idle()
    await fleet.clock.advance(1900)
    // Out of the stock, which is about to go back.
    const late = await fleet.count(a!, [minuteDemand(10)], 2)
    assert.equal(late, 2)
    await fleet.pass(4000)
    assert.equal(await fleet.count(b!, [minuteDemand(10)], 10), 4)
    for (let step = 0; step < 20; step++) {
      await fleet.pass(step === 0 ? 53_000 : 200)
      await fleet.count(b!, [minuteDemand(10)], 10)
    }
    fleet.assertWithin(10, 60_000)
    await fleet.close()
  })

  it('use no slot that they have just given up', async () => {
    const fleet = await Fleet.on(shared, 2)
    const [a, b] = fleet.instances
    assert.equal(await fleet.count(a!, [slotDemand(4)], 4), 4)
    for (const passed of fleet.passed.slice(1)) fleet.finish(passed, 0)
    const gate = Promise.withResolvers<void>()
    a!.wire.delayed = gate.promise
    await fleet.pass(2000)
    await withinOneSecond(async () => assert.equal(await fleet.slotsHeld(), 1))
    assert.equal(await fleet.count(b!, [slotDemand(4)], 4), 3)
    const another = fleet.count(a!, [slotDemand(4)], 1)
    a!.wire.delayed = undefined
    gate.resolve()
    assert.equal(await another, 0)
    await fleet.close()
  })

  it('keep what was counted when all of them are started again', async () => {
    const fleet = await Fleet.on(shared, 1)
    assert.equal(await fleet.count(fleet.instances[0]!, [minuteDemand(10)], 4), 4)
    await fleet.close()
    assert.equal(await fleet.count(fleet.add(), [minuteDemand(10)], 10), 6)
    await fleet.close()
  })

  it('agree although one has a clock that is behind', async () => {
    const fleet = await Fleet.on(shared, 0)
    const [a, b] = [new Store(shared, 'a'), new Store(shared, 'b')]
    const want = {
      subject: 'key:a', kind: 'requests_per_minute', most: 5, window_ms: 60_000, bucket_ms: 1000, span_ms: 62_000,
      need: 5, least: 1, extra: 0, debt: 0, returned: [],
    } as const // oxfmt-ignore
    const nowMs = fleet.clock.now()
    assert.equal((await a.trade(nowMs, [want], [])).windows[0]?.granted, 5)
    assert.equal((await b.trade(nowMs - 90_000, [want], [])).windows[0]?.granted, 0)
    assert.equal((await a.trade(nowMs + 62_000, [want], [])).windows[0]?.granted, 0)
    assert.equal((await b.trade(nowMs + 63_000, [want], [])).windows[0]?.granted, 5)
  })
})

describe('rate-limit: limits that change', () => {
  it('hold at once', async () => {
    const fleet = await Fleet.on(shared, 1)
    const [one] = fleet.instances
    assert.equal(await fleet.count(one!, [minuteDemand(10)], 6), 6)
    assert.equal(await fleet.count(one!, [minuteDemand(5)], 5), 0)
    assert.equal(await fleet.count(one!, [minuteDemand(8)], 5), 2)
    await fleet.close()
  })

  it('keep their counters over a reload of the config', async () => {
    const database = new WatchedDatabase(embedded)
    const retained = new Map<string, { close?(): unknown }>()
    const clock = new FakeClock()
    const setup = async (limit: number): Promise<Hooks> => {
      const services = {
        options: {
          requests_per_minute: limit,
          estimated_output_tokens: 1,
          database_away: 'local',
          database_away_seconds: 1,
        },
        db: database,
        clock,
        logger,
        meter: { createCounter: () => ({ add() {} }) },
        retain: (name: string, create: () => object) => {
          if (!retained.has(name)) retained.set(name, create())
          return retained.get(name)
        },
      }
      const hooks = (await rateLimit.setup(services as unknown as Parameters<typeof rateLimit.setup>[0])) as Hooks
      await hooks.start?.()
      return hooks
    }
    const admit = async (hooks: Hooks): Promise<boolean> => {
      const exchange = { principal: { id: 'reloaded' } as Principal, targets: [], get() {}, set() {}, header() {} }
      try {
        await hooks.admit?.(exchange as never, {})
        return true
      } catch {
        return false
      }
    }
    await Fleet.on(embedded, 0)
    const first = await setup(3)
    assert.deepEqual([await admit(first), await admit(first)], [true, true])
    await first.stop?.()
    const second = await setup(4)
    const results = [await admit(second), await admit(second), await admit(second)]
    assert.deepEqual(results, [true, true, false])
    for (const value of retained.values()) await value.close?.()
    assert.equal(clock.pending, 0)
  })

  it('are forgotten when nobody uses them', async () => {
    const fleet = await Fleet.on(shared, 1)
    const [one] = fleet.instances
    for (let count = 0; count < 20; count++) await fleet.count(one!, [minuteDemand(5, `key:${count}`)], 1)
    assert.equal(one!.engine.size, 20)
    const demand = minuteDemand(5, 'key:0')
    assert(!isRefused(await one!.engine.take([demand], 1)))
    await fleet.pass(120_000)
    assert.equal(one!.engine.size, 0)
    assert(!isRefused(await one!.engine.take([demand], 1)), 'a demand finds its counter again')
    assert.equal(one!.engine.size, 1)
    await fleet.close()
    assert.equal(fleet.clock.pending, 0)
  })
})

describe('rate-limit: while the database is away', () => {
  const local = { mode: 'local', forMs: 900_000 } as const

  it('goes on within its leases, then with its share of each limit, and warns once', async () => {
    const fleet = await Fleet.on(shared, 2, local)
    const [a, b] = fleet.instances
    const demands = [minuteDemand(40), slotDemand(6)]
    const finishAll = (): void => {
      for (const passed of fleet.passed) fleet.finish(passed, passed.units)
    }
    for (const instance of [a!, b!]) assert.equal(await fleet.count(instance, demands, 2), 2)
    for (const instance of [a!, b!]) assert.equal(await fleet.count(instance, demands, 1), 1)
    finishAll()
    for (const { wire } of fleet.instances) wire.state = 'cut'
    let through = 6
    for (const instance of [a!, b!])
      for (let count = 0; count < 60; count++) {
        through += await fleet.count(instance, demands, 1)
        finishAll()
      }
    // What one took just before is not known to the other.
    assert(through <= 43 && through >= 34, `${through} of 40`)
    fleet.assertWithin(through, 60_000)
    for (let minute = 0; minute < 3; minute++) {
      await fleet.pass(66_000)
      const before = fleet.passed.length
      for (const instance of [a!, b!])
        for (let count = 0; count < 60; count++) {
          await fleet.count(instance, demands, 1)
          finishAll()
        }
      assert.equal(fleet.passed.length - before, 40)
    }
    for (const { log } of fleet.instances)
      assert.equal(log.filter((line) => line.includes('cannot be reached')).length, 1)
    for (const { wire } of fleet.instances) wire.state = 'whole'
    await fleet.pass(3000)
    assert.equal(await fleet.count(a!, demands, 1), 0, 'what was used meanwhile counts')
    for (const { log } of fleet.instances) assert(log.includes('the shared rate limits are reached again'))
    await fleet.pass(66_000)
    assert.equal(await fleet.count(a!, [minuteDemand(40)], 80), 40)
    await fleet.close()
  })

  it('gives an instance its share of the slots', async () => {
    const fleet = await Fleet.on(shared, 2, local)
    const [a, b] = fleet.instances
    for (const instance of [a!, b!]) await fleet.count(instance, [slotDemand(6)], 1)
    await fleet.count(a!, [slotDemand(6)], 1)
    for (const { wire } of fleet.instances) wire.state = 'cut'
    await fleet.pass(16_000)
    assert.equal(await fleet.count(a!, [slotDemand(6)], 10), 1)
    assert.equal(await fleet.count(b!, [slotDemand(6)], 10), 2)
    for (const { wire } of fleet.instances) wire.state = 'whole'
    await fleet.pass(3000)
    assert.equal(await fleet.slotsHeld(), 6)
    await fleet.close()
  })

  it('refuses after the time set, and at once where the operator wants that', async () => {
    for (const away of [
      { mode: 'local', forMs: 5000 },
      { mode: 'refuse', forMs: 0 },
    ] as const) {
      const fleet = await Fleet.on(shared, 1, away)
      const [one] = fleet.instances
      one!.wire.state = 'cut'
      assert.equal(await fleet.count(one!, [minuteDemand(10)], 1), away.mode === 'local' ? 1 : 0)
      await fleet.pass(6000)
      assert.deepEqual(await fleet.request(one!, [minuteDemand(10)]), { demand: undefined, retryAfterMs: 1000 })
      one!.wire.state = 'whole'
      await fleet.pass(2000)
      assert.equal(await fleet.count(one!, [minuteDemand(10)], 1), 1)
      await fleet.close()
    }
  })

  it('takes a database that does not answer for one that is away', async () => {
    const fleet = await Fleet.on(shared, 1, local)
    const [one] = fleet.instances
    const gate = Promise.withResolvers<void>()
    one!.wire.held = gate.promise
    const request = fleet.request(one!, [minuteDemand(10)])
    await fleet.pass(4500)
    assert('open' in (await request))
    one!.wire.held = undefined
    gate.resolve()
    await fleet.pass(2000)
    await fleet.close()
  })

  it('answers 503 to the client', async () => {
    const database = new WatchedDatabase(embedded)
    await using gateway = await harness({
      plugins: [[rateLimit, { requests_per_minute: 10, database_away: 'refuse' }]],
      database: asOpened(database),
    })
    database.before = (sql) => {
      if (sql.includes('rate_limit_take')) throw new Error('away')
    }
    const answer = await gateway.send()
    assert.equal(answer.status, 503)
    assert.equal((answer.body['error'] as { code: string }).code, 'rate_limits_unavailable')
    assert.equal(answer.headers['Retry-After'], '1')
  })
})

describe('rate-limit: a hook that is too late', () => {
  it('gives back what it is granted after the exchange has ended', async () => {
    const database = new WatchedDatabase(embedded)
    await using gateway = await harness({
      plugins: [[rateLimit, { timeout_ms: 100 }]],
      database: asOpened(database),
    })
    const principal = { id: 'late', rateLimits: { requestsPerMinute: 1, concurrentRequests: 1 } }
    const [asked, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    database.before = (sql) => {
      if (!sql.includes('rate_limit_take')) return undefined
      asked.resolve()
      return gate.promise
    }
    const late = gateway.send({}, { principal })
    await asked.promise
    await gateway.clock.advance(200)
    assert.equal((await late).status, 500)
    gate.resolve()
    assert.equal((await gateway.send({}, { principal })).status, 200)
    assert.equal((await gateway.send({}, { principal })).status, 429)
  })
})

describe('rate-limit: addresses', () => {
  const options = { requests_per_minute: 3, requests_per_hour: 5 }
  const call = (ip: string): ReturnType<typeof inboundCall> => ({ ...inboundCall({}), ip })

  it('are counted as long as nobody knows the caller', async () => {
    const clock = new FakeClock()
    const limit = new IpLimit(clock)
    for (let count = 0; count < 3; count++) limit.receive(call('192.0.2.1'), options)
    assert.throws(
      () => limit.receive(call('192.0.2.1'), options),
      (error: { details: object; headers: object }) => {
        assert.deepEqual(error.details, { limit: 3, window: 'minute', retry_after_secs: 60, scope: 'ip' })
        return true
      },
    )
    limit.receive(call('192.0.2.2'), options)
    await clock.advance(61_000)
    for (let count = 0; count < 2; count++) limit.receive(call('192.0.2.1'), options)
    assert.throws(() => limit.receive(call('192.0.2.1'), options), {
      message: 'Rate limit exceeded: 5 requests per hour',
    })
  })

  it('are not burdened with callers who are known', () => {
    const limit = new IpLimit(new FakeClock())
    for (let count = 0; count < 100; count++) {
      const known = inboundCall({})
      limit.receive(known, options)
      known.identify({ id: 'key-1' })
    }
    for (let count = 0; count < 3; count++) {
      const anonymous = inboundCall({})
      limit.receive(anonymous, options)
      anonymous.identify({ id: 'anonymous' })
    }
    assert.throws(() => limit.receive(inboundCall({}), options), { code: 'rate_limit_exceeded' })
  })

  it('limit calls over HTTP that are not authenticated, and no others', async () => {
    const authentication = definePlugin({
      name: 'test-keys',
      api: 1,
      options: { type: 'object', properties: {}, additionalProperties: false },
      setup: () => ({
        authenticate: (call) => {
          if (call.headers['x-api-key'] === 'right') call.identify({ id: 'key-1' })
        },
      }),
    })
    const gateway = await createGateway({
      environment: {},
      config: {
        server: { port: 0 },
        routing: { default_provider: 'fake' },
        plugins: Object.fromEntries(
          defaultPlugins.filter((name) => name !== 'rate-limit').map((name) => [name, { enabled: false }]),
        ),
      },
      overrides: {
        logger,
        database: embedded,
        plugins: [[rateLimit, { ip: { requests_per_minute: 3 } }], [authentication]],
        providers: [[fakeProvider().definition]],
      },
    })
    const { url } = await gateway.start()
    const send = async (key?: string): Promise<Response> =>
      fetch(`${url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...(key !== undefined && { 'x-api-key': key }) },
        body: JSON.stringify({ model: 'fake/fake-model', messages: [{ role: 'user', content: 'Hello' }] }),
      })
    try {
      for (let count = 0; count < 10; count++) {
        const answer = await send('right')
        assert.equal(answer.status, 200)
        assert.equal(answer.headers.get('x-ratelimit-limit'), null)
      }
      for (const status of [401, 401, 401, 429]) assert.equal((await send()).status, status)
      const refused = await send('wrong')
      assert.equal(refused.status, 429)
      assert.equal(refused.headers.get('retry-after'), '60')
      assert.equal(refused.headers.get('x-ratelimit-remaining'), '0')
    } finally {
      await gateway.stop()
    }
  })

  it('are held in bounded memory', () => {
    const limit = new IpLimit(new FakeClock(), { addresses: 100 })
    for (let count = 0; count < 1000; count++) limit.receive(call(`10.0.${count >> 8}.${count & 255}`), options)
    assert.equal(limit.size, 100)
  })

  it('of IPv6 are those of a network', () => {
    for (const [ip, network] of [
      ['192.0.2.1', '192.0.2.1'],
      ['2001:db8:0:12::1', '2001:db8:0:12::/64'],
      ['2001:0DB8:0000:0012:aaaa:bbbb:cccc:dddd', '2001:db8:0:12::/64'],
      ['2001:db8::1', '2001:db8:0:0::/64'],
      ['::1', '0:0:0:0::/64'],
      ['::', '0:0:0:0::/64'],
      ['fe80::1%eth0', 'fe80:0:0:0::/64'],
      ['::ffff:192.0.2.1', '192.0.2.1'],
    ] as const)
      assert.equal(networkOf(ip), network)
  })
})

function asOpened(database: WatchedDatabase): OpenedDatabase {
  return Object.assign(database, {
    kind: 'embedded' as const,
    healthy: () => Promise.resolve(true),
    close: () => Promise.resolve(),
  })
}
