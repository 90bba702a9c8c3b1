import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import type { JsonObject, ModelPrices, PriceTier, RequestMistake, Usage } from '../../core/contract/plugin.ts'
import { pricesBody, readPrices } from '../../core/contract/plugin.ts'
import { priceCeilingOf, priceOf } from '../../core/services/prices.ts'
import { fakeProvider, harness, textEvents } from '../../core/testing/index.ts'

describe('prices', () => {
  const prices: ModelPrices = {
    input: 2_500_000,
    output: 10_000_000,
    cachedInput: 250_000,
    cacheWrite: 3_125_000,
    request: 5,
  }

  const table: readonly (readonly [what: string, prices: ModelPrices, usage: Usage, micros: number])[] = [
    ['input and output', { input: 2_500_000, output: 10_000_000 }, { inputTokens: 1_000, outputTokens: 100 }, 3_500],
    ['nothing', { input: 2_500_000, output: 10_000_000 }, { inputTokens: 0, outputTokens: 0 }, 0],
    ['a fraction is rounded up', { input: 1, output: 0 }, { inputTokens: 1, outputTokens: 0 }, 1],
    ['cached and written input apart', prices, { inputTokens: 1_000, outputTokens: 0, cachedInputTokens: 400, cacheWriteTokens: 200 }, 400 * 2.5 + 400 * 0.25 + 200 * 3.125 + 5],
    ['cached input at the price of input where none is said', { input: 1_000_000, output: 0 }, { inputTokens: 10, outputTokens: 0, cachedInputTokens: 10 }, 10],
    ['per request', { input: 0, output: 0, request: 7 }, { inputTokens: 1, outputTokens: 1 }, 7],
    ['cache writes for an hour apart, and at most as many as were written', { input: 1_000_000, output: 0, cacheWrite: 2_000_000, cacheWrite1h: 3_000_000 }, { inputTokens: 30, outputTokens: 0, cacheWriteTokens: 20, cacheWrite1hTokens: 15 }, 10 + 5 * 2 + 15 * 3],
    ['cache writes for an hour as other writes where no price is said', { input: 1_000_000, output: 0, cacheWrite: 2_000_000 }, { inputTokens: 10, outputTokens: 0, cacheWriteTokens: 10, cacheWrite1hTokens: 10 }, 20],
    ['reasoning apart', { input: 0, output: 1_000_000, reasoning: 3_000_000 }, { inputTokens: 0, outputTokens: 100, reasoningTokens: 90 }, 10 + 270],
    ['audio apart', { input: 1_000_000, output: 2_000_000, audioInput: 10_000_000, audioOutput: 20_000_000 }, { inputTokens: 100, outputTokens: 50, audioInputTokens: 40, audioOutputTokens: 20 }, 60 + 400 + 60 + 400],
    ['audio as text where no price is said', { input: 1_000_000, output: 2_000_000 }, { inputTokens: 100, outputTokens: 50, audioInputTokens: 40, audioOutputTokens: 20 }, 200],
    ['audio that was cached is cached', { input: 1_000_000, output: 0, cachedInput: 100_000, audioInput: 10_000_000 }, { inputTokens: 100, outputTokens: 0, audioInputTokens: 100, cachedInputTokens: 90 }, 9 + 100],
    ['images', { input: 1_000_000, output: 0, image: 1_500 }, { inputTokens: 10, outputTokens: 0, images: 2 }, 3_010],
    ['more reasoning and audio than output', { input: 0, output: 1_000_000, reasoning: 2_000_000, audioOutput: 5_000_000 }, { inputTokens: 0, outputTokens: 10, reasoningTokens: 8, audioOutputTokens: 9 }, 16 + 10],
    ['counts that make no sense cost nothing', { input: 1_000_000, output: 1_000_000 }, { inputTokens: -5, outputTokens: Number.NaN }, 0],
    ['reasoning is part of output', prices, { inputTokens: 0, outputTokens: 100, reasoningTokens: 90 }, 1_005],
  ] // prettier-ignore
  for (const [what, each, usage, micros] of table) it(what, () => assert.equal(priceOf(each, usage), micros))

  it('are whole micro-dollars, never negative, and never fall with more tokens', () => {
    const tokens = fc.nat(10_000_000)
    const price = fc.nat(100_000_000)
    const usages = fc.record({
      inputTokens: tokens,
      outputTokens: tokens,
      cachedInputTokens: fc.option(tokens, { nil: undefined }),
      cacheWriteTokens: fc.option(tokens, { nil: undefined }),
      cacheWrite1hTokens: fc.option(tokens, { nil: undefined }),
      reasoningTokens: fc.option(tokens, { nil: undefined }),
      audioInputTokens: fc.option(tokens, { nil: undefined }),
    })
    const lists = fc.record({
      input: price,
      output: price,
      cachedInput: fc.option(price, { nil: undefined }),
      cacheWrite: fc.option(price, { nil: undefined }),
      request: fc.option(fc.nat(1_000), { nil: undefined }),
    })
    fc.assert(
      fc.property(usages, lists, tokens, (usage, list, more) => {
        const cost = priceOf(list, usage)
        assert.ok(Number.isSafeInteger(cost) && cost >= 0, `${cost}`)
        const output = { ...usage, outputTokens: usage.outputTokens + more } as Usage
        assert.ok(priceOf(list, output) >= cost)
        const input = { ...usage, inputTokens: usage.inputTokens + more } as Usage
        assert.ok(priceOf(list, input) >= cost)
      }),
    )
  })

  it('come from config in dollars per million, and into usage as dollars', async () => {
    await using gateway = await harness({
      provider: fakeProvider(() => textEvents('x', { inputTokens: 1_000, outputTokens: 100 })),
      config: {
        models: { 'fake/priced': { prices: { input_per_million: 2.5, output_per_million: 10, per_request: 0.001 } } },
      },
    })
    const { body, headers, outcome } = await gateway.send({ model: 'fake/priced' })
    assert.equal(outcome.usage?.costMicros, 4_500)
    assert.equal(headers['x-cost-micros'], '4500')
    assert.equal((body['usage'] as { cost: number }).cost, 0.0045)
    const free = await gateway.send({ model: 'fake/unknown' })
    assert.equal(free.outcome.usage?.costMicros, undefined)
    assert.equal((free.body['usage'] as { cost?: number }).cost, undefined)
  })

  describe('in tiers', () => {
    const tiered: ModelPrices = {
      input: 1_000_000,
      output: 2_000_000,
      cachedInput: 100_000,
      tiers: [
        { aboveInputTokens: 100, input: 3_000_000, output: 4_000_000, cachedInput: 300_000 },
        { aboveInputTokens: 200, input: 5_000_000, output: 6_000_000 },
      ],
    }
    const at = (inputTokens: number, more: Partial<Usage> = {}): number =>
      priceOf(tiered, { inputTokens, outputTokens: 10, ...more })

    it('have every token priced by the highest one below the input', () => {
      assert.deepEqual([at(0), at(100), at(101), at(200), at(201)], [20, 120, 303 + 40, 600 + 40, 1005 + 60])
    })

    it('count cached input among the input, and have a price of their own for it', () => {
      assert.equal(at(150, { cachedInputTokens: 50 }), 300 + 15 + 40)
      assert.equal(at(300, { cachedInputTokens: 100 }), 1500 + 60)
    })
  })

  it('are exact where products are too large for a number', () => {
    const counts = fc.oneof(fc.nat(1_000_000), fc.maxSafeNat())
    const rates = fc.oneof(fc.nat(100_000_000), fc.maxSafeNat())
    fc.assert(
      fc.property(counts, counts, rates, rates, (inputTokens, outputTokens, input, output) => {
        const perMillion = BigInt(inputTokens) * BigInt(input) + BigInt(outputTokens) * BigInt(output)
        const exact = (perMillion + 999_999n) / 1_000_000n
        const most = BigInt(Number.MAX_SAFE_INTEGER)
        assert.equal(BigInt(priceOf({ input, output }, { inputTokens, outputTokens })), exact > most ? most : exact)
      }),
    )
    // One token more than a whole number of micro-dollars, so large that a quotient would lose it.
    const [inputTokens, input] = [9_000_000_000_000_001, 1]
    assert.equal(priceOf({ input, output: 0 }, { inputTokens, outputTokens: 0 }), 9_000_000_001)
  })
})

