import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { JsonObject, ObjectSchema, PluginDefinition } from '../../core/contract/plugin.ts'
import { harness } from '../../core/testing/index.ts'
import type { Harness, HarnessOptions } from '../../core/testing/index.ts'
import { hookPlugin } from './hook-plugin.ts'

const params = {
  type: 'object',
  additionalProperties: false,
  properties: {
    max_results: { type: 'integer', minimum: 1, default: 5 },
    engine: { enum: ['native', 'exa'] },
    filters: { type: 'array', items: { type: 'object', properties: { word: { type: 'string' } } } },
  },
} as const satisfies ObjectSchema

/** A plugin a client may name, that keeps the params it got. */
function searching(seen: unknown[], schema: ObjectSchema = params): PluginDefinition {
  return hookPlugin('search', { transform: (_, given) => void seen.push(structuredClone(given)) }, { params: schema })
}

async function withSearch(
  settings: JsonObject,
  test: (gateway: Harness, seen: unknown[]) => Promise<void>,
  rest: HarnessOptions = {},
): Promise<void> {
  const seen: unknown[] = []
  await using gateway = await harness({ ...rest, plugins: [[searching(seen), settings], ...(rest.plugins ?? [])] })
  await test(gateway, seen)
}

interface Refusal {
  readonly code: string
  readonly message: string
  readonly param: string
  readonly details: { readonly errors: readonly { readonly path: string; readonly message: string }[] }
}

async function refusalOf(gateway: Harness, plugins: unknown, dialect: 'chat' | 'responses' = 'chat'): Promise<Refusal> {
  const { status, body } = await gateway.send({ plugins }, { dialect })
  assert.equal(status, 400, JSON.stringify(body))
  const error = body['error'] as Refusal
  assert.equal(error.code, 'invalid_request_error')
  assert.equal(gateway.provider.calls.length, 0)
  return error
}

describe('the plugins extension', () => {
  for (const dialect of ['chat', 'responses'] as const) {
    it(`runs what the client names, with its params, and nothing else: ${dialect}`, () =>
      withSearch({}, async (gateway, seen) => {
        assert.equal((await gateway.send({}, { dialect })).status, 200)
        assert.deepEqual(seen, [])
        await gateway.send({ plugins: [{ id: 'search', engine: 'exa' }] }, { dialect })
        assert.deepEqual(seen, [{ engine: 'exa', max_results: 5 }])
        assert.equal(gateway.provider.calls[1]!.request.plugins?.length ?? 0, 1)
      }))

    it(`refuses an id that does not exist, with those that do: ${dialect}`, () =>
      withSearch({}, async (gateway) => {
        const { param, message, details } = await refusalOf(gateway, [{ id: 'search' }, { id: 'serach' }], dialect)
        assert.equal(param, 'plugins[1].id')
        assert.equal(details.errors[0]!.path, 'plugins[1].id')
        assert.match(message, /Did you mean "search"\?/)
        assert.match(message, /Available: .*search/)
      }))

    it(`refuses bad params with their path: ${dialect}`, () =>
      withSearch({}, async (gateway) => {
        const bad = [{ id: 'search', max_results: 0, filters: [{ word: 'ok' }, { word: 7 }] }]
        const { param, details } = await refusalOf(gateway, bad, dialect)
        assert.deepEqual(details.errors.map(({ path }) => path).toSorted(), [
          'plugins[0].filters[1].word',
          'plugins[0].max_results',
        ])
        assert.equal(param, details.errors[0]!.path)
      }))
  }

  it('refuses params it does not know, by name', () =>
    withSearch({}, async (gateway) => {
      const { message } = await refusalOf(gateway, [{ id: 'search', max_result: 3 }])
      assert.match(message, /max_result/)
    }))

  it('refuses an id that is named twice', () =>
    withSearch({}, async (gateway) => {
      const { param, message } = await refusalOf(gateway, [{ id: 'search' }, { id: 'search', enabled: false }])
      assert.equal(param, 'plugins[1].id')
      assert.match(message, /named twice/)
    }))

  it('refuses what is no entry', () =>
    withSearch({}, async (gateway) => {
      for (const plugins of [{}, 'search', [7], ['search'], [{}], [{ id: 7 }], [{ id: 'search', enabled: 'no' }]])
        await refusalOf(gateway, plugins)
    }))

  it('cannot name a plugin without params, nor one that is off', async () => {
    const plain = hookPlugin('plain', {})
    await withSearch(
      { enabled: true },
      async (gateway) => {
        const { message } = await refusalOf(gateway, [{ id: 'plain' }])
        assert.ok(!/Available:.*plain/.test(message))
      },
      { plugins: [plain] },
    )
  })

  it('cannot be reached through the names of objects', () =>
    withSearch({}, async (gateway) => {
      for (const id of ['constructor', '__proto__', 'toString']) await refusalOf(gateway, [{ id }])
      const sent = JSON.parse('[{"id":"search","__proto__":{"max_results":99}}]') as unknown
      await refusalOf(gateway, sent)
    }))

  it('counts null as absent', () =>
    withSearch({}, async (gateway) => {
      assert.equal((await gateway.send({ plugins: null })).status, 200)
    }))
})

