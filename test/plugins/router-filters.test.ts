/** Every key of `provider` that takes targets off, and the reasons it gives. */

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { JsonObject, ModelPrices, Target } from '@hadrian/core/plugin'
import { route, target } from './routed-request.ts'
import type { RequestInit } from './routed-request.ts'

interface Case {
  readonly what: string
  readonly provider?: JsonObject
  readonly request?: RequestInit
  readonly targets: readonly Target[]
  readonly left: readonly string[]
  readonly removed?: Readonly<Record<string, string>>
}

const slugged = [
  target('azure-1/m', { slug: 'azure/eu' }),
  target('azure-2/m', { slug: 'azure/us' }),
  target('azure-3/m', { slug: 'azure/priority' }),
  target('azure-else/m'),
]
const policies = [
  target('a/trains', { dataPolicy: { training: true, retentionDays: 0 } }),
  target('b/keeps', { dataPolicy: { training: false, retentionDays: 30 } }),
  target('c/clean', { dataPolicy: { training: false, retentionDays: 0 } }),
  target('d/forgets', { dataPolicy: { retentionDays: 0 } }),
  target('e/unknown', { dataPolicy: { training: false } }),
  target('f/blank'),
]
const quantized = ['int4', 'fp4', 'mxfp4', 'nvfp4', 'fp8', 'mxfp8', 'bf16']
  .map((quantization) => target(`${quantization}/m`, { quantization }))
  .concat(target('none/m'))

function priced(prices: Partial<ModelPrices>): ModelPrices {
  return { input: 1_000_000, output: 2_000_000, ...prices }
}

