/** The operator's options, and what the router does without any wish of the client. */

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { route, startRouter, target } from './routed-request.ts'
import type { RequestInit } from './routed-request.ts'

const targets = ['a/gpt-4', 'b/gpt-4', 'c/gpt-4-mini', 'd/llama'].map((name) => target(name))
const asBefore = targets.map(({ name }) => name)

describe('router options', () => {
  it('changes nothing without options and knowledge', async () => {
    const { names, assigned } = await route([target('b/x'), target('a/y'), target('c/z', { requested: 'other' })])
    assert.deepEqual(names, ['b/x', 'a/y', 'c/z'])
    assert.equal(assigned, false)
  })

  it('prefer: comes first, in the order of the option, the others stay', async () => {
    const preferring = async (...prefer: string[]) => (await route(targets, {}, { options: { prefer } })).names
    assert.deepEqual(await preferring('d', 'b/gpt-4'), ['d/llama', 'b/gpt-4', 'a/gpt-4', 'c/gpt-4-mini'])
    assert.deepEqual(await preferring('*-mini', 'b/*'), ['c/gpt-4-mini', 'b/gpt-4', 'a/gpt-4', 'd/llama'])
    assert.deepEqual(await preferring('gpt-4', 'b/gpt', '.*'), asBefore)
  })

  it('exclude: is removed with the pattern as the reason, from a request for one target too', async () => {
    const previews = ['a/x-preview', 'a/x', 'b/x'].map((name) => target(name))
    const { names, removed } = await route(previews, {}, { options: { exclude: ['*-preview', 'b'] } })
    assert.deepEqual(names, ['a/x'])
    assert.deepEqual(removed, { 'a/x-preview': 'router: exclude "*-preview"', 'b/x': 'router: exclude "b"' })
    assert.deepEqual((await route([target('b/x')], {}, { options: { exclude: ['b'] } })).names, [])
  })

  it('only: the request can narrow it and not widen it', async () => {
    const options = { only: ['a', 'b'] }
    const { names, removed } = await route(targets, {}, { options })
    assert.deepEqual(names, ['a/gpt-4', 'b/gpt-4'])
    assert.equal(removed['d/llama'], 'router: only')
    const narrowed = await route(targets, { provider: { only: ['b', 'd'] } }, { options })
    assert.deepEqual(narrowed.names, ['b/gpt-4'])
    assert.equal(narrowed.removed['a/gpt-4'], 'provider.only')
    assert.deepEqual((await route(targets, { provider: { only: ['d'] } }, { options })).names, [])
  })

  it('ignore: both lists count', async () => {
    const { names, removed } = await route(targets, { provider: { ignore: ['d'] } }, { options: { ignore: ['a'] } })
    assert.deepEqual(names, ['b/gpt-4', 'c/gpt-4-mini'])
    assert.deepEqual(removed, { 'a/gpt-4': 'router: ignore "a"', 'd/llama': 'provider.ignore: d' })
  })

  it('data_collection and zdr: the request cannot loosen them', async () => {
    const kept = target('a/kept', { dataPolicy: { training: false, retentionDays: 30 } })
    const trained = target('b/trained', { dataPolicy: { training: true, retentionDays: 0 } })
    const safe = target('c/safe', { dataPolicy: { training: false, retentionDays: 0 } })
    const loose = { provider: { data_collection: 'allow', zdr: false } }
    const denied = await route([kept, trained, safe], loose, { options: { data_collection: 'deny' } })
    assert.deepEqual(denied.names, ['c/safe'])
    assert.deepEqual(denied.removed, {
      'a/kept': 'router: data_collection: prompts are kept for 30 days',
      'b/trained': 'router: data_collection: prompts may be trained on',
    })
    const zero = await route([kept, trained, safe, target('d/unknown')], loose, { options: { zdr: true } })
    assert.deepEqual(zero.names, ['c/safe'])
    assert.equal(zero.removed['d/unknown'], 'router: zdr: it is not known how long prompts are kept')
  })

  it('transient_retention_days: shorter keeping is no collection, and still no zero retention', async () => {
    const kept = target('a/kept', { dataPolicy: { training: false, retentionDays: 30 } })
    const options = { transient_retention_days: 30 }
    assert.deepEqual((await route([kept], { provider: { data_collection: 'deny' } }, { options })).names, ['a/kept'])
    assert.deepEqual((await route([kept], { provider: { zdr: true } }, { options })).names, [])
  })

  it('sort: holds for requests without one, behind what the operator prefers', async () => {
    const priced = [target('a/x', { price: 3 }), target('b/x', { price: 1 }), target('c/x', { price: 2 })]
    assert.deepEqual((await route(priced, {}, { options: { sort: 'price' }, random: () => 0.999 })).names, [
      'b/x',
      'c/x',
      'a/x',
    ])
    const health = { 'a/x': { throughput: { p50: 9, p75: 9, p90: 9, p99: 9, count: 1 } } }
    const own = await route(priced, { provider: { sort: 'throughput' } }, { options: { sort: 'price' }, health })
    assert.deepEqual(own.names, ['a/x', 'b/x', 'c/x'])
    const preferring = await route(priced, {}, { options: { sort: 'price', prefer: ['a'] } })
    assert.deepEqual(preferring.names, ['a/x', 'b/x', 'c/x'])
    const strict = await route(priced, { provider: { sort: 'price' } }, { options: { prefer: ['a'] } })
    assert.deepEqual(strict.names, ['b/x', 'c/x', 'a/x'])
  })
})

