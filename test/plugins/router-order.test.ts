/** Every key of `provider` that orders targets, the suffixes of model names, and how load is balanced. */

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { JsonObject, Target, Warning } from '@hadrian/core/plugin'
import { percentiles } from './fixed-health.ts'
import type { KnownHealth } from './fixed-health.ts'
import { route, startRouter, target } from './routed-request.ts'
import type { RequestInit, RouterInit } from './routed-request.ts'

const plain = ['a/m', 'b/m', 'c/m'].map((name) => target(name))
const priced = [target('a/m', { price: 3 }), target('b/m', { price: 1 }), target('c/m', { price: 2 })]

const speeds: Readonly<Record<string, KnownHealth>> = {
  'a/m': { latencyMs: percentiles(900), throughput: percentiles(20), toolCallShare: 0.9 },
  'b/m': { latencyMs: percentiles(100), throughput: percentiles(10), toolCallShare: 0.8 },
  'c/m': { latencyMs: percentiles(500), throughput: percentiles(90), toolCallShare: 1 },
}

interface Case {
  readonly what: string
  readonly targets?: readonly Target[]
  readonly provider?: JsonObject
  readonly request?: RequestInit
  readonly router?: RouterInit
  readonly order: readonly string[]
  /** Of the warnings, without the message. */
  readonly warned?: readonly string[]
}

function suffixed(suffix: NonNullable<Target['suffix']>, from = plain): readonly Target[] {
  return from.map((each) => ({ ...each, suffix }))
}

const twoModels = [
  target('a/m', { requested: 'first', price: 3 }),
  target('b/m', { requested: 'first', price: 1 }),
  target('c/m', { requested: 'second', price: 2 }),
]

