/** Health of targets as a test says it is. */

import { definePlugin } from '@hadrian/core/plugin'
import type { Percentiles, PluginDefinition, TargetHealth } from '@hadrian/core/plugin'

/** What is known of one target. */
export interface KnownHealth {
  readonly state?: 'healthy' | 'degraded' | 'open'
  readonly latencyMs?: Percentiles
  readonly throughput?: Percentiles
  readonly toolCallShare?: number
}

/** The same number for every percentile, or those that are given. */
export function percentiles(p50: number, others: Partial<Percentiles> = {}): Percentiles {
  return { p50, p75: p50, p90: p50, p99: p50, count: 100, ...others }
}

/** Health by the name of the target; read at every call, so a test may change it. */
export function healthOf(known: Readonly<Record<string, KnownHealth>>): TargetHealth {
  return {
    state: ({ name }) => known[name]?.state ?? 'healthy',
    latencyMs: ({ name }) => known[name]?.latencyMs,
    throughput: ({ name }) => known[name]?.throughput,
    inFlight: () => 0,
    toolCallSuccess({ name }) {
      const share = known[name]?.toolCallShare
      return share === undefined ? undefined : { share, count: 100 }
    },
  }
}

/** A plugin that provides it as the service `target-health`. */
export function fixedHealth(known: Readonly<Record<string, KnownHealth>> = {}): PluginDefinition {
  return definePlugin({
    name: 'fixed-health',
    api: 1,
    options: { type: 'object', properties: {}, additionalProperties: false },
    provides: ['target-health'],
    setup: () => ({ services: { 'target-health': healthOf(known) } }),
  })
}
