import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import type { Catalog, JsonObject, ModelPrices, Usage } from '../../core/contract/plugin.ts'
import { gatewayError } from '../../core/contract/errors.ts'
import { priceOf } from '../../core/services/catalog.ts'
import { fakeProvider, harness, textEvents } from '../../core/testing/index.ts'

async function withCatalog(
  models: JsonObject,
  test: (catalog: Catalog) => unknown,
  routing: JsonObject = {},
): Promise<void> {
  // Two providers, so that none of them is the default by being the only one.
  const providers = [[fakeProvider().definition, {}, 'other']] as const
  await using gateway = await harness({ providers, config: { models, routing } })
  await test(gateway.gateway.pipeline.services.catalog)
}

const named = (catalog: Catalog, name: string): readonly string[] => catalog.resolve(name).map((target) => target.name)

describe('the catalog', () => {
  const models: JsonObject = {
    smart: { targets: ['fake/a', 'fake/b'], aliases: ['clever'], context_length: 1000 },
    'fake/c': { aliases: ['see'], context_length: 2000 },
    'gone/x': { targets: ['fake/d'] },
  }

  it('resolves names, aliases, targets and nothing else', () =>
    withCatalog(models, (catalog) => {
      assert.deepEqual(named(catalog, 'smart'), ['fake/a', 'fake/b'])
      assert.deepEqual(named(catalog, 'clever'), ['fake/a', 'fake/b'])
      assert.deepEqual(named(catalog, 'see'), ['fake/c'])
      assert.deepEqual(named(catalog, 'fake/c'), ['fake/c'])
      assert.deepEqual(named(catalog, 'fake/free'), ['fake/free'])
      assert.deepEqual(named(catalog, 'gone/x'), ['fake/d'])
      for (const name of ['free', 'nobody/x', 'Smart', 'smart ', 'fake', 'fake/', '/a', '', 'toString', '__proto__'])
        assert.deepEqual(named(catalog, name), [], name)
    }))

  it('serves bare names by the default provider, with what is known of them', () =>
    withCatalog(
      { ...models, described: { max_output_tokens: 10 } },
      (catalog) => {
        assert.deepEqual(named(catalog, 'free'), ['fake/free'])
        const [target] = catalog.resolve('described')
        assert.equal(target!.name, 'fake/described')
        assert.equal(target!.info?.maxOutputTokens, 10)
        assert.deepEqual(named(catalog, 'nobody/x'), [])
      },
      { default_provider: 'fake' },
    ))

  it('says what was asked for, and what it knows of the target', () =>
    withCatalog(models, (catalog) => {
      const [first] = catalog.resolve('clever')
      assert.equal(first!.requested, 'clever')
      assert.equal(first!.info?.contextLength, 1000)
      assert.equal(catalog.resolve('see')[0]!.info?.contextLength, 2000)
    }))

  it('gives the same answer each time, however many names clients make up', () =>
    withCatalog(models, (catalog) => {
      const before = catalog.resolve('smart')
      for (let index = 0; index < 10_050; index++) catalog.resolve(`fake/made-up-${index}`)
      assert.deepEqual(catalog.resolve('smart'), before)
    }))

  it('suggests near names, or the provider that is missing', () =>
    withCatalog(models, (catalog) => {
      assert.equal(catalog.suggestions('smrat')[0], 'smart')
      assert.ok(catalog.suggestions('fake/cc').includes('fake/c'))
      assert.deepEqual(catalog.suggestions('something-else-entirely'), [
        'fake/something-else-entirely',
        'other/something-else-entirely',
      ])
      assert.ok(catalog.suggestions('x'.repeat(5_000)).length <= 5)
    }))

  it('lists the others when an upstream is down, with one short warning', async () => {
    const down = fakeProvider().definition
    const refused = new Error('connect ECONNREFUSED')
    const models = (): Promise<never> =>
      Promise.reject(gatewayError('provider_error', 'Upstream provider returned error: no answer', { cause: refused }))
    const definition = {
      ...down,
      name: 'down',
      setup: async (services: Parameters<typeof down.setup>[0]) => ({ ...(await down.setup(services)), models }),
    }
    await using gateway = await harness({ providers: [[definition]] })
    const listed = await gateway.gateway.pipeline.services.catalog.models({ id: 'x' })
    assert.deepEqual([...new Set(listed.map(({ provider }) => provider))], ['fake'])
    const warnings = gateway.log.filter(({ message }) => message === 'models of a provider could not be listed')
    assert.deepEqual(
      warnings.map(({ level, fields: { provider, error_code, reason, error } }) => [
        level,
        provider,
        error_code,
        reason,
        error,
      ]),
      [['warn', 'down', 'provider_error', 'Upstream provider returned error: no answer', undefined]],
    )
  })

  it('lists what a principal may use, aliases too', () =>
    withCatalog(models, async (catalog) => {
      const all = new Set((await catalog.models({ id: 'x' })).map(({ id }) => id))
      for (const id of ['smart', 'clever', 'see', 'fake/c', 'fake/fake-model']) assert.ok(all.has(id), id)
      const some = (await catalog.models({ id: 'x', allowedModels: ['smart', 'fake/f*'] })).map(({ id }) => id)
      assert.deepEqual(some.toSorted(), ['fake/fake-model', 'smart'])
    }))
})

