import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, describe, it } from 'node:test'
import { parse } from 'smol-toml'
import type {
  Catalog,
  GatewayError,
  JsonObject,
  ModelBook,
  ModelFacts,
  ProviderSummary,
} from '../../core/contract/plugin.ts'
import { createCatalog } from '../../core/services/catalog.ts'
import type { CatalogEntry } from '../../core/services/catalog.ts'
import { openDatabase } from '../../core/services/database/index.ts'
import type { OpenedDatabase } from '../../core/services/database/index.ts'
import { harness, pluginSuite } from '../../core/testing/index.ts'
import models from '../../plugins/models/index.ts'
import openai from '../../providers/openai/index.ts'
import { startPostgres } from '../postgres-server.ts'
import type { PostgresServer } from '../postgres-server.ts'
import { preparedDataDirectory } from '../prepared-database.ts'
import { pluginInstance, withinOneSecond } from './plugin-instance.ts'
import type { PluginInstance } from './plugin-instance.ts'

const logger = { debug() {}, info() {}, warn() {}, error() {} }
const path = '/admin/v1/models'
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

/** A plugin, and the catalog that asks it. */
interface Site {
  readonly instance: PluginInstance
  readonly catalog: Catalog
}

interface Setting {
  readonly options?: JsonObject
  readonly entries?: readonly CatalogEntry[]
  readonly providers?: readonly ProviderSummary[]
}

async function start(database: OpenedDatabase, setting: Setting = {}): Promise<Site> {
  const providers = setting.providers ?? ['fake', 'azure'].map((name) => ({ name, type: 'fake' }))
  let book: ModelBook | undefined
  const catalog = createCatalog({
    entries: setting.entries ?? [],
    providers: new Map(providers.map((provider) => [provider.name, provider])),
    defaultProvider: undefined,
    lists: { known: () => [], list: () => Promise.resolve([]) },
    modelBook: () => book,
  })
  const instance = await pluginInstance(models, database, setting.options, { catalog })
  instances.push(instance)
  book = instance.hooks.services?.['model-book'] as ModelBook
  await instance.hooks.start?.()
  return { instance, catalog }
}

const create = ({ instance }: Site, body: JsonObject): ReturnType<PluginInstance['route']> =>
  instance.route('POST', path, { body })
const idOf = (reply: { readonly body: JsonObject }): string => reply.body['id'] as string
const infoOf = ({ catalog }: Site, name: string): ModelFacts | undefined => catalog.resolve(name)[0]?.info
const namesOf = ({ catalog }: Site, name: string): string[] => catalog.resolve(name).map((target) => target.name)

const facts = {
  name: 'Clever',
  context_length: 128_000,
  max_output_tokens: 16_384,
  input_modalities: ['text', 'image'],
  output_modalities: ['text'],
  supported_parameters: ['tools', 'temperature'],
  quantization: 'fp8',
  data_policy: { retention_days: 0, training: false, region: 'eu' },
  distillable: false,
  slug: 'azure/eu',
  weight: 2.5,
}
const nothing = Object.fromEntries(Object.keys(facts).map((name) => [name, null]))

