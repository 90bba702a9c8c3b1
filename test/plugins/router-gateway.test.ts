/** Provider preferences through a whole gateway: what clients send, what upstreams get, what errors say. */

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { definePlugin, gatewayError } from '@hadrian/core/plugin'
import type { JsonObject, PluginDefinition } from '@hadrian/core/plugin'
import { fakeProvider, harness, textEvents } from '@hadrian/core/testing'
import type { FakeProvider, Harness } from '@hadrian/core/testing'
import { createRouter } from '../../plugins/router/index.ts'
import { startGateway } from '../e2e/gateway.ts'
import type { RunningGateway } from '../e2e/gateway.ts'
import { fixedHealth, percentiles } from './fixed-health.ts'
import type { KnownHealth } from './fixed-health.ts'

const router = createRouter({ random: () => 0 })

function prices(dollars: number): JsonObject {
  return { input_per_million: dollars, output_per_million: dollars, cached_input_per_million: dollars / 10 }
}

const models: JsonObject = {
  any: { targets: ['a/m', 'b/m', 'c/m'] },
  'a/m': { prices: prices(3), data_policy: { training: false, retention_days: 30 }, slug: 'azure/eu' },
  'b/m': { prices: prices(1), quantization: 'fp8' },
  'c/m': { prices: prices(2), data_policy: { training: false, retention_days: 0 }, distillable: true },
}

interface Setting {
  readonly options?: JsonObject
  readonly health?: Readonly<Record<string, KnownHealth>>
  readonly provider?: FakeProvider
}

function start({ options = {}, health = {}, provider = fakeProvider() }: Setting = {}): Promise<Harness> {
  return harness({
    provider,
    providers: ['a', 'b', 'c'].map((instance) => [provider.definition, {}, instance] as const),
    plugins: [fixedHealth(health), [router, options]],
    config: { models, routing: { retries_per_target: 0 } },
  })
}

function called(gateway: Harness): readonly string[] {
  return gateway.provider.calls.map(({ target }) => target.name)
}

describe('the field provider', () => {
  const keys: Readonly<Record<string, readonly [preferences: JsonObject, called: string]>> = {
    order: [{ order: ['azure'] }, 'a/m'],
    only: [{ only: ['azure/eu', 'c'] }, 'c/m'],
    ignore: [{ ignore: ['b'] }, 'c/m'],
    require_parameters: [{ require_parameters: true }, 'b/m'],
    data_collection: [{ data_collection: 'deny' }, 'c/m'],
    zdr: [{ zdr: true }, 'c/m'],
    enforce_distillable_text: [{ enforce_distillable_text: true }, 'c/m'],
    quantizations: [{ quantizations: ['unknown'] }, 'c/m'],
    'sort latency': [{ sort: 'latency' }, 'a/m'],
    'sort by': [{ sort: { by: 'latency', partition: 'none' } }, 'a/m'],
    preferred_max_latency: [{ preferred_max_latency: 0.2 }, 'a/m'],
    preferred_min_throughput: [{ preferred_min_throughput: { p90: 50 } }, 'c/m'],
    max_price: [{ max_price: { prompt: '2.5' }, ignore: ['b'] }, 'c/m'],
  }
  const health = {
    'a/m': { latencyMs: percentiles(100), throughput: percentiles(40) },
    'b/m': { latencyMs: percentiles(300), throughput: percentiles(40) },
    'c/m': { latencyMs: percentiles(300), throughput: percentiles(60) },
  }
  for (const [key, [provider, target]] of Object.entries(keys))
    for (const dialect of ['chat', 'responses'] as const)
      it(`${key}: decides who is called, on ${dialect}, streamed too`, async () => {
        await using gateway = await start({ health })
        assert.equal((await gateway.send({ model: 'any', provider }, { dialect })).status, 200)
        const { status, records, outcome } = await gateway.stream({ model: 'any', provider }, { dialect })
        for await (const _ of records);
        await outcome
        assert.equal(status, 200)
        assert.deepEqual(called(gateway), [target, target])
      })

  it('makes a routing_error of what leaves nobody, with the reason for each', async () => {
    await using gateway = await start({ options: { ignore: ['c'] } })
    const provider = { max_price: { prompt: 2 }, quantizations: ['bf16'] }
    for (const dialect of ['chat', 'responses'] as const)
      for (const stream of [false, true]) {
        const { status, body } = await gateway.send({ model: 'any', provider, stream }, { dialect })
        assert.equal(status, 400)
        const error = body['error'] as JsonObject
        assert.equal(error['code'], 'routing_error')
        assert.deepEqual((error['details'] as JsonObject)['candidates'], [
          { target: 'a/m', removed_by: 'provider.quantizations: unknown' },
          { target: 'b/m', removed_by: 'provider.quantizations: fp8' },
          { target: 'c/m', removed_by: 'router: ignore "c"' },
        ])
      }
    assert.deepEqual(called(gateway), [])
  })

  it('tells in the metadata what was removed and what changed nothing', async () => {
    await using gateway = await start()
    const provider = { max_price: { prompt: 2 }, sort: 'throughput' }
    const { body } = await gateway.send({ model: 'any', provider }, { headers: { 'x-hadrian-metadata': 'enabled' } })
    const metadata = body['hadrian_metadata'] as JsonObject
    assert.deepEqual(metadata['targets'], ['b/m', 'c/m'])
    assert.deepEqual(metadata['excluded'], [{ target: 'a/m', removed_by: 'provider.max_price.prompt: 3 > 2' }])
    const [warning] = metadata['warnings'] as JsonObject[]
    assert.equal(warning?.['code'], 'preference_not_applied')
    assert.equal(warning['param'], 'provider.sort')
  })

  it('allow_fallbacks false: the error of the one that was tried is the answer', async () => {
    const provider = fakeProvider(({ target }) => {
      throw gatewayError('provider_error', `Upstream provider returned error: ${target.name}`, { retryable: true })
    })
    await using gateway = await start({ provider })
    const { status, body } = await gateway.send({ model: 'any', provider: { allow_fallbacks: false } })
    assert.equal(status, 502)
    assert.match(String((body['error'] as JsonObject)['message']), /b\/m/)
    assert.deepEqual(called(gateway), ['b/m'])
  })

  it('obeys suffixes', async () => {
    await using gateway = await start({ health })
    for (const [model, target] of [
      ['any:floor', 'b/m'],
      ['any:nitro', 'c/m'],
    ] as const) {
      // prettier-ignore
      assert.equal((await gateway.send({ model })).status, 200)
      assert.equal(called(gateway).at(-1), target)
    }
  })
})

