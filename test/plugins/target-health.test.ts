import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { definePlugin, gatewayError, invalidRequest } from '../../core/contract/plugin.ts'
import type { JsonObject } from '../../core/contract/plugin.ts'
import type { StreamEvent } from '../../core/contract/provider.ts'
import { harness, pluginSuite, textEvents } from '../../core/testing/index.ts'
import targetHealth from '../../plugins/target-health/index.ts'
import { failedWith, healthGateway, held, switchable, target, until } from './target-health-gateway.ts'

pluginSuite(targetHealth, {
  options: {
    breaker: { failures: 100 },
    checks: { fake: { interval_seconds: 10 }, 'fake/fake-model': { kind: 'completion' } },
    limits: { fake: { concurrent: 10 } },
    tool_quality: true,
  },
})

const breaker = { failures: 3, open_seconds: 10, max_open_seconds: 30 }

describe('a circuit breaker', () => {
  it('opens after failures in a row, and answers 503 with the time to wait', async () => {
    await using site = await healthGateway({ options: { breaker }, fake: switchable() })
    assert.deepEqual(await site.statuses(3), [502, 502, 502])
    const { status, headers, body } = await site.gateway.send({ model: 'fake/a' })
    assert.equal(status, 503)
    assert.equal(headers['Retry-After'] ?? headers['retry-after'], '10')
    const error = body['error'] as JsonObject
    assert.equal(error['code'], 'provider_unavailable')
    assert.deepEqual(error['details'], { provider: 'fake', reason: 'circuit_open', retry_after_secs: 10 })
    assert.equal(site.fake.calls.length, 3)
    assert.equal(site.health.state(target('fake/a')), 'open')
    assert.equal(site.health.retryAfterMs!(target('fake/a')), 10_000)
  })

  it('is of one target: another model of the provider is called', async () => {
    await using site = await healthGateway({
      options: { breaker },
      fake: ({ target: { model } }) => {
        if (model === 'a') throw failedWith(500)
        return textEvents('Hello there.')
      },
    })
    await site.statuses(3)
    assert.deepEqual(await site.statuses(1, 'fake/other'), [200])
    assert.deepEqual(await site.statuses(1), [503])
  })

  it('sends calls to the next target at once', async () => {
    await using site = await healthGateway({ options: { breaker }, fake: switchable() })
    assert.deepEqual(await site.statuses(5, 'both'), [200, 200, 200, 200, 200])
    assert.equal(site.fake.calls.length, 3)
    assert.equal(site.backup.calls.length, 5)
  })

  it('names the shortest wait of all targets where all are open', async () => {
    await using site = await healthGateway({ options: { breaker }, fake: switchable(), backup: switchable() })
    await site.statuses(3, 'fake/a')
    await site.gateway.clock.advance(4000)
    await site.statuses(3, 'backup/b')
    const { body } = await site.gateway.send({ model: 'both' })
    const { code, details } = body['error'] as JsonObject
    assert.equal(code, 'provider_unavailable')
    assert.equal((details as JsonObject)['retry_after_secs'], 6)
  })

  it('lets one call through when its time is over, and closes when that succeeds', async () => {
    const script = switchable()
    await using site = await healthGateway({ options: { breaker }, fake: script })
    await site.statuses(3)
    await site.gateway.clock.advance(9999)
    assert.deepEqual(await site.statuses(1), [503])
    await site.gateway.clock.advance(1)
    assert.equal(site.health.state(target('fake/a')), 'healthy')
    script.isDown = false
    assert.deepEqual(await site.statuses(3), [200, 200, 200])
  })

  it('stays open longer each time the probe fails, up to a limit, and starts anew after a whole answer', async () => {
    const script = switchable()
    await using site = await healthGateway({ options: { breaker }, fake: script })
    await site.statuses(3)
    for (const seconds of [10, 20, 30, 30]) {
      assert.equal(site.health.retryAfterMs!(target('fake/a')), seconds * 1000)
      await site.gateway.clock.advance(seconds * 1000)
      assert.deepEqual(await site.statuses(2), [502, 503])
    }
    await site.gateway.clock.advance(30_000)
    script.isDown = false
    await site.statuses(1)
    script.isDown = true
    await site.statuses(3)
    assert.equal(site.health.retryAfterMs!(target('fake/a')), 10_000)
  })

  it('has one probe at a time, which its first event ends', async () => {
    let down = true
    const { script, open } = held()
    const release = Promise.withResolvers<void>()
    await using site = await healthGateway({
      options: { breaker },
      fake: async function* (call, number) {
        if (down) throw failedWith(500)
        await release.promise
        yield* script(call, number)
      },
    })
    await site.statuses(3)
    await site.gateway.clock.advance(10_000)
    down = false
    const probe = site.gateway.stream({ model: 'fake/a' })
    await until(() => site.fake.calls.length === 4)
    assert.deepEqual(await site.statuses(2), [503, 503])
    assert.equal(site.health.state(target('fake/a')), 'open')
    release.resolve()
    const { records } = await probe
    await records.next()
    assert.equal(site.health.state(target('fake/a')), 'healthy')
    const second = site.gateway.send({ model: 'fake/a' })
    await until(() => open.length === 2)
    for (const answer of open) answer.finish()
    assert.equal((await second).status, 200)
    for await (const _ of records) continue
  })

  it('opens again, for longer, when the answer of the probe is cut', async () => {
    let down = true
    const { script, open } = held()
    await using site = await healthGateway({
      options: { breaker },
      fake: (call, number) => {
        if (down) throw failedWith(500)
        return script(call, number)
      },
    })
    await site.statuses(3)
    await site.gateway.clock.advance(10_000)
    down = false
    const { records } = await site.gateway.stream({ model: 'fake/a' })
    await records.next()
    await until(() => open.length === 1)
    open[0]!.cut()
    for await (const _ of records) continue
    assert.equal(site.health.retryAfterMs!(target('fake/a')), 20_000)
  })

  it('takes the next call as its probe when the client of the last one left', async () => {
    let down = true
    const { script, open } = held()
    await using site = await healthGateway({
      options: { breaker },
      fake: async function* (call, number) {
        if (down) throw failedWith(500)
        if (number === 4) await new Promise((_, reject) => call.signal.addEventListener('abort', reject))
        yield* script(call, number)
      },
    })
    await site.statuses(3)
    await site.gateway.clock.advance(10_000)
    down = false
    const controller = new AbortController()
    const probe = site.gateway.send({ model: 'fake/a' }, { signal: controller.signal })
    await until(() => site.fake.calls.length === 4)
    controller.abort()
    await probe
    const next = site.gateway.send({ model: 'fake/a' })
    await until(() => open.length === 1)
    open[0]!.finish()
    assert.equal((await next).status, 200)
  })

  it('counts streams that are cut', async () => {
    await using site = await healthGateway({
      options: { breaker },
      fake: () => textEvents('one two three').slice(0, 3),
    })
    for (let call = 0; call < 3; call++) {
      const { status, records } = await site.gateway.stream({ model: 'fake/a' })
      assert.equal(status, 200)
      for await (const _ of records) continue
    }
    assert.deepEqual(await site.statuses(1), [503])
  })

  it('opens on a share of failures too, from enough calls on', async () => {
    let count = 0
    await using site = await healthGateway({
      options: { breaker: { failures: 100, failure_ratio: 0.5, minimum_calls: 10 } },
      fake: () => {
        if (count++ % 2 === 1) throw failedWith(500)
        return textEvents('Hello there.')
      },
    })
    assert.deepEqual(await site.statuses(10), [200, 502, 200, 502, 200, 502, 200, 502, 200, 502])
    assert.deepEqual(await site.statuses(1), [503])
  })

  it('forgets what is older than the window', async () => {
    await using site = await healthGateway({ options: { breaker }, fake: switchable() })
    await site.statuses(2)
    await site.gateway.clock.advance(31_000)
    assert.deepEqual(await site.statuses(3), [502, 502, 502])
    assert.deepEqual(await site.statuses(1), [503])
  })

  it('never opens where it is switched off', async () => {
    await using site = await healthGateway({
      options: { breaker: { enabled: false, failures: 1 } },
      fake: switchable(() => failedWith(429, { retryAfter: '60' })),
    })
    assert.deepEqual(await site.statuses(3), [429, 429, 429])
  })

  it('does not count what calls from before it opened come to', async () => {
    const { script, open } = held()
    let down = false
    await using site = await healthGateway({
      options: { breaker },
      fake: (call, number) => {
        if (down) throw failedWith(500)
        return script(call, number)
      },
    })
    const old = await Promise.all([1, 2, 3].map(() => site.gateway.stream({ model: 'fake/a' })))
    for (const { records } of old) await records.next()
    await until(() => open.length === 3)
    down = true
    await site.statuses(3)
    await site.gateway.clock.advance(10_000)
    down = false
    const probe = site.gateway.send({ model: 'fake/a' })
    await until(() => open.length === 4)
    open[3]!.finish()
    assert.equal((await probe).status, 200)
    for (const answer of open) answer.cut()
    for (const { records } of old) for await (const _ of records) continue
    assert.equal(site.health.state(target('fake/a')), 'healthy')
  })
})

