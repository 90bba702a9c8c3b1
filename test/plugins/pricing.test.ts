import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { createNoopMeter } from '@opentelemetry/api'
import { openDatabase } from '../../core/services/database/index.ts'
import type { OpenedDatabase } from '../../core/services/database/index.ts'
import type { GatewayError, JsonObject, ModelPrices, PriceBook, Target } from '../../core/contract/plugin.ts'
import { createCatalog } from '../../core/services/catalog.ts'
import { pluginSuite } from '../../core/testing/index.ts'
import pricing from '../../plugins/pricing/index.ts'
import { startPostgres } from '../postgres-server.ts'
import type { PostgresServer } from '../postgres-server.ts'
import { preparedDataDirectory } from '../prepared-database.ts'
import { pluginInstance, withinOneSecond } from './plugin-instance.ts'
import type { PluginInstance } from './plugin-instance.ts'

const logger = { debug() {}, info() {}, warn() {}, error() {} }
const path = '/admin/v1/model-pricing'
const opened: OpenedDatabase[] = []
const instances: PluginInstance[] = []
let server: PostgresServer

before(async () => {
  server = await startPostgres()
})

after(async () => {
  for (const { hooks } of instances) await hooks.stop?.()
  for (const database of opened) await database.close()
  await server.stop()
})

async function connect(url?: string): Promise<OpenedDatabase> {
  const database = await openDatabase({ url: url ?? (await server.createDatabase()), dataDirectory: '', logger })
  opened.push(database)
  return database
}

async function embedded(): Promise<OpenedDatabase> {
  const database = await openDatabase({ dataDirectory: await preparedDataDirectory(), logger })
  opened.push(database)
  return database
}

/** Of one provider without public prices, and one model that the config has a price for. */
const catalog = createCatalog({
  entries: [
    {
      name: 'fake/configured',
      aliases: [],
      targets: [],
      info: { prices: { input: 1, output: 1 } },
    },
  ],
  providers: new Map([['fake', { name: 'fake', type: 'fake' }]]),
  defaultProvider: undefined,
  lists: { known: () => [], list: () => Promise.resolve([]) },
})

async function start(database: OpenedDatabase, options: JsonObject = {}): Promise<PluginInstance> {
  const meter = createNoopMeter()
  const instance = await pluginInstance(pricing, database, options, { catalog, meter })
  instances.push(instance)
  await instance.hooks.start?.()
  return instance
}

const book = (instance: PluginInstance): PriceBook => instance.hooks.services?.['price-book'] as PriceBook
const target = (model: string): Target => catalog.resolve(`fake/${model}`)[0]!
const pricesOf = (instance: PluginInstance, model: string): ModelPrices | undefined =>
  book(instance).prices(target(model))

const create = (instance: PluginInstance, body: JsonObject): ReturnType<PluginInstance['route']> =>
  instance.route('POST', path, { body: { provider: 'fake', input_per_million: 1, output_per_million: 2, ...body } })

const full = {
  input_per_million: 2.5,
  output_per_million: 10,
  cached_input_per_million: 0.25,
  cache_write_per_million: 3.125,
  cache_write_1h_per_million: 5,
  reasoning_per_million: 12,
  audio_input_per_million: 40,
  audio_output_per_million: 80,
  per_request: 0.01,
  per_image: 0.002,
  tiers: [
    { above_input_tokens: 128_000, input_per_million: 5, output_per_million: 20 },
    { above_input_tokens: 200_000, input_per_million: 7, output_per_million: 25, cached_input_per_million: 0.7 },
  ],
}

