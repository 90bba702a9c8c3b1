import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { definePlugin } from '../../core/contract/plugin.ts'
import type { Catalog, JsonObject, ModelBook, ModelFacts, NamedTarget } from '../../core/contract/plugin.ts'
import { createCatalog } from '../../core/services/catalog.ts'
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

  it('lists what a principal may use, aliases too', () =>
    withCatalog(models, async (catalog) => {
      const all = new Set((await catalog.models({ id: 'x' })).map(({ id }) => id))
      for (const id of ['smart', 'clever', 'see', 'fake/c', 'fake/fake-model']) assert.ok(all.has(id), id)
      const some = (await catalog.models({ id: 'x', allowedModels: ['smart', 'fake/f*'] })).map(({ id }) => id)
      assert.deepEqual(some.toSorted(), ['fake/fake-model', 'smart'])
    }))

  it('takes what the operator wrote without a provider for a model of the default one, slashes or not', () =>
    withCatalog(
      { smart: { targets: ['large', 'meta/llama', 'other/x'] } },
      (catalog) => assert.deepEqual(named(catalog, 'smart'), ['fake/large', 'fake/meta/llama', 'other/x']),
      { default_provider: 'fake' },
    ))

  it('lists no name of which a call would be refused', () =>
    withCatalog(models, async (catalog) => {
      const listed = async (allowedModels: string[]): Promise<string[]> =>
        (await catalog.models({ id: 'x', allowedModels })).map(({ id }) => id).toSorted()
      assert.deepEqual(await listed(['fake/a', 'fake/b']), ['clever', 'smart'])
      assert.deepEqual(await listed(['fake/a']), [])
      const [one] = await catalog.models({ id: 'x' }, 'clever')
      assert.deepEqual(
        one?.targets?.map(({ name, requested }) => [name, requested]),
        [
          ['fake/a', 'clever'],
          ['fake/b', 'clever'],
        ],
      )
      for (const id of ['fake/made-up', 'nobody/x', '']) assert.deepEqual(await catalog.models({ id: 'x' }, id), [], id)
      assert.deepEqual(await catalog.models({ id: 'x', allowedModels: ['fake/a'] }, 'clever'), [])
    }))
})

/** What each source says of one target, from the weakest on. Each leaves a field to those before it. */
const sources = [
  'upstream',
  'public',
  'instance',
  'model',
  'own',
  'target',
  'admin-name',
  'admin',
  'admin-target',
] as const
type SourceName = (typeof sources)[number]

/** A catalog in which the target `fake/m` of the name `smart` is known from these sources. */
function catalogOf(known: readonly SourceName[], name: 'config' | 'admin'): Catalog {
  const facts = (source: SourceName): ModelFacts | undefined =>
    known.includes(source) ? { contextLength: 1 + sources.indexOf(source) } : undefined
  const named = (target: ModelFacts | undefined): NamedTarget => ({ target: 'fake/m', ...(target && { info: target }) })
  const book: ModelBook = {
    info: () => facts('admin'),
    known: () => facts('public'),
    find: (asked) =>
      asked === 'smart' && name === 'admin'
        ? { targets: [named(facts('admin-target'))], info: facts('admin-name') ?? {} }
        : undefined,
    names: ['smart'],
    version: 0,
  }
  const said = { id: 'm', ...facts('upstream') }
  return createCatalog({
    entries: [
      ...(name === 'config'
        ? [{ name: 'smart', aliases: [], targets: [named(facts('target'))], info: facts('model') ?? {} }]
        : []),
      { name: 'fake/m', aliases: [], targets: [], info: facts('own') ?? {} },
    ],
    providers: new Map([['fake', { name: 'fake', type: 'fake' }]]),
    instanceInfo: new Map([['fake', facts('instance') ?? {}]]),
    defaultProvider: undefined,
    lists: { known: () => [said], find: () => said, list: () => Promise.resolve([said]) },
    modelBook: () => book,
  })
}

