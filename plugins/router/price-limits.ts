import type { ModelPrices, PriceLimits, Target } from '@hadrian/core/plugin'

/** Bytes of text that a token has at least, so that an estimate of four bytes a token becomes the most there can be. */
const mostTokensPerEstimated = 4

/**
 * Why a target is too expensive, or undefined if it is not. Compared is the highest price that the call may have to pay,
 * that of a tier for long inputs included if the input may reach it.
 *
 * @param prices of the target; undefined while none is known, which is too expensive for any limit
 * @param inputTokens estimates the input, only asked where a price depends on it
 */
export function priceObstacle(
  target: Target,
  limits: PriceLimits,
  prices: ModelPrices | undefined,
  inputTokens: () => number,
): string | undefined {
  for (const unit of units) {
    const limitMicros = limits[unit]
    if (limitMicros === undefined) continue
    if (!prices) return `provider.max_price.${unit}: the price is not known`
    const priceMicros = priceOf(unit, target, reachable(prices, inputTokens))
    if (priceMicros > limitMicros)
      return `provider.max_price.${unit}: ${dollars(priceMicros)} > ${dollars(limitMicros)}`
  }
  return undefined
}

const units = ['prompt', 'completion', 'request', 'image', 'audio'] as const satisfies readonly (keyof PriceLimits)[]

/** What a target charges for a unit; a unit without a price of its own is free, but for audio, which is charged as text. */
function priceOf(unit: (typeof units)[number], { info }: Target, prices: ModelPrices): number {
  switch (unit) {
    case 'prompt':
      return prices.input
    case 'completion':
      return prices.output
    case 'request':
      return prices.request ?? 0
    case 'image':
      return prices.image ?? 0
    case 'audio': {
      const hears = info?.inputModalities?.includes('audio') !== false
      const speaks = info?.outputModalities?.includes('audio') === true
      const input = prices.audioInput ?? (hears ? prices.input : 0)
      return Math.max(input, prices.audioOutput ?? (speaks ? prices.output : 0))
    }
  }
}

/** The highest of the prices that an input of this length may be charged by, field by field. */
function reachable(prices: ModelPrices, inputTokens: () => number): ModelPrices {
  if (!prices.tiers) return prices
  const most = inputTokens() * mostTokensPerEstimated
  const tiers = prices.tiers.filter(({ aboveInputTokens }) => aboveInputTokens < most)
  if (tiers.length === 0) return prices
  const all = [prices, ...tiers]
  const highest = (read: (each: (typeof all)[number]) => number | undefined): number | undefined => {
    const found = all.flatMap((each) => read(each) ?? [])
    return found.length === 0 ? undefined : Math.max(...found)
  }
  const audioInput = highest((each) => each.audioInput)
  const audioOutput = highest((each) => each.audioOutput)
  return {
    ...prices,
    input: highest((each) => each.input) ?? prices.input,
    output: highest((each) => each.output) ?? prices.output,
    ...(audioInput !== undefined && { audioInput }),
    ...(audioOutput !== undefined && { audioOutput }),
  }
}

function dollars(micros: number): string {
  return String(micros / 1_000_000)
}