describe('what speaks for a target', () => {
  it('is that it can do what the request uses; the unknown stay', async () => {
    const able = [
      target('a/none', { supportedParameters: [] }),
      target('b/unknown'),
      target('c/tools', { supportedParameters: ['tools'] }),
      target('d/all', {
        supportedParameters: ['tools', 'structured_outputs', 'response_format', 'reasoning', 'verbosity'],
      }),
    ]
    const first = async (request: RequestInit) => (await route(able, request)).names
    const tools = [{ type: 'function', name: 'f' }] as const
    assert.deepEqual(await first({ tools }), ['b/unknown', 'c/tools', 'd/all', 'a/none'])
    const others: readonly RequestInit[] = [
      { responseFormat: { type: 'json_object' } },
      { responseFormat: { type: 'json_schema', name: 'x' } },
      { reasoning: { effort: 'low' } },
      { verbosity: 'low' },
    ]
    for (const request of others)
      assert.deepEqual(await first(request), ['b/unknown', 'd/all', 'a/none', 'c/tools'], JSON.stringify(request))
    const before = able.map(({ name }) => name)
    const harmless: readonly RequestInit[] = [
      { tools, toolChoice: 'none' },
      { tools: [] },
      { reasoning: { effort: 'none' } },
      { reasoning: { exclude: true } },
      { responseFormat: { type: 'text' } },
    ]
    for (const request of harmless) assert.deepEqual(await first(request), before, JSON.stringify(request))
  })

  it('is that it can answer at the length that is asked for', async () => {
    const ceilings = [target('a/short', { maxOutputTokens: 99 }), target('b/exact', { maxOutputTokens: 100 }), target('c/unknown')] // prettier-ignore
    assert.deepEqual((await route(ceilings, { maxOutputTokens: 100 })).names, ['b/exact', 'c/unknown', 'a/short'])
    assert.equal((await route(ceilings)).assigned, false)
  })

  it('is that its context is large enough, before all preference', async () => {
    const contexts = [
      target('a/small', { contextLength: 9 }),
      target('b/unknown'),
      target('c/exact', { contextLength: 10 }),
      target('d/large', { contextLength: 1000 }),
    ]
    const { names } = await route(contexts, { inputTokens: 10 }, { options: { prefer: ['a', 'd'] } })
    assert.deepEqual(names, ['d/large', 'b/unknown', 'c/exact', 'a/small'])
  })

  it('is its health: degraded ones come behind, those held back last', async () => {
    const health = { 'a/gpt-4': { state: 'open' }, 'b/gpt-4': { state: 'degraded' } } as const
    const { names } = await route(targets, {}, { health, options: { prefer: ['b'] } })
    assert.deepEqual(names, ['c/gpt-4-mini', 'd/llama', 'b/gpt-4', 'a/gpt-4'])
  })
})

describe('a request with one target and no wishes', () => {
  it('asks nobody anything', async () => {
    const router = await startRouter()
    const [only] = targets
    const exchange = {
      targets: [only],
      request: { extra: {} },
      get principal(): never {
        throw new Error('was looked at')
      },
    }
    assert.equal(router.hooks.route?.(exchange as never, {}), undefined)
  })
})
