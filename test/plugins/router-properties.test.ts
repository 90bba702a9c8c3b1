/** What holds for every list of targets and every mix of preferences. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { JsonObject, ModelInfo, Target } from '@hadrian/core/plugin'
import * as fc from 'fast-check'
import { percentiles } from './fixed-health.ts'
import type { KnownHealth } from './fixed-health.ts'
import { startRouter, target } from './routed-request.ts'
import type { RequestInit } from './routed-request.ts'

const slugs = ['a', 'a/eu', 'a/us', 'b', 'b/priority', 'c', 'c/flex'] as const
const quantizations = ['fp4', 'mxfp4', 'fp8', 'bf16'] as const
const models = ['first', 'second', 'third'] as const

/** An arbitrary that leaves the value out half of the time. */
function maybe<T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.option(value, { nil: undefined, freq: 1 })
}

/** Without the keys that are undefined. */
function present<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never
}

const infos = fc
  .record({
    slug: maybe(fc.constantFrom(...slugs)),
    price: maybe(fc.constantFrom(0, 1, 2, 3)),
    weight: fc.option(fc.constantFrom(0, 1, 2), { nil: undefined, freq: 9 }),
    contextLength: maybe(fc.nat(20)),
    maxOutputTokens: maybe(fc.nat(20)),
    supportedParameters: maybe(fc.subarray(['tools', 'seed', 'max_tokens'])),
    quantization: maybe(fc.constantFrom(...quantizations)),
    distillable: maybe(fc.boolean()),
    dataPolicy: maybe(fc.record({ training: maybe(fc.boolean()), retentionDays: maybe(fc.nat(1)) }).map(present)),
  })
  .map(present)

const suffixes = fc.option(fc.constantFrom('nitro' as const, 'floor' as const), { nil: undefined, freq: 5 })

/** All targets of one requested name have the suffix of that name. */
const targetLists = fc
  .tuple(
    fc.array(fc.record({ info: infos, requested: fc.constantFrom(...models) }), { minLength: 1, maxLength: 8 }),
    fc.array(suffixes, { minLength: models.length, maxLength: models.length }),
  )
  .map(([entries, suffixOf]) =>
    entries
      .map(({ info, requested }, index) => {
        const suffix = suffixOf[models.indexOf(requested)]
        return target(`provider-${index}/m`, { ...(info as Partial<ModelInfo>), requested, ...(suffix && { suffix }) })
      })
      .toSorted((one, other) => models.indexOf(one.requested as never) - models.indexOf(other.requested as never)),
  )

const healths = fc.array(
  fc
    .record({
      state: fc.constantFrom('healthy' as const, 'degraded' as const, 'open' as const),
      latencyMs: maybe(fc.nat(2000).map((milliseconds) => percentiles(milliseconds))),
      throughput: maybe(fc.nat(100).map((rate) => percentiles(rate))),
    })
    .map(present),
  { minLength: 8, maxLength: 8 },
)

const preferences: fc.Arbitrary<JsonObject> = fc
  .record({
    order: maybe(fc.subarray([...slugs])),
    only: fc.option(fc.subarray([...slugs], { minLength: 3 }), { nil: undefined, freq: 2 }),
    ignore: fc.option(fc.subarray([...slugs], { maxLength: 2 }), { nil: undefined, freq: 2 }),
    allow_fallbacks: maybe(fc.boolean()),
    require_parameters: maybe(fc.boolean()),
    data_collection: fc.option(fc.constantFrom('allow', 'deny'), { nil: undefined, freq: 4 }),
    zdr: fc.option(fc.boolean(), { nil: undefined, freq: 4 }),
    enforce_distillable_text: fc.option(fc.boolean(), { nil: undefined, freq: 4 }),
    quantizations: fc.option(fc.subarray(['unknown', ...quantizations]), { nil: undefined, freq: 4 }),
    sort: maybe(
      fc.oneof(
        fc.constantFrom('price', 'throughput', 'latency', 'exacto'),
        fc.record({ by: fc.constantFrom('price', 'latency'), partition: fc.constantFrom('model', 'none') }),
      ),
    ),
    preferred_max_latency: maybe(fc.constantFrom(0.5, 1, 2)),
    preferred_min_throughput: maybe(fc.constantFrom(10, 50)),
    max_price: fc.option(fc.record({ prompt: fc.constantFrom(1, 2, 3) }), { nil: undefined, freq: 4 }),
  })
  .map(present)

/** Whether a base slug or the slug itself names the target, told in another way than the router does. */
function named(list: readonly string[], { info, provider }: Target): boolean {
  const slug = info?.slug ?? provider
  const isTier = /\/(priority|flex)$/.test(slug)
  return list.some((each) => each === slug || (!isTier && slug.split('/')[0] === each))
}

