import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { JsonObject } from '../../core/contract/plugin.ts'
import { definePlugin, gatewayError } from '../../core/contract/plugin.ts'
import { textEvents } from '../../core/testing/index.ts'
import { failedWith, healthGateway, switchable, target } from './target-health-gateway.ts'
import type { HealthGateway, HealthSetting } from './target-health-gateway.ts'

const intervalMs = 10_000
/** Longer than an interval with its jitter, shorter than two. */
const roundMs = 11_500

const checking = (check: JsonObject, more: HealthSetting = {}): Promise<HealthGateway> =>
  healthGateway({
    ...more,
    options: { breaker: { failures: 100 }, checks: { 'fake/a': { interval_seconds: 10, failures: 2, ...check } } },
  })

const ping = { kind: 'completion' }

describe('a completion check', () => {
  it('asks for one token of the target at intervals, and no other', async () => {
    await using site = await checking(ping)
    await site.gateway.clock.advance(60_000)
    const { calls } = site.fake
    assert.ok(calls.length >= 5 && calls.length <= 8, `${calls.length} checks in a minute`)
    const [call] = calls
    assert.equal(call!.target.name, 'fake/a')
    assert.equal(call!.request.maxOutputTokens, 1)
    assert.match(JSON.stringify(call!.request.messages), /ping/)
    assert.equal(site.backup.calls.length, 0)
    assert.equal(site.gateway.outcomes.length, calls.length)
  })

  it('makes the target degraded after failures in a row, and healthy again by one success', async () => {
    const script = switchable()
    await using site = await checking(ping, { fake: script })
    await site.gateway.clock.advance(5000)
    assert.equal(site.fake.calls.length, 1)
    assert.equal(site.health.state(target('fake/a')), 'healthy')
    await site.gateway.clock.advance(roundMs)
    assert.equal(site.health.state(target('fake/a')), 'degraded')
    assert.equal(site.health.state(target('fake/b')), 'healthy')
    script.isDown = false
    assert.deepEqual(await site.statuses(1), [200])
    await site.gateway.clock.advance(roundMs)
    assert.equal(site.health.state(target('fake/a')), 'healthy')
  })

  it('holds calls back where it says so, while it goes on asking', async () => {
    const script = switchable()
    await using site = await checking({ ...ping, when_failing: 'open' }, { fake: script })
    await site.gateway.clock.advance(5000 + 2 * roundMs)
    const { body, status } = await site.gateway.send({ model: 'fake/a' })
    assert.equal(status, 503)
    assert.equal(((body['error'] as JsonObject)['details'] as JsonObject)['reason'], 'health_check')
    assert.deepEqual(await site.statuses(1, 'both'), [200])
    script.isDown = false
    await site.gateway.clock.advance(roundMs)
    assert.deepEqual(await site.statuses(1), [200])
  })

  it('goes through an open breaker, and closes it', async () => {
    const script = switchable()
    await using site = await healthGateway({
      options: {
        breaker: { failures: 3, open_seconds: 600, max_open_seconds: 600 },
        checks: { 'fake/a': { ...ping, interval_seconds: 60 } },
      },
      fake: script,
    })
    await site.statuses(3)
    assert.deepEqual(await site.statuses(1), [503])
    script.isDown = false
    await site.gateway.clock.advance(66_000)
    assert.deepEqual(await site.statuses(1), [200])
  })

  it('fails when it takes too long, and the next one comes all the same', async () => {
    await using site = await checking(
      { ...ping, timeout_ms: 100, failures: 1 },
      {
        fake: async function* ({ signal }) {
          await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
          yield* textEvents('never')
        },
      },
    )
    await site.gateway.clock.advance(5100)
    assert.equal(site.health.state(target('fake/a')), 'degraded')
    const { body } = await site.ask('GET', '/admin/v1/providers/fake/health')
    const [shown] = body['targets'] as JsonObject[]
    assert.equal(shown!['error'], 'no answer within 100 ms')
    await site.gateway.clock.advance(roundMs)
    assert.equal(site.fake.calls.length, 2)
    assert.ok(site.fake.calls.every(({ ended }) => ended))
  })

  it('learns nothing where the gateway itself refuses, and is no failure where the upstream minds the request', async () => {
    const refuser = definePlugin({
      name: 'refuser',
      api: 1,
      options: { type: 'object', properties: {}, additionalProperties: false },
      setup: () => ({
        admit: () => {
          throw gatewayError('rate_limit_exceeded', 'no')
        },
      }),
    })
    await using refused = await checking({ ...ping, failures: 1 }, { plugins: [refuser] })
    await refused.gateway.clock.advance(roundMs)
    assert.equal(refused.health.state(target('fake/a')), 'healthy')
    assert.ok(refused.gateway.log.some(({ message }) => message === 'health check was refused by the gateway'))
    await using minded = await checking({ ...ping, failures: 1 }, { fake: switchable(() => failedWith(400)) })
    await minded.gateway.clock.advance(roundMs)
    assert.equal(minded.health.state(target('fake/a')), 'healthy')
  })

  it('leaves no mark on what is measured', async () => {
    await using site = await checking(ping)
    await site.gateway.clock.advance(roundMs)
    assert.equal(site.health.latencyMs(target('fake/a')), undefined)
  })
})

