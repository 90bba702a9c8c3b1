/** The `provider` field of a request, read into types: which providers may serve it, and in which order. */

import type { GenerateRequest, JsonObject } from './canonical.ts'

/** Limits for several percentiles; those that are there must all hold. */
export interface PercentileLimits {
  readonly p50?: number
  readonly p75?: number
  readonly p90?: number
  readonly p99?: number
}

/** What targets are sorted by in place of balancing load. */
export type ProviderSort = 'price' | 'throughput' | 'latency' | 'exacto'

/** What calls may cost at most, in whole micro-dollars. */
export interface PriceLimits {
  /** Per million input tokens. */
  readonly prompt?: number
  /** Per million output tokens. */
  readonly completion?: number
  readonly request?: number
  readonly image?: number
  /** Per million tokens of audio. */
  readonly audio?: number
}

/** What a client wants of the providers that serve its request. An absent key was absent or null. */
export interface ProviderPreferences {
  /** Provider slugs to try first, in this order. */
  readonly order?: readonly string[]
  readonly only?: readonly string[]
  readonly ignore?: readonly string[]
  readonly quantizations?: readonly string[]
  /** False: only the first target, or those of `order`, may serve. */
  readonly allowFallbacks?: boolean
  readonly requireParameters?: boolean
  readonly zdr?: boolean
  readonly enforceDistillableText?: boolean
  readonly dataCollection?: 'allow' | 'deny'
  /** `by` is absent where the client only chose how models are partitioned. */
  readonly sort?: {
    readonly by?: ProviderSort
    /** `model`: all targets of the first model come before the second. `none`: those of all models are one list. */
    readonly partition: 'model' | 'none'
  }
  /** Output tokens per second. */
  readonly preferredMinThroughput?: PercentileLimits
  /** Milliseconds until the first event. */
  readonly preferredMaxLatency?: PercentileLimits
  readonly maxPrice?: PriceLimits
}

const read = new WeakMap<JsonObject, ProviderPreferences>()
const noPreferences: ProviderPreferences = Object.freeze({})

/**
 * The `provider` field of a request, which the kernel has checked, with names in camelCase, nulls left out, prices in
 * micro-dollars and latencies in milliseconds. Read once for each request; costs a look into a map after that.
 */
export function readProviderPreferences(request: GenerateRequest): ProviderPreferences {
  const { provider } = request
  if (!provider) return noPreferences
  let preferences = read.get(provider)
  if (!preferences) {
    preferences = preferencesOf(provider)
    read.set(provider, preferences)
  }
  return preferences
}

function preferencesOf(provider: JsonObject): ProviderPreferences {
  return present<ProviderPreferences>({
    order: provider['order'],
    only: provider['only'],
    ignore: provider['ignore'],
    quantizations: provider['quantizations'],
    allowFallbacks: provider['allow_fallbacks'],
    requireParameters: provider['require_parameters'],
    zdr: provider['zdr'],
    enforceDistillableText: provider['enforce_distillable_text'],
    dataCollection: provider['data_collection'],
    sort: sortOf(provider['sort']),
    preferredMinThroughput: percentiles(provider['preferred_min_throughput'], 1),
    preferredMaxLatency: percentiles(provider['preferred_max_latency'], 1000),
    maxPrice: pricesOf(provider['max_price']),
  })
}

function sortOf(value: unknown): ProviderPreferences['sort'] {
  if (value === undefined || value === null) return undefined
  if (typeof value === 'string') return { by: value as ProviderSort, partition: 'model' }
  const { by, partition } = value as { readonly by?: ProviderSort | null; readonly partition?: 'model' | 'none' | null }
  if (!by && !partition) return undefined
  return { ...(by && { by }), partition: partition ?? 'model' }
}

/** A bare number is the limit of the median. */
function percentiles(value: unknown, factor: number): PercentileLimits | undefined {
  if (typeof value === 'number') return { p50: value * factor }
  return scaled(value, (limit) => Number(limit) * factor)
}

function pricesOf(value: unknown): PriceLimits | undefined {
  return scaled(value, (dollars) => Math.min(Math.round(Number(dollars) * 1_000_000), Number.MAX_SAFE_INTEGER))
}

function scaled(value: unknown, change: (entry: unknown) => number): Record<string, number> | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const entries = Object.entries(value).filter(([, entry]) => entry !== null && entry !== undefined)
  return entries.length === 0
    ? undefined
    : Object.fromEntries(entries.map(([name, entry]) => [name, change(entry)] as const))
}

function present<T extends object>(fields: Record<keyof T, unknown>): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== null)) as T
}