/** Whether a target may serve under the hard preferences. */
function mayServe(one: Target, provider: JsonObject, request: RequestInit): boolean {
  const { info } = one
  const { only, ignore, order } = provider as Record<string, readonly string[] | undefined>
  if (only && !named(only, one)) return false
  if (ignore && named(ignore, one)) return false
  const days = info?.dataPolicy?.retentionDays
  if (provider['zdr'] === true && (days !== 0 || info?.dataPolicy?.training === true)) return false
  if (provider['data_collection'] === 'deny' && (days !== 0 || info?.dataPolicy?.training !== false)) return false
  if (provider['enforce_distillable_text'] === true && info?.distillable !== true) return false
  const quantization = info?.quantization ?? 'unknown'
  const wanted = provider['quantizations'] as readonly string[] | undefined
  if (wanted && !wanted.includes(quantization) && !(wanted.includes('fp4') && quantization === 'mxfp4')) return false
  const most = (provider['max_price'] as { readonly prompt: number } | undefined)?.prompt
  if (most !== undefined && (info?.prices === undefined || info.prices.input > most * 1e6)) return false
  if (provider['require_parameters'] === true) {
    const sent = [request.tools && 'tools', request.maxOutputTokens !== undefined && 'max_tokens']
    const known = info?.supportedParameters
    if (known && sent.some((name) => typeof name === 'string' && !known.includes(name))) return false
    if (request.losses?.[one.name]) return false
  }
  return !(provider['allow_fallbacks'] === false && order && order.length > 0 && !named(order, one))
}

void test('no hard preference is violated, nothing is added or doubled, and what is gone has a reason', async () => {
  await fc.assert(
    fc.asyncProperty(
      targetLists,
      healths,
      preferences,
      fc.record({ tools: fc.boolean(), maxOutputTokens: maybe(fc.nat(20)), lossy: fc.nat(9) }),
      fc.record({ balance: fc.constantFrom('price', 'weights', 'order'), prefer: fc.subarray(['provider-1', '*/m']) }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      async (targets, known, provider, { tools, maxOutputTokens, lossy }, options, draw) => {
        const health = Object.fromEntries(known.map((each, index) => [`provider-${index}/m`, each as KnownHealth]))
        const request: RequestInit = {
          provider,
          inputTokens: 10,
          ...(tools && { tools: [{ type: 'function', name: 'f' }] }),
          ...(maxOutputTokens !== undefined && { maxOutputTokens }),
          losses: { [`provider-${lossy}/m`]: [{ code: 'unsupported_parameter', message: 'lost' }] },
        }
        const router = await startRouter({ options, health, random: () => draw })
        const { names, removed } = router.route(targets, request)

        assert.equal(new Set(names).size, names.length)
        const byName = new Map(targets.map((each) => [each.name, each]))
        for (const name of names) assert.ok(mayServe(byName.get(name)!, provider, request), `${name} may not serve`)
        const gone = targets.filter(({ name }) => !names.includes(name))
        assert.deepEqual(Object.keys(removed).toSorted(), gone.map(({ name }) => name).toSorted())
        for (const reason of Object.values(removed)) assert.match(reason, /^(provider\.[a-z_]+|service.tier)/)
        for (const { name } of gone)
          if (mayServe(byName.get(name)!, provider, request))
            assert.match(removed[name]!, /service.tier|allow_fallbacks/)
        if (provider['allow_fallbacks'] === false && !(provider['order'] as unknown[] | undefined)?.length)
          assert.ok(names.length <= 1)

        const mixes = (provider['sort'] as JsonObject | undefined)?.['partition'] === 'none'
        const speeds = 'preferred_max_latency' in provider || 'preferred_min_throughput' in provider
        if (mixes || speeds) return
        const places = names.map((name) => models.indexOf(byName.get(name)!.requested as never))
        assert.deepEqual(
          places,
          places.toSorted((one, other) => one - other),
          'models keep the order of the client',
        )
      },
    ),
    { numRuns: 2000 },
  )
})

void test('routing the result again, with the same draw, changes nothing', async () => {
  await fc.assert(
    fc.asyncProperty(targetLists, healths, preferences, async (targets, known, provider) => {
      const health = Object.fromEntries(known.map((each, index) => [`provider-${index}/m`, each as KnownHealth]))
      const router = await startRouter({ health, options: { balance: 'order' } })
      const { names } = router.route(targets, { provider })
      const again = names.map((name) => targets.find((each) => each.name === name)!)
      assert.deepEqual(router.route(again, { provider }).names, names)
    }),
    { numRuns: 500 },
  )
})