for (const [kind, open] of [
  ['embedded', embedded],
  ['PostgreSQL', connect],
] as const)
  describe(`admin API of models (${kind})`, () => {
    let site: Site
    before(async () => {
      site = await start(await open())
    })

    it('creates, shows, replaces and deletes, each taking effect at once', async () => {
      const { instance } = site
      assert.deepEqual(namesOf(site, 'smart'), [])
      const targets = ['fake/large', { target: 'azure/large', ...facts }]
      const created = await create(site, { model: 'smart', targets, context_length: 8_000 })
      assert.equal(created.status, 201)
      const id = idOf(created)
      const { created_at: createdAt } = created.body as { created_at: Date }
      const shown = {
        id,
        model: 'smart',
        targets,
        ...nothing,
        context_length: 8_000,
        created_at: createdAt,
        updated_at: createdAt,
      }
      assert.deepEqual(created.body, shown)
      assert.deepEqual(namesOf(site, 'smart'), ['fake/large', 'azure/large'])
      const [large, special] = site.catalog.resolve('smart')
      assert.deepEqual(large!.info, { id: 'fake/large', contextLength: 8_000 })
      assert.deepEqual(special!.info, {
        id: 'azure/large',
        name: 'Clever',
        contextLength: 128_000,
        maxOutputTokens: 16_384,
        inputModalities: ['text', 'image'],
        outputModalities: ['text'],
        supportedParameters: ['tools', 'temperature'],
        quantization: 'fp8',
        dataPolicy: { retentionDays: 0, training: false, region: 'eu' },
        distillable: false,
        slug: 'azure/eu',
        weight: 2.5,
      })
      assert.deepEqual((await instance.route('GET', `${path}/:id`, { params: { id } })).body, shown)

      await instance.clock.advance(1000)
      const body = { model: 'fake/large', ...facts }
      const replaced = await instance.route('PUT', `${path}/:id`, { params: { id }, body })
      assert.equal(replaced.status, 200)
      const updatedAt = new Date(createdAt.getTime() + 1000)
      assert.deepEqual(replaced.body, { ...shown, ...body, targets: null, updated_at: updatedAt })
      assert.deepEqual(namesOf(site, 'smart'), [])
      assert.equal(infoOf(site, 'fake/large')?.weight, 2.5)

      const deleted = await instance.route('DELETE', `${path}/:id`, { params: { id } })
      assert.deepEqual([deleted.status, deleted.body], [200, replaced.body])
      assert.equal(infoOf(site, 'fake/large'), undefined)
      for (const method of ['GET', 'PUT', 'DELETE'])
        for (const unknown of [id, 'x'])
          await assert.rejects(instance.route(method, `${path}/:id`, { params: { id: unknown }, body }), {
            code: 'not_found',
            status: 404,
          })
    })

    it('lists in pages, the newest first', async () => {
      for (const model of ['fake/a', 'fake/b', 'fake/c']) {
        await site.instance.clock.advance(1)
        await create(site, { model })
      }
      const list = async (query: Record<string, string>): Promise<{ names: string[]; next: string }> => {
        const { body } = await site.instance.route('GET', path, { query })
        const { data, pagination } = body as { data: { model: string }[]; pagination: { next_cursor: string } }
        return { names: data.map(({ model }) => model), next: pagination.next_cursor }
      }
      const first = await list({ limit: '2' })
      assert.deepEqual(first.names, ['fake/c', 'fake/b'])
      assert.deepEqual((await list({ limit: '2', cursor: first.next })).names, ['fake/a'])
    })

    it('has one entry for a name', async () => {
      const id = idOf(await create(site, { model: 'one', targets: ['fake/x'] }))
      const other = idOf(await create(site, { model: 'other', targets: ['fake/x'] }))
      await assert.rejects(create(site, { model: 'one', targets: ['fake/y'] }), { code: 'conflict', status: 409 })
      const put = (entry: string): ReturnType<PluginInstance['route']> =>
        site.instance.route('PUT', `${path}/:id`, {
          params: { id: entry },
          body: { model: 'one', targets: ['fake/y'] },
        })
      await assert.rejects(put(other), { code: 'conflict' })
      assert.equal((await put(id)).status, 200)
      assert.deepEqual(namesOf(site, 'one'), ['fake/y'])
    })

    it('is what it was after a restart', async () => {
      const database = await open()
      const first = await start(database)
      await create(first, { model: 'smart', targets: ['fake/a', { target: 'azure/a', weight: 3 }] })
      await create(first, { model: 'azure/a', slug: 'azure/us' })
      await first.instance.hooks.stop?.()
      const second = await start(database)
      const known = second.catalog.resolve('smart').map(({ name, info }) => [name, info?.weight, info?.slug])
      assert.deepEqual(known, [
        ['fake/a', undefined, undefined],
        ['azure/a', 3, 'azure/us'],
      ])
    })
  })

