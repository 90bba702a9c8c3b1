import type { Usage } from '../contract/canonical.ts'
import type { ModelPrices, TokenPrices } from '../contract/provider.ts'

const million = 1_000_000

/**
 * Micro-dollars for a usage, rounded up once to a whole one: exact however large the counts are, and at most
 * `Number.MAX_SAFE_INTEGER`. The highest tier below the input prices every token of the call, as providers do it.
 *
 * A token is priced by the most particular thing that is known of it. One that is both cached and audio is cached.
 */
export function priceOf(prices: ModelPrices, usage: Usage): number {
  const { tiers } = prices
  const rates = tiers ? tierOf(prices, tiers, usage.inputTokens) : prices
  const cached = count(usage.cachedInputTokens)
  const written = count(usage.cacheWriteTokens)
  const writtenFor1h = Math.min(count(usage.cacheWrite1hTokens), written)
  const uncached = Math.max(0, count(usage.inputTokens) - cached - written)
  const audioInput = Math.min(count(usage.audioInputTokens), uncached)
  const output = count(usage.outputTokens)
  const reasoning = Math.min(count(usage.reasoningTokens), output)
  const audioOutput = Math.min(count(usage.audioOutputTokens), output - reasoning)
  const perCall = (prices.request ?? 0) + (prices.image ?? 0) * count(usage.images)
  const writeRate = rates.cacheWrite ?? rates.input
  return micros(perCall, [
    uncached - audioInput,
    rates.input,
    audioInput,
    rates.audioInput ?? rates.input,
    cached,
    rates.cachedInput ?? rates.input,
    written - writtenFor1h,
    writeRate,
    writtenFor1h,
    rates.cacheWrite1h ?? writeRate,
    output - reasoning - audioOutput,
    rates.output,
    reasoning,
    rates.reasoning ?? rates.output,
    audioOutput,
    rates.audioOutput ?? rates.output,
  ])
}

/**
 * The most micro-dollars that a call with at most these tokens can cost: every token at the dearest price it may have,
 * in the dearest tier that so much input can reach.
 */
export function priceCeilingOf(
  prices: ModelPrices,
  call: { readonly inputTokens: number; readonly outputTokens: number; readonly images?: number },
): number {
  const { tiers = [] } = prices
  const input = count(call.inputTokens)
  const output = count(call.outputTokens)
  const perCall = (prices.request ?? 0) + (prices.image ?? 0) * count(call.images)
  let most = 0
  let rates: TokenPrices = prices
  for (let index = 0; ; index++) {
    const next = tiers[index]
    // A lower tier may be the dearer one, but only for as much input as it is for.
    const reached = next ? Math.min(input, next.aboveInputTokens) : input
    most = Math.max(most, micros(perCall, [reached, dearestInput(rates), output, dearestOutput(rates)]))
    if (!next || next.aboveInputTokens >= input) return most
    rates = next
  }
}

function tierOf(prices: ModelPrices, tiers: NonNullable<ModelPrices['tiers']>, inputTokens: number): TokenPrices {
  let found: TokenPrices = prices
  for (const tier of tiers) if (inputTokens > tier.aboveInputTokens) found = tier
  return found
}

function dearestInput(rates: TokenPrices): number {
  const { input } = rates
  return Math.max(
    input,
    rates.cachedInput ?? input,
    rates.cacheWrite ?? input,
    rates.cacheWrite1h ?? input,
    rates.audioInput ?? input,
  )
}

function dearestOutput(rates: TokenPrices): number {
  return Math.max(rates.output, rates.reasoning ?? 0, rates.audioOutput ?? 0)
}

/** A count that a provider sent: never negative, never a fraction. */
function count(value: number | undefined): number {
  return value !== undefined && value > 0 ? Math.ceil(value) : 0
}

/** `perCall` and the sum of pairs of a count and its micro-dollars per million. */
function micros(perCall: number, pairs: readonly number[]): number {
  let perMillion = 0
  for (let index = 0; index < pairs.length; index += 2) perMillion += pairs[index]! * pairs[index + 1]!
  // Above this, products are not exact any more.
  if (perMillion > Number.MAX_SAFE_INTEGER) return exactMicros(perCall, pairs)
  // Not a division: of a quotient with that many digits, the fraction to round up may be lost.
  const rest = perMillion % million
  const total = (perMillion - rest) / million + (rest > 0 ? 1 : 0) + Math.ceil(perCall)
  return Math.max(0, Math.min(total, Number.MAX_SAFE_INTEGER))
}

function exactMicros(perCall: number, pairs: readonly number[]): number {
  const most = Number.MAX_SAFE_INTEGER
  let perMillion = 0n
  for (let index = 0; index < pairs.length; index += 2)
    perMillion += BigInt(Math.min(pairs[index]!, most)) * BigInt(Math.min(Math.ceil(pairs[index + 1]!), most))
  const total = (perMillion + 999_999n) / 1_000_000n + BigInt(Math.min(Math.ceil(perCall), most))
  return Math.max(0, total > BigInt(most) ? most : Number(total))
}