/** Prices of every shape: any of the optional ones, up to three tiers, dearer or cheaper than what is below. */
function anyPrices(): fc.Arbitrary<ModelPrices> {
  const rate = fc.nat(50_000_000)
  const others = ['cachedInput', 'cacheWrite', 'cacheWrite1h', 'reasoning', 'audioInput', 'audioOutput'] as const
  const rates = fc.record(
    { input: rate, output: rate, ...Object.fromEntries(others.map((name) => [name, rate])) },
    { requiredKeys: ['input', 'output'] },
  ) as fc.Arbitrary<Omit<PriceTier, 'aboveInputTokens'>>
  const tiers = fc
    .uniqueArray(fc.record({ aboveInputTokens: fc.nat(3_000), rates }), {
      maxLength: 3,
      selector: ({ aboveInputTokens }) => aboveInputTokens,
    })
    .map((list) =>
      list
        .map((tier): PriceTier => ({ aboveInputTokens: tier.aboveInputTokens, ...tier.rates }))
        .sort((one, other) => one.aboveInputTokens - other.aboveInputTokens),
    )
  return fc
    .record({ rates, request: fc.option(fc.nat(10_000)), image: fc.option(fc.nat(10_000)), tiers })
    .map(({ rates: base, request, image, tiers: list }) => ({
      ...base,
      ...(request !== null && { request }),
      ...(image !== null && { image }),
      ...(list.length > 0 && { tiers: list }),
    }))
}