describe('require_parameters', () => {
  const claude = 'claude-sonnet-4-5'
  const setup = (more: readonly PluginDefinition[] = []): Promise<RunningGateway> =>
    startGateway({
      overrides: { plugins: [[fixedHealth()], ...more.map((plugin) => [plugin] as const)] },
      config: {
        plugins: { router: { enabled: true } },
        models: { both: { targets: [`anthropic/${claude}`, 'native/gpt-upstream'] } },
      },
    })
  const hello = { model: 'both', messages: [{ role: 'user', content: 'Hello' }], max_tokens: 50 }
  const post = async (
    running: RunningGateway,
    body: JsonObject,
    path = '/v1/chat/completions',
  ): Promise<JsonObject> => {
    const response = await running.post(path, body, { headers: { 'x-hadrian-metadata': 'enabled' } })
    return (await response.json()) as JsonObject
  }

  it('goes past a target whose wire has no such parameter, before it is called', async () => {
    await using running = await setup()
    const asking = { ...hello, seed: 1, provider: { require_parameters: true } }
    const { hadrian_metadata: metadata } = await post(running, asking)
    assert.deepEqual(running.upstream.calls.map(({ path }) => path), ['/native/v1/chat/completions']) // prettier-ignore
    assert.equal(running.upstream.last().json['seed'], 1)
    assert.equal(running.upstream.last().json['provider'], undefined)
    assert.deepEqual((metadata as JsonObject)['excluded'], [
      { target: `anthropic/${claude}`, removed_by: 'provider.require_parameters: seed would be left out' },
    ])
  })

  it('leaves the target in where nothing is lost, a changed value is no loss', async () => {
    await using running = await setup()
    await post(running, { ...hello, temperature: 1.5, provider: { require_parameters: true } })
    assert.equal(running.upstream.last().path, '/anthropic/v1/messages')
    assert.equal(running.upstream.last().json['temperature'], 1)
  })

  it('without it, the loss is a warning', async () => {
    await using running = await setup()
    const { hadrian_metadata: metadata } = await post(running, { ...hello, seed: 1 })
    assert.equal(running.upstream.last().path, '/anthropic/v1/messages')
    const [warning] = (metadata as JsonObject)['warnings'] as JsonObject[]
    assert.equal(warning?.['param'], 'seed')
  })

  it('is a routing_error where nobody is left', async () => {
    await using running = await setup()
    const body = { ...hello, model: `anthropic/${claude}`, seed: 1, provider: { require_parameters: true } }
    const { error } = await post(running, body)
    assert.equal((error as JsonObject)['code'], 'routing_error')
    assert.equal(running.upstream.calls.length, 0)
  })

  it('passes bytes on where the upstream speaks the dialect of the client', async () => {
    await using running = await setup()
    const body = { ...hello, model: 'native/m', field_of_tomorrow: 1, provider: { require_parameters: true } }
    await post(running, body)
    assert.equal(running.upstream.last().json['field_of_tomorrow'], 1)
  })

  it('holds for what another plugin adds after routing', async () => {
    const seeding = definePlugin({
      name: 'seeding',
      api: 1,
      options: { type: 'object', properties: {}, additionalProperties: false },
      setup: () => ({ transform: (exchange) => exchange.edit((request) => ({ ...request, seed: 7 })) }),
    })
    await using running = await setup([seeding])
    await post(running, { ...hello, provider: { require_parameters: true } })
    assert.deepEqual(running.upstream.calls.map(({ path }) => path), ['/native/v1/chat/completions']) // prettier-ignore
    assert.equal(running.upstream.last().json['seed'], 7)
  })

  it('believes the capabilities of a provider with a transport of its own', async () => {
    const able = fakeProvider()
    const unable = fakeProvider(undefined, { tools: false, jsonSchema: false, reasoning: false })
    await using gateway = await harness({
      provider: able,
      providers: [[{ ...unable.definition, name: 'unable' }, {}, 'unable']],
      plugins: [fixedHealth(), router],
      config: { models: { both: { targets: ['unable/m', 'fake/m'] } } },
    })
    const using: readonly JsonObject[] = [
      { tools: [{ type: 'function', function: { name: 'f' } }] },
      { response_format: { type: 'json_schema', json_schema: { name: 'x', schema: {} } } },
      { reasoning: { effort: 'low' } },
    ]
    for (const [index, body] of using.entries()) {
      await gateway.send({ model: 'both', ...body, provider: { require_parameters: true } })
      assert.equal(able.calls.length, index + 1)
    }
    assert.equal(unable.calls.length, 0)
    await gateway.send({ model: 'both', provider: { require_parameters: true } })
    assert.equal(unable.calls.length, 1)
  })
})

