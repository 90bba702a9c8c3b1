import type { Exchange, ProviderPreferences, Target } from '@hadrian/core/plugin'
import { namesTarget, tierNamed, tierOf } from './slugs.ts'

/**
 * Takes off the targets of a service tier that nobody asked for, and for `service_tier: "flex"` all others, where there
 * are some of each.
 */
export function admitTiers(exchange: Exchange, preferences: ProviderPreferences): void {
  const { targets, request } = exchange
  if (targets.every((target) => tierOf(target) === undefined)) return
  const wanted = tierNamed(request.serviceTier)
  const named = [...(preferences.order ?? []), ...(preferences.only ?? [])]
  for (const target of targets) {
    const tier = tierOf(target)
    const others = targets.filter((other) => other.requested === target.requested)
    if (tier === undefined) {
      if (wanted === 'flex' && others.some((other) => tierOf(other) === 'flex'))
        exchange.exclude(target, 'service_tier: not "flex"')
      continue
    }
    const asked =
      wanted === tier || named.some((slug) => namesTarget(slug, target)) || isAdmittedBySuffix(target, preferences)
    if (!asked && others.some((other) => tierOf(other) === undefined))
      exchange.exclude(target, `service tier "${tier}" was not asked for`)
  }
}

function isAdmittedBySuffix(target: Target, { order }: ProviderPreferences): boolean {
  if (order && order.length > 0) return false
  return tierOf(target) === (target.suffix === 'nitro' ? 'priority' : target.suffix === 'floor' ? 'flex' : 'none')
}

/** Whether a request for the priority tier has to look elsewhere first. */
export function isBehindPriority(target: Target, serviceTier: string | undefined): boolean {
  return serviceTier !== undefined && tierNamed(serviceTier) === 'priority' && tierOf(target) !== 'priority'
}