for (const [kind, open] of [
  ['embedded', embedded],
  ['PostgreSQL', connect],
] as const)
  describe(`admin API of prices (${kind})`, () => {
    let instance: PluginInstance
    before(async () => {
      instance = await start(await open())
    })

    it('creates, shows, replaces and deletes, each taking effect at once', async () => {
      assert.equal(pricesOf(instance, 'm'), undefined)
      const created = await create(instance, { model: 'm', ...full })
      assert.equal(created.status, 201)
      const { id, created_at: createdAt } = created.body as { id: string; created_at: Date }
      const shown = { id, provider: 'fake', model: 'm', ...full, created_at: createdAt, updated_at: createdAt }
      assert.deepEqual(created.body, shown)
      assert.equal(pricesOf(instance, 'm')?.tiers?.[1]?.cachedInput, 700_000)
      assert.deepEqual((await instance.route('GET', `${path}/:id`, { params: { id } })).body, shown)

      await instance.clock.advance(1000)
      const body = { provider: 'fake', model: 'm', input_per_million: 1, output_per_million: 2 }
      const replaced = await instance.route('PUT', `${path}/:id`, { params: { id }, body })
      assert.equal(replaced.status, 200)
      const nothing = Object.fromEntries(Object.keys(full).map((name) => [name, null]))
      const updatedAt = new Date(createdAt.getTime() + 1000)
      assert.deepEqual(replaced.body, { ...shown, ...nothing, ...body, updated_at: updatedAt })
      assert.deepEqual(pricesOf(instance, 'm'), { input: 1_000_000, output: 2_000_000 })

      const deleted = await instance.route('DELETE', `${path}/:id`, { params: { id } })
      assert.deepEqual([deleted.status, deleted.body], [200, replaced.body])
      assert.equal(pricesOf(instance, 'm'), undefined)
      for (const method of ['GET', 'PUT', 'DELETE'])
        await assert.rejects(instance.route(method, `${path}/:id`, { params: { id }, body }), { code: 'not_found' })
    })

    it('lists in pages, the newest first', async () => {
      for (const model of ['a', 'b', 'c']) {
        await instance.clock.advance(1)
        await create(instance, { model })
      }
      const list = async (query: Record<string, string>): Promise<{ models: string[]; next: string }> => {
        const { body } = await instance.route('GET', path, { query })
        const { data, pagination } = body as { data: { model: string }[]; pagination: { next_cursor: string } }
        return { models: data.map(({ model }) => model), next: pagination.next_cursor }
      }
      const first = await list({ limit: '2' })
      assert.deepEqual(first.models, ['c', 'b'])
      assert.deepEqual((await list({ limit: '2', cursor: first.next })).models, ['a'])
    })

    it('has one entry for a name', async () => {
      const { id } = (await create(instance, { model: 'one' })).body as { id: string }
      const { id: other } = (await create(instance, { model: 'other' })).body as { id: string }
      await assert.rejects(create(instance, { model: 'one' }), { code: 'conflict', status: 409 })
      const body = { provider: 'fake', model: 'one', input_per_million: 1, output_per_million: 2 }
      await assert.rejects(instance.route('PUT', `${path}/:id`, { params: { id: other }, body }), { code: 'conflict' })
      assert.equal((await instance.route('PUT', `${path}/:id`, { params: { id }, body })).status, 200)
    })
  })

describe('admin API of prices', () => {
  let instance: PluginInstance
  before(async () => {
    instance = await start(await connect())
  })

  it('names every mistake', async () => {
    const body = {
      provider: 'fak',
      model: 'a*b',
      input_per_million: 'cheap',
      tiers: [{ above_input_tokens: -1, input_per_million: 1, output_per_million: 1 }],
      price: 3,
    }
    await assert.rejects(instance.route('POST', path, { body }), (error: GatewayError) => {
      assert.equal(error.code, 'invalid_request_error')
      const mistakes = error.details as { errors: { path: string }[] }
      assert.deepEqual(mistakes.errors.map((mistake) => mistake.path).toSorted(), [
        'input_per_million',
        'model',
        'output_per_million',
        'price',
        'provider',
        'tiers[0].above_input_tokens',
      ])
      return true
    })
    for (const model of ['', 'x'.repeat(513), 3, 'a\0b', undefined])
      await assert.rejects(create(instance, { model }), { code: 'invalid_request_error' })
  })

  it('takes beginnings of names, the longest first, and a whole name before them', async () => {
    await create(instance, { model: '*', input_per_million: 1 })
    await create(instance, { model: 'gpt-4*', input_per_million: 2 })
    await create(instance, { model: 'gpt-4o*', input_per_million: 3 })
    await create(instance, { model: 'gpt-4o', input_per_million: 4 })
    const input = (model: string): number | undefined => pricesOf(instance, model)?.input
    assert.deepEqual(['claude', 'gpt-4', 'gpt-4o-mini', 'gpt-4o'].map(input), [1e6, 2e6, 3e6, 4e6])
  })

  it('is for admins', () => {
    for (const { path: route, scope } of instance.hooks.routes ?? []) assert.equal(scope, 'admin', route)
  })

  it('says what is charged, and why', async () => {
    const effective = async (query: Record<string, string>): Promise<JsonObject> =>
      (await instance.route('GET', `${path}/effective`, { query })).body
    const other = await start(await connect(), { providers: { fake: 'openai' } })
    const known = await other.route('GET', `${path}/effective`, { query: { provider: 'fake', model: 'gpt-4o' } })
    const { source, origin, prices } = known.body as { source: string; origin: JsonObject; prices: JsonObject }
    assert.deepEqual([source, origin], ['built-in', { list: 'openai', model: 'gpt-4o' }])
    assert.equal(typeof prices['input_per_million'], 'number')
    const { id } = (await create(instance, { model: 'set' })).body as { id: string }
    assert.deepEqual(await effective({ provider: 'fake', model: 'set' }), {
      provider: 'fake',
      model: 'set',
      source: 'admin',
      origin: { id },
      prices: { input_per_million: 1, output_per_million: 2 },
    })
    const nothing = await other.route('GET', `${path}/effective`, { query: { provider: 'fake', model: 'mine' } })
    assert.deepEqual(nothing.body, { provider: 'fake', model: 'mine', source: 'unknown', origin: null, prices: null })
    const free = await start(await connect(), { free: ['fake'], providers: { fake: 'openai' } })
    const costless = await free.route('GET', `${path}/effective`, { query: { provider: 'fake', model: 'gpt-4o' } })
    assert.deepEqual(costless.body, {
      provider: 'fake',
      model: 'gpt-4o',
      source: 'free',
      origin: null,
      prices: { input_per_million: 0, output_per_million: 0 },
    })
    await assert.rejects(effective({ provider: 'nobody' }), (error: GatewayError) => {
      const { errors } = error.details as { errors: { path: string }[] }
      return errors.map((mistake) => mistake.path).join() === 'provider,model'
    })
  })
})

