import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { JsonObject, PluginDefinition, Principal, Target } from '../../core/contract/plugin.ts'
import { fakeProvider, harness, textEvents } from '../../core/testing/index.ts'
import type { Harness, HarnessOptions } from '../../core/testing/index.ts'
import { hookPlugin } from './hook-plugin.ts'

const models: JsonObject = {
  smart: { targets: ['fake/large', 'fake/small'], aliases: ['clever'] },
  'odd:nitro': { targets: ['fake/small'] },
  'fake/tuned:floor': { context_length: 1000 },
  'llama3:8b': { targets: ['fake/llama'] },
}

/** Says that it sorts by suffixes, and keeps the targets that a request begins with. */
function sorter(seen: Target[][] = []): PluginDefinition {
  return {
    ...hookPlugin('sorter', {}, { provides: ['provider-preferences'] }),
    setup: () => ({
      services: { 'provider-preferences': true },
      authorize: (exchange) => void seen.push([...exchange.targets]),
    }),
  }
}

/** Stands in for the plugin that searches the web. */
function web(seen: unknown[]): PluginDefinition {
  return hookPlugin(
    'web',
    { transform: (_, params) => void seen.push(params) },
    {
      params: {
        type: 'object',
        additionalProperties: false,
        properties: { max_results: { type: 'integer', default: 5 } },
      },
    },
  )
}

const start = (options: HarnessOptions): Promise<Harness> =>
  harness({ provider: fakeProvider(({ target }) => textEvents(target.model)), ...options, config: { models } })

async function targetsOf(body: JsonObject): Promise<readonly string[]> {
  const seen: Target[][] = []
  await using gateway = await start({ plugins: [sorter(seen), web([])] })
  const { status, body: answer } = await gateway.send(body)
  assert.equal(status, 200, JSON.stringify(answer))
  return seen[0]!.map(({ name, requested, suffix }) => `${name} ${requested} ${suffix ?? '-'}`)
}

describe('suffixes of model names', () => {
  const cases: readonly (readonly [what: string, body: JsonObject, targets: readonly string[]])[] = [
    ['nitro', { model: 'fake/x:nitro' }, ['fake/x fake/x:nitro nitro']],
    ['floor', { model: 'fake/x:floor' }, ['fake/x fake/x:floor floor']],
    ['exacto', { model: 'fake/x:exacto' }, ['fake/x fake/x:exacto exacto']],
    ['online', { model: 'fake/x:online' }, ['fake/x fake/x:online -']],
    ['two of them', { model: 'fake/x:floor:online' }, ['fake/x fake/x:floor:online floor']],
    ['two of them the other way round', { model: 'fake/x:online:floor' }, ['fake/x fake/x:online:floor floor']],
    ['the same twice', { model: 'fake/x:floor:floor' }, ['fake/x fake/x:floor:floor floor']],
    ['on a catalog name', { model: 'smart:nitro' }, ['fake/large smart:nitro nitro', 'fake/small smart:nitro nitro']],
    ['on an alias', { model: 'clever:nitro' }, ['fake/large clever:nitro nitro', 'fake/small clever:nitro nitro']],
    ['on a bare name', { model: 'whatever:nitro' }, ['fake/whatever whatever:nitro nitro']],
    ['on a name with a colon', { model: 'llama3:8b:floor' }, ['fake/llama llama3:8b:floor floor']],
    ['in models', { model: null, models: ['fake/a', 'fake/b:floor'] }, ['fake/a fake/a -', 'fake/b fake/b:floor floor']],
    ['of one target twice: the first counts', { model: 'fake/a:floor', models: ['fake/a'] }, ['fake/a fake/a:floor floor']],
    ['not of a name of the catalog', { model: 'odd:nitro' }, ['fake/small odd:nitro -']],
    ['after a name of the catalog that ends like one', { model: 'odd:nitro:nitro' }, ['fake/small odd:nitro:nitro nitro']],
    ['not of a target that the catalog describes', { model: 'fake/tuned:floor' }, ['fake/tuned:floor fake/tuned:floor -']],
    ['not other words', { model: 'fake/x:free' }, ['fake/x:free fake/x:free -']],
    ['not in capitals', { model: 'fake/x:NITRO' }, ['fake/x:NITRO fake/x:NITRO -']],
    ['not within', { model: 'fake/x:nitro/y' }, ['fake/x:nitro/y fake/x:nitro/y -']],
  ] // prettier-ignore
  for (const [what, body, targets] of cases) it(what, async () => assert.deepEqual(await targetsOf(body), targets))

  it('are not sent upstream, and the answer names the target', async () => {
    await using gateway = await start({ plugins: [sorter()] })
    const { headers } = await gateway.send({ model: 'fake/x:floor' })
    assert.equal(headers['x-model'], 'x')
    assert.equal(gateway.provider.calls[0]!.target.model, 'x')
  })

  it('that contradict each other are refused', async () => {
    await using gateway = await start({ plugins: [sorter()] })
    const { status, body } = await gateway.send({ model: 'fake/x:floor:nitro' })
    assert.equal(status, 400)
    assert.match(JSON.stringify(body), /contradict each other/)
  })

  it('that sort are refused where nothing sorts', async () => {
    await using gateway = await start({})
    for (const suffix of ['nitro', 'floor', 'exacto']) {
      const { status, body } = await gateway.send({ model: `fake/x:${suffix}` })
      const { code, message, param } = body['error'] as { code: string; message: string; param: string }
      assert.deepEqual([status, code, param], [400, 'unsupported', 'model'])
      assert.match(message, new RegExp(`":${suffix}"`))
    }
  })

  it('on nothing known leave the name as it was written, with names near it', async () => {
    await using gateway = await harness({
      plugins: [sorter()],
      providers: [[fakeProvider().definition, {}, 'other']],
      config: { models, routing: {} },
    })
    const { status, body } = await gateway.send({ model: 'smrat:floor' })
    const error = body['error'] as { code: string; message: string; details: { suggestions: string[] } }
    assert.deepEqual([status, error.code], [400, 'routing_error'])
    assert.equal(error.message, "Model 'smrat:floor' not found")
    assert.equal(error.details.suggestions[0], 'smart')
  })
})

