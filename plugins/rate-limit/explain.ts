import type { Clock, JsonObject, Queryable } from '@hadrian/core/plugin'
import { readCounters } from './counter-rows.ts'
import type { Demand } from './demand.ts'
import type { Engine } from './engine.ts'

/** What is looked at. */
export interface ExplainSources {
  readonly engine: Pick<Engine, 'remaining'>
  readonly clock: Clock
  /** Asked once for what this instance has not counted of late; undefined: nothing is known of that. */
  readonly database: Queryable | undefined
}

/**
 * The limits that an exchange is under and what is left of each, as the headers of an answer would say it, or the shared
 * counters where this instance has not used them of late. Nothing is counted or taken. `remaining` is null where it is
 * not known.
 */
export async function explainLimits(
  demands: readonly Demand[],
  { engine, clock, database }: ExplainSources,
): Promise<JsonObject | undefined> {
  if (demands.length === 0) return undefined
  const remaining = demands.map((demand) => engine.remaining(demand))
  const unseen = demands.filter((_, place) => remaining[place] === undefined)
  if (unseen.length > 0 && database) {
    const rows = await readCounters(database, clock.now(), [...new Set(unseen.map(({ subject }) => subject))])
    for (const [place, demand] of demands.entries()) {
      const row = rows.find(({ subject, kind }) => subject === demand.subject && kind === nameOf(demand))
      remaining[place] ??= Math.max(0, demand.limit - Math.max(0, Number(row?.used ?? 0)))
    }
  }
  return {
    limits: demands.map((demand, place) => ({
      scope: demand.scope,
      limit: nameOf(demand),
      allowed: demand.limit,
      remaining: remaining[place] ?? null,
    })),
  }
}

function nameOf({ kind }: Demand): string {
  return kind?.name ?? 'concurrent_requests'
}