/** A way to split `total` into `parts` counts whose sum is at most that. */
function split(total: number, shares: readonly number[]): number[] {
  let left = total
  return shares.map((share) => {
    const part = Math.floor(left * share)
    left -= part
    return part
  })
}

describe('prices of the config', () => {
  it('have every field that there is', async () => {
    const tier = { above_input_tokens: 100, input_per_million: 2, output_per_million: 3, audio_input_per_million: 4 }
    const prices = {
      input_per_million: 1,
      output_per_million: 2,
      cached_input_per_million: 0.1,
      cache_write_per_million: 1.25,
      cache_write_1h_per_million: 2,
      reasoning_per_million: 3,
      audio_input_per_million: 4,
      audio_output_per_million: 5,
      per_request: 0.001,
      per_image: 0.002,
      tiers: [{ ...tier, above_input_tokens: 200 }, tier],
    }
    await using gateway = await harness({ config: { models: { 'fake/m': { prices } } } })
    const { catalog } = gateway.gateway.pipeline.services
    const known = catalog.prices(catalog.resolve('fake/m')[0]!)
    assert.deepEqual(pricesBody(known!), { ...prices, tiers: prices.tiers.toReversed() })
  })

  it('have no two tiers from the same count of tokens on', async () => {
    const tier = { above_input_tokens: 100, input_per_million: 2, output_per_million: 3 }
    const prices = { input_per_million: 1, output_per_million: 2, tiers: [tier, tier] }
    await assert.rejects(
      harness({ config: { models: { 'fake/m': { prices } } } }),
      /models\."fake\/m"\.prices\.tiers\[1\]\.above_input_tokens: is that of another tier too/,
    )
  })
})