const cases: readonly Case[] = [
  // order
  { what: 'order: first those named, then the rest', provider: { order: ['c', 'b'] }, order: ['c/m', 'b/m', 'a/m'] },
  { what: 'order: null and empty say nothing', provider: { order: [] }, order: ['a/m', 'b/m', 'c/m'] },
  {
    what: 'order: who does not serve the model is passed over, and told',
    provider: { order: ['x', 'c'] },
    order: ['c/m', 'a/m', 'b/m'],
    warned: ['provider.order'],
  },
  {
    what: 'order: holds whatever the health; the rest comes by health',
    provider: { order: ['b'] },
    router: { health: { 'a/m': { state: 'degraded' }, 'b/m': { state: 'open' } } },
    order: ['b/m', 'c/m', 'a/m'],
  },
  {
    what: 'order: no load is balanced, the rest comes by price',
    targets: priced,
    provider: { order: ['c'] },
    router: { random: () => 0.999 },
    order: ['c/m', 'b/m', 'a/m'],
  },
  {
    what: 'order: those that one slug names come by health and price, not by chance',
    targets: ['a/m', 'b/m', 'c/m'].map((name, index) => target(name, { slug: `azure/${name[0]}`, price: 3 - index })),
    provider: { order: ['azure'] },
    router: { health: { 'c/m': { state: 'degraded' } }, random: () => 0.999 },
    order: ['b/m', 'a/m', 'c/m'],
  },
  {
    what: 'order: sort is not used beside it, and told',
    targets: priced,
    provider: { order: ['a'], sort: 'price' },
    order: ['a/m', 'b/m', 'c/m'],
    warned: ['provider.sort'],
  },
  {
    what: 'order: a suffix is not used beside it, and told',
    targets: suffixed('nitro'),
    provider: { order: ['b'] },
    router: { health: speeds },
    order: ['b/m', 'a/m', 'c/m'],
    warned: ['model'],
  },
  {
    what: 'order: models stay in their order',
    targets: twoModels,
    provider: { order: ['c', 'a'] },
    order: ['a/m', 'b/m', 'c/m'],
  },
  {
    what: 'order: a target that cannot serve the request comes behind one that can',
    targets: [target('a/m', { supportedParameters: [] }), target('b/m', { supportedParameters: ['tools'] })],
    provider: { order: ['a'] },
    request: { tools: [{ type: 'function', name: 'f' }] },
    order: ['b/m', 'a/m'],
  },
  // sort
  { what: 'sort price', targets: priced, provider: { sort: 'price' }, order: ['b/m', 'c/m', 'a/m'] },
  {
    what: 'sort price: input, output and request count, and the unknown come last',
    targets: [
      target('a/m'),
      target('b/m', { prices: { input: 1_000_000, output: 5_000_000 } }),
      target('c/m', { prices: { input: 3_000_000, output: 2_000_000 } }),
      target('d/m', { prices: { input: 1_000_000, output: 1_000_000, request: 3500 } }),
    ],
    provider: { sort: 'price' },
    order: ['c/m', 'd/m', 'b/m', 'a/m'],
  },
  {
    what: 'sort price: told where no price is known',
    provider: { sort: 'price' },
    order: ['a/m', 'b/m', 'c/m'],
    warned: ['provider.sort'],
  },
  {
    what: 'sort throughput',
    provider: { sort: 'throughput' },
    router: { health: speeds },
    order: ['c/m', 'a/m', 'b/m'],
  },
  { what: 'sort latency', provider: { sort: 'latency' }, router: { health: speeds }, order: ['b/m', 'c/m', 'a/m'] },
  { what: 'sort exacto', provider: { sort: 'exacto' }, router: { health: speeds }, order: ['c/m', 'a/m', 'b/m'] },
  {
    what: 'sort: the unmeasured come last',
    provider: { sort: 'latency' },
    router: { health: { 'c/m': speeds['c/m']! } },
    order: ['c/m', 'a/m', 'b/m'],
  },
  ...(['throughput', 'latency', 'exacto'] as const).map((sort): Case => ({
    what: `sort ${sort}: told where nothing was measured`,
    provider: { sort },
    order: ['a/m', 'b/m', 'c/m'],
    warned: ['provider.sort'],
  })),
  {
    what: 'sort: strict, but for those that are held back',
    targets: priced,
    provider: { sort: 'price' },
    router: { health: { 'b/m': { state: 'open' }, 'c/m': { state: 'degraded' } }, random: () => 0.999 },
    order: ['c/m', 'a/m', 'b/m'],
  },
  {
    what: 'sort {by}: partition model is the default',
    targets: twoModels,
    provider: { sort: { by: 'price' } },
    order: ['b/m', 'a/m', 'c/m'],
  },
  {
    what: 'sort {by, partition model}',
    targets: twoModels,
    provider: { sort: { by: 'price', partition: 'model' } },
    order: ['b/m', 'a/m', 'c/m'],
  },
  {
    what: 'sort {by, partition none}: all models are one list',
    targets: twoModels,
    provider: { sort: { by: 'price', partition: 'none' } },
    order: ['b/m', 'c/m', 'a/m'],
  },
  {
    what: 'sort {partition none}: one list, balanced',
    targets: twoModels,
    provider: { sort: { partition: 'none' } },
    router: { random: () => 0.8 },
    order: ['c/m', 'b/m', 'a/m'],
  },
  {
    what: 'route "sort" is partition none',
    targets: twoModels,
    provider: { sort: 'price' },
    request: { extra: { route: 'sort' } },
    order: ['b/m', 'a/m', 'c/m'],
  },
  {
    what: 'route "sort" with the suffix alone is partition none',
    targets: suffixed('floor', twoModels),
    request: { extra: { route: 'sort' } },
    order: ['b/m', 'c/m', 'a/m'],
  },
  {
    what: 'route "fallback" is partition model',
    targets: suffixed('floor', twoModels),
    request: { extra: { route: 'fallback' } },
    order: ['b/m', 'a/m', 'c/m'],
  },
  // suffixes
  { what: ':nitro', targets: suffixed('nitro'), router: { health: speeds }, order: ['c/m', 'a/m', 'b/m'] },
  { what: ':floor', targets: suffixed('floor', priced), order: ['b/m', 'c/m', 'a/m'] },
  { what: ':exacto', targets: suffixed('exacto'), router: { health: speeds }, order: ['c/m', 'a/m', 'b/m'] },
  { what: ':exacto: told where nothing was judged', targets: suffixed('exacto'), order: ['a/m', 'b/m', 'c/m'], warned: ['model'] }, // prettier-ignore
  {
    what: 'a suffix: for its own model alone',
    targets: [
      target('a/m', { requested: 'x:floor', suffix: 'floor', price: 3 }),
      target('b/m', { requested: 'x:floor', suffix: 'floor', price: 1 }),
      target('c/m', { requested: 'y:nitro', suffix: 'nitro', price: 1 }),
      target('d/m', { requested: 'y:nitro', suffix: 'nitro', price: 9 }),
    ],
    router: { health: { 'd/m': { throughput: percentiles(5) } } },
    order: ['b/m', 'a/m', 'd/m', 'c/m'],
  },
  {
    what: 'a suffix: an explicit sort wins, and it is told',
    targets: suffixed('nitro', priced),
    provider: { sort: 'price' },
    router: { health: speeds },
    order: ['b/m', 'c/m', 'a/m'],
    warned: ['model'],
  },
  // preferred_*
  {
    what: 'preferred_min_throughput: a number is the median; below comes last and stays',
    provider: { preferred_min_throughput: 20 },
    router: { health: speeds },
    order: ['a/m', 'c/m', 'b/m'],
  },
  {
    what: 'preferred_max_latency: seconds; above comes last and stays',
    provider: { preferred_max_latency: 0.5 },
    router: { health: speeds },
    order: ['b/m', 'c/m', 'a/m'],
  },
  {
    what: 'preferred_*: several percentiles must all hold',
    provider: { preferred_max_latency: { p50: 1, p99: 2 } },
    router: {
      health: {
        'a/m': { latencyMs: percentiles(500, { p99: 2001 }) },
        'b/m': { latencyMs: percentiles(1001, { p99: 100 }) },
        'c/m': { latencyMs: percentiles(1000, { p99: 2000 }) },
      },
    },
    order: ['c/m', 'a/m', 'b/m'],
  },
  ...(['p75', 'p90'] as const).map((name): Case => ({
    what: `preferred_min_throughput ${name}`,
    provider: { preferred_min_throughput: { [name]: 10 } },
    router: { health: { 'a/m': { throughput: percentiles(50, { [name]: 9 }) } } },
    order: ['b/m', 'c/m', 'a/m'],
  })),
  {
    what: 'preferred_*: the unmeasured stay',
    provider: { preferred_max_latency: 0.5 },
    router: { health: { 'b/m': { latencyMs: percentiles(900) } } },
    order: ['a/m', 'c/m', 'b/m'],
  },
  {
    what: 'preferred_*: told where nothing was measured',
    provider: { preferred_max_latency: 1, preferred_min_throughput: 1 },
    order: ['a/m', 'b/m', 'c/m'],
    warned: ['provider.preferred_min_throughput', 'provider.preferred_max_latency'],
  },
  {
    what: 'preferred_*: a fallback that meets it comes before a primary that does not',
    targets: twoModels,
    provider: { preferred_max_latency: 0.5 },
    router: { health: { 'a/m': speeds['a/m']!, 'b/m': { latencyMs: percentiles(600) } } },
    order: ['c/m', 'b/m', 'a/m'],
  },
  {
    what: 'preferred_*: before sort',
    targets: priced,
    provider: { sort: 'price', preferred_max_latency: 0.5 },
    router: { health: { 'b/m': { latencyMs: percentiles(501) } } },
    order: ['c/m', 'a/m', 'b/m'],
  },
  {
    what: 'preferred_*: a fast target with too small a context comes behind a slow one',
    targets: [target('a/m', { contextLength: 5 }), target('b/m')],
    provider: { preferred_max_latency: 0.5 },
    request: { inputTokens: 6 },
    router: { health: { 'a/m': { latencyMs: percentiles(1) }, 'b/m': { latencyMs: percentiles(900) } } },
    order: ['b/m', 'a/m'],
  },
  // models
  {
    what: 'models: the order of the client stays, whatever the price and the health',
    targets: twoModels,
    router: { health: { 'a/m': { state: 'open' }, 'b/m': { state: 'degraded' } } },
    order: ['b/m', 'a/m', 'c/m'],
  },
  {
    what: 'models: one that no target of can do what is asked keeps its place',
    targets: [
      target('a/m', { requested: 'first', supportedParameters: [] }),
      target('b/m', { requested: 'second', supportedParameters: ['tools'] }),
    ],
    request: { tools: [{ type: 'function', name: 'f' }] },
    order: ['a/m', 'b/m'],
  },
  {
    what: 'models: a target is with its model, wherever it stands',
    targets: [target('a/m', { requested: 'x' }), target('b/m', { requested: 'y' }), target('c/m', { requested: 'x' })],
    order: ['a/m', 'c/m', 'b/m'],
  },
]

