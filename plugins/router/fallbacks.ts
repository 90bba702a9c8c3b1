import type { Exchange, ProviderPreferences } from '@hadrian/core/plugin'
import { isNamed } from './slugs.ts'

/** Keeps the first target, or those of `order`, if the request forbids fallbacks. Called when the order stands. */
export function dropFallbacks(exchange: Exchange, { allowFallbacks, order }: ProviderPreferences): void {
  if (allowFallbacks !== false) return
  const named = order && order.length > 0 ? order : undefined
  const reason = named ? 'it is not in provider.order' : 'only the first target may serve'
  for (const [index, target] of exchange.targets.entries())
    if (named ? !isNamed(named, target) : index > 0) exchange.exclude(target, `provider.allow_fallbacks: ${reason}`)
}
