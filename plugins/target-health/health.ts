import type { Clock, Percentiles, Target, TargetHealth } from '@hadrian/core/plugin'
import type { Guard } from './guard.ts'
import type { Targets } from './targets.ts'

type Named = Pick<Target, 'name' | 'provider'>

/** The service `target-health`: how targets have fared, from memory. */
export class Health implements TargetHealth {
  readonly targets: Targets
  readonly clock: Clock
  readonly #guard: Guard

  constructor(targets: Targets, guard: Guard, clock: Clock) {
    this.targets = targets
    this.clock = clock
    this.#guard = guard
  }

  /** A target whose time is over is `healthy` again, so that the router sends it the one call that tries it. */
  state(target: Named): 'healthy' | 'degraded' | 'open' {
    const nowMs = this.clock.monotonicMs()
    if (this.#guard.waitMs(target, nowMs) > 0) return 'open'
    const { checks } = this.targets
    if (checks.size > 0)
      for (const key of [target.provider, target.name]) if (checks.get(key)?.status === 'degraded') return 'degraded'
    return this.targets.known(target.name)?.isDegraded(nowMs) === true ? 'degraded' : 'healthy'
  }

  /** Of answers that came piece by piece; where there were none, until the whole answer was there. */
  latencyMs(target: Pick<Target, 'name'>): Percentiles | undefined {
    const tracked = this.targets.known(target.name)
    if (!tracked) return undefined
    const nowMs = this.clock.monotonicMs()
    return tracked.firstEvents?.percentiles(nowMs) ?? tracked.durations?.percentiles(nowMs)
  }

  throughput(target: Pick<Target, 'name'>): Percentiles | undefined {
    return this.targets.known(target.name)?.throughputs?.percentiles(this.clock.monotonicMs())
  }

  inFlight(target: Pick<Target, 'name'>): number {
    return this.targets.known(target.name)?.inFlight ?? 0
  }

  retryAfterMs(target: Named): number {
    return this.#guard.waitMs(target)
  }

  toolCallSuccess(target: Pick<Target, 'name'>): { readonly share: number; readonly count: number } | undefined {
    return this.targets.known(target.name)?.toolCalls?.read(this.clock.monotonicMs())
  }
}
