import type {
  Catalog,
  ModelPrices,
  ProviderPreferences,
  ProviderSort,
  RoutingSuffix,
  Target,
  TargetHealth,
} from '@hadrian/core/plugin'

/** What targets are judged by. */
export interface Knowledge {
  readonly catalog: Pick<Catalog, 'prices'>
  readonly health: TargetHealth
}

const sortOfSuffix: Readonly<Record<RoutingSuffix, ProviderSort>> = {
  nitro: 'throughput',
  floor: 'price',
  exacto: 'exacto',
}

/** What the suffix of a model name asks to sort by. */
export function sortOf(suffix: RoutingSuffix | undefined): ProviderSort | undefined {
  return suffix && sortOfSuffix[suffix]
}

/** What a request or the suffix of a model sorts by; the explicit key wins. */
export function wantedSort(
  preferences: ProviderPreferences,
  suffix: RoutingSuffix | undefined,
): ProviderSort | undefined {
  return preferences.sort?.by ?? sortOf(suffix)
}

/**
 * The place of a target in a sorted list, as a number to compare: less is better. Undefined while nothing is known, which
 * comes last.
 */
export function sortValue(by: ProviderSort, target: Target, { catalog, health }: Knowledge): number | undefined {
  switch (by) {
    case 'price':
      return blendedPrice(catalog.prices(target))
    case 'latency':
      return health.latencyMs(target)?.p50
    case 'throughput': {
      const measured = health.throughput(target)
      return measured && -measured.p50
    }
    case 'exacto': {
      const measured = health.toolCallSuccess?.(target)
      return measured && -measured.share
    }
  }
}

/** What a call with 1,000 tokens in and 1,000 out costs, in micro-dollars: one number for prices of several units. */
export function blendedPrice(prices: ModelPrices | undefined): number | undefined {
  return prices && (prices.input + prices.output) / 1000 + (prices.request ?? 0)
}