describe('params of a plugin', () => {
  const cases: readonly (readonly [what: string, settings: JsonObject, entry: JsonObject | undefined, got: unknown])[] = [
    ['schema defaults', {}, {}, { max_results: 5 }],
    ['defaults of the operator over those of the schema', { params: { max_results: 9 } }, {}, { max_results: 9 }],
    ['an entry replaces the defaults of the operator', { params: { max_results: 9, engine: 'exa' } }, { engine: 'native' }, { engine: 'native', max_results: 5 }],
    ['locked values overlay the entry', { params: { max_results: 2, engine: 'exa' }, locked: ['max_results'] }, { engine: 'native', max_results: 99 }, { engine: 'native', max_results: 2 }],
    ['locked values overlay an entry that leaves them out', { params: { max_results: 2 }, locked: ['max_results'] }, { engine: 'native' }, { engine: 'native', max_results: 2 }],
    ['a locked param without a value is that of the schema', { locked: ['max_results'] }, { max_results: 99 }, { max_results: 5 }],
    ['a locked param without any value is not the client’s to set', { locked: ['engine'] }, { engine: 'exa' }, { max_results: 5 }],
    ['applied always: defaults without an entry', { apply: 'always', params: { engine: 'exa' } }, undefined, { engine: 'exa', max_results: 5 }],
    ['applied always: an entry', { apply: 'always', params: { engine: 'exa' } }, { max_results: 3 }, { max_results: 3 }],
    ['enabled said aloud', {}, { enabled: true, max_results: 3 }, { max_results: 3 }],
  ] // prettier-ignore
  for (const [what, settings, entry, got] of cases)
    it(what, () =>
      withSearch(settings, async (gateway, seen) => {
        await gateway.send(entry && { plugins: [{ id: 'search', ...entry }] })
        assert.deepEqual(seen, [got])
      }),
    )

  it('of one exchange cannot be changed by another', async () => {
    const seen: number[] = []
    const greedy = hookPlugin(
      'greedy',
      {
        transform(_, given: { list: number[] }) {
          given.list.push(1)
          seen.push(given.list.length)
        },
      },
      {
        params: {
          type: 'object',
          properties: { list: { type: 'array', items: { type: 'number' }, default: [] } },
        },
      },
    )
    await using gateway = await harness({ plugins: [[greedy, { apply: 'always' }]] })
    const shared = await gateway.send()
    assert.equal(shared.status, 500)
    assert.equal(shared.outcome.error?.plugin, 'greedy')
    for (let times = 0; times < 2; times++) await gateway.send({ plugins: [{ id: 'greedy' }] })
    assert.deepEqual(seen, [1, 1])
  })
})

describe('enabled: false', () => {
  it('does nothing to a plugin that is on request', () =>
    withSearch({}, async (gateway, seen) => {
      assert.equal((await gateway.send({ plugins: [{ id: 'search', enabled: false }] })).status, 200)
      assert.deepEqual(seen, [])
    }))

  it('is refused for one that is applied always', () =>
    withSearch({ apply: 'always' }, async (gateway) => {
      const { param } = await refusalOf(gateway, [{ id: 'search', enabled: false }])
      assert.equal(param, 'plugins[0].enabled')
    }))

  it('switches one off that a client may disable, for this request', () =>
    withSearch({ apply: 'always', client_may_disable: true }, async (gateway, seen) => {
      assert.equal((await gateway.send({ plugins: [{ id: 'search', enabled: false }] })).status, 200)
      assert.deepEqual(seen, [])
      await gateway.send()
      assert.equal(seen.length, 1)
    }))
})

describe('a plugin that was not named', () => {
  it('has none of its hooks called, settle included', async () => {
    const called: string[] = []
    const note = (hook: string) => (): undefined => void called.push(hook)
    const silent = hookPlugin(
      'silent',
      {
        transform: note('transform'),
        dispatch: (_, next) => (note('dispatch')(), next()),
        reserve: note('reserve'),
        attempt: (_, __, next) => (note('attempt')(), next()),
        observe: note('observe'),
        event: note('event'),
        flush: note('flush'),
        settle: note('settle'),
      },
      { params: { type: 'object', properties: {} } },
    )
    await using gateway = await harness({ plugins: [silent] })
    await gateway.send()
    assert.deepEqual(called, [])
    await gateway.send({ plugins: [{ id: 'silent' }] })
    assert.deepEqual(new Set(called), new Set(['transform', 'dispatch', 'reserve', 'attempt', 'observe', 'event', 'flush', 'settle'])) // prettier-ignore
  })

  it('is reported as not run, one that was named as run', () =>
    withSearch({}, async (gateway) => {
      const headers = { 'x-hadrian-metadata': 'enabled' }
      const pipeline = async (body: JsonObject): Promise<unknown> =>
        ((await gateway.send(body, { headers })).body['hadrian_metadata'] as JsonObject)['pipeline']
      assert.ok(!JSON.stringify(await pipeline({})).includes('search'))
      assert.ok(
        JSON.stringify(await pipeline({ plugins: [{ id: 'search' }] })).includes(
          '{"hook":"transform","plugin":"search"}',
        ),
      )
    }))
})

describe('params that are wrong in the config', () => {
  for (const [what, settings, path] of [
    ['a default of the wrong type', { params: { max_results: 'many' } }, 'plugins.search.params.max_results'],
    ['a lock on what is no param', { locked: ['max_result'] }, 'plugins.search.locked'],
  ] as const)
    it(`are found at startup: ${what}`, async () => {
      await assert.rejects(harness({ plugins: [[searching([]), settings]] }), (error: Error) => {
        assert.ok(error.message.startsWith(path), error.message)
        return true
      })
    })
})