const cases: readonly Case[] = [
  {
    what: 'only: a base slug means every region and variant, and no service tier',
    provider: { only: ['azure'] },
    targets: slugged,
    left: ['azure-1/m', 'azure-2/m'],
    removed: { 'azure-3/m': 'service tier "priority" was not asked for', 'azure-else/m': 'provider.only' },
  },
  {
    what: 'only: a full slug means that target, a tier too',
    provider: { only: ['azure/us', 'azure/priority'] },
    targets: slugged,
    left: ['azure-2/m', 'azure-3/m'],
  },
  { what: 'only: case does not matter', provider: { only: ['AZURE/Us'] }, targets: slugged, left: ['azure-2/m'] },
  { what: 'only: a longer slug means nothing', provider: { only: ['azure-else/eu'] }, targets: slugged, left: [] },
  { what: 'only: an empty list allows nobody', provider: { only: [] }, targets: slugged, left: [] },
  {
    what: 'only: without a slug the instance has its name',
    provider: { only: ['azure-else', 'azure-1'] },
    targets: slugged,
    left: ['azure-else/m'],
  },
  {
    what: 'ignore: a base slug means every region and variant',
    provider: { ignore: ['azure'] },
    targets: slugged,
    left: ['azure-else/m'],
    removed: { 'azure-1/m': 'provider.ignore: azure' },
  },
  {
    what: 'ignore: a full slug means that target',
    provider: { ignore: ['azure/eu'] },
    targets: slugged,
    left: ['azure-2/m', 'azure-else/m'],
  },
  {
    what: 'ignore wins over only',
    provider: { only: ['azure'], ignore: ['azure/eu'] },
    targets: slugged,
    left: ['azure-2/m'],
  },
  {
    what: 'data_collection allow: the default',
    provider: { data_collection: 'allow' },
    targets: policies,
    left: policies.map(({ name }) => name),
  },
  {
    what: 'data_collection deny: who trains, keeps or is not known goes',
    provider: { data_collection: 'deny' },
    targets: policies,
    left: ['c/clean'],
    removed: {
      'a/trains': 'provider.data_collection: prompts may be trained on',
      'b/keeps': 'provider.data_collection: prompts are kept for 30 days',
      'd/forgets': 'provider.data_collection: it is not known whether prompts are trained on',
      'e/unknown': 'provider.data_collection: it is not known how long prompts are kept',
      'f/blank': 'provider.data_collection: it is not known whether prompts are trained on',
    },
  },
  {
    what: 'zdr: who keeps prompts or is not known goes',
    provider: { zdr: true },
    targets: policies,
    left: ['c/clean', 'd/forgets'],
    removed: {
      'a/trains': 'provider.zdr: prompts may be trained on',
      'b/keeps': 'provider.zdr: prompts are kept for 30 days',
      'e/unknown': 'provider.zdr: it is not known how long prompts are kept',
      'f/blank': 'provider.zdr: it is not known how long prompts are kept',
    },
  },
  { what: 'zdr false: nothing', provider: { zdr: false }, targets: policies, left: policies.map(({ name }) => name) },
  {
    what: 'enforce_distillable_text: only who is known to allow it stays',
    provider: { enforce_distillable_text: true },
    targets: [target('a/m', { distillable: true }), target('b/m', { distillable: false }), target('c/m')],
    left: ['a/m'],
    removed: {
      'b/m': 'provider.enforce_distillable_text: the author does not allow it',
      'c/m': 'provider.enforce_distillable_text: it is not known whether the author allows it',
    },
  },
  {
    what: 'quantizations: fp4 has a family',
    provider: { quantizations: ['fp4'] },
    targets: quantized,
    left: ['fp4/m', 'mxfp4/m', 'nvfp4/m'],
    removed: { 'int4/m': 'provider.quantizations: int4', 'none/m': 'provider.quantizations: unknown' },
  },
  {
    what: 'quantizations: fp8 has a family',
    provider: { quantizations: ['fp8'] },
    targets: quantized,
    left: ['fp8/m', 'mxfp8/m'],
  },
  {
    what: 'quantizations: a member is not its family',
    provider: { quantizations: ['mxfp4', 'bf16'] },
    targets: quantized,
    left: ['mxfp4/m', 'bf16/m'],
  },
  {
    what: 'quantizations: unknown is what is not known',
    provider: { quantizations: ['unknown', 'int4'] },
    targets: quantized,
    left: ['int4/m', 'none/m'],
  },
  {
    what: 'max_price: prompt and completion in dollars per million tokens',
    provider: { max_price: { prompt: 1, completion: 2 } },
    targets: [
      target('a/exact', { prices: priced({}) }),
      target('b/prompt', { prices: priced({ input: 2_500_000 }) }),
      target('c/completion', { prices: priced({ output: 2_000_001 }) }),
      target('d/unknown'),
    ],
    left: ['a/exact'],
    removed: {
      'b/prompt': 'provider.max_price.prompt: 2.5 > 1',
      'c/completion': 'provider.max_price.completion: 2.000001 > 2',
      'd/unknown': 'provider.max_price.prompt: the price is not known',
    },
  },
  {
    what: 'max_price: takes strings too',
    provider: { max_price: { prompt: '0.5' } },
    targets: [target('a/m', { price: 0.5 }), target('b/m', { price: 0.6 })],
    left: ['a/m'],
  },
  {
    what: 'max_price: request and image, which cost nothing where they have no price',
    provider: { max_price: { request: 0.01, image: 0.02 } },
    targets: [
      target('a/plain', { prices: priced({}) }),
      target('b/request', { prices: priced({ request: 10_001 }) }),
      target('c/image', { prices: priced({ image: 30_000 }) }),
      target('d/exact', { prices: priced({ request: 10_000, image: 20_000 }) }),
      target('e/unknown'),
    ],
    left: ['a/plain', 'd/exact'],
    removed: {
      'b/request': 'provider.max_price.request: 0.010001 > 0.01',
      'c/image': 'provider.max_price.image: 0.03 > 0.02',
      'e/unknown': 'provider.max_price.request: the price is not known',
    },
  },
  {
    what: 'max_price: audio, charged as text where it has no price, unless the model is deaf',
    provider: { max_price: { audio: 1 } },
    targets: [
      target('a/text', { prices: priced({}) }),
      target('b/dear', { prices: priced({ input: 5_000_000 }) }),
      target('c/deaf', { prices: priced({ input: 5_000_000 }), inputModalities: ['text'] }),
      target('d/audio', { prices: priced({ audioInput: 1_500_000 }) }),
      target('e/speaks', { prices: priced({ audioOutput: 9_000_000 }) }),
      target('f/speaks', { prices: priced({}), outputModalities: ['text', 'audio'] }),
    ],
    left: ['a/text', 'c/deaf'],
    removed: {
      'b/dear': 'provider.max_price.audio: 5 > 1',
      'd/audio': 'provider.max_price.audio: 1.5 > 1',
      'e/speaks': 'provider.max_price.audio: 9 > 1',
      'f/speaks': 'provider.max_price.audio: 2 > 1',
    },
  },
  {
    what: 'max_price: the price of a tier that a long input may reach',
    provider: { max_price: { prompt: 1 } },
    request: { inputTokens: 100 },
    targets: [
      target('a/near', { prices: priced({ tiers: [{ aboveInputTokens: 400, input: 3_000_000, output: 1 }] }) }),
      target('b/reached', { prices: priced({ tiers: [{ aboveInputTokens: 399, input: 3_000_000, output: 1 }] }) }),
    ],
    left: ['a/near'],
    removed: { 'b/reached': 'provider.max_price.prompt: 3 > 1' },
  },
  {
    what: 'require_parameters: who is known to lack one that was sent goes, the unknown stay',
    provider: { require_parameters: true },
    request: { seed: 1, topK: 5 },
    targets: [
      target('a/both', { supportedParameters: ['seed', 'top_k'] }),
      target('b/seed', { supportedParameters: ['seed'] }),
      target('c/unknown'),
    ],
    left: ['a/both', 'c/unknown'],
    removed: { 'b/seed': 'provider.require_parameters: top_k is not supported' },
  },
  {
    what: 'require_parameters: who would leave something out goes',
    provider: { require_parameters: true },
    request: {
      losses: { 'a/m': [{ code: 'unsupported_parameter', message: 'The upstream does not take seed', param: 'seed' }] },
    },
    targets: [target('a/m'), target('b/m')],
    left: ['b/m'],
    removed: { 'a/m': 'provider.require_parameters: seed would be left out' },
  },
  {
    what: 'require_parameters false: nothing',
    provider: { require_parameters: false },
    request: { seed: 1, losses: { 'a/m': [{ code: 'unsupported_parameter', message: 'no seed' }] } },
    targets: [target('a/m', { supportedParameters: [] }), target('b/m')],
    left: ['a/m', 'b/m'],
  },
  {
    what: 'allow_fallbacks false: the first alone',
    provider: { allow_fallbacks: false },
    targets: [target('a/m', { price: 2 }), target('b/m', { price: 1 }), target('c/m', { requested: 'other' })],
    left: ['b/m'],
    removed: {
      'a/m': 'provider.allow_fallbacks: only the first target may serve',
      'c/m': 'provider.allow_fallbacks: only the first target may serve',
    },
  },
  {
    what: 'allow_fallbacks false with order: those of the order alone',
    provider: { allow_fallbacks: false, order: ['c', 'a'] },
    targets: [target('a/m'), target('b/m'), target('c/m')],
    left: ['c/m', 'a/m'],
    removed: { 'b/m': 'provider.allow_fallbacks: it is not in provider.order' },
  },
  {
    what: 'allow_fallbacks false with an order that nobody is in: nobody',
    provider: { allow_fallbacks: false, order: ['x'] },
    targets: [target('a/m')],
    left: [],
  },
  {
    what: 'allow_fallbacks true: all',
    provider: { allow_fallbacks: true },
    targets: [target('a/m'), target('b/m')],
    left: ['a/m', 'b/m'],
  },
  {
    what: 'null is not set',
    provider: {
      only: null,
      ignore: null,
      order: null,
      zdr: null,
      quantizations: null,
      max_price: null,
      sort: null,
      data_collection: null,
      require_parameters: null,
      enforce_distillable_text: null,
      allow_fallbacks: null,
    },
    targets: [target('a/m'), target('b/m')],
    left: ['a/m', 'b/m'],
  },
]