describe('admin API of models', () => {
  let site: Site
  before(async () => {
    site = await start(await connect())
  })

  const mistakesOf = async (body: JsonObject): Promise<Record<string, string>> => {
    try {
      await create(site, body)
    } catch (error) {
      const { code, details } = error as GatewayError
      assert.equal(code, 'invalid_request_error')
      const { errors } = details as { errors: { path: string; message: string }[] }
      return Object.fromEntries(errors.map((mistake) => [mistake.path, mistake.message]))
    }
    return {}
  }

  it('names every mistake, with what is right', async () => {
    const mistakes = await mistakesOf({
      model: 'smart',
      targets: [
        'fake/a',
        'fak/a',
        7,
        { target: 'fake/a' },
        { target: 'azure/a', wight: 1, weight: -1, per_image: 1 },
        {},
      ],
      context_length: 0,
      max_output_tokens: 1.5,
      input_modalities: ['smell'],
      supported_parameters: 'tools',
      quantization: 'fp9',
      data_policy: { retention_days: 'none', trains: true },
      distillable: 'no',
      slug: '',
      prices: { input_per_million: 1, output_per_million: 1 },
      input_per_million: 1,
    })
    assert.deepEqual(Object.keys(mistakes).toSorted(), [
      'context_length',
      'data_policy.retention_days',
      'data_policy.trains',
      'distillable',
      'input_modalities[0]',
      'input_per_million',
      'max_output_tokens',
      'prices',
      'quantization',
      'slug',
      'supported_parameters',
      'targets[1]',
      'targets[2]',
      'targets[3].target',
      'targets[4].per_image',
      'targets[4].weight',
      'targets[4].wight',
      'targets[5].target',
    ])
    assert.match(mistakes['targets[1]']!, /provider of this gateway \(fake, azure\)/)
    assert.match(mistakes['targets[4].wight']!, /known are target, name, .*weight/)
    assert.match(mistakes['quantization']!, /one of int4, .*fp8/)
    for (const field of ['prices', 'input_per_million', 'targets[4].per_image'])
      assert.equal(mistakes[field], 'is set at /admin/v1/model-pricing')
  })

  it('takes a name without targets for a target only', async () => {
    for (const model of ['smart', 'nobody/x', 'fake/', '', 'x'.repeat(513), 3, 'a\0b', undefined])
      assert.deepEqual(Object.keys(await mistakesOf({ model })), ['model'], String(model))
    for (const targets of [[], 'fake/a', {}, Array.from({ length: 101 }, (_, index) => `fake/${index}`)])
      assert.deepEqual(Object.keys(await mistakesOf({ model: 'm', targets })), ['targets'])
  })

  it('is for admins', () => {
    for (const { path: route, scope } of site.instance.hooks.routes ?? []) assert.equal(scope, 'admin', route)
  })

  it('shows what is known of a name, whatever said so', async () => {
    const own = await start(await connect(), {
      options: { providers: { azure: 'openai' } },
      entries: [{ name: 'smart', aliases: [], targets: [{ target: 'azure/gpt-4o' }], info: { weight: 1 } }],
    })
    await create(own, { model: 'azure/gpt-4o', data_policy: { training: false } })
    const effective = (model: string): ReturnType<PluginInstance['route']> =>
      own.instance.route('GET', `${path}/effective`, { query: { model } })
    const { model, targets } = (await effective('smart')).body as { model: string; targets: JsonObject[] }
    assert.equal(model, 'smart')
    const { target, weight, data_policy: policy, context_length: length } = targets[0]!
    assert.deepEqual([target, weight, policy, length], ['azure/gpt-4o', 1, { training: false }, 128_000])
    await assert.rejects(effective('smrat'), (error: GatewayError) => {
      assert.deepEqual([error.code, error.details], ['not_found', { suggestions: ['smart'] }])
      return true
    })
    await assert.rejects(effective(''), { code: 'invalid_request_error' })
  })
})