describe('what opens a breaker', () => {
  const counts: readonly (readonly [string, () => Error])[] = [
    ['500', () => failedWith(500)],
    ['529', () => failedWith(529)],
    ['408', () => failedWith(408)],
    ['401: the credentials of the operator', () => failedWith(401)],
    ['402: the account of the operator', () => failedWith(402)],
    ['403: the rights of the operator', () => failedWith(403)],
    ['429 of a used up quota', () => failedWith(429, { code: 'insufficient_quota' })],
    ['a timeout', () => gatewayError('provider_timeout', 'slow', { details: { timeout: 'first_byte' } })],
    ['a connection that fails', () => gatewayError('provider_error', 'x', { details: { upstream_status: null } })],
    ['an answer that is nonsense', () => gatewayError('provider_error', 'x', { details: { upstream_status: 200 } })],
  ]
  for (const [what, error] of counts)
    it(`is ${what}`, async () => {
      await using site = await healthGateway({ options: { breaker }, fake: switchable(error) })
      await site.statuses(3)
      assert.deepEqual(await site.statuses(1), [503])
    })

  const neutral: readonly (readonly [string, () => Error])[] = [
    ['400', () => failedWith(400)],
    ['a context overflow', () => failedWith(400, { code: 'context_length_exceeded' })],
    ['404', () => failedWith(404)],
    ['413', () => failedWith(413)],
    ['422', () => failedWith(422)],
    ['429', () => failedWith(429)],
    ['403 of moderation', () => failedWith(403, { message: 'Your input was flagged' })],
    ['403 of a content policy', () => failedWith(403, { code: 'content_policy_violation' })],
    ['a mistake that encoding finds', () => invalidRequest([{ path: 'messages', message: 'is odd' }])],
    ['a defect of the gateway', () => new TypeError('oops')],
  ]
  for (const [what, error] of neutral)
    it(`is not ${what}`, async () => {
      await using site = await healthGateway({ options: { breaker }, fake: switchable(error) })
      const before = await site.statuses(3)
      assert.deepEqual(await site.statuses(3), before)
      assert.equal(site.fake.calls.length, 6)
    })

  it('is not a client that leaves', async () => {
    const { script, open } = held()
    await using site = await healthGateway({ options: { breaker }, fake: script })
    for (let call = 1; call <= 4; call++) {
      const { records, abort, outcome } = await site.gateway.stream({ model: 'fake/a' })
      await records.next()
      await until(() => open.length === call)
      abort()
      assert.equal((await outcome).status, 'aborted')
    }
    assert.equal(site.health.state(target('fake/a')), 'healthy')
  })

  it('is not another plugin that throws around the call', async () => {
    const thrower = definePlugin({
      name: 'thrower',
      api: 1,
      options: { type: 'object', properties: {}, additionalProperties: false },
      setup: () => ({
        attempt: () => Promise.reject(gatewayError('provider_error', 'no word of the upstream')),
      }),
    })
    await using site = await healthGateway({ options: { breaker }, plugins: [thrower] })
    await site.statuses(4)
    assert.equal(site.health.state(target('fake/a')), 'healthy')
  })
})

