import type { Exchange, ProviderPreferences, ProviderSort } from '@hadrian/core/plugin'
import { namesTarget } from './slugs.ts'
import { sortOf, sortValue } from './sorting.ts'
import type { Knowledge } from './sorting.ts'

/** What a target has to have measured for a sort to mean something. */
const missing: Readonly<Record<ProviderSort, string>> = {
  price: 'no price of these targets is known',
  throughput: 'no throughput of these targets was measured yet',
  latency: 'no latency of these targets was measured yet',
  exacto: 'no tool calls of these targets were judged yet',
}

/** Slugs shown in a warning. */
const mostShown = 5

/** Tells the client which of its wishes about the order changed nothing, and why. */
export function reportUnapplied(exchange: Exchange, preferences: ProviderPreferences, knowledge: Knowledge): void {
  const { targets } = exchange
  const warn = (param: string, message: string): void =>
    exchange.warn({ code: 'preference_not_applied', param, message: `${param}: ${message}` })
  const { order, sort, preferredMinThroughput, preferredMaxLatency } = preferences
  const unmatched = order?.filter((slug) => !targets.some((target) => namesTarget(slug, target))) ?? []
  if (unmatched.length > 0)
    warn('provider.order', `no target that can serve this request is called ${shown(unmatched)}`)
  if (targets.length < 2) return

  const isKnown = (by: ProviderSort): boolean =>
    targets.some((target) => sortValue(by, target, knowledge) !== undefined)
  const suffixed = targets.find(({ suffix }) => suffix !== undefined)
  const bySuffix = sortOf(suffixed?.suffix)
  if (order && order.length > 0) {
    if (sort?.by) warn('provider.sort', 'it is not used where provider.order is given')
    if (suffixed) warn('model', `the suffix ":${suffixed.suffix}" is not used where provider.order is given`)
  } else if (sort?.by) {
    if (!isKnown(sort.by)) warn('provider.sort', missing[sort.by])
    if (suffixed && bySuffix !== sort.by)
      warn('model', `the suffix ":${suffixed.suffix}" is not used where provider.sort is given`)
  } else if (suffixed && bySuffix && !isKnown(bySuffix))
    warn('model', `the suffix ":${suffixed.suffix}" changes nothing: ${missing[bySuffix]}`)

  if (preferredMinThroughput && !targets.some((target) => knowledge.health.throughput(target)))
    warn('provider.preferred_min_throughput', missing.throughput)
  if (preferredMaxLatency && !targets.some((target) => knowledge.health.latencyMs(target)))
    warn('provider.preferred_max_latency', missing.latency)
}

function shown(slugs: readonly string[]): string {
  const quoted = slugs.slice(0, mostShown).map((slug) => `"${slug.slice(0, 64)}"`)
  return quoted.join(', ') + (slugs.length > mostShown ? `, and ${slugs.length - mostShown} more` : '')
}
