import type { PercentileLimits, ProviderPreferences, Target, TargetHealth } from '@hadrian/core/plugin'

const percentiles = ['p50', 'p75', 'p90', 'p99'] as const satisfies readonly (keyof PercentileLimits)[]

/** Whether a request has preferences of this kind. */
export function hasThresholds({ preferredMinThroughput, preferredMaxLatency }: ProviderPreferences): boolean {
  return preferredMinThroughput !== undefined || preferredMaxLatency !== undefined
}

/**
 * Whether a target is known to be slower than the client would like. One that nothing was measured of is not: it would
 * never be measured.
 */
export function missesThresholds(target: Target, preferences: ProviderPreferences, health: TargetHealth): boolean {
  const { preferredMinThroughput: least, preferredMaxLatency: most } = preferences
  const throughput = least && health.throughput(target)
  if (throughput && percentiles.some((name) => throughput[name] < (least[name] ?? 0))) return true
  const latency = most && health.latencyMs(target)
  return latency !== undefined && percentiles.some((name) => latency[name] > (most?.[name] ?? Infinity))
}