describe('what is known of a target', () => {
  const ofName: Readonly<Record<'config' | 'admin', readonly SourceName[]>> = {
    config: sources.filter((source) => !source.startsWith('admin-')),
    admin: sources.filter((source) => source !== 'model' && source !== 'target'),
  }
  for (const name of ['config', 'admin'] as const)
    for (const source of ofName[name])
      it(`is said by ${source} before all that are weaker, under a name of the ${name}`, () => {
        const upTo = ofName[name].slice(0, ofName[name].indexOf(source) + 1)
        const info = catalogOf(upTo, name).resolve('smart')[0]?.info
        assert.equal(info?.contextLength, 1 + sources.indexOf(source))
        assert.equal(info?.id, 'fake/m')
      })

  it('is nothing where nobody says anything', () => {
    assert.equal(catalogOf([], 'config').resolve('fake/other')[0]!.info?.contextLength, undefined)
  })

  it('is put together field by field, and so is a data policy; prices are one field', async () => {
    const providers = [
      [fakeProvider().definition, { data_policy: { region: 'us', training: true }, slug: 'fake/us' }, 'other'],
    ] as const
    const prices = { input_per_million: 1, output_per_million: 2 }
    const models = {
      smart: {
        context_length: 8000,
        data_policy: { retention_days: 30 },
        prices: { ...prices, per_request: 1 },
        targets: [
          'other/plain',
          {
            target: 'other/special',
            weight: 2,
            quantization: 'fp8',
            prices,
            data_policy: { region: 'eu', retention_days: 0 },
          },
        ],
      },
      'other/plain': { max_output_tokens: 100, distillable: true },
    }
    await using gateway = await harness({ providers, config: { models } })
    const [plain, special] = gateway.gateway.pipeline.services.catalog.resolve('smart')
    assert.deepEqual(plain!.info, {
      id: 'other/plain',
      contextLength: 8000,
      maxOutputTokens: 100,
      distillable: true,
      slug: 'fake/us',
      dataPolicy: { retentionDays: 30, region: 'us', training: true },
      prices: { input: 1_000_000, output: 2_000_000, request: 1_000_000 },
    })
    assert.deepEqual(special!.info, {
      id: 'other/special',
      contextLength: 8000,
      slug: 'fake/us',
      weight: 2,
      quantization: 'fp8',
      dataPolicy: { retentionDays: 0, region: 'eu', training: true },
      prices: { input: 1_000_000, output: 2_000_000 },
    })
  })
})

describe('a model book', () => {
  /** One name and one target, changed by the test. */
  class Book implements ModelBook {
    version = 0
    facts: ModelFacts = {}
    names: string[] = []
    info(): ModelFacts {
      return this.facts
    }
    find(name: string): { targets: NamedTarget[]; info: ModelFacts } | undefined {
      return this.names.includes(name) ? { targets: [{ target: 'fake/b' }, { target: 'gone/x' }], info: {} } : undefined
    }
  }
  const start = (book: Book, models: JsonObject = {}): ReturnType<typeof harness> =>
    harness({
      plugins: [
        definePlugin({
          name: 'book',
          api: 1,
          options: { type: 'object', properties: {}, additionalProperties: false },
          provides: ['model-book'],
          setup: () => ({ services: { 'model-book': book } }),
        }),
      ],
      config: { models, routing: {} },
    })

  it('is asked again when its version has grown, and not before', async () => {
    const book = new Book()
    await using gateway = await start(book)
    const { catalog } = gateway.gateway.pipeline.services
    const first = catalog.resolve('fake/a')
    book.facts = { contextLength: 5 }
    assert.equal(catalog.resolve('fake/a'), first)
    book.version++
    assert.equal(catalog.resolve('fake/a')[0]!.info?.contextLength, 5)
    assert.equal(catalog.resolve('fake/a'), catalog.resolve('fake/a'))
  })

  it('gives names, which are listed and suggested; those of the config win', async () => {
    const book = new Book()
    book.names = ['team/clever', 'mine']
    await using gateway = await start(book, { mine: { targets: ['fake/a'] } })
    const { catalog } = gateway.gateway.pipeline.services
    assert.deepEqual(named(catalog, 'team/clever'), ['fake/b'])
    assert.deepEqual(named(catalog, 'mine'), ['fake/a'])
    assert.equal(catalog.suggestions('team/clevre')[0], 'team/clever')
    const ids = (await catalog.models({ id: 'x' })).map(({ id }) => id)
    assert.ok(ids.includes('team/clever'))
    const refused = await gateway.send({ model: 'team/clevr' })
    const { code, details } = refused.body['error'] as { code: string; details: { suggestions: string[] } }
    assert.deepEqual([refused.status, code, details.suggestions], [400, 'routing_error', ['team/clever']])
    assert.equal((await gateway.send({ model: 'team/clever' })).status, 200)
  })
})