describe('prices', () => {
  const prices: ModelPrices = {
    input: 2_500_000,
    output: 10_000_000,
    cachedInput: 250_000,
    cacheWrite: 3_125_000,
    request: 5,
  }

  const table: readonly (readonly [what: string, prices: ModelPrices, usage: Usage, micros: number])[] = [
    ['input and output', { input: 2_500_000, output: 10_000_000 }, { inputTokens: 1_000, outputTokens: 100 }, 3_500],
    ['nothing', { input: 2_500_000, output: 10_000_000 }, { inputTokens: 0, outputTokens: 0 }, 0],
    ['a fraction is rounded up', { input: 1, output: 0 }, { inputTokens: 1, outputTokens: 0 }, 1],
    ['cached and written input apart', prices, { inputTokens: 1_000, outputTokens: 0, cachedInputTokens: 400, cacheWriteTokens: 200 }, 400 * 2.5 + 400 * 0.25 + 200 * 3.125 + 5],
    ['cached input at the price of input where none is said', { input: 1_000_000, output: 0 }, { inputTokens: 10, outputTokens: 0, cachedInputTokens: 10 }, 10],
    ['per request', { input: 0, output: 0, request: 7 }, { inputTokens: 1, outputTokens: 1 }, 7],
    ['reasoning is part of output', prices, { inputTokens: 0, outputTokens: 100, reasoningTokens: 90 }, 1_005],
  ] // prettier-ignore
  for (const [what, each, usage, micros] of table) it(what, () => assert.equal(priceOf(each, usage), micros))

  it('are whole micro-dollars, never negative, and never fall with more tokens', () => {
    const tokens = fc.nat(10_000_000)
    const price = fc.nat(100_000_000)
    const usages = fc.record({
      inputTokens: tokens,
      outputTokens: tokens,
      cachedInputTokens: fc.option(tokens, { nil: undefined }),
      cacheWriteTokens: fc.option(tokens, { nil: undefined }),
    })
    const lists = fc.record({
      input: price,
      output: price,
      cachedInput: fc.option(price, { nil: undefined }),
      cacheWrite: fc.option(price, { nil: undefined }),
      request: fc.option(fc.nat(1_000), { nil: undefined }),
    })
    fc.assert(
      fc.property(usages, lists, tokens, (usage, list, more) => {
        const cost = priceOf(list, usage)
        assert.ok(Number.isSafeInteger(cost) && cost >= 0, `${cost}`)
        const output = { ...usage, outputTokens: usage.outputTokens + more } as Usage
        assert.ok(priceOf(list, output) >= cost)
        const input = { ...usage, inputTokens: usage.inputTokens + more } as Usage
        assert.ok(priceOf(list, input) >= cost)
      }),
    )
  })

  it('come from config in dollars per million, and into usage as dollars', async () => {
    await using gateway = await harness({
      provider: fakeProvider(() => textEvents('x', { inputTokens: 1_000, outputTokens: 100 })),
      config: {
        models: { 'fake/priced': { prices: { input_per_million: 2.5, output_per_million: 10, per_request: 0.001 } } },
      },
    })
    const { body, headers, outcome } = await gateway.send({ model: 'fake/priced' })
    assert.equal(outcome.usage?.costMicros, 4_500)
    assert.equal(headers['x-cost-micros'], '4500')
    assert.equal((body['usage'] as { cost: number }).cost, 0.0045)
    const free = await gateway.send({ model: 'fake/unknown' })
    assert.equal(free.outcome.usage?.costMicros, undefined)
    assert.equal((free.body['usage'] as { cost?: number }).cost, undefined)
  })
})