describe('prices of several instances', () => {
  it('change everywhere within a second, by hand in the database too', async () => {
    const url = await server.createDatabase()
    const [one, two] = [await start(await connect(url)), await start(await connect(url))]
    const created = await create(one, { model: 'shared' })
    const seen = (input: number | undefined) => (): void => assert.equal(pricesOf(two, 'shared')?.input, input)
    await withinOneSecond(seen(1_000_000))
    await one.database.query('update pricing_models set input = 7')
    await withinOneSecond(seen(7))
    await one.route('DELETE', `${path}/:id`, { params: { id: (created.body as { id: string }).id } })
    await withinOneSecond(seen(undefined))
  })

  it('are what they were while the database is away, and what they are once it is back', async () => {
    const own = await startPostgres()
    try {
      const database = await connect(await own.createDatabase())
      const instance = await start(database)
      await create(instance, { model: 'm' })
      await own.halt()
      assert.equal(pricesOf(instance, 'm')?.input, 1_000_000)
      await own.start()
      // What this instance did not hear of.
      await withinOneSecond(async () => {
        await database.query("update pricing_models set input = 5 where model = 'm'")
      })
      await withinOneSecond(async () => {
        await instance.clock.advance(30_000)
        assert.equal(pricesOf(instance, 'm')?.input, 5)
      })
    } finally {
      await own.stop()
    }
  })

  it('are read again until it works', async () => {
    const instance = await start(await connect())
    instance.database.before = (sql) => {
      if (sql.startsWith('select')) throw new Error('away')
    }
    assert.equal((await create(instance, { model: 'n' })).status, 201)
    assert.equal(pricesOf(instance, 'n'), undefined)
    assert.equal(instance.log.filter((line) => line.includes('could not be read again')).length, 1)
    instance.database.before = () => undefined
    await withinOneSecond(async () => {
      await instance.clock.advance(30_000)
      assert.equal(pricesOf(instance, 'n')?.input, 1_000_000)
    })
    assert.ok(instance.log.some((line) => line.includes('up to date again')))
  })

  it('that change while others are being read are read as well', async () => {
    const instance = await start(await connect())
    const held = Promise.withResolvers<void>()
    let reads = 0
    let inserts = 0
    instance.database.after = (sql) => {
      if (sql.startsWith('insert')) inserts++
      return sql.startsWith('select') && ++reads === 1 ? held.promise : undefined
    }
    const first = create(instance, { model: 'first' })
    await withinOneSecond(() => assert.ok(reads > 0))
    const second = create(instance, { model: 'second' })
    await withinOneSecond(() => assert.equal(inserts, 2))
    held.resolve()
    await second
    assert.equal(pricesOf(instance, 'second')?.input, 1_000_000)
    await first
  })

  it('are looked up without the database', async () => {
    const instance = await start(await connect())
    await create(instance, { model: 'm' })
    const before = instance.database.statements.length
    for (let index = 0; index < 100; index++) pricesOf(instance, index % 2 ? 'm' : `x${index}`)
    assert.equal(instance.database.statements.length, before)
  })
})

describe('options of pricing', () => {
  const refused = (options: JsonObject, message: RegExp): Promise<void> =>
    connect().then((database) =>
      assert.rejects(pluginInstance(pricing, database, options, { catalog, meter: createNoopMeter() }), message),
    )

  it('must fit together', async () => {
    await refused({ unknown: 'default' }, /needs default_prices/)
    await refused({ providers: { nobody: 'openai' } }, /providers names nobody/)
    await refused({ free: ['fake', 'nobody'] }, /free names nobody/)
    const tier = { above_input_tokens: 1, input_per_million: 1, output_per_million: 1 }
    const prices = { input_per_million: 1, output_per_million: 1, tiers: [tier, tier] }
    await refused({ unknown: 'default', default_prices: prices }, /default_prices\.tiers\[1\]\.above_input_tokens/)
  })

  it('that name a list which does not exist keep the gateway from starting', async () => {
    const database = await connect()
    const meter = createNoopMeter()
    const instance = await pluginInstance(pricing, database, { providers: { fake: 'open-ai' } }, { catalog, meter })
    instances.push(instance)
    await assert.rejects(async () => instance.hooks.start?.(), /no price list "open-ai"/)
  })
})

pluginSuite(pricing, { database: embeddedForSuite })

async function embeddedForSuite(): Promise<OpenedDatabase> {
  return openDatabase({ dataDirectory: await preparedDataDirectory(), logger })
}
