import { definePlugin, readProviderPreferences, stateKey } from '@hadrian/core/plugin'
import type { Exchange, GenerateRequest, JsonObject, ProviderPreferences, TargetHealth } from '@hadrian/core/plugin'
import { checkSession, conversationOf } from './conversation.ts'
import { dropFallbacks } from './fallbacks.ts'
import { filterTargets, hasCeilings } from './filters.ts'
import type { Ceilings } from './filters.ts'
import { options as optionsSchema } from './options.ts'
import { listOrder, orderTargets } from './order.ts'
import type { OrderSettings, OrderSources } from './order.ts'
import { patternOf } from './patterns.ts'
import { reportUnapplied } from './reports.ts'
import { admitTiers } from './service-tiers.ts'
import { StickyTargets } from './sticky.ts'

/** The request as it was routed, for the name of its conversation. */
const routedRequest = stateKey<GenerateRequest>('router.request')

/**
 * Makes the plugin.
 *
 * @param random a number from 0 to below 1, which balancing draws from; replaced in tests
 */
export function createRouter({ random = Math.random }: { readonly random?: () => number } = {}) {
  return definePlugin({
    name: 'router',
    api: 1,
    description: 'Orders and filters the targets of a request.',
    options: optionsSchema,
    requires: ['target-health'],
    provides: ['provider-preferences'],

    setup({ options, catalog, clock, retain, 'target-health': targetHealth }) {
      const health = targetHealth as TargetHealth
      const ceilings: Ceilings = {
        exclude: options.exclude.map((source) => ({ source, matches: patternOf(source) })),
        only: options.only,
        ignore: options.ignore,
        denyCollection: options.data_collection === 'deny',
        zeroRetention: options.zdr,
        transientDays: options.transient_retention_days,
      }
      const settings: OrderSettings = {
        prefer: options.prefer.map(patternOf),
        balance: options.balance,
        weights: options.weights,
        sort: options.sort,
      }
      const isLimited = hasCeilings(ceilings)
      const idleMs = options.sticky_idle_ms
      const conversations = retain('router.conversations', () => new StickyTargets())
      const knowledge = { catalog, health }
      const sources: OrderSources = { ...knowledge, settings, random }

      const sticky = (exchange: Exchange, request: GenerateRequest): OrderSources['sticky'] => {
        if (conversations.size === 0) return undefined
        const conversation = conversationOf(exchange, request)
        if (conversation === undefined) return undefined
        const moment = { nowMs: clock.monotonicMs(), idleMs }
        return (requested) => conversations.find(conversation, requested, moment)
      }

      const maySpread = (exchange: Exchange, preferences: ProviderPreferences): boolean =>
        !settings.sort &&
        !preferences.sort?.by &&
        !(preferences.order && preferences.order.length > 0) &&
        exchange.targets.every(({ suffix }) => suffix === undefined)

      return {
        route(exchange) {
          const { request } = exchange
          checkSession(request)
          if (exchange.targets.length < 2 && request.provider === undefined && !isLimited) return
          const preferences = readProviderPreferences(request)
          admitTiers(exchange, preferences)
          filterTargets(exchange, preferences, { ceilings, catalog })
          const { targets } = exchange
          if (request.provider || targets.some(({ suffix }) => suffix))
            reportUnapplied(exchange, preferences, knowledge)
          if (targets.length > 1) {
            const sticks = idleMs > 0 && maySpread(exchange, preferences)
            if (sticks) exchange.set(routedRequest, request)
            const ordered = orderTargets(
              exchange,
              preferences,
              sticks ? { ...sources, sticky: sticky(exchange, request) } : sources,
            )
            if (ordered.some((target, index) => target !== targets[index])) exchange.targets = ordered
          }
          dropFallbacks(exchange, preferences)
        },

        explain(exchange): JsonObject | void {
          const [first] = exchange.targets
          if (!first) return
          const list = exchange.targets.filter(({ requested }) => requested === first.requested)
          const { order, by, spread } = listOrder(list, readProviderPreferences(exchange.request), sources)
          const request = exchange.get(routedRequest)
          const kept = request && sticky(exchange, request)?.(first.requested)
          return {
            ordered_by: order ? 'provider.order' : by ? `sort ${by}` : `balance ${spread.by}`,
            first_is_random: !order && !by && spread.share !== undefined && kept === undefined,
            ...(kept !== undefined && { conversation_stays_at: kept }),
          }
        },

        settle(exchange, { target, attempts }) {
          const request = exchange.get(routedRequest)
          if (!request || !target) return
          const usage = attempts.findLast((attempt) => attempt.target.name === target.name)?.usage
          if (!usage || (usage.cachedInputTokens ?? 0) + (usage.cacheWriteTokens ?? 0) === 0) return
          const prices = catalog.prices(target)
          if (prices?.cachedInput === undefined || prices.cachedInput >= prices.input) return
          const conversation = conversationOf(exchange, request)
          if (conversation !== undefined)
            conversations.keep(conversation, target.requested, target.name, { nowMs: clock.monotonicMs(), idleMs })
        },

        services: { 'provider-preferences': true },
      }
    },
  })
}

export default createRouter()
