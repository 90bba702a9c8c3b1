import type { Exchange, ProviderPreferences, ProviderSort, Target } from '@hadrian/core/plugin'
import { pick, spreadOf } from './balance.ts'
import type { Balance, Spread, Weights } from './balance.ts'
import { isKnownUnfit } from './fit.ts'
import type { Pattern } from './patterns.ts'
import { isBehindPriority } from './service-tiers.ts'
import { namesTarget } from './slugs.ts'
import { sortValue, wantedSort } from './sorting.ts'
import type { Knowledge } from './sorting.ts'
import { hasThresholds, missesThresholds } from './thresholds.ts'

/** What the operator says about the order of targets. */
export interface OrderSettings {
  readonly prefer: readonly Pattern[]
  readonly balance: Balance
  readonly weights: Weights
  /** For requests that say nothing about it. */
  readonly sort: ProviderSort | undefined
}

/** What an order is made by. */
export interface OrderSources extends Knowledge {
  readonly settings: OrderSettings
  readonly random: () => number
  /** The name of the target that the conversation should stay at, for a requested model. */
  readonly sticky?: (requested: string) => string | undefined
}

interface Ranked {
  readonly target: Target
  /** What decides, most important first; less is better. */
  readonly ranks: readonly number[]
  readonly share: ((target: Target) => number) | undefined
}

/**
 * How many of the ranks make two targets equal for different questions: targets of one list of fallbacks, targets that a
 * conversation may choose among, targets that chance may choose among.
 */
const sameList = 2
const sameStanding = 6
const sameChance = 7

const healthRanks = { healthy: 0, degraded: 1, open: 2 } as const

/**
 * The targets in the order to try them: a permutation. Targets of one requested model stay together, in the order in which
 * the client named the models, unless the request says otherwise.
 */
export function orderTargets(exchange: Exchange, preferences: ProviderPreferences, sources: OrderSources): Target[] {
  const { targets } = exchange
  const lists = listsOf(exchange, preferences)
  const inputTokens = targets.some(({ info }) => info?.contextLength !== undefined) ? exchange.estimateInputTokens() : 0
  const ranked = lists.flatMap((list, index) => rankList(list, index, { exchange, preferences, sources, inputTokens }))
  ranked.sort(byRanks)
  for (let start = 0; start < ranked.length;) {
    const first = ranked[start]!
    let end = start + 1
    while (end < ranked.length && areEqual(first, ranked[end]!, sameList)) end++
    if (end - start > 1) chooseFirst(ranked, start, end, sources)
    start = end
  }
  return ranked.map(({ target }) => target)
}

/** The targets of each requested model; all together where the client wants one list. */
function listsOf({ targets, request }: Exchange, { sort }: ProviderPreferences): readonly (readonly Target[])[] {
  // `route` is the older spelling of `sort.partition`.
  const partition = sort?.partition ?? (request.extra['route'] === 'sort' ? 'none' : 'model')
  const requested = targets[0]?.requested
  if (partition === 'none' || targets.every((target) => target.requested === requested)) return [targets]
  // A map keeps the lists in the order in which the client named the models.
  return [...Map.groupBy(targets, (target) => target.requested).values()]
}

/** How the targets of one list are ordered among those that stand equal. */
export interface ListOrder {
  readonly order: readonly string[] | undefined
  readonly by: ProviderSort | undefined
  readonly spread: Spread
}

/** How a list of targets is ordered. */
export function listOrder(
  list: readonly Target[],
  preferences: ProviderPreferences,
  { settings, catalog }: Pick<OrderSources, 'settings' | 'catalog'>,
): ListOrder {
  const { balance, weights } = settings
  const order = preferences.order && preferences.order.length > 0 ? preferences.order : undefined
  const by = order ? undefined : (wantedSort(preferences, list[0]?.suffix) ?? settings.sort)
  return { order, by, spread: spreadOf(list, by ? 'order' : balance, { weights, catalog }) }
}

function rankList(
  list: readonly Target[],
  index: number,
  {
    exchange: { request },
    preferences,
    sources,
    inputTokens,
  }: {
    readonly exchange: Exchange
    readonly preferences: ProviderPreferences
    readonly sources: OrderSources
    readonly inputTokens: number
  },
): Ranked[] {
  const { health, settings } = sources
  const { order, by, spread } = listOrder(list, preferences, sources)
  const wantsSpeed = hasThresholds(preferences)
  // What the client sorts by is strict; what the operator sorts by comes after what the operator prefers.
  const isStrict = by !== undefined && wantedSort(preferences, list[0]?.suffix) !== undefined
  return list.map((target) => {
    const fit =
      Number((target.info?.contextLength ?? Infinity) < inputTokens) * 2 + Number(isKnownUnfit(target, request))
    // A target that cannot serve the request gains nothing by being fast.
    const slow = Number(wantsSpeed && (fit > 0 || missesThresholds(target, preferences, health)))
    const named = order ? placeIn(order, (slug) => namesTarget(slug, target)) : 0
    const behind = Number(!order && isBehindPriority(target, request.serviceTier))
    const state = healthRanks[health.state(target)]
    const standing = by ? Number(state === healthRanks.open) : state
    const place = placeIn(settings.prefer, (matches) => matches(target))
    const value = by ? (sortValue(by, target, sources) ?? Infinity) : spread.value(target)
    const tail = isStrict ? [value, place] : [place, value]
    return {
      target,
      ranks: [slow, index, fit, named, behind, standing, ...tail],
      share: order ? undefined : spread.share,
    }
  })
}

/** Lets the conversation, or chance, choose which of the best targets of a list comes first. */
function chooseFirst(ranked: Ranked[], start: number, end: number, { sticky, random }: OrderSources): void {
  const first = ranked[start]!
  const standing = ranked.slice(start, end).filter((each) => areEqual(first, each, sameStanding))
  // Where nothing was said about an order, the rank of standing is the state of health.
  const isHealthy = first.ranks[sameStanding - 1] === healthRanks.healthy
  let chosen = isHealthy && sticky ? standing.find(({ target }) => sticky(target.requested) === target.name) : undefined
  const { share } = first
  if (!chosen && share) {
    const equal = standing.filter((each) => areEqual(first, each, sameChance))
    chosen = pick(equal, ({ target }) => share(target), random)
  }
  if (!chosen) return
  ranked.splice(ranked.indexOf(chosen), 1)
  ranked.splice(start, 0, chosen)
}

function byRanks(left: Ranked, right: Ranked): number {
  for (const [index, rank] of left.ranks.entries()) {
    const other = right.ranks[index]!
    // No subtraction: two unknown values are both infinite.
    if (rank !== other) return rank < other ? -1 : 1
  }
  return 0
}

function areEqual(left: Ranked, right: Ranked, count: number): boolean {
  for (let index = 0; index < count; index++) if (left.ranks[index] !== right.ranks[index]) return false
  return true
}

function placeIn<T>(list: readonly T[], matches: (entry: T) => boolean): number {
  const place = list.findIndex(matches)
  return place < 0 ? list.length : place
}