describe('an upstream that says 429', () => {
  it('is left alone for its Retry-After, without a failure counted', async () => {
    const script = switchable(() => failedWith(429, { retryAfter: '7' }))
    await using site = await healthGateway({ options: { breaker }, fake: script })
    assert.deepEqual(await site.statuses(2), [429, 503])
    const { body } = await site.gateway.send({ model: 'fake/a' })
    assert.deepEqual((body['error'] as JsonObject)['details'], {
      provider: 'fake',
      reason: 'rate_limited',
      retry_after_secs: 7,
    })
    assert.equal(site.health.state(target('fake/a')), 'open')
    assert.deepEqual(await site.statuses(1, 'both'), [200])
    await site.gateway.clock.advance(7000)
    script.isDown = false
    assert.deepEqual(await site.statuses(1), [200])
    const { body: shown } = await site.ask('GET', '/admin/v1/providers/fake/circuit-breaker')
    assert.equal(shown['failure_count'], 0)
  })

  it('is asked again after ten minutes, however long it wants', async () => {
    await using site = await healthGateway({ fake: switchable(() => failedWith(429, { retryAfter: '86400' })) })
    await site.statuses(1)
    await site.gateway.clock.advance(599_000)
    assert.deepEqual(await site.statuses(1), [503])
    await site.gateway.clock.advance(1000)
    assert.deepEqual(await site.statuses(1), [429])
  })

  it('is degraded for five seconds where it says nothing of time', async () => {
    await using site = await healthGateway({ fake: switchable(() => failedWith(429)) })
    await site.statuses(1)
    assert.equal(site.health.state(target('fake/a')), 'degraded')
    await site.gateway.clock.advance(5000)
    assert.equal(site.health.state(target('fake/a')), 'healthy')
  })
})

