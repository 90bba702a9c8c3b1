import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { GenerateRequest, JsonObject, PluginDefinition, ProviderPreferences } from '../../core/contract/plugin.ts'
import { readProviderPreferences } from '../../core/contract/plugin.ts'
import { passthroughBody } from '../../core/dialects/passthrough.ts'
import { fakeProvider, harness } from '../../core/testing/index.ts'
import type { Harness } from '../../core/testing/index.ts'
import { hookPlugin } from './hook-plugin.ts'

/** Stands in for the router: says that it obeys preferences, and keeps what it was told. */
function router(seen: GenerateRequest[] = []): PluginDefinition {
  return {
    ...hookPlugin('obeys', {}, { provides: ['provider-preferences'] }),
    setup: () => ({
      services: { 'provider-preferences': true },
      route: (exchange) => void seen.push(exchange.request),
    }),
  }
}

/** Stands in for the plugin that makes prompts shorter. */
const compression = (seen: string[]): PluginDefinition =>
  hookPlugin(
    'context-compression',
    { transform: () => void seen.push('compressed') },
    { params: { type: 'object', properties: {}, additionalProperties: false } },
  )

async function preferencesOf(body: JsonObject, dialect: 'chat' | 'responses'): Promise<ProviderPreferences> {
  const seen: GenerateRequest[] = []
  await using gateway = await harness({ plugins: [router(seen)] })
  const { status, body: answer } = await gateway.send(body, { dialect })
  assert.equal(status, 200, JSON.stringify(answer))
  return readProviderPreferences(seen[0]!)
}

interface Refusal {
  readonly code: string
  readonly message: string
  readonly param: string
  readonly details: { readonly errors: readonly { readonly path: string; readonly message: string }[] }
}

async function refusalOf(gateway: Harness, body: JsonObject, dialect: 'chat' | 'responses' = 'chat'): Promise<Refusal> {
  const answer = await gateway.send(body, { dialect })
  assert.equal(answer.status, 400, JSON.stringify(answer.body))
  assert.equal(gateway.provider.calls.length, 0)
  return answer.body['error'] as Refusal
}

const everyKey = {
  order: ['a', 'b/eu'],
  only: ['a'],
  ignore: ['c'],
  quantizations: ['fp8', 'unknown'],
  allow_fallbacks: false,
  require_parameters: true,
  zdr: true,
  enforce_distillable_text: true,
  data_collection: 'deny',
  sort: { by: 'latency', partition: 'none' },
  preferred_min_throughput: { p50: 100, p90: 20 },
  preferred_max_latency: { p50: 0.5, p99: 3, p75: null },
  max_price: { prompt: 1.5, completion: '2', request: '0.0001', image: 0.01, audio: 3 },
}