describe('the ceiling of a price', () => {
  const share = fc.double({ min: 0, max: 1, noNaN: true })

  it('is never below what a call of at most these tokens costs, however they are split', () => {
    const shares = fc.tuple(share, share, share, share, share, share)
    fc.assert(
      fc.property(
        anyPrices(),
        fc.nat(5_000),
        fc.nat(5_000),
        fc.nat(3),
        fc.nat(100),
        fc.nat(100),
        shares,
        (...values) => {
          const [prices, inputTokens, outputTokens, images, lessInput, lessOutput, [a, b, c, d, e, f]] = values
          const input = Math.max(0, inputTokens - lessInput * 50)
          const output = Math.max(0, outputTokens - lessOutput * 50)
          const [cached, written, audioInput] = split(input, [a, b, c]) as [number, number, number]
          const [reasoning, audioOutput] = split(output, [d, e]) as [number, number]
          const usage: Usage = {
            inputTokens: input,
            outputTokens: output,
            cachedInputTokens: cached,
            cacheWriteTokens: written,
            cacheWrite1hTokens: Math.floor(written * f),
            audioInputTokens: audioInput,
            reasoningTokens: reasoning,
            audioOutputTokens: audioOutput,
            images: Math.max(0, images - 1),
          }
          const ceiling = priceCeilingOf(prices, { inputTokens, outputTokens, images })
          assert.ok(priceOf(prices, usage) <= ceiling, `${priceOf(prices, usage)} > ${ceiling}`)
        },
      ),
      { numRuns: 2_000 },
    )
  })

  it('is never below what a call of one kind of token alone costs', () => {
    fc.assert(
      fc.property(anyPrices(), fc.nat(5_000), (prices, tokens) => {
        const ceiling = priceCeilingOf(prices, { inputTokens: tokens, outputTokens: tokens })
        const all = { inputTokens: tokens, outputTokens: tokens }
        const inputs: Partial<Usage>[] = [
          {},
          { cachedInputTokens: tokens },
          { cacheWriteTokens: tokens },
          { cacheWriteTokens: tokens, cacheWrite1hTokens: tokens },
          { audioInputTokens: tokens },
        ]
        const outputs: Partial<Usage>[] = [{}, { reasoningTokens: tokens }, { audioOutputTokens: tokens }]
        const costs = inputs.flatMap((input) =>
          outputs.map((output) => priceOf(prices, { ...all, ...input, ...output })),
        )
        assert.ok(Math.max(...costs) <= ceiling)
        if (!prices.tiers) assert.equal(Math.max(...costs), ceiling)
      }),
    )
  })

  it('is reached by some call', () => {
    const prices: ModelPrices = {
      input: 1_000_000,
      output: 2_000_000,
      cacheWrite: 1_250_000,
      reasoning: 3_000_000,
      request: 7,
      image: 11,
    }
    const usage = { inputTokens: 80, outputTokens: 10, cacheWriteTokens: 80, reasoningTokens: 10, images: 2 }
    const ceiling = priceCeilingOf(prices, { inputTokens: 80, outputTokens: 10, images: 2 })
    assert.equal(ceiling, priceOf(prices, usage))
    assert.equal(ceiling, 100 + 30 + 7 + 22)
  })

  it('takes a dear lower tier for as much input as it is for, and no tier that the input cannot reach', () => {
    const tiers = [{ aboveInputTokens: 100, input: 1_000_000, output: 1_000_000 }]
    const prices = { input: 10_000_000, output: 1_000_000, tiers }
    assert.equal(priceCeilingOf(prices, { inputTokens: 500, outputTokens: 1 }), 1_001)
    assert.equal(priceCeilingOf(prices, { inputTokens: 5_000, outputTokens: 1 }), 5_001)
    assert.equal(priceCeilingOf({ ...tiers[0]!, input: 1, tiers }, { inputTokens: 100, outputTokens: 0 }), 1)
  })
})

describe('prices as JSON', () => {
  const read = (body: JsonObject): readonly [ModelPrices | undefined, readonly RequestMistake[]] => {
    const mistakes: RequestMistake[] = []
    return [readPrices(body, '', (mistake) => mistakes.push(mistake)), mistakes]
  }

  it('come back as they were', () => {
    fc.assert(
      fc.property(anyPrices(), (prices) => {
        assert.deepEqual(read(JSON.parse(JSON.stringify(pricesBody(prices))) as JsonObject), [prices, []])
      }),
    )
  })

  it('are read with every mistake named', () => {
    const tier = { above_input_tokens: 5, input_per_million: 1, output_per_million: 1 }
    const [prices, mistakes] = read({
      input_per_million: -1,
      per_image: 'free',
      reasoning_per_million: null,
      tiers: [tier, { above_input_tokens: 1.5, input_per_million: 1, output_per_million: 1, cheap: 1 }, tier, 3],
    })
    assert.equal(prices, undefined)
    assert.deepEqual(mistakes.map(({ path }) => path).toSorted(), [
      'input_per_million',
      'output_per_million',
      'per_image',
      'tiers[1].above_input_tokens',
      'tiers[1].cheap',
      'tiers[2].above_input_tokens',
      'tiers[3]',
    ])
    assert.deepEqual(
      read({ input_per_million: 1, output_per_million: 1, tiers: {} })[1].map(({ path }) => path),
      ['tiers'],
    )
  })

  it('have their tiers sorted', () => {
    const tiers = [9, 3].map((above) => ({ above_input_tokens: above, input_per_million: 1, output_per_million: 1 }))
    const [prices] = read({ input_per_million: 1, output_per_million: 1, tiers })
    assert.deepEqual(
      prices?.tiers?.map(({ aboveInputTokens }) => aboveInputTokens),
      [3, 9],
    )
  })
})
