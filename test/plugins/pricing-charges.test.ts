import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { calcPrice } from '@pydantic/genai-prices'
import { definePlugin } from '../../core/contract/plugin.ts'
import type { JsonObject, Reply, RouteCall, Target, Usage } from '../../core/contract/plugin.ts'
import type { StreamEvent } from '../../core/contract/provider.ts'
import { kernelRoutes } from '../../core/http/routes.ts'
import type { KernelRouteOptions } from '../../core/http/routes.ts'
import type { MemoryProvider } from '../../core/index.ts'
import { openDatabase } from '../../core/services/database/index.ts'
import type { OpenedDatabase } from '../../core/services/database/index.ts'
import { fakeProvider, harness } from '../../core/testing/index.ts'
import type { Harness, HarnessOptions } from '../../core/testing/index.ts'
import pricing from '../../plugins/pricing/index.ts'
import anthropic from '../../providers/anthropic/index.ts'
import openai from '../../providers/openai/index.ts'
import { preparedDataDirectory } from '../prepared-database.ts'

const logger = { debug() {}, info() {}, warn() {}, error() {} }
let database: OpenedDatabase

before(async () => {
  database = await openDatabase({ dataDirectory: await preparedDataDirectory(), logger })
})
after(() => database.close())

interface Setting {
  /** Of the plugin. */
  readonly options?: JsonObject
  /** What the upstream says every call used. */
  readonly usage?: Usage
  readonly models?: JsonObject
  readonly providers?: readonly MemoryProvider[]
  readonly plugins?: HarnessOptions['plugins']
  readonly server?: JsonObject
}

function gatewayOf(setting: Setting): Promise<Harness> {
  const { usage } = setting
  const events: StreamEvent[] = [
    { type: 'start', id: 'fake-1', model: 'fake-model' },
    { type: 'text', text: 'Hi' },
    ...(usage ? [{ type: 'usage' as const, usage }] : []),
    { type: 'finish', reason: 'stop', raw: 'stop' },
  ]
  return harness({
    plugins: [[pricing, setting.options ?? {}], ...(setting.plugins ?? [])],
    provider: fakeProvider(() => events, { input: ['image'] }),
    providers: setting.providers ?? [],
    config: { models: setting.models ?? {}, server: setting.server ?? {} },
    database,
  })
}

/** Sets prices of a model of `fake` through the admin API; resolves to what takes them back. */
async function setPrices(gateway: Harness, model: string, prices: JsonObject): Promise<() => Promise<void>> {
  const call = async (method: string, path: string, more: object): Promise<Reply> => {
    const routes = gateway.gateway.plan.plugins.flatMap(({ hooks }) => hooks.routes ?? [])
    const route = routes.find((each) => each.method === method && each.path === path)!
    return route.handle(more as RouteCall, { id: 'operator' })
  }
  const body = { provider: 'fake', model, ...prices }
  const reply = await call('POST', '/admin/v1/model-pricing', { body: () => Promise.resolve(body) })
  const { id } = reply.body as { id: string }
  return async () => void (await call('DELETE', '/admin/v1/model-pricing/:id', { params: { id } }))
}

/** What the package says a call costs, in micro-dollars. */
function listed(model: string, providerId: string, usage: Parameters<typeof calcPrice>[0], timestamp: Date): number {
  const price = calcPrice(usage, model, { providerId, timestamp })
  assert.ok(price && price.total_price > 0)
  return Math.ceil(Math.round(price.total_price * 1e9) / 1e3)
}

const full = {
  input_per_million: 2,
  output_per_million: 8,
  cached_input_per_million: 0.5,
  cache_write_per_million: 2.5,
  cache_write_1h_per_million: 4,
  reasoning_per_million: 10,
  audio_input_per_million: 40,
  audio_output_per_million: 80,
  per_request: 0.01,
  per_image: 0.002,
}
const everything: Usage = {
  inputTokens: 1000,
  cachedInputTokens: 300,
  cacheWriteTokens: 200,
  cacheWrite1hTokens: 50,
  audioInputTokens: 80,
  outputTokens: 500,
  reasoningTokens: 100,
  audioOutputTokens: 60,
}
const pixel = 'data:image/png;base64,iVBORw0KGgo='
const withImage = {
  chat: { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: pixel } }] }] },
  responses: { input: [{ role: 'user', content: [{ type: 'input_image', image_url: pixel }] }] },
} as const