describe('provider preferences that filter', () => {
  for (const { what, provider, request, targets, left, removed } of cases)
    it(what, async () => {
      const routed = await route(targets, { ...(provider && { provider }), ...request })
      assert.deepEqual(routed.names, left)
      for (const [name, reason] of Object.entries(removed ?? {})) assert.equal(routed.removed[name], reason)
      const gone = targets.map(({ name }) => name).filter((name) => !left.includes(name))
      assert.deepEqual(Object.keys(routed.removed).toSorted(), gone.toSorted(), 'every target gone has a reason')
      // A single target is filtered like any other.
      for (const one of targets.filter(({ name }) => name in (removed ?? {}))) {
        if (routed.removed[one.name]!.match(/allow_fallbacks|service tier/)) continue
        const alone = await route([one], { ...(provider && { provider }), ...request })
        assert.deepEqual(alone.removed, { [one.name]: routed.removed[one.name] })
      }
    })

  const sent: Readonly<Record<string, RequestInit>> = {
    tools: { tools: [{ type: 'function', name: 'f' }] },
    tool_choice: { toolChoice: 'none' },
    parallel_tool_calls: { parallelToolCalls: false },
    response_format: { responseFormat: { type: 'json_object' } },
    structured_outputs: { responseFormat: { type: 'json_schema', name: 'x' } },
    reasoning: { reasoning: { effort: 'low' } },
    verbosity: { verbosity: 'low' },
    max_tokens: { maxOutputTokens: 5 },
    temperature: { temperature: 0 },
    top_p: { topP: 0.5 },
    top_k: { topK: 0 },
    min_p: { minP: 0 },
    frequency_penalty: { frequencyPenalty: 0 },
    presence_penalty: { presencePenalty: 0 },
    seed: { seed: 0 },
    stop: { stop: ['x'] },
    logprobs: { logprobs: true },
    top_logprobs: { topLogprobs: 1 },
    logit_bias: { logitBias: { 1: 1 } },
    top_a: { extra: { top_a: 0.1 } },
    repetition_penalty: { extra: { repetition_penalty: 1 } },
    prediction: { extra: { prediction: {} } },
    modalities: { extra: { modalities: ['text'] } },
    audio: { extra: { audio: {} } },
    web_search_options: { extra: { web_search_options: {} } },
    dimensions: { extra: { dimensions: 5 } },
  }
  for (const [name, request] of Object.entries(sent))
    it(`require_parameters knows ${name}`, async () => {
      const targets = [target('a/m', { supportedParameters: [] }), target('b/m', { supportedParameters: [name] })]
      const { names, removed } = await route(targets, { provider: { require_parameters: true }, ...request })
      assert.deepEqual(names, ['b/m'])
      assert.equal(removed['a/m'], `provider.require_parameters: ${name} is not supported`)
    })

  it('require_parameters asks nothing for what only the gateway reads', async () => {
    const targets = [target('a/m', { supportedParameters: [] })]
    const request = { user: 'u', metadata: {}, n: 2, store: false, extra: { session_id: 's', prediction: null } }
    assert.deepEqual((await route(targets, { provider: { require_parameters: true }, ...request })).names, ['a/m'])
  })
})

