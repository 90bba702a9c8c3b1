import type { Catalog, Clock, Logger } from '../contract/plugin.ts'
import type { Provider } from '../contract/provider.ts'
import type { Telemetry } from '../services/telemetry.ts'
import type { Connections } from './connections.ts'
import type { Plan } from './plan.ts'
import type { UpstreamTimeouts } from './upstream.ts'

/** A configured provider. */
export interface ProviderInstance {
  /** The name in the config, which is the prefix of its models. */
  readonly name: string
  /** The package it is made by. */
  readonly type: string
  readonly provider: Provider
  readonly timeouts: UpstreamTimeouts
}

/** How the kernel tries targets. */
export interface RoutingSettings {
  readonly defaultModel?: string | undefined
  /** Attempts of one provider call, over all targets and retries. */
  readonly maxAttempts: number
  /** Further attempts of one target, if its failures may pass. */
  readonly retries: number
  /** Milliseconds since the first failure of a call after which no further attempt of it begins. */
  readonly retryBudgetMs: number
  /** Milliseconds without a first event after which a second attempt begins beside one; undefined: never. */
  readonly hedgeAfterMs?: number | undefined
  /** A call with one target may be hedged by that target itself. */
  readonly hedgeSameTarget: boolean
}

/** What the pipeline works with; built once at startup, shared by all exchanges. */
export interface PipelineServices {
  readonly plan: Plan
  readonly providers: ReadonlyMap<string, ProviderInstance>
  readonly catalog: Catalog
  readonly routing: RoutingSettings
  readonly clock: Clock
  readonly logger: Logger
  readonly telemetry: Telemetry
  readonly connections: Connections
}