describe('entries of the admin API', () => {
  it('win over the config field by field, but names of the config win', async () => {
    const site = await start(await connect(), {
      entries: [
        { name: 'fake/m', aliases: [], targets: [], info: { contextLength: 1, maxOutputTokens: 1 } },
        { name: 'smart', aliases: ['clever'], targets: [{ target: 'fake/m' }], info: {} },
      ],
    })
    await create(site, { model: 'fake/m', context_length: 2 })
    assert.deepEqual(infoOf(site, 'fake/m'), { id: 'fake/m', contextLength: 2, maxOutputTokens: 1 })
    for (const model of ['smart', 'clever']) {
      await create(site, { model, targets: ['azure/m'] })
      assert.deepEqual(namesOf(site, model), ['fake/m'])
    }
  })

  it('may stand before a name of a provider, and lead nowhere that this gateway does not know', async () => {
    const database = await connect()
    const other = await start(database, {
      providers: [
        { name: 'elsewhere', type: 'fake' },
        { name: 'fake', type: 'fake' },
      ],
    })
    await create(other, { model: 'fake/m', targets: ['elsewhere/m', 'fake/other'] })
    const site = await start(database)
    assert.deepEqual(namesOf(other, 'fake/m'), ['elsewhere/m', 'fake/other'])
    assert.deepEqual(namesOf(site, 'fake/m'), ['fake/other'])
  })

  it('are seen by every instance within a second, changed by hand too', async () => {
    const url = await server.createDatabase()
    const [one, two] = [await start(await connect(url)), await start(await connect(url))]
    const id = idOf(await create(one, { model: 'smart', targets: ['fake/a'] }))
    const leadsTo =
      (...names: string[]) =>
      (): void =>
        assert.deepEqual(namesOf(two, 'smart'), names)
    await withinOneSecond(leadsTo('fake/a'))
    const body = { model: 'smart', targets: ['fake/b', 'azure/b'] }
    await one.instance.route('PUT', `${path}/:id`, { params: { id }, body })
    await withinOneSecond(leadsTo('fake/b', 'azure/b'))
    await one.instance.database.query(`update models_entries set targets = '["fake/c"]'`)
    await withinOneSecond(leadsTo('fake/c'))
    await one.instance.route('DELETE', `${path}/:id`, { params: { id } })
    await withinOneSecond(leadsTo())
  })

  it('hold as far as they are valid, where somebody wrote them by hand', async () => {
    const site = await start(await connect())
    const id = idOf(await create(site, { model: 'smart', targets: ['fake/a'], context_length: 5 }))
    await site.instance.database.query(
      `update models_entries set targets = '[3, "fake/b"]', info = '{"context_length": "many", "weight": 1}'`,
    )
    await withinOneSecond(() => assert.deepEqual(namesOf(site, 'smart'), ['fake/b']))
    assert.deepEqual(infoOf(site, 'smart'), { id: 'fake/b', weight: 1 })
    assert.ok(site.instance.log.some((line) => line.includes(id) && line.includes('context_length')))
  })

  it('are what they were while the database is away, and what they are once it is back', async () => {
    const own = await startPostgres()
    try {
      const database = await connect(await own.createDatabase())
      const site = await start(database)
      await create(site, { model: 'smart', targets: ['fake/a'] })
      await own.halt()
      assert.deepEqual(namesOf(site, 'smart'), ['fake/a'])
      await own.start()
      // What this instance did not hear of.
      await withinOneSecond(async () => {
        await database.query(`update models_entries set targets = '["fake/b"]'`)
      })
      await withinOneSecond(async () => {
        await site.instance.clock.advance(30_000)
        assert.deepEqual(namesOf(site, 'smart'), ['fake/b'])
      })
    } finally {
      await own.stop()
    }
  })

  it('are all read again now and then', async () => {
    const site = await start(await connect(), { options: { refresh_interval_ms: 60_000 } })
    await create(site, { model: 'smart', targets: ['fake/a'] })
    await site.instance.database.query('alter table models_entries disable trigger user')
    await site.instance.database.query(`update models_entries set targets = '["fake/b"]'`)
    await site.instance.clock.advance(59_999)
    assert.deepEqual(namesOf(site, 'smart'), ['fake/a'])
    await withinOneSecond(async () => {
      await site.instance.clock.advance(1)
      assert.deepEqual(namesOf(site, 'smart'), ['fake/b'])
    })
  })

  it('are read in pages, however many there are', async () => {
    const database = await connect()
    const first = await start(database)
    await first.instance.database.query(
      `insert into models_entries (id, model, targets, info)
       select gen_random_uuid(), 'name-' || n, '["fake/a"]', '{}' from generate_series(1, 1200) n`,
    )
    const site = await start(database)
    for (const number of [1, 500, 501, 1000, 1200]) assert.deepEqual(namesOf(site, `name-${number}`), ['fake/a'])
  })

  it('are looked up without the database', async () => {
    const site = await start(await connect())
    await create(site, { model: 'smart', targets: ['fake/a'] })
    const before = site.instance.database.statements.length
    for (let index = 0; index < 100; index++) site.catalog.resolve(index % 2 ? 'smart' : `fake/${index}`)
    assert.equal(site.instance.database.statements.length, before)
  })

  it('serve requests, and what they say reaches who routes', async () => {
    const database = await embedded()
    await using gateway = await harness({ plugins: [models], database })
    const { hooks } = gateway.gateway.plan.plugins.find(({ definition }) => definition.name === 'models')!
    const post = hooks.routes!.find(({ method }) => method === 'POST')!
    const body = { model: 'smart', targets: [{ target: 'fake/large', quantization: 'fp8' }] }
    await post.handle({ body: () => Promise.resolve(body) } as never, { id: 'operator' })
    assert.equal((await gateway.send({ model: 'smart' })).status, 200)
    assert.equal(gateway.provider.calls[0]?.target.info?.quantization, 'fp8')
  })
})