describe('provider preferences', () => {
  const cases: readonly (readonly [what: string, provider: unknown, read: ProviderPreferences])[] = [
    ['none', undefined, {}],
    ['null', null, {}],
    ['an empty object', {}, {}],
    ['only nulls', Object.fromEntries(Object.keys(everyKey).map((key) => [key, null])), {}],
    [
      'every key',
      everyKey,
      {
        order: ['a', 'b/eu'],
        only: ['a'],
        ignore: ['c'],
        quantizations: ['fp8', 'unknown'],
        allowFallbacks: false,
        requireParameters: true,
        zdr: true,
        enforceDistillableText: true,
        dataCollection: 'deny',
        sort: { by: 'latency', partition: 'none' },
        preferredMinThroughput: { p50: 100, p90: 20 },
        preferredMaxLatency: { p50: 500, p99: 3000 },
        maxPrice: { prompt: 1_500_000, completion: 2_000_000, request: 100, image: 10_000, audio: 3_000_000 },
      },
    ],
    ['false values', { zdr: false, allow_fallbacks: true }, { zdr: false, allowFallbacks: true }],
    ['a sort by its name', { sort: 'price' }, { sort: { by: 'price', partition: 'model' } }],
    ['exacto', { sort: 'exacto' }, { sort: { by: 'exacto', partition: 'model' } }],
    ['a sort without a partition', { sort: { by: 'price' } }, { sort: { by: 'price', partition: 'model' } }],
    ['a partition alone', { sort: { by: null, partition: 'none' } }, { sort: { partition: 'none' } }],
    ['a sort of nothing', { sort: { by: null } }, {}],
    ['a number for the median', { preferred_min_throughput: 40, preferred_max_latency: 2 }, { preferredMinThroughput: { p50: 40 }, preferredMaxLatency: { p50: 2000 } }],
    ['no limits in an object', { preferred_max_latency: {}, max_price: { prompt: null } }, {}],
    ['a price of zero', { max_price: { prompt: 0, completion: '0' } }, { maxPrice: { prompt: 0, completion: 0 } }],
    ['a price beyond reason', { max_price: { prompt: '9'.repeat(30) } }, { maxPrice: { prompt: Number.MAX_SAFE_INTEGER } }],
    ['a price that is no exact fraction', { max_price: { prompt: 0.29 } }, { maxPrice: { prompt: 290_000 } }],
  ] // prettier-ignore
  for (const [what, provider, read] of cases)
    for (const dialect of ['chat', 'responses'] as const)
      it(`are read from ${what}: ${dialect}`, async () =>
        assert.deepEqual(await preferencesOf({ provider }, dialect), read))

  it('are read once for each request', () => {
    const request = { provider: { zdr: true } } as unknown as GenerateRequest
    assert.equal(readProviderPreferences(request), readProviderPreferences({ ...request }))
  })

  const mistakes: readonly (readonly [provider: unknown, path: string, message: RegExp])[] = [
    [{ allow_fallback: false }, 'provider.allow_fallback', /is not a known key.*Did you mean "allow_fallbacks"\?/],
    [{ Order: ['a'] }, 'provider.Order', /Did you mean "order"\?/],
    [{ options: {} }, 'provider.options', /is not a known key; known are order, only/],
    [{ sort: { by: 'price', partitions: 'none' } }, 'provider.sort.partitions', /Did you mean "partition"\?/],
    [{ sort: { by: 'speed' } }, 'provider.sort.by', /must be one of "price", "throughput", "latency", "exacto"/],
    [{ sort: ['price'] }, 'provider.sort', /must be a string or an object/],
    [{ max_price: { prompts: 1 } }, 'provider.max_price.prompts', /Did you mean "prompt"\?/],
    [{ max_price: { prompt: -1 } }, 'provider.max_price.prompt', /must be at least 0/],
    [{ max_price: { prompt: '1e3' } }, 'provider.max_price.prompt', /must be a decimal number/],
    [{ max_price: 3 }, 'provider.max_price', /must be an object/],
    [{ preferred_max_latency: { p95: 1 } }, 'provider.preferred_max_latency.p95', /is not a known key/],
    [{ preferred_max_latency: { p50: '1' } }, 'provider.preferred_max_latency.p50', /must be a number/],
    [{ preferred_min_throughput: -1 }, 'provider.preferred_min_throughput', /must be at least 0/],
    [{ order: 'openai' }, 'provider.order', /must be an array/],
    [{ only: [''] }, 'provider.only[0]', /must not be empty/],
    [{ quantizations: ['fp9'] }, 'provider.quantizations[0]', /must be one of "int4"/],
    [{ data_collection: 'refuse' }, 'provider.data_collection', /must be one of "allow", "deny"/],
    [{ zdr: 'yes' }, 'provider.zdr', /must be a boolean/],
    ['openai', 'provider', /must be an object/],
  ]
  for (const [provider, path, message] of mistakes)
    for (const dialect of ['chat', 'responses'] as const)
      it(`are checked: ${JSON.stringify(provider)} (${dialect})`, async () => {
        await using gateway = await harness({ plugins: [router()] })
        const { code, param, details } = await refusalOf(gateway, { provider }, dialect)
        assert.deepEqual([code, param, details.errors[0]!.path], ['invalid_request_error', path, path])
        assert.match(details.errors[0]!.message, message)
      })

  for (const key of Object.keys(everyKey))
    it(`are refused where nothing obeys them: ${key}`, async () => {
      await using gateway = await harness()
      const { code, param, message } = await refusalOf(gateway, {
        provider: { zdr: null, [key]: everyKey[key as keyof typeof everyKey] },
      })
      assert.deepEqual([code, param], ['unsupported', `provider.${key}`])
      assert.match(message, new RegExp(`"${key}"`))
    })

  it('that are all null need nobody to obey them', async () => {
    await using gateway = await harness()
    assert.equal((await gateway.send({ provider: { order: null } })).status, 200)
  })
})