describe('checks of a whole provider', () => {
  it('hold for all of its targets', async () => {
    const script = switchable()
    await using site = await healthGateway({
      options: {
        breaker: { failures: 100 },
        checks: { fake: { ...ping, model: 'small', interval_seconds: 10, failures: 1 } },
      },
      fake: script,
    })
    await site.gateway.clock.advance(5000)
    assert.equal(site.fake.calls[0]!.target.name, 'fake/small')
    assert.equal(site.health.state(target('fake/never-called')), 'degraded')
    assert.equal(site.health.state(target('backup/b')), 'healthy')
  })

  it('list the models, which costs nothing', async () => {
    await using site = await healthGateway({ options: { checks: { fake: { interval_seconds: 10 } } } })
    await site.gateway.clock.advance(roundMs)
    assert.equal(site.fake.calls.length, 0)
    const { body } = await site.ask('GET', '/admin/v1/providers/fake/health')
    assert.equal(body['status'], 'healthy')
    assert.equal(body['source'], 'check')
    assert.equal(body['status_code'], 200)
    assert.ok((body['consecutive_successes'] as number) >= 1)
    assert.match(String(body['last_check']), /^2026-01-01T00:00:/)
  })
})

describe('checks', () => {
  it('are off unless an operator names them', async () => {
    await using site = await healthGateway()
    await site.gateway.clock.advance(600_000)
    assert.equal(site.fake.calls.length, 0)
    assert.equal(site.gateway.clock.pending, 0)
  })

  it('run once in the process, also after reloads, and keep what they have found', async () => {
    const script = switchable()
    await using site = await checking(ping, { fake: script })
    await site.gateway.clock.advance(5000 + roundMs)
    assert.equal(site.health.state(target('fake/a')), 'degraded')
    for (let reload = 0; reload < 5; reload++) await site.gateway.gateway.reload()
    assert.equal(site.health.state(target('fake/a')), 'degraded')
    const before = site.fake.calls.length
    await site.gateway.clock.advance(60_000)
    const checks = site.fake.calls.length - before
    assert.ok(checks >= 5 && checks <= 8, `${checks} checks in a minute of ${intervalMs} ms each`)
  })
})

it('a check that is under way at a reload is left, and not made twice from then on', async () => {
  let hangs = true
  await using site = await checking(ping, {
    fake: async function* ({ signal }) {
      if (hangs)
        await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
      yield* textEvents('Hello there.')
    },
  })
  await site.gateway.clock.advance(5000)
  assert.equal(site.fake.calls.length, 1)
  await site.gateway.gateway.reload()
  hangs = false
  await site.gateway.clock.advance(5000)
  assert.ok(site.fake.calls[0]!.ended)
  assert.equal(site.health.state(target('fake/a')), 'healthy')
  const before = site.fake.calls.length
  await site.gateway.clock.advance(60_000)
  const checks = site.fake.calls.length - before
  assert.ok(checks >= 5 && checks <= 8, `${checks} checks in a minute`)
  assert.ok(site.gateway.clock.pending <= 2)
})

