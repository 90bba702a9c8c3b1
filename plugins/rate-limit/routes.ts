import { invalidRequest, jsonReply } from '@hadrian/core/plugin'
import type { Clock, Queryable, Route, Row } from '@hadrian/core/plugin'
import { leaseMs } from './window.ts'

/** Rows that are listed at most. */
const mostRows = 1000

interface CounterRow extends Row {
  readonly subject: string
  readonly kind: string
  readonly most: string
  readonly used: string
  readonly instances: number
}

/** Where callers stand with their limits, over all instances. */
export function usageRoutes(database: Queryable, clock: Clock): Route[] {
  return [
    {
      method: 'GET',
      path: '/admin/v1/rate-limits',
      scope: 'admin',
      summary: 'Current use of rate limits, the most used first; filter by subject (key:ID, team:ID, model:NAME)',
      async handle(call) {
        const { subject } = call.query
        if (subject !== undefined && !subject.includes(':'))
          throw invalidRequest([{ path: 'subject', message: 'must be a kind and an id, like key:ID or team:ID' }])
        const rows = await database.query<CounterRow>(
          `select * from (
             select subject, kind, most,
               (select coalesce(sum(units), 0) from unnest(buckets, counts) as kept(bucket, units)
                where bucket >= ($1::bigint - window_ms - ${leaseMs}) / bucket_ms) as used,
               (select count(*)::int from jsonb_each_text(instances) as other(name, seen_ms)
                where seen_ms::bigint > $1::bigint - 10000) as instances
             from rate_limit_windows where expires_ms > $1 and ($2::text is null or subject = $2)
             union all
             select subject, 'concurrent_requests', most,
               (select coalesce(sum((lease ->> 0)::bigint), 0) from jsonb_each(holders) as held(name, lease)
                where (lease ->> 1)::bigint > $1::bigint),
               (select count(*)::int from jsonb_each(holders) as held(name, lease)
                where (lease ->> 1)::bigint > $1::bigint)
             from rate_limit_slots where expires_ms > $1 and ($2::text is null or subject = $2)
           ) as counters
           order by used::numeric / greatest(most, 1) desc, subject, kind limit ${mostRows}`,
          [Math.floor(clock.now()), subject ?? null],
        )
        return jsonReply({
          data: rows.map(({ subject: of, kind, most, used, instances }) => ({
            subject: of,
            limit: kind,
            allowed: Number(most),
            used: Math.max(0, Number(used)),
            instances,
          })),
        })
      },
    },
  ]
}
