import { invalidRequest, jsonReply } from '@hadrian/core/plugin'
import type { Clock, JsonObject, Queryable, Route } from '@hadrian/core/plugin'
import { adminRoute } from './admin-route.ts'
import { readGroups, readSeries, readSummary } from './aggregates.ts'
import type { Granularity, Grouping } from './aggregates.ts'
import { commonFilters, readFilters } from './filters.ts'
import type { Filters } from './filters.ts'
import { readTimeZone, readWhole, readWord } from './query.ts'
import { wholeHours } from './rollups.ts'

const dayMs = 86_400_000

const groupings: readonly (readonly [path: string, grouping: Grouping, what: string])[] = [
  ['/by-model', 'model', 'model'],
  ['/by-provider', 'provider', 'provider'],
  ['/by-key', 'principal', 'key or other credential'],
  ['/by-user', 'user', 'user'],
  ['/by-service-account', 'service_account', 'service account'],
  ['/by-project', 'project', 'project'],
  ['/by-team', 'team', 'team'],
  ['/by-organization', 'organization', 'organization'],
]

/** Steps of a series: how many days are shown if nobody says, and at most. */
const spans: Readonly<Record<Granularity, { readonly standardDays: number; readonly mostDays: number }>> = {
  hour: { standardDays: 2, mostDays: 62 },
  day: { standardDays: 30, mostDays: 1100 },
  month: { standardDays: 365, mostDays: 36_600 },
}

/** The admin API of sums. */
export function sumRoutes(database: Queryable, clock: Clock): Route[] {
  return [
    adminRoute('', 'Sum up usage', async ({ query }) => {
      const filters = wholeHours(readFilters(query, commonFilters))
      return jsonReply({ ...rangeBody(filters), ...(await readSummary(database, filters)) })
    }),
    ...groupings.map(([path, grouping, what]) =>
      adminRoute(path, `Sum up usage by ${what}, the dearest first`, async ({ query }) => {
        const filters = wholeHours(readFilters(query, commonFilters, ['limit']))
        const limit = readWhole(query, 'limit', { standard: 100, from: 1, to: 1000 })
        return jsonReply({ ...rangeBody(filters), ...(await readGroups(database, filters, grouping, limit)) })
      }),
    ),
    adminRoute('/by-date', 'Sum up usage by hour, day or month', async ({ query }) => {
      const given = readFilters(query, commonFilters, ['granularity', 'time_zone'])
      const granularity = readWord(query, 'granularity', ['hour', 'day', 'month'], 'day')
      const timeZone = readTimeZone(query)
      const filters = wholeHours(withRange(given, granularity, clock.now()))
      const data = await readSeries(database, filters, granularity, timeZone)
      return jsonReply({ ...rangeBody(filters), granularity, time_zone: timeZone, data })
    }),
  ]
}

/** The range of a series: the last days, if it has no beginning, and never so long that the answer would be. */
function withRange(filters: Filters, granularity: Granularity, nowMs: number): Filters {
  const { standardDays, mostDays } = spans[granularity]
  const toMs = filters.to?.getTime() ?? nowMs
  const from = filters.from ?? new Date(toMs - standardDays * dayMs)
  if (toMs - from.getTime() > mostDays * dayMs)
    throw invalidRequest([
      { path: 'from', message: `must be at most ${mostDays} days before to, for granularity=${granularity}` },
    ])
  return { ...filters, from }
}

function rangeBody({ from, to }: Filters): JsonObject {
  return { from: from ?? null, to: to ?? null }
}
