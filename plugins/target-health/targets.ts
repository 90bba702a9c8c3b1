import type { Target } from '@hadrian/core/plugin'
import type { BreakerSettings } from './breaker.ts'
import type { CheckState } from './check-state.ts'
import type { Pool } from './pool.ts'
import { TrackedTarget } from './tracked-target.ts'

/** Targets that have answered. With 10 kB each at most, 5 MB. */
const mostProven = 500
/** Targets that have not, such as those a client made up. They never push out the others. */
const mostUnproven = 200

/** What one config does while it is in force. */
export interface HealthConfig {
  /** May be called again after `end`. */
  begin(): void
  end(): void
}

/** The targets that are called, and what else outlives a reload. A number of them, since clients choose models. */
export class Targets {
  /** Set by the config in force. */
  breaker: BreakerSettings
  /** By the name of a provider instance, or of a target. */
  readonly checks = new Map<string, CheckState>()
  /** By their key in the config. */
  readonly pools = new Map<string, Pool>()
  /** Those that have started and not stopped: during a reload there are two, and the last is in force. */
  readonly #configs: HealthConfig[] = []
  readonly #proven = new Map<string, TrackedTarget>()
  readonly #unproven = new Map<string, TrackedTarget>()

  constructor(breaker: BreakerSettings) {
    this.breaker = breaker
  }

  /** Puts a config in force, in place of the one that is. */
  enter(config: HealthConfig): void {
    this.#configs.at(-1)?.end()
    this.#configs.push(config)
    config.begin()
  }

  /** A config has stopped. If it was in force, the one before is again: the reload has failed. Safe to call twice. */
  leave(config: HealthConfig): void {
    const index = this.#configs.indexOf(config)
    if (index < 0) return
    const wasInForce = index === this.#configs.length - 1
    this.#configs.splice(index, 1)
    if (!wasInForce) return
    config.end()
    this.#configs.at(-1)?.begin()
  }

  /** Undefined for a target that was never called, or is forgotten. */
  known(name: string): TrackedTarget | undefined {
    return this.#proven.get(name) ?? this.#unproven.get(name)
  }

  /** The record of a target, made at its first call. */
  of(target: Target): TrackedTarget {
    const known = this.#proven.get(target.name) ?? this.#unproven.get(target.name)
    if (known) return known
    const tracked = new TrackedTarget(target, this)
    makeRoom(this.#unproven, mostUnproven)
    this.#unproven.set(target.name, tracked)
    return tracked
  }

  /** A target has answered. */
  prove(tracked: TrackedTarget): void {
    tracked.isProven = true
    this.#unproven.delete(tracked.name)
    if (this.#proven.has(tracked.name)) return
    makeRoom(this.#proven, mostProven)
    this.#proven.set(tracked.name, tracked)
  }

  /** All, those that have answered first. */
  *all(): Generator<TrackedTarget> {
    yield* this.#proven.values()
    yield* this.#unproven.values()
  }
}

/** Forgets the oldest, one that is not called at the moment if there is one among the first few. */
function makeRoom(targets: Map<string, TrackedTarget>, most: number): void {
  if (targets.size < most) return
  let oldest: string | undefined
  let looked = 0
  for (const [name, { inFlight, breaker }] of targets) {
    oldest ??= name
    if (inFlight === 0 && breaker.status === 'closed') {
      oldest = name
      break
    }
    if (++looked === 16) break
  }
  if (oldest !== undefined) targets.delete(oldest)
}