describe('provider preferences that order', () => {
  for (const { what, targets = plain, provider, request, router, order, warned = [] } of cases)
    it(what, async () => {
      const routed = await route(targets, { ...(provider && { provider }), ...request }, router)
      assert.deepEqual(routed.names, order)
      assert.deepEqual(routed.removed, {})
      assert.deepEqual(routed.warnings.map(({ param }: Warning) => param), warned) // prettier-ignore
      for (const { code, message } of routed.warnings) {
        assert.equal(code, 'preference_not_applied')
        assert.match(message, /: ./)
      }
    })

  it('names no more than a few strange slugs, and little of each', async () => {
    const order = Array.from({ length: 8 }, (_, index) => `${index}`.repeat(100))
    const [warning] = (await route(plain, { provider: { order } })).warnings
    assert.match(warning!.message, /"0{64}", "1{64}", "2{64}", "3{64}", "4{64}", and 3 more$/)
  })
})

describe('balance', () => {
  /** How often each target came first in 1,000 draws spread evenly. */
  async function firsts(targets: readonly Target[], init: RouterInit = {}): Promise<Record<string, number>> {
    let draw = 0
    const router = await startRouter({ ...init, random: () => (draw++ + 0.5) / 1000 })
    const counts: Record<string, number> = {}
    for (let round = 0; round < 1000; round++) {
      const [first] = router.route(targets).names
      counts[first!] = (counts[first!] ?? 0) + 1
    }
    return counts
  }

  it('price: a target is likelier by the inverse square of its price', async () => {
    assert.deepEqual(await firsts([target('a/m', { price: 1 }), target('b/m', { price: 3 })]), {
      'a/m': 900,
      'b/m': 100,
    })
    assert.deepEqual(await firsts([target('a/m', { price: 2 }), target('b/m', { price: 2 })]), {
      'a/m': 500,
      'b/m': 500,
    })
  })

  it('price: the others follow by price', async () => {
    const { names } = await route(priced, {}, { random: () => 0.999 })
    assert.deepEqual(names, ['a/m', 'b/m', 'c/m'])
    assert.deepEqual((await route(priced)).names, ['b/m', 'c/m', 'a/m'])
  })

  it('price: nothing competes with what is free', async () => {
    const free = [target('a/m', { price: 1 }), target('b/m', { price: 0 }), target('c/m', { price: 0 })]
    assert.deepEqual(await firsts(free), { 'b/m': 500, 'c/m': 500 })
  })

  it('price: the order of the config holds where a price is not known', async () => {
    assert.deepEqual(await firsts([...priced, target('d/m')]), { 'a/m': 1000 })
  })

  it('price: only healthy targets take part, and each model has its own draw', async () => {
    const health = { 'b/m': { state: 'degraded' } } as const
    assert.deepEqual(await firsts([priced[0]!, priced[1]!], { health }), { 'a/m': 1000 })
    const models = [...priced, target('d/m', { requested: 'other', price: 1 }), target('e/m', { requested: 'other', price: 1 })] // prettier-ignore
    assert.deepEqual((await route(models, {}, { random: () => 0.999 })).names, ['a/m', 'b/m', 'c/m', 'e/m', 'd/m'])
  })

  it('price: what the operator prefers is not drawn against', async () => {
    assert.deepEqual(await firsts(priced, { options: { prefer: ['a'] } }), { 'a/m': 1000 })
  })

  it('weights: of the catalog or the options, which win; the others are fallbacks', async () => {
    const weighted = [target('a/m', { weight: 1 }), target('b/m', { weight: 3, price: 1 }), target('c/m')]
    assert.deepEqual(await firsts(weighted), { 'a/m': 250, 'b/m': 750 })
    assert.deepEqual((await route(weighted)).names, ['b/m', 'a/m', 'c/m'])
    assert.deepEqual((await route(weighted, {}, { random: () => 0.8 })).names, ['a/m', 'b/m', 'c/m'])
    const options = { weights: { b: 1, 'c/m': 2, 'a/m': 1 } }
    assert.deepEqual(await firsts(weighted, { options }), { 'a/m': 250, 'b/m': 250, 'c/m': 500 })
    assert.deepEqual(await firsts(plain, { options: { weights: { a: 0, b: 1 } } }), { 'b/m': 1000 })
    assert.deepEqual(await firsts(plain, { options: { weights: { a: 0 } } }), { 'a/m': 1000 })
  })

  it('weights: prices do not count, the order of the config does', async () => {
    assert.deepEqual(await firsts(priced, { options: { balance: 'weights' } }), { 'a/m': 1000 })
    assert.deepEqual((await route(priced, {}, { options: { balance: 'weights' } })).names, ['a/m', 'b/m', 'c/m'])
  })

  it('order: neither weights nor prices count', async () => {
    const options = { balance: 'order', weights: { c: 5 } }
    assert.deepEqual(await firsts(priced, { options }), { 'a/m': 1000 })
    assert.deepEqual((await route(priced, {}, { options })).names, ['a/m', 'b/m', 'c/m'])
  })
})

describe('what explain tells', () => {
  it('is how the first model is ordered', async () => {
    const explained = async (request: RequestInit, init: RouterInit = {}, targets = priced) => {
      const router = await startRouter(init)
      return router.hooks.explain?.(router.route(targets, request).exchange, {})
    }
    assert.deepEqual(await explained({}), { ordered_by: 'balance price', first_is_random: true })
    assert.deepEqual(await explained({}, {}, plain), { ordered_by: 'balance order', first_is_random: false })
    const weights = { options: { weights: { a: 1 } } }
    assert.deepEqual(await explained({}, weights), { ordered_by: 'balance weights', first_is_random: true })
    const sort = { provider: { sort: 'price' } }
    assert.deepEqual(await explained(sort), { ordered_by: 'sort price', first_is_random: false })
    const order = { provider: { order: ['a'] } }
    assert.deepEqual(await explained(order), { ordered_by: 'provider.order', first_is_random: false })
    assert.equal(await explained({ provider: { only: ['x'] } }), undefined)
  })
})
