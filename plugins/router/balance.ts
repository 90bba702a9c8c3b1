import type { Target } from '@hadrian/core/plugin'
import { blendedPrice } from './sorting.ts'
import type { Knowledge } from './sorting.ts'

/** What the operator wants load to be balanced by. */
export type Balance = 'price' | 'weights' | 'order'

/** The shares of targets by name, from the operator's options. */
export type Weights = Readonly<Record<string, number>>

/** How load is spread over the targets of one model. */
export interface Spread {
  readonly by: Balance
  /** The place of each target as a fallback: less is earlier. */
  readonly value: (target: Target) => number
  /** The share of each target in being the first, in any unit; undefined for an order that is no matter of chance. */
  readonly share?: (target: Target) => number
}

const inOrder: Spread = { by: 'order', value: () => 0 }

/**
 * How load is spread over the targets of one model: by the weights that the operator gave some of them; else, if the
 * operator wants it and all prices are known, by the inverse square of the price; else not at all, in their order.
 */
export function spreadOf(
  targets: readonly Target[],
  balance: Balance,
  { weights, catalog }: Pick<Knowledge, 'catalog'> & { readonly weights: Weights },
): Spread {
  if (balance === 'order' || targets.length < 2) return inOrder
  const weightOf = ({ name, provider, info }: Target): number | undefined =>
    weights[name] ?? weights[provider] ?? info?.weight
  if (targets.some((target) => weightOf(target) !== undefined)) {
    const share = (target: Target): number => weightOf(target) ?? 0
    return { by: 'weights', value: (target) => -share(target), share }
  }
  if (balance === 'weights') return inOrder
  const prices = new Map<Target, number>()
  for (const target of targets) {
    const price = blendedPrice(catalog.prices(target))
    if (price === undefined) return inOrder
    prices.set(target, price)
  }
  const free = [...prices.values()].includes(0)
  return {
    by: 'price',
    value: (target) => prices.get(target) ?? 0,
    // Nothing competes with what is free.
    share: (target) => {
      const price = prices.get(target) ?? 0
      if (free) return price === 0 ? 1 : 0
      return 1 / price ** 2
    },
  }
}

/** Picks one of some, each as likely as its share; undefined if all shares are 0. */
export function pick<T>(choices: readonly T[], share: (choice: T) => number, random: () => number): T | undefined {
  const total = choices.reduce((sum, choice) => sum + share(choice), 0)
  if (total <= 0) return undefined
  let left = random() * total
  let last: T | undefined
  for (const choice of choices) {
    const own = share(choice)
    if (own <= 0) continue
    last = choice
    left -= own
    if (left < 0) return choice
  }
  return last
}
