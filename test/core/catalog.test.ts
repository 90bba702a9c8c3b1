import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Catalog, JsonObject } from '../../core/contract/plugin.ts'
import { gatewayError } from '../../core/contract/errors.ts'
import { fakeProvider, harness } from '../../core/testing/index.ts'

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
