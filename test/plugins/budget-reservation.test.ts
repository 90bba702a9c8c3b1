import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import type { BillableCall, GenerateRequest, Target } from '../../core/contract/plugin.ts'
import { CallQuote } from '../../plugins/budget/reservation.ts'
import type { ReservationOptions } from '../../plugins/budget/reservation.ts'

interface TestCall extends BillableCall {
  readonly clamps: number[]
}

const options: ReservationOptions = { minimumOutputTokens: 16, assumedOutputTokens: 16_384, input: 'ceiling' }

function target(name: string): Target {
  return { provider: 'p', model: name, name: `p/${name}`, requested: name }
}

function callOf(request: Partial<GenerateRequest>, more: Partial<BillableCall> = {}): TestCall {
  const clamps: number[] = []
  return {
    request: { operation: 'generate', dialect: 'chat', stream: false, messages: [], extra: {}, ...request },
    targets: [target('cheap'), target('dear')],
    inputTokens: 250,
    inputTokensCeiling: 1000,
    images: 0,
    outputTokens: 100,
    clamp: (tokens) => void clamps.push(tokens),
    clamps,
    ...more,
  }
}

/** Input costs a micro-dollar per token, output ten; the dear one twice that; nobody knows what `unknown` costs. */
const catalog = {
  priceCeiling(
    { model }: Target,
    { inputTokens, outputTokens, images = 0 }: { inputTokens: number; outputTokens: number; images?: number },
  ): number | undefined {
    if (model === 'unknown') return undefined
    return (inputTokens + 10 * outputTokens + 5000 * images) * (model === 'dear' ? 2 : 1)
  },
}

describe('the reservation of a call', () => {
  it('is its worst case at the dearest target', () => {
    const call = callOf({})
    assert.equal(new CallQuote(call, catalog, options).worstMicros, 2 * (1000 + 1000))
    assert.deepEqual(call.clamps, [])
    assert.equal(new CallQuote(callOf({}, { images: 3 }), catalog, options).worstMicros, 2 * (2000 + 15_000))
    const cheap = callOf({}, { targets: [target('cheap'), target('unknown')] })
    assert.equal(new CallQuote(cheap, catalog, options).worstMicros, 2000)
  })

  it('covers every answer that is asked for', () => {
    const worst = (request: Partial<GenerateRequest>): number =>
      new CallQuote(callOf(request, { targets: [target('cheap')] }), catalog, options).worstMicros
    assert.equal(worst({ n: 3 }), 1000 + 3000)
    const completions = { operation: 'completions', dialect: 'completions' } as const
    assert.equal(worst({ ...completions, n: 2, extra: { best_of: 5, prompt: 'x' } }), 1000 + 5000)
    assert.equal(worst({ ...completions, extra: { prompt: ['a', 'b', 'c'] } }), 1000 + 3000)
    assert.equal(worst({ ...completions, n: 2, extra: { prompt: [[1, 2], [3]] } }), 1000 + 4000)
    assert.equal(worst({ ...completions, extra: { prompt: [1, 2, 3] } }), 1000 + 1000)
    assert.equal(worst({ ...completions, extra: { prompt: 'x', best_of: 'many' } }), 1000 + 1000)
  })

  it('bounds an output that nobody bounds', () => {
    const call = callOf({}, { outputTokens: undefined, targets: [target('cheap')] })
    assert.equal(new CallQuote(call, catalog, options).worstMicros, 1000 + 163_840)
    assert.deepEqual(call.clamps, [16_384])
    const completions = callOf({ operation: 'completions' }, { outputTokens: undefined, targets: [target('cheap')] })
    assert.equal(new CallQuote(completions, catalog, options).worstMicros, 1000 + 160)
    assert.deepEqual(completions.clamps, [16], 'as much as that API gives unasked')
    const embeddings = callOf({ operation: 'embeddings' }, { outputTokens: undefined, targets: [target('cheap')] })
    assert.equal(new CallQuote(embeddings, catalog, options).worstMicros, 1000)
    assert.deepEqual(embeddings.clamps, [])
  })

  it('is nothing where no price is known, and changes nothing there', () => {
    const call = callOf({}, { outputTokens: undefined, targets: [target('unknown')] })
    assert.equal(new CallQuote(call, catalog, options).worstMicros, 0)
    assert.deepEqual(call.clamps, [])
  })

  it('may count the input by an estimate', () => {
    assert.equal(
      new CallQuote(callOf({}, { targets: [target('cheap')] }), catalog, { ...options, input: 'estimate' }).worstMicros,
      250 + 1000,
    )
  })

  it('is clamped to what is left, down to a minimum', () => {
    const quote = (): { call: TestCall; quote: CallQuote } => {
      const call = callOf({}, { targets: [target('cheap')] })
      return { call, quote: new CallQuote(call, catalog, options) }
    }
    const half = quote()
    assert.equal(half.quote.fit(1509), 1500)
    assert.deepEqual(half.call.clamps, [50])
    const least = quote()
    assert.equal(least.quote.fit(1160), 1160)
    assert.deepEqual(least.call.clamps, [16])
    assert.equal(quote().quote.fit(1159), undefined, 'below the minimum')
    assert.equal(quote().quote.fit(-5), undefined)
    const short = callOf({}, { outputTokens: 5, targets: [target('cheap')] })
    assert.equal(new CallQuote(short, catalog, options).fit(1050), 1050, 'less than the minimum was asked for')
    assert.deepEqual(short.clamps, [])
  })

  it('fits into what is left, as closely as tokens go, for every amount', () => {
    fc.assert(
      fc.property(fc.nat(5000), fc.nat(300), fc.integer({ min: 1, max: 4 }), (available, outputTokens, n) => {
        const call = callOf({ n }, { outputTokens })
        const fitted = new CallQuote(call, catalog, options).fit(available)
        const cost = (tokens: number): number => 2 * (1000 + 10 * tokens * n)
        if (fitted === undefined) return assert.ok(cost(Math.min(16, outputTokens)) > available)
        const tokens = call.clamps.at(-1) ?? outputTokens
        assert.equal(fitted, cost(tokens))
        assert.ok(fitted <= available)
        assert.ok(tokens === outputTokens || cost(tokens + 1) > available)
      }),
    )
  })
})