describe('every kind of price is charged', () => {
  const inputMicros = (1000 - 300 - 200 - 80) * 2 + 300 * 0.5 + (200 - 50) * 2.5 + 50 * 4 + 80 * 40
  const outputMicros = (500 - 100 - 60) * 8 + 100 * 10 + 60 * 80
  const expected = inputMicros + outputMicros + 10_000 + 2_000

  for (const dialect of ['chat', 'responses'] as const)
    for (const streamed of [false, true])
      it(`on ${dialect}${streamed ? ', streamed' : ''}`, async () => {
        await using gateway = await gatewayOf({ usage: everything, models: { 'fake/m': { prices: full } } })
        const body = { model: 'fake/m', ...withImage[dialect] }
        if (!streamed) {
          const answer = await gateway.send(body, { dialect })
          assert.equal(answer.outcome.usage?.costMicros, expected)
          assert.equal(answer.outcome.usage.images, 1)
          assert.equal((answer.body['usage'] as JsonObject)['cost'], expected / 1e6)
          assert.equal(answer.headers['x-cost-micros'], String(expected))
          return
        }
        const options = dialect === 'chat' ? { stream_options: { include_usage: true } } : {}
        const stream = await gateway.stream({ ...body, ...options }, { dialect })
        const usages: unknown[] = []
        for await (const { data } of stream.records) {
          if (typeof data === 'string') continue
          const holder = (data['response'] ?? data) as { usage?: JsonObject | null }
          if (holder.usage) usages.push(holder.usage['cost'])
        }
        assert.deepEqual(usages, [expected / 1e6])
        assert.equal((await stream.outcome).usage?.costMicros, expected)
      })

  it('and images are not counted where no price asks for them', async () => {
    await using gateway = await gatewayOf({
      usage: everything,
      models: { 'fake/m': { prices: { input_per_million: 1, output_per_million: 1 } } },
    })
    const { outcome } = await gateway.send({ model: 'fake/m', ...withImage.chat })
    assert.deepEqual([outcome.usage?.costMicros, outcome.usage?.images], [1500, undefined])
  })

  it('in tiers', async () => {
    const tiers = [{ above_input_tokens: 200_000, input_per_million: 4, output_per_million: 16 }]
    const models = { 'fake/m': { prices: { input_per_million: 2, output_per_million: 8, tiers } } }
    for (const [inputTokens, micros] of [
      [200_000, 400_000 + 800],
      [200_001, 800_004 + 1600],
    ] as const) {
      await using gateway = await gatewayOf({ usage: { inputTokens, outputTokens: 100 }, models })
      const { outcome } = await gateway.send({ model: 'fake/m' })
      assert.equal(outcome.usage?.costMicros, micros)
    }
  })
})