describe('fields of the gateway', () => {
  it('never go upstream', () => {
    const own = { provider: { zdr: true }, models: ['a'], plugins: [], route: 'sort', transforms: ['middle-out'] }
    const body = { model: 'm', messages: [], ...own }
    const sent = passthroughBody({
      bytes: Buffer.from(JSON.stringify(body)),
      body,
      request: { operation: 'generate', dialect: 'chat', messages: [], stream: false, extra: {} },
      target: { provider: 'up', model: 'm', name: 'up/m', requested: 'up/m' },
      capabilities: { operations: ['generate'], dialects: { chat: '/chat/completions' } },
    })
    assert.deepEqual(JSON.parse(Buffer.from(sent!).toString()), { model: 'm', messages: [] })
  })

  for (const dialect of ['chat', 'responses'] as const)
    it(`are no unknown fields of the canonical request, but the one that some upstreams have: ${dialect}`, async () => {
      const provider = fakeProvider()
      await using gateway = await harness({ plugins: [router(), compression([])], provider })
      await gateway.send({ provider: { zdr: true }, route: 'sort', transforms: [] }, { dialect })
      assert.deepEqual(provider.calls[0]!.request.extra, { transforms: [] })
    })
})

describe('the deprecated field route', () => {
  const cases: readonly (readonly [body: JsonObject, read: ProviderPreferences])[] = [
    [{ route: 'fallback' }, {}],
    [{ route: null }, {}],
    [{ route: 'sort' }, { sort: { partition: 'none' } }],
    [{ route: 'sort', provider: { zdr: true, sort: 'price' } }, { zdr: true, sort: { by: 'price', partition: 'none' } }],
    [{ route: 'sort', provider: { sort: { by: 'price', partition: 'model' } } }, { sort: { by: 'price', partition: 'model' } }],
    [{ route: 'sort', provider: { sort: null } }, { sort: { partition: 'none' } }],
  ] // prettier-ignore
  for (const [body, read] of cases)
    for (const dialect of ['chat', 'responses'] as const)
      it(`${JSON.stringify(body)}: ${dialect}`, async () => assert.deepEqual(await preferencesOf(body, dialect), read))

  it('has two values', async () => {
    await using gateway = await harness({ plugins: [router()] })
    assert.equal((await refusalOf(gateway, { route: 'fastest' })).param, 'route')
  })
})

describe('the deprecated field transforms', () => {
  const compressed = async (body: JsonObject, config: JsonObject = {}): Promise<boolean> => {
    const seen: string[] = []
    await using gateway = await harness({ plugins: [[compression(seen), config]] })
    assert.equal((await gateway.send(body)).status, 200)
    return seen.length > 0
  }

  it('names the plugin context-compression', async () => {
    assert.equal(await compressed({ transforms: ['middle-out'] }), true)
    assert.equal(await compressed({}), false)
    assert.equal(await compressed({ transforms: null }), false)
  })

  it('switches it off by an empty list', async () => {
    const always = { apply: 'always', client_may_disable: true }
    assert.equal(await compressed({}, always), true)
    assert.equal(await compressed({ transforms: [] }, always), false)
  })

  it('gives way to an entry in plugins', async () => {
    const entry = (enabled: boolean): JsonObject => ({ plugins: [{ id: 'context-compression', enabled }] })
    assert.equal(await compressed({ transforms: ['middle-out'], ...entry(false) }), false)
    assert.equal(await compressed({ transforms: [], ...entry(true) }), true)
  })

  it('asks for nothing where the list is empty and the plugin off; else that is said', async () => {
    await using gateway = await harness({ config: { plugins: { 'context-compression': { enabled: false } } } })
    const { code, param, message } = await refusalOf(gateway, { transforms: ['middle-out'] })
    assert.deepEqual([code, param], ['unsupported', 'transforms'])
    assert.match(message, /needs the plugin "context-compression"/)
    assert.equal((await refusalOf(gateway, { transforms: ['shrink'] })).param, 'transforms[0]')
    assert.equal((await gateway.send({ transforms: [] })).status, 200)
  })
})