describe('the admin API of providers', () => {
  const breaker = { failures: 3, open_seconds: 10 }

  it('lists providers with their state', async () => {
    await using site = await healthGateway({ options: { breaker }, fake: switchable() })
    await site.statuses(3)
    const { status, body } = await site.ask('GET', '/admin/v1/providers')
    assert.equal(status, 200)
    assert.deepEqual(body, {
      data: [
        {
          provider: 'fake',
          type: 'fake',
          base_url: null,
          status: 'unhealthy',
          circuit_breaker: 'open',
          in_flight: 0,
          targets: [{ target: 'fake/a', model: 'a', state: 'open', retry_after_secs: 10, in_flight: 0 }],
        },
        {
          provider: 'backup',
          type: 'backup',
          base_url: null,
          status: 'unknown',
          circuit_breaker: 'closed',
          in_flight: 0,
          targets: [],
        },
      ],
      pagination: { limit: 2, has_more: false, next_cursor: null, prev_cursor: null },
    })
    const one = await site.ask('GET', '/admin/v1/providers/fake')
    assert.deepEqual(one.body, (body['data'] as JsonObject[])[0])
  })

  it('shows breakers', async () => {
    await using site = await healthGateway({ options: { breaker }, fake: switchable() })
    await site.statuses(3)
    await site.gateway.clock.advance(1000)
    const shown = {
      provider: 'fake',
      state: 'open',
      failure_count: 3,
      targets: [
        {
          target: 'fake/a',
          model: 'a',
          state: 'open',
          failure_count: 3,
          call_count: 3,
          consecutive_failures: 3,
          consecutive_opens: 1,
          changed_at: '2026-01-01T00:00:00.000Z',
          retry_after_secs: 9,
        },
      ],
    }
    const { body } = await site.ask('GET', '/admin/v1/providers/fake/circuit-breaker')
    assert.deepEqual(body, shown)
    const all = await site.ask('GET', '/admin/v1/providers/circuit-breakers')
    assert.deepEqual((all.body['data'] as JsonObject[])[0], shown)
  })

  it('shows what traffic says of health where there is no check', async () => {
    await using site = await healthGateway({ options: { breaker }, fake: switchable() })
    await site.statuses(3)
    const { body } = await site.ask('GET', '/admin/v1/providers/fake/health')
    const fields = {
      source: 'traffic',
      latency_ms: null,
      status_code: null,
      last_check: null,
      consecutive_failures: 0,
      consecutive_successes: 0,
      error: null,
    }
    assert.deepEqual(body, {
      provider: 'fake',
      status: 'unhealthy',
      ...fields,
      targets: [
        {
          target: 'fake/a',
          model: 'a',
          status: 'unhealthy',
          last_failure: { code: 'provider_error', at: '2026-01-01T00:00:00.000Z' },
          ...fields,
        },
      ],
    })
    const all = await site.ask('GET', '/admin/v1/providers/health')
    assert.equal((all.body['data'] as JsonObject[]).length, 2)
  })

  it('shows figures', async () => {
    let clock: { advance(milliseconds: number): Promise<void> }
    await using site = await healthGateway({
      fake: async function* () {
        await clock.advance(1000)
        yield* textEvents('Hello there.', { inputTokens: 7, outputTokens: 40 })
      },
    })
    clock = site.gateway.clock
    await site.statuses(2)
    const { body } = await site.ask('GET', '/admin/v1/providers/fake/stats')
    assert.equal(body['request_count'], 2)
    assert.equal(body['completed_count'], 2)
    assert.equal(body['input_tokens'], 14)
    assert.equal(body['output_tokens'], 80)
    assert.equal(body['total_cost'], 0)
    assert.equal(body['first_event_ms'], null)
    const latency = body['latency_ms'] as Record<string, number>
    assert.deepEqual(Object.keys(latency), ['p50', 'p75', 'p90', 'p99', 'count', 'p95'])
    assert.ok(Math.abs(latency['p95']! / 1000 - 1) < 0.08)
    assert.equal((body['targets'] as JsonObject[])[0]!['target'], 'fake/a')
    const all = await site.ask('GET', '/admin/v1/providers/stats')
    assert.deepEqual((all.body['data'] as JsonObject[])[0], body)
  })

  it('closes a breaker', async () => {
    await using site = await healthGateway({
      options: { breaker },
      fake: switchable(() => failedWith(429, { retryAfter: '60' })),
    })
    await site.statuses(1)
    assert.deepEqual(await site.statuses(1), [503])
    const reset = '/admin/v1/providers/fake/circuit-breaker/reset'
    const { status, body } = await site.ask('POST', reset, { model: 'a' })
    assert.equal(status, 200)
    assert.equal(body['state'], 'closed')
    assert.deepEqual(await site.statuses(1), [429])
    assert.equal((await site.ask('POST', reset)).status, 200)
    assert.equal((await site.ask('POST', reset, { model: 'unheard' })).status, 404)
    assert.equal((await site.ask('POST', reset, { mode: 'a' })).status, 400)
    assert.equal((await site.ask('POST', reset, { model: 1 })).status, 400)
  })

  it('knows no other provider', async () => {
    await using site = await healthGateway()
    for (const path of ['', '/health', '/circuit-breaker', '/stats'])
      assert.equal((await site.ask('GET', `/admin/v1/providers/nobody${path}`)).status, 404)
  })
})