describe('prices by source', () => {
  const usage = { inputTokens: 1_000, outputTokens: 100 }

  it('are those of the admin API before the config before the built-in ones before the default', async () => {
    await using gateway = await gatewayOf({
      usage,
      options: {
        providers: { fake: 'openai' },
        unknown: 'default',
        default_prices: { input_per_million: 0, output_per_million: 0, per_request: 0.5 },
      },
      models: { 'fake/gpt-4o-mini': { prices: { input_per_million: 1, output_per_million: 0 } } },
    })
    const cost = async (model: string): Promise<number | undefined> =>
      (await gateway.send({ model: `fake/${model}` })).outcome.usage?.costMicros
    const builtIn = listed(
      'gpt-4o',
      'openai',
      { input_tokens: 1_000, output_tokens: 100 },
      new Date(gateway.clock.now()),
    )
    assert.equal(await cost('gpt-4o'), builtIn)
    assert.equal(await cost('gpt-4o-mini'), 1_000)
    assert.equal(await cost('unheard-of'), 500_000)
    const withdraw = await setPrices(gateway, '*', { input_per_million: 3, output_per_million: 0 })
    for (const model of ['gpt-4o', 'gpt-4o-mini', 'unheard-of']) assert.equal(await cost(model), 3_000)
    await withdraw()
    assert.equal(await cost('gpt-4o'), builtIn)
    assert.equal(await cost('gpt-4o-mini'), 1_000)
  })

  it('are not built in for an upstream that only speaks like OpenAI, unless the operator says so', async () => {
    const upstream = createServer((_request, response) => {
      response.setHeader('content-type', 'application/json')
      const counts = { prompt_tokens: 1_000, completion_tokens: 100, prompt_tokens_details: { cached_tokens: 600 } }
      const message = { role: 'assistant', content: 'Hi' }
      response.end(JSON.stringify({ id: '1', choices: [{ index: 0, message, finish_reason: 'stop' }], usage: counts }))
    })
    upstream.listen(0, '127.0.0.1')
    await once(upstream, 'listening')
    try {
      const settings = { base_url: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}/v1`, api_key: 'key' }
      const providers: MemoryProvider[] = [[openai, settings, 'local']]
      const cost = async (options: JsonObject): Promise<readonly [number | undefined, Date]> => {
        await using gateway = await gatewayOf({ providers, options })
        const { outcome } = await gateway.send({ model: 'local/gpt-4o' })
        return [outcome.usage?.costMicros, new Date(gateway.clock.now())]
      }
      assert.equal((await cost({}))[0], undefined)
      const [charged, at] = await cost({ providers: { local: 'openai' } })
      const counts = { input_tokens: 1_000, cache_read_tokens: 600, output_tokens: 100 }
      assert.equal(charged, listed('gpt-4o', 'openai', counts, at))
    } finally {
      upstream.close()
      upstream.closeAllConnections()
    }
  })

  it('are those of the cache numbers of Anthropic, streamed or not', async () => {
    const counts = {
      input_tokens: 10,
      cache_read_input_tokens: 2_000,
      cache_creation_input_tokens: 300,
      cache_creation: { ephemeral_5m_input_tokens: 100, ephemeral_1h_input_tokens: 200 },
      output_tokens: 50,
    }
    const message = { id: 'm', type: 'message', role: 'assistant', model: 'x' }
    const records = [
      { type: 'message_start', message: { ...message, content: [], usage: { ...counts, output_tokens: 1 } } },
      { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'Hi' } },
      { type: 'content_block_stop', index: 0 },
      { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 50 } },
      { type: 'message_stop' },
    ]
    const upstream = createServer((request, response) => {
      let body = ''
      request.on('data', (chunk: Buffer) => (body += chunk.toString()))
      request.on('end', () => {
        const { stream } = JSON.parse(body) as { stream?: boolean }
        response.setHeader('content-type', stream ? 'text/event-stream' : 'application/json')
        const content = [{ type: 'text', text: 'Hi' }]
        const whole = JSON.stringify({ ...message, content, stop_reason: 'end_turn', usage: counts })
        const pieces = records.map((record) => `event: ${record.type}\ndata: ${JSON.stringify(record)}\n\n`)
        response.end(stream ? pieces.join('') : whole)
      })
    })
    upstream.listen(0, '127.0.0.1')
    await once(upstream, 'listening')
    try {
      const settings = { base_url: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`, api_key: 'key' }
      await using gateway = await gatewayOf({
        providers: [[anthropic, settings, 'claude']],
        options: { providers: { claude: 'anthropic' } },
      })
      const model = 'claude-sonnet-4-5'
      const expected = listed(
        model,
        'anthropic',
        {
          input_tokens: 2_310,
          cache_read_tokens: 2_000,
          cache_write_tokens: 300,
          cache_write_1h_tokens: 200,
          output_tokens: 50,
        },
        new Date(gateway.clock.now()),
      )
      for (const dialect of ['chat', 'responses'] as const) {
        const { outcome } = await gateway.send({ model: `claude/${model}` }, { dialect })
        assert.equal(outcome.usage?.costMicros, expected)
        const stream = await gateway.stream({ model: `claude/${model}` }, { dialect })
        for await (const _ of stream.records);
        assert.equal((await stream.outcome).usage?.costMicros, expected)
      }
    } finally {
      upstream.close()
      upstream.closeAllConnections()
    }
  })
})

