import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Exchange, GenerateRequest, ModelInfo, OptionsOf, Target } from '@hadrian/core/plugin'
import * as fc from 'fast-check'
import router from '../../plugins/router/index.ts'

type Options = OptionsOf<typeof router.options>

function target(name: string, info?: Partial<ModelInfo>, requested = 'model'): Target {
  const [provider = '', model = ''] = name.split('/')
  return { provider, model, name, requested, ...(info && { info: { id: model, ...info } }) }
}

interface Routed {
  readonly names: string[]
  readonly removed: Record<string, string>
  readonly assigned: boolean
}

async function route(
  targets: readonly Target[],
  options: Partial<Options> = {},
  request: Partial<GenerateRequest> = {},
  inputTokens = 0,
): Promise<Routed> {
  const services = { options: { prefer: [], exclude: [], ...options } } as unknown as Parameters<typeof router.setup>[0]
  const hooks = await router.setup(services)
  const removed: Record<string, string> = {}
  let current = targets
  let assigned = false
  const exchange = {
    get targets() {
      return current
    },
    set targets(value: readonly Target[]) {
      assigned = true
      current = value
    },
    exclude(one: Target, removedBy: string) {
      removed[one.name] = removedBy
      current = current.filter((other) => other !== one)
    },
    request,
    estimateInputTokens: () => inputTokens,
  } as unknown as Exchange
  assert.equal(await hooks.route?.(exchange, {}), undefined)
  return { names: current.map(({ name }) => name), removed, assigned }
}

void test('without options and knowledge nothing changes', async () => {
  const { names, assigned } = await route([target('b/x'), target('a/y'), target('c/z', undefined, 'other')])
  assert.deepEqual(names, ['b/x', 'a/y', 'c/z'])
  assert.equal(assigned, false)
})

void test('preferred targets come first, in the order of the option, the others stay', async () => {
  const targets = ['a/gpt-4', 'b/gpt-4', 'c/gpt-4-mini', 'd/llama'].map((name) => target(name))
  assert.deepEqual((await route(targets, { prefer: ['d', 'b/gpt-4'] })).names, [
    'd/llama',
    'b/gpt-4',
    'a/gpt-4',
    'c/gpt-4-mini',
  ])
  assert.deepEqual((await route(targets, { prefer: ['*-mini', 'b/*'] })).names, [
    'c/gpt-4-mini',
    'b/gpt-4',
    'a/gpt-4',
    'd/llama',
  ])
  assert.deepEqual(
    (await route(targets, { prefer: ['gpt-4', 'b/gpt', '.*'] })).names,
    targets.map(({ name }) => name),
  )
})

void test('the order of the requested models stays', async () => {
  const targets = [
    target('a/x', undefined, 'first'),
    target('b/x', undefined, 'first'),
    target('b/y', undefined, 'second'),
  ]
  assert.deepEqual((await route(targets, { prefer: ['b'] })).names, ['b/x', 'a/x', 'b/y'])
})

void test('excluded targets are removed with the pattern as the reason', async () => {
  const targets = ['a/x-preview', 'a/x', 'b/x'].map((name) => target(name))
  const { names, removed } = await route(targets, { exclude: ['*-preview', 'b'] })
  assert.deepEqual(names, ['a/x'])
  assert.deepEqual(removed, { 'a/x-preview': 'router: exclude "*-preview"', 'b/x': 'router: exclude "b"' })
  assert.deepEqual((await route(targets, { exclude: ['*'] })).names, [])
})

void test('targets known not to support what the request uses come later, unknown ones stay', async () => {
  const targets = [
    target('a/none', { supportedParameters: [] }),
    target('b/unknown'),
    target('c/tools', { supportedParameters: ['tools'] }),
    target('d/all', { supportedParameters: ['tools', 'structured_outputs', 'response_format', 'reasoning'] }),
  ]
  const first = async (request: Partial<GenerateRequest>) => (await route(targets, {}, request)).names
  const tools = [{ type: 'function', name: 'f' }] as const
  assert.deepEqual(await first({ tools }), ['b/unknown', 'c/tools', 'd/all', 'a/none'])
  assert.deepEqual(await first({ responseFormat: { type: 'json_object' } }), [
    'b/unknown',
    'd/all',
    'a/none',
    'c/tools',
  ])
  assert.deepEqual(await first({ responseFormat: { type: 'json_schema', name: 'x' } }), [
    'b/unknown',
    'd/all',
    'a/none',
    'c/tools',
  ])
  assert.deepEqual(await first({ reasoning: { effort: 'low' } }), ['b/unknown', 'd/all', 'a/none', 'c/tools'])
  const asBefore = targets.map(({ name }) => name)
  assert.deepEqual(await first({ tools, toolChoice: 'none' }), asBefore)
  assert.deepEqual(await first({ tools: [] }), asBefore)
  assert.deepEqual(await first({ reasoning: { effort: 'none' } }), asBefore)
  assert.deepEqual(await first({ reasoning: { exclude: true } }), asBefore)
  assert.deepEqual(await first({ responseFormat: { type: 'text' } }), asBefore)
})

void test('a known context that is too small puts a target last, before all preference', async () => {
  const targets = [
    target('a/small', { contextLength: 9 }),
    target('b/unknown'),
    target('c/exact', { contextLength: 10 }),
    target('d/large', { contextLength: 1000 }),
  ]
  assert.deepEqual((await route(targets, { prefer: ['a', 'd'] }, {}, 10)).names, [
    'd/large',
    'b/unknown',
    'c/exact',
    'a/small',
  ])
})

void test('nothing is lost, doubled or moved to another model', async () => {
  const model = fc.constantFrom('m1', 'm2', 'm3')
  const info = fc.record({
    contextLength: fc.option(fc.nat(20), { nil: undefined }),
    supportedParameters: fc.option(fc.subarray(['tools', 'reasoning']), { nil: undefined }),
  })
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c'), info, model), { maxLength: 12 }),
      fc.subarray(['a', 'b', 'c/*', '*1']),
      async (entries, prefer) => {
        const targets = entries
          .map(([provider, known, requested], index) => target(`${provider}/${index}`, known, requested))
          .toSorted((a, b) => a.requested.localeCompare(b.requested))
        const { names } = await route(targets, { prefer }, { tools: [{ type: 'function', name: 'f' }] }, 10)
        assert.deepEqual(names.toSorted(), targets.map(({ name }) => name).toSorted())
        const requestedOf = new Map(targets.map(({ name, requested }) => [name, requested]))
        assert.deepEqual(
          names.map((name) => requestedOf.get(name)),
          targets.map(({ requested }) => requested),
        )
      },
    ),
  )
})