describe('conversations', () => {
  it('stay at the target that read its cache', async () => {
    let isDown = true
    const provider = fakeProvider(({ target }) => {
      if (isDown && target.name === 'b/m') throw gatewayError('provider_error', 'b is down', { retryable: true })
      return textEvents('Hello', { inputTokens: 9, outputTokens: 1, cachedInputTokens: 5 } as never)
    })
    await using gateway = await start({ provider })
    const first = { model: 'any', messages: [{ role: 'user', content: 'Hello' }] }
    await gateway.send(first)
    isDown = false
    await gateway.send({ ...first, messages: [...first.messages, { role: 'user', content: 'More' }] })
    await gateway.send({ ...first, messages: [{ role: 'user', content: 'Something else' }] })
    await gateway.clock.advance(600_000)
    await gateway.send(first)
    assert.deepEqual(called(gateway), ['b/m', 'c/m', 'c/m', 'b/m', 'b/m'])
  })

  it('have a session_id that is checked, and not sent on to an upstream that does not know it', async () => {
    await using running = await startGateway({
      overrides: { plugins: [[fixedHealth()]] },
      config: { plugins: { router: { enabled: true } } },
    })
    for (const [path, body] of [
      ['/v1/chat/completions', { messages: [{ role: 'user', content: 'Hello' }] }],
      ['/v1/responses', { input: 'Hello' }],
    ] as const) {
      const good = { model: 'native/m', ...body, session_id: 'x'.repeat(256) }
      assert.equal((await running.post(path, good)).status, 200)
      assert.ok(!('session_id' in running.upstream.last().json))
      // A field that has to be mapped makes the body one that is written anew.
      assert.equal((await running.post(path, { ...good, top_k: 5 })).status, 200)
      assert.ok(!('session_id' in running.upstream.last().json))
      const bad = await running.post(path, { ...good, session_id: 'x'.repeat(257) })
      assert.equal(bad.status, 400)
      assert.equal(((await bad.json()) as { error: JsonObject }).error['param'], 'session_id')
    }
    assert.equal(running.upstream.calls.length, 4)
  })
})
