import { invalidRequest, jsonReply } from '@hadrian/core/plugin'
import type { Clock, Queryable, Route } from '@hadrian/core/plugin'
import { readCounters } from './counter-rows.ts'

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
        const rows = await readCounters(database, clock.now(), subject === undefined ? undefined : [subject])
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