describe('what the service tells the router', () => {
  it('is healthy for a target that was never called', async () => {
    await using site = await healthGateway()
    const unknown = target('fake/never')
    assert.equal(site.health.state(unknown), 'healthy')
    assert.equal(site.health.latencyMs(unknown), undefined)
    assert.equal(site.health.throughput(unknown), undefined)
    assert.equal(site.health.inFlight(unknown), 0)
    assert.equal(site.health.retryAfterMs!(unknown), 0)
    assert.equal(site.health.toolCallSuccess!(unknown), undefined)
  })

  it('is degraded while a fifth of the calls fail, three at least', async () => {
    const script = switchable()
    await using site = await healthGateway({ fake: script })
    await site.statuses(2)
    assert.equal(site.health.state(target('fake/a')), 'healthy')
    await site.statuses(1)
    assert.equal(site.health.state(target('fake/a')), 'degraded')
    script.isDown = false
    await site.statuses(13)
    assert.equal(site.health.state(target('fake/a')), 'healthy')
    script.isDown = true
    await site.statuses(1)
    assert.equal(site.health.state(target('fake/a')), 'degraded')
    await site.gateway.clock.advance(31_000)
    assert.equal(site.health.state(target('fake/a')), 'healthy')
  })

  it('measures the first event and the speed of streams', async () => {
    let clock: { advance(milliseconds: number): Promise<void> }
    await using site = await healthGateway({
      fake: async function* (): AsyncGenerator<StreamEvent> {
        await clock.advance(200)
        const [start, ...rest] = textEvents('one two', { inputTokens: 3, outputTokens: 50 })
        yield start!
        await clock.advance(500)
        yield* rest
      },
    })
    clock = site.gateway.clock
    const { records } = await site.gateway.stream({ model: 'fake/a' })
    assert.equal(site.health.inFlight(target('fake/a')), 1)
    for await (const _ of records) continue
    assert.equal(site.health.inFlight(target('fake/a')), 0)
    const latency = site.health.latencyMs(target('fake/a'))!
    assert.equal(latency.count, 1)
    assert.ok(Math.abs(latency.p50 / 200 - 1) < 0.073, `${latency.p50} ms`)
    const speed = site.health.throughput(target('fake/a'))!
    assert.ok(Math.abs(speed.p50 / 100 - 1) < 0.073, `${speed.p50} tokens per second`)
    await site.gateway.clock.advance(331_000)
    assert.equal(site.health.latencyMs(target('fake/a')), undefined)
    assert.equal(site.health.throughput(target('fake/a')), undefined)
  })

  it('measures whole answers by all their time, and not the speed of short ones', async () => {
    let clock: { advance(milliseconds: number): Promise<void> }
    let outputTokens = 9
    await using site = await healthGateway({
      fake: async function* (): AsyncGenerator<StreamEvent> {
        await clock.advance(1000)
        yield* textEvents('one two', { inputTokens: 3, outputTokens })
      },
    })
    clock = site.gateway.clock
    await site.statuses(1)
    assert.equal(site.health.throughput(target('fake/a')), undefined)
    outputTokens = 40
    await site.statuses(1)
    assert.ok(Math.abs(site.health.throughput(target('fake/a'))!.p50 / 40 - 1) < 0.073)
    assert.ok(Math.abs(site.health.latencyMs(target('fake/a'))!.p50 / 1000 - 1) < 0.073)
  })
})

