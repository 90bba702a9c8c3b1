import type { ModelPrices } from '@hadrian/core/plugin'

/** How a list of prices recognises a model id. */
export type ModelMatch =
  | { readonly and: readonly ModelMatch[] }
  | { readonly or: readonly ModelMatch[] }
  | { readonly equals: string }
  | { readonly starts_with: string }
  | { readonly ends_with: string }
  | { readonly contains: string }
  | { readonly regex: string }

/** Prices, and when they hold. */
export interface DatedPrices {
  /** Milliseconds since 1970. */
  readonly fromMs?: number
  /** Seconds of the UTC day, the end exclusive; it may lie on the next day. */
  readonly startSecond?: number
  readonly endSecond?: number
  readonly prices: ModelPrices
}

/** A model of a price list. */
export interface ListedModel {
  readonly id: string
  readonly match: ModelMatch
  /** Never empty. The last that holds counts; the first, if none does. */
  readonly prices: readonly DatedPrices[]
}

/** What one company asks for its models. */
export interface PriceList {
  readonly id: string
  readonly models: readonly ListedModel[]
  /** Ids of lists to look into for what this one lacks, in order. */
  readonly fallbacks: readonly string[]
}

/** Where the price lists of provider instances are looked for. */
export interface WantedLists {
  /** Base URLs by instance. */
  readonly baseUrls: Readonly<Record<string, string>>
  /** Ids of lists that the operator named, by instance. */
  readonly named: Readonly<Record<string, string>>
}

/** The lists that were wanted, and those they fall back to. */
export interface FoundLists {
  readonly lists: readonly PriceList[]
  /** Ids of lists by instance. An instance without a list is absent. */
  readonly byInstance: Readonly<Record<string, string>>
  /** Instances whose named list does not exist. */
  readonly unknown: readonly string[]
}

/** Dates inside model ids without hyphens: `gpt-4o-20240806` is `gpt-4o-2024-08-06`. */
const compactDate = /-(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)/g

/** Google lists its models as `models/gemini-2.5-pro`, and takes that name too. */
const resourcePrefix = /^models\//
/** OpenRouter takes these after every model, and charges what the model costs. What ends in `:free` is free. */
const routingSuffix = /:(?:nitro|floor|online|exacto)$/

/** Finds a model by the id that a request names it by; `fallbacks` are the lists after `list`. */
export function findListed(
  list: PriceList,
  fallbacks: readonly PriceList[],
  modelId: string,
): { readonly list: PriceList; readonly model: ListedModel } | undefined {
  for (const spelling of spellingsOf(modelId))
    for (const each of [list, ...fallbacks]) {
      const model = each.models.find(({ match }) => matches(match, spelling))
      if (model) return { list: each, model }
    }
  return undefined
}

/** Every way to write an id that upstreams take for the same model, as it was given first. */
function spellingsOf(modelId: string): Iterable<string> {
  const id = modelId.toLowerCase().trim()
  const bare = id.replace(resourcePrefix, '').replace(routingSuffix, '')
  return new Set([id, withHyphens(id), bare, withHyphens(bare)])
}

function withHyphens(id: string): string {
  return id.replaceAll(compactDate, (found: string, year: string, month: string, day: string) =>
    isDate(Number(year), Number(month), Number(day)) ? `-${year}-${month}-${day}` : found,
  )
}

/** The prices that hold at a time, in milliseconds since 1970. */
export function pricesAt(dated: readonly DatedPrices[], nowMs: number): ModelPrices {
  for (let index = dated.length - 1; index > 0; index--) if (holds(dated[index]!, nowMs)) return dated[index]!.prices
  return dated[0]!.prices
}

function holds({ fromMs, startSecond, endSecond }: DatedPrices, nowMs: number): boolean {
  if (fromMs !== undefined) return nowMs >= fromMs
  if (startSecond === undefined || endSecond === undefined) return true
  const second = (nowMs / 1000) % 86_400
  return endSecond < startSecond
    ? second >= startSecond || second < endSecond
    : second >= startSecond && second < endSecond
}

function matches(match: ModelMatch, id: string): boolean {
  if ('or' in match) return match.or.some((each) => matches(each, id))
  if ('and' in match) return match.and.every((each) => matches(each, id))
  if ('equals' in match) return id === match.equals.toLowerCase()
  if ('starts_with' in match) return id.startsWith(match.starts_with.toLowerCase())
  if ('ends_with' in match) return id.endsWith(match.ends_with.toLowerCase())
  if ('contains' in match) return id.includes(match.contains.toLowerCase())
  return new RegExp(match.regex).test(id)
}

function isDate(year: number, month: number, day: number): boolean {
  const date = new Date(Date.UTC(year, month - 1, day))
  return date.getUTCMonth() === month - 1 && date.getUTCDate() === day
}