describe('the example of the README', () => {
  it('works as it is written', async () => {
    const text = readFileSync(new URL('../../plugins/models/README.md', import.meta.url), 'utf8')
    const example = text.slice(text.indexOf('## Example'))
    const toml = /```toml\n([^`]+)```/.exec(example)![1]!.replaceAll(/\$\{\w+\}/g, 'key')
    const { providers, plugins, models: entries } = parse(toml) as Record<string, Record<string, JsonObject>>
    const database = await embedded()
    await using gateway = await harness({
      plugins: [[models, plugins!['models']!]],
      providers: Object.entries(providers!).map(
        ([name, { type: _, ...settings }]) => [openai, settings, name] as const,
      ),
      config: { models: entries! },
      database,
    })
    const { hooks } = gateway.gateway.plan.plugins.find(({ definition }) => definition.name === 'models')!
    const post = hooks.routes!.find(({ method }) => method === 'POST')!
    const bodies = [...example.matchAll(/-d '([^']+)'/g)].map(([, body]) => JSON.parse(body!) as JsonObject)
    assert.equal(bodies.length, 2)
    for (const body of bodies) {
      const reply = await post.handle({ body: () => Promise.resolve(body) } as never, { id: 'operator' })
      assert.equal(reply.status, 201)
    }
    const { catalog } = gateway.gateway.pipeline.services
    const known = (name: string): unknown[] =>
      catalog.resolve(name).map(({ name: target, info }) => [target, info?.slug, info?.weight, info?.dataPolicy])
    const eu = { retentionDays: 0, training: false, region: 'eu' }
    assert.deepEqual(known('smart'), [
      ['proxy/gpt-4o', undefined, undefined, { retentionDays: 30 }],
      ['azure/gpt-4o', 'azure/eu', 2, eu],
    ])
    assert.deepEqual(known('fast'), [
      ['proxy/gpt-4o-mini', undefined, undefined, undefined],
      ['azure/gpt-4o-mini', 'azure/eu', 3, eu],
    ])
    assert.equal(catalog.resolve('smart')[0]!.info?.maxOutputTokens, 16_384)
  })
})

pluginSuite(models, { database: async () => openDatabase({ dataDirectory: await preparedDataDirectory(), logger }) })