describe('tool calls', () => {
  const tools = [{ type: 'function', function: { name: 'look', parameters: { type: 'object' } } }]
  const calls = (name: string, ...pieces: string[]): StreamEvent[] => [
    { type: 'start' },
    { type: 'tool_call', index: 0, id: 'c1', name, arguments: '' },
    ...pieces.map((piece): StreamEvent => ({ type: 'tool_call', index: 0, arguments: piece })),
    { type: 'finish', reason: 'tool_calls' },
  ]
  const share = async (answers: readonly StreamEvent[][], tool_quality = true): Promise<unknown> => {
    let next = 0
    await using site = await healthGateway({ options: { tool_quality }, fake: () => answers[next++]! })
    for (const _ of answers) await site.gateway.send({ model: 'fake/a', tools })
    return site.health.toolCallSuccess!(target('fake/a'))
  }

  it('are measured by their names and arguments', async () => {
    assert.deepEqual(await share([calls('look', '{"a"', ':1}'), calls('look')]), { share: 1, count: 2 })
    assert.deepEqual(await share([calls('look', '{"a"'), calls('look', '{}')]), { share: 0.5, count: 2 })
    assert.deepEqual(await share([calls('invented', '{}')]), { share: 0, count: 1 })
    assert.deepEqual(await share([calls('look', '[1]')]), { share: 0, count: 1 })
  })

  it('count only where there are some, and where it is switched on', async () => {
    assert.equal(await share([textEvents('No tools today.')]), undefined)
    assert.equal(await share([calls('look', '{}')], false), undefined)
  })
})

describe('targets that clients make up', () => {
  it('are forgotten, oldest first, and push out none that has answered', async () => {
    await using site = await healthGateway({
      options: { breaker: { failures: 1, open_seconds: 3600 } },
      fake: ({ target: { model } }) => {
        if (model !== 'a') throw failedWith(500)
        return textEvents('Hello there.', { inputTokens: 1, outputTokens: 50 })
      },
    })
    await site.statuses(1, 'fake/a')
    for (let model = 0; model < 201; model++) await site.statuses(1, `fake/m${model}`)
    const { body } = await site.ask('GET', '/admin/v1/providers/fake/stats')
    const names = (body['targets'] as { target: string }[]).map(({ target: name }) => name)
    assert.equal(names.length, 201)
    assert.equal(names[0], 'fake/a')
    assert.ok(!names.includes('fake/m0'))
    assert.ok(names.includes('fake/m200'))
  })
})

describe('a reload', () => {
  it('keeps what is known, and puts new options in force', async () => {
    await using site = await healthGateway({ options: { breaker }, fake: switchable() })
    await site.statuses(3)
    await site.gateway.gateway.reload()
    assert.deepEqual(await site.statuses(1), [503])
    assert.equal(site.health.state(target('fake/a')), 'open')
  })
})

describe('options', () => {
  it('are refused where they name what is not there', async () => {
    const start = (options: JsonObject): Promise<unknown> => harness({ plugins: [[targetHealth, options]] })
    await assert.rejects(start({ limits: { nobody: { concurrent: 1 } } }), /limits\."nobody": no provider/)
    await assert.rejects(start({ limits: { 'nob*': { concurrent: 1 } } }), /limits\."nob\*": no provider/)
    await assert.rejects(start({ checks: { 'nobody/m': {} } }), /checks\."nobody\/m": no provider/)
    await assert.rejects(start({ checks: { fake: { kind: 'completion' } } }), /checks\."fake"\.model: needed/)
    await assert.rejects(start({ checks: { 'fake/m': { model: 'x' } } }), /names the model already/)
    await assert.rejects(start({ limits: { fake: { concurrent: 0 } } }), /concurrent/)
  })
})

describe('explain', () => {
  it('shows the state of each target and changes nothing', async () => {
    await using site = await healthGateway({ options: { breaker }, fake: switchable() })
    await site.statuses(3)
    assert.deepEqual(await site.explain('fake/a', 'backup/b'), {
      targets: [
        { target: 'fake/a', state: 'open', retry_after_secs: 10, in_flight: 0 },
        { target: 'backup/b', state: 'healthy', retry_after_secs: 0, in_flight: 0 },
      ],
    })
    assert.equal(site.fake.calls.length, 3)
  })
})
