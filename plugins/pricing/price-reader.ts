import { findProvider } from '@pydantic/genai-prices'
import type { ModelInfo, ModelPrice, Provider, TieredPrices } from '@pydantic/genai-prices'
import type { ModelPrices, PriceTier } from '@hadrian/core/plugin'
import type { DatedPrices, FoundLists, ListedModel, PriceList, WantedLists } from './price-list.ts'

type TokenPrices = Omit<PriceTier, 'aboveInputTokens'>

/** The package's names of what we charge by the token. */
const tokenKeys = {
  input_mtok: 'input',
  output_mtok: 'output',
  cache_read_mtok: 'cachedInput',
  cache_write_mtok: 'cacheWrite',
  cache_write_1h_mtok: 'cacheWrite1h',
  output_reasoning_mtok: 'reasoning',
  input_audio_mtok: 'audioInput',
  output_audio_mtok: 'audioOutput',
} as const satisfies Readonly<Record<string, keyof TokenPrices>>

/**
 * Takes what is wanted out of the price data of `@pydantic/genai-prices`. Importing this module loads all of that data,
 * which costs some 10 MB that never come back: the gateway does it in a process of its own.
 */
export function readPriceLists({ baseUrls, named }: WantedLists): FoundLists {
  const byInstance = new Map<string, string>()
  const unknown: string[] = []
  for (const [instance, providerApiUrl] of Object.entries(baseUrls)) {
    const found = findProvider({ providerApiUrl })
    if (found) byInstance.set(instance, found.id)
  }
  for (const [instance, id] of Object.entries(named))
    if (listedProvider(id)) byInstance.set(instance, id)
    else {
      byInstance.delete(instance)
      unknown.push(instance)
    }
  const wanted = new Map<string, Provider>()
  for (const id of byInstance.values()) {
    const provider = listedProvider(id)!
    wanted.set(id, provider)
    for (const fallback of provider.fallback_model_providers ?? []) {
      const other = listedProvider(fallback)
      if (other) wanted.set(fallback, other)
    }
  }
  return { lists: [...wanted.values()].map(priceListOf), byInstance: Object.fromEntries(byInstance), unknown }
}

/** By its exact id: the package would also take names that contain one. */
function listedProvider(id: string): Provider | undefined {
  const found = findProvider({ providerId: id })
  return found?.id === id ? found : undefined
}

/** A provider of the package in our form. */
export function priceListOf({ id, models, fallback_model_providers: fallbacks = [] }: Provider): PriceList {
  return { id, models: models.flatMap(listedModel), fallbacks }
}

/** A model that has a price for tokens at any time; others, billed by the hour or the page, are not listed. */
function listedModel({ id, match, prices }: ModelInfo): ListedModel[] {
  const conditional = Array.isArray(prices) ? prices : [{ prices }]
  const dated = conditional.map(({ constraint, prices: each }): DatedPrices | undefined => {
    const known = modelPrices(each, id)
    if (!known) return undefined
    if (!constraint) return { prices: known }
    if (constraint.type === 'start_date') return { fromMs: Date.parse(constraint.start_date), prices: known }
    return {
      startSecond: secondOfDay(constraint.start_time),
      endSecond: secondOfDay(constraint.end_time),
      prices: known,
    }
  })
  return dated.every((each) => each !== undefined) ? [{ id, match, prices: dated }] : []
}

/** Without a price for input nothing is known, unless the name says that there is none to pay. */
function modelPrices(price: ModelPrice, id: string): ModelPrices | undefined {
  const isFree = Object.keys(price).length === 0 && id.endsWith(':free')
  if (price['input_mtok'] === undefined && !isFree) return undefined
  const perThousand = price['requests_kcount']
  const starts = new Set<number>()
  for (const key of Object.keys(tokenKeys))
    for (const { start } of isTiered(price[key]) ? price[key].tiers : []) starts.add(start)
  const tiers = [...starts]
    .sort((one, other) => one - other)
    .map((start): PriceTier => ({ aboveInputTokens: start, ...tokenPrices(price, start) }))
  return {
    ...tokenPrices(price, -1),
    ...(typeof perThousand === 'number' && { request: Math.round(perThousand * 1000) }),
    ...(tiers.length > 0 && { tiers }),
  }
}

/** The prices of calls with more input than `start`. */
function tokenPrices(price: ModelPrice, start: number): TokenPrices {
  const prices: { -readonly [K in keyof TokenPrices]: TokenPrices[K] } = { input: 0, output: 0 }
  for (const [key, name] of Object.entries(tokenKeys)) {
    const value = price[key]
    if (value === undefined) continue
    const dollars = isTiered(value) ? (value.tiers.findLast((tier) => tier.start <= start)?.price ?? value.base) : value
    prices[name] = Math.round(dollars * 1_000_000)
  }
  return prices
}

function isTiered(value: number | TieredPrices | undefined): value is TieredPrices {
  return typeof value === 'object'
}

/** `16:30:00Z`, or with an offset in place of the Z. */
function secondOfDay(time: string): number {
  return (Date.parse(`1970-01-01T${time}`) / 1000 + 86_400) % 86_400
}