describe('suffixes and access', () => {
  const limited = (...allowedModels: string[]): Principal => ({ id: 'limited', allowedModels })
  const cases: readonly (readonly [what: string, list: readonly string[], model: string, status: number])[] = [
    ['the name without it', ['fake/x'], 'fake/x:floor', 200],
    ['a catalog name without it', ['smart'], 'smart:floor', 200],
    ['the targets of the catalog name', ['fake/*'], 'smart:floor', 200],
    ['another model', ['fake/x'], 'fake/y:floor', 403],
    ['a name with the suffix, but not the one without', ['fake/x:floor'], 'fake/x:floor', 403],
    ['a pattern that needs the suffix', ['fake/x:*'], 'fake/x:floor', 403],
    ['the name of another that ends so', ['odd'], 'odd:nitro', 403],
    ['online', ['fake/x'], 'fake/y:online', 403],
  ]
  for (const [what, list, model, status] of cases)
    it(`go by ${what}: ${status}`, async () => {
      await using gateway = await start({ plugins: [sorter(), web([])], principal: limited(...list) })
      assert.equal((await gateway.send({ model })).status, status)
      assert.equal((await gateway.send({ model: null, models: [model] })).status, status)
      assert.equal(gateway.provider.calls.length, status === 200 ? 2 : 0)
    })
})

describe('the suffix :online', () => {
  const run = async (body: JsonObject, config: JsonObject = {}): Promise<unknown[]> => {
    const seen: unknown[] = []
    await using gateway = await start({ plugins: [sorter(), [web(seen), config]] })
    assert.equal((await gateway.send(body)).status, 200)
    return seen
  }

  it('runs the plugin web as if it had been named', async () => {
    assert.deepEqual(await run({ model: 'fake/x:online' }), [{ max_results: 5 }])
    assert.deepEqual(await run({ model: 'fake/x' }), [])
    assert.deepEqual(await run({ model: 'fake/x:online' }, { params: { max_results: 2 } }), [{ max_results: 2 }])
    assert.deepEqual(await run({ model: 'fake/x', models: ['fake/y:online'] }), [{ max_results: 5 }])
  })

  it('gives way to what the client says of web itself', async () => {
    assert.deepEqual(await run({ model: 'fake/x:online', plugins: [{ id: 'web', max_results: 9 }] }), [
      { max_results: 9 },
    ])
    assert.deepEqual(await run({ model: 'fake/x:online', plugins: [{ id: 'web', enabled: false }] }), [])
  })

  it('is refused where there is no such plugin, also in models', async () => {
    await using gateway = await start({ plugins: [sorter()], config: { plugins: { web: { enabled: false } } } })
    for (const body of [{ model: 'fake/x:online' }, { model: 'fake/x', models: ['fake/y:online'] }]) {
      const { status, body: answer } = await gateway.send(body)
      const { code, message } = answer['error'] as { code: string; message: string }
      assert.deepEqual([status, code], [400, 'unsupported'])
      assert.match(message, /":online" needs the plugin "web", which is not enabled/)
    }
    assert.equal(gateway.provider.calls.length, 0)
  })
})
