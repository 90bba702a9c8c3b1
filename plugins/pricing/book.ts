import type { Clock, ModelPrices, PriceBook, Target } from '@hadrian/core/plugin'
import { PriceEntries } from './price-entries.ts'
import { findListed, pricesAt } from './price-list.ts'
import type { DatedPrices, FoundLists, PriceList } from './price-list.ts'

/** Where a price comes from, the strongest first. */
export type PriceSource = 'admin' | 'config' | 'free' | 'built-in' | 'default' | 'unknown'

/** What is known of the price of a target. */
export interface KnownPrice {
  readonly source: PriceSource
  /** Absent for `unknown` alone. */
  readonly dated?: readonly DatedPrices[]
  /** What the source calls it: the id of an admin entry, or list and model of a built-in price. */
  readonly origin?: { readonly id: string } | { readonly list: string; readonly model: string }
}

export interface BookOptions {
  readonly clock: Clock
  readonly honoursReportedCost: boolean
  /** Provider instances whose calls cost nothing. */
  readonly free?: ReadonlySet<string>
  /** Charged where nothing else is known. */
  readonly defaultPrices?: ModelPrices
}

/** Looks ahead by a quarter of an hour at a time, for as long as calls take: prices of an hour of the day last longer. */
const aheadMs = [0, 15, 30, 45, 60].map((minutes) => minutes * 60_000)
const none: readonly ModelPrices[] = []

const unknownPrice: KnownPrice = { source: 'unknown' }
const nothing: KnownPrice = { source: 'free', dated: [{ prices: { input: 0, output: 0 } }] }

/**
 * The prices of targets: admin before config before free before built-in before the default. What was found for a target is
 * remembered with it; the catalog keeps targets, and forgets them.
 */
export class Book implements PriceBook {
  readonly honoursReportedCost: boolean
  readonly #clock: Clock
  readonly #free: ReadonlySet<string>
  readonly #default: KnownPrice
  #entries = new PriceEntries()
  #listsByInstance = new Map<string, readonly [PriceList, ...PriceList[]]>()
  #known = new WeakMap<Target, KnownPrice>()

  constructor({ clock, honoursReportedCost, free = new Set(), defaultPrices }: BookOptions) {
    this.#clock = clock
    this.honoursReportedCost = honoursReportedCost
    this.#free = free
    this.#default = defaultPrices ? { source: 'default', dated: [{ prices: defaultPrices }] } : unknownPrice
  }

  prices(target: Target): ModelPrices | undefined {
    const { dated } = this.find(target)
    if (!dated) return undefined
    return dated.length === 1 ? dated[0]!.prices : pricesAt(dated, this.#clock.now())
  }

  pricesAhead(target: Target): readonly ModelPrices[] {
    const { dated } = this.find(target)
    if (!dated || dated.length === 1) return none
    const nowMs = this.#clock.now()
    return aheadMs.map((laterMs) => pricesAt(dated, nowMs + laterMs))
  }

  find(target: Target): KnownPrice {
    let known = this.#known.get(target)
    if (!known) this.#known.set(target, (known = this.#search(target)))
    return known
  }

  /** From now on these are the operator's entries. */
  setEntries(entries: PriceEntries): void {
    this.#entries = entries
    this.#known = new WeakMap()
  }

  /** From now on these are the built-in prices. */
  setLists({ lists, byInstance }: FoundLists): void {
    const byId = new Map(lists.map((list) => [list.id, list]))
    this.#listsByInstance = new Map(
      Object.entries(byInstance).map(([instance, id]) => {
        const list = byId.get(id)!
        return [instance, [list, ...list.fallbacks.flatMap((fallback) => byId.get(fallback) ?? [])]]
      }),
    )
    this.#known = new WeakMap()
  }

  #search(target: Target): KnownPrice {
    const entry = this.#entries.find(target)
    if (entry) return { source: 'admin', dated: [{ prices: entry.prices }], origin: { id: entry.id } }
    const configured = target.info?.prices
    if (configured) return { source: 'config', dated: [{ prices: configured }] }
    if (this.#free.has(target.provider)) return nothing
    const [list, ...fallbacks] = this.#listsByInstance.get(target.provider) ?? []
    const listed = list && findListed(list, fallbacks, target.model)
    if (!listed) return this.#default
    const { model } = listed
    return { source: 'built-in', dated: model.prices, origin: { list: listed.list.id, model: model.id } }
  }
}