describe('a cost that the upstream reports', () => {
  const usage = { inputTokens: 1_000, outputTokens: 0, reportedCostMicros: 77 }
  const models = { 'fake/m': { prices: { input_per_million: 1, output_per_million: 1 } } }

  it('is charged where the operator prefers it, and else is not', async () => {
    for (const [options, micros] of [
      [{}, 1_000],
      [{ reported_cost: 'ignore' }, 1_000],
      [{ reported_cost: 'prefer' }, 77],
    ] as const) {
      await using gateway = await gatewayOf({ usage, models, options })
      assert.equal((await gateway.send({ model: 'fake/m' })).outcome.usage?.costMicros, micros)
    }
  })

  it('is charged where no price is known, and makes the price known', async () => {
    const options = { reported_cost: 'prefer' }
    await using gateway = await gatewayOf({ usage, options, server: { metrics: true } })
    assert.equal((await gateway.send({ model: 'fake/m' })).outcome.usage?.costMicros, 77)
    const metrics = (await gateway.gateway.pipeline.services.telemetry.prometheus?.()) ?? ''
    assert.doesNotMatch(metrics, /hadrian_prices_unknown/)
  })
})

describe('an unknown price', () => {
  const usage = { inputTokens: 1_000, outputTokens: 100 }
  const models = { 'fake/priced': { prices: { input_per_million: 1, output_per_million: 1 } } }
  const metadata = { headers: { 'x-hadrian-metadata': 'enabled' } }
  const warnings = (body: JsonObject): string[] =>
    (body['hadrian_metadata'] as { warnings: { code: string }[] }).warnings.map(({ code }) => code)

  it('is free, warned of once, and counted', async () => {
    await using gateway = await gatewayOf({ usage, models, server: { metrics: true } })
    const { status, body, outcome } = await gateway.send({ model: 'fake/m', n: 2 }, metadata)
    assert.equal(status, 200)
    assert.equal(outcome.usage?.costMicros, undefined)
    assert.deepEqual(warnings(body), ['unknown_price'])
    assert.deepEqual(warnings((await gateway.send({ model: 'fake/priced' }, metadata)).body), [])
    const metrics = (await gateway.gateway.pipeline.services.telemetry.prometheus?.()) ?? ''
    const [line] = /^hadrian_prices_unknown_total.*$/m.exec(metrics) ?? []
    assert.match(line ?? '', /hadrian_provider="fake"/)
    assert.match(line ?? '', /gen_ai_request_model="m".* 1$/)
  })

  it('is not counted for a call that used nothing', async () => {
    const provider = fakeProvider(() => {
      throw new Error('down')
    })
    await using gateway = await harness({
      plugins: [pricing],
      provider,
      database,
      config: { server: { metrics: true } },
    })
    await gateway.send({ model: 'fake/m' })
    const metrics = (await gateway.gateway.pipeline.services.telemetry.prometheus?.()) ?? ''
    assert.doesNotMatch(metrics, /hadrian_prices_unknown_total\{/)
  })

  it('keeps a target from being called, if the operator wants that', async () => {
    await using gateway = await gatewayOf({ usage, models, options: { unknown: 'refuse' } })
    const refused = await gateway.send({ model: 'fake/m' })
    assert.equal(refused.status, 400)
    const { code, details } = refused.body['error'] as { code: string; details: { candidates: unknown } }
    assert.equal(code, 'routing_error')
    assert.deepEqual(details.candidates, [{ target: 'fake/m', removed_by: 'price' }])
    assert.equal(gateway.provider.calls.length, 0)
    const other = await gateway.send({ models: ['fake/m', 'fake/priced'] })
    assert.equal(other.status, 200)
    assert.deepEqual(
      gateway.provider.calls.map(({ target }) => target.model),
      ['priced'],
    )
    for (const dialect of ['responses', 'completions', 'embeddings'] as const)
      assert.equal((await gateway.send({ model: 'fake/m' }, { dialect })).status, 400, dialect)
  })

  it('keeps it so when another plugin puts the target back', async () => {
    let first: readonly Target[] = []
    const before = definePlugin({
      name: 'before',
      api: 1,
      order: { before: ['pricing'] },
      options: { type: 'object', properties: {}, additionalProperties: false },
      setup: () => ({ route: (exchange) => void (first = exchange.targets) }),
    })
    const behind = definePlugin({
      name: 'behind',
      api: 1,
      options: { type: 'object', properties: {}, additionalProperties: false },
      setup: () => ({ route: (exchange) => void (exchange.targets = first) }),
    })
    await using gateway = await gatewayOf({ usage, options: { unknown: 'refuse' }, plugins: [before, behind] })
    const { status, body } = await gateway.send({ model: 'fake/m' })
    assert.equal(status, 400)
    assert.equal((body['error'] as { code: string }).code, 'routing_error')
    assert.equal(gateway.provider.calls.length, 0)
  })

  it('is the default one, if the operator wants that, and stays visible', async () => {
    const options = { unknown: 'default', default_prices: { input_per_million: 5, output_per_million: 10 } }
    await using gateway = await gatewayOf({ usage, models, options })
    const { body, outcome } = await gateway.send({ model: 'fake/m' }, metadata)
    assert.equal(outcome.usage?.costMicros, 6_000)
    assert.deepEqual(warnings(body), ['unknown_price'])
    assert.equal((await gateway.send({ model: 'fake/priced' })).outcome.usage?.costMicros, 1_100)
  })
})

describe('the catalog', () => {
  it('bounds what a call can cost by the prices that are charged', async () => {
    const calls: (number | undefined)[] = []
    const watch = definePlugin({
      name: 'watch',
      api: 1,
      options: { type: 'object', properties: {}, additionalProperties: false },
      setup: ({ catalog }) => ({
        reserve(_exchange, call) {
          const { images, inputTokensCeiling: inputTokens } = call
          calls.push(catalog.priceCeiling(call.targets[0]!, { inputTokens, images, outputTokens: 500 }))
        },
      }),
    })
    await using gateway = await gatewayOf({ usage: everything, plugins: [watch] })
    await setPrices(gateway, 'bounded', full)
    const { outcome } = await gateway.send({ model: 'fake/bounded', ...withImage.chat })
    assert.ok(calls[0]! >= outcome.usage!.costMicros!)
    await gateway.send({ model: 'fake/unheard-of' })
    assert.equal(calls[1], undefined)
  })

  it('bounds what a call can cost that ends when other prices hold', async () => {
    await using gateway = await gatewayOf({ options: { providers: { fake: 'deepseek' } } })
    const { catalog } = gateway.gateway.pipeline.services
    const target = catalog.resolve('fake/deepseek-reasoner')[0]!
    const call = { inputTokens: 1_000_000, outputTokens: 1_000_000 }
    const dayMs = 86_400_000
    const midnight = Math.ceil(gateway.clock.now() / dayMs) * dayMs
    const at = async (minutes: number): Promise<readonly [number, number]> => {
      await gateway.clock.advance(midnight + minutes * 60_000 - gateway.clock.now())
      return [catalog.priceCeiling(target, call)!, catalog.price(target, call)!]
    }
    const [ceilingAtNight] = await at(0)
    const [, after] = await at(30)
    const night = await at(16 * 60 + 30)
    assert.ok(after > night[1], 'the day is dearer, by the package')
    assert.equal(ceilingAtNight, after, 'half an hour before the day')
    assert.equal(night[0], night[1], 'the day is far')
  })

  it('lists the prices that are charged', async () => {
    const providers: MemoryProvider[] = [[fakeProvider().definition, {}, 'other']]
    await using gateway = await gatewayOf({
      providers,
      models: { 'fake/gpt-4o': {}, 'fake/mine': { prices: full } },
      options: { providers: { fake: 'openai' } },
    })
    await setPrices(gateway, 'fake-model', { input_per_million: 3, output_per_million: 4 })
    const { catalog } = gateway.gateway.pipeline.services
    const routes = kernelRoutes({ catalog, version: '1' } as KernelRouteOptions)
    const list = routes.find(({ path }) => path === '/api/v1/models')!
    const reply = await list.handle({ principal: { id: 'x' } } as RouteCall, undefined)
    const { data } = JSON.parse(reply.body as string) as { data: { id: string; pricing?: JsonObject }[] }
    const priced = new Map(data.map(({ id, pricing: prices }) => [id, prices]))
    const perToken = { prompt: '0.000003', completion: '0.000004' }
    assert.deepEqual(priced.get('fake/fake-model'), { input_per_million: 3, output_per_million: 4, ...perToken })
    assert.deepEqual({ ...priced.get('fake/mine'), ...full }, priced.get('fake/mine'))
    const known = calcPrice({ input_tokens: 1, output_tokens: 1 }, 'gpt-4o', { providerId: 'openai' })
    assert.equal(priced.get('fake/gpt-4o')?.['input_per_million'], known?.model_price['input_mtok'])
    assert.equal(priced.get('other/fake-model'), undefined)
  })
})