describe('service tiers', () => {
  const tiers = [
    target('a/m', { slug: 'openai' }),
    target('b/m', { slug: 'openai/priority' }),
    target('c/m', { slug: 'openai/flex' }),
    target('d/m'),
  ]
  const names = async (request: RequestInit, from = tiers) => (await route(from, request)).names

  it('stay out unless they are asked for', async () => {
    assert.deepEqual(await names({}), ['a/m', 'd/m'])
    assert.deepEqual(await names({ provider: { order: ['openai/flex'] } }), ['c/m', 'a/m', 'd/m'])
    assert.deepEqual(await names({ provider: { order: ['openai'] } }), ['a/m', 'd/m'])
  })

  it('come in by service_tier: priority first, flex alone', async () => {
    assert.deepEqual(await names({ serviceTier: 'priority' }), ['b/m', 'a/m', 'd/m'])
    assert.deepEqual(await names({ serviceTier: 'fast' }), ['b/m', 'a/m', 'd/m'])
    assert.deepEqual(await names({ serviceTier: 'flex' }), ['c/m'])
    assert.deepEqual(await names({ serviceTier: 'auto' }), ['a/m', 'd/m'])
    assert.deepEqual(await names({ serviceTier: 'flex' }, [tiers[0]!, tiers[3]!]), ['a/m', 'd/m'])
  })

  it('come in by the suffix, unless an order is given', async () => {
    const suffixed = (suffix: 'nitro' | 'floor') => tiers.map((each) => ({ ...each, suffix }))
    assert.deepEqual(await names({}, suffixed('nitro')), ['a/m', 'b/m', 'd/m'])
    assert.deepEqual(await names({}, suffixed('floor')), ['a/m', 'c/m', 'd/m'])
    assert.deepEqual(await names({ provider: { order: ['d'] } }, suffixed('nitro')), ['d/m', 'a/m'])
  })

  it('serve a model that has no other target', async () => {
    assert.deepEqual(await names({}, [tiers[1]!]), ['b/m'])
    assert.deepEqual(await names({}, [tiers[1]!, tiers[2]!]), ['b/m', 'c/m'])
  })
})
