import { definePlugin } from '@hadrian/core/plugin'
import type { Principal } from '@hadrian/core/plugin'
import { Checks } from './checks.ts'
import { Guard } from './guard.ts'
import { Health } from './health.ts'
import { Limits } from './limits.ts'
import { createMetrics, observeTargets } from './metrics.ts'
import { optionsSchema, readOptions } from './options.ts'
import { healthRoutes } from './routes.ts'
import { Targets } from './targets.ts'
import type { HealthConfig } from './targets.ts'
import { collectToolCalls, judgeToolCalls } from './tool-calls.ts'

export default definePlugin({
  name: 'target-health',
  api: 1,
  description: 'Measures targets, holds back calls of those that fail, and limits how many run at once.',
  options: optionsSchema,
  provides: ['target-health'],

  setup({ options, catalog, clock, logger, meter, retain, run }) {
    const { breaker, checks: checkSettings, limits: limitSettings } = readOptions(options, catalog.providers)
    const targets = retain('target-health', () => new Targets(breaker))
    const metrics = createMetrics(meter)
    const limits = new Limits(limitSettings, targets.pools)
    const checker: Principal = { id: 'target-health', name: 'health checks' }
    const guard = new Guard({ targets, limits, clock, metrics, checker })
    const health = new Health(targets, guard, clock)
    const checks = new Checks({ settings: checkSettings, targets, catalog, run, clock, logger, metrics, checker })
    let endObserving: (() => void) | undefined
    const config: HealthConfig = {
      begin() {
        targets.breaker = breaker
        limits.apply()
        checks.start()
        endObserving = observeTargets(meter, targets)
      },
      end() {
        endObserving?.()
        checks.stop()
      },
    }

    return {
      attempt: (exchange, attempt, next) => guard.attempt(exchange, attempt, next),
      ...(options.tool_quality && {
        observe: collectToolCalls,
        settle: (exchange, outcome) => judgeToolCalls(exchange, outcome, targets, clock.monotonicMs()),
      }),
      explain(exchange) {
        return {
          targets: exchange.targets.map((target) => ({
            target: target.name,
            state: health.state(target),
            retry_after_secs: Math.ceil(health.retryAfterMs(target) / 1000),
            in_flight: health.inFlight(target),
          })),
        }
      },
      // A config that is only tried out must not change the one in force: so not in setup.
      start: () => targets.enter(config),
      stop: () => targets.leave(config),
      routes: healthRoutes(catalog, health),
      services: { 'target-health': health },
    }
  },
})
