import type { Queryable, Row } from '@hadrian/core/plugin'
import { leaseMs } from './window.ts'

/** Rows that are read at most. */
const mostRows = 1000

/** A shared counter that counts something. */
export interface CounterRow extends Row {
  readonly subject: string
  readonly kind: string
  readonly most: string
  readonly used: string
  readonly instances: number
}

/**
 * Reads the shared counters, the most used first; what instances have in stock counts as used.
 *
 * @param wallMs now, milliseconds since 1970
 * @param subjects those of these only, `key:ID`; absent: all, but at most 1,000
 */
export function readCounters(database: Queryable, wallMs: number, subjects?: readonly string[]): Promise<CounterRow[]> {
  return database.query<CounterRow>(
    `select * from (
       select subject, kind, most,
         (select coalesce(sum(units), 0) from unnest(buckets, counts) as kept(bucket, units)
          where bucket >= ($1::bigint - window_ms - ${leaseMs}) / bucket_ms) as used,
         (select count(*)::int from jsonb_each_text(instances) as other(name, seen_ms)
          where seen_ms::bigint > $1::bigint - 10000) as instances
       from rate_limit_windows where expires_ms > $1 and ($2::text[] is null or subject = any($2))
       union all
       select subject, 'concurrent_requests', most,
         (select coalesce(sum((lease ->> 0)::bigint), 0) from jsonb_each(holders) as held(name, lease)
          where (lease ->> 1)::bigint > $1::bigint),
         (select count(*)::int from jsonb_each(holders) as held(name, lease)
          where (lease ->> 1)::bigint > $1::bigint)
       from rate_limit_slots where expires_ms > $1 and ($2::text[] is null or subject = any($2))
     ) as counters
     order by used::numeric / greatest(most, 1) desc, subject, kind limit ${mostRows}`,
    [Math.floor(wallMs), subjects ?? null],
  )
}
