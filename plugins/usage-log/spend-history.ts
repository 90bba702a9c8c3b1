import type { Queryable } from '@hadrian/core/plugin'
import { readSeries } from './aggregates.ts'
import { addDays, startOf } from './calendar.ts'
import type { Filters } from './filters.ts'
import { wholeHours } from './rollups.ts'
import type { SpendDay } from './spend-model.ts'

/** Spend of each day from a date to another (both inclusive), without gaps, from the first day with usage on. */
export async function readSpend(
  database: Queryable,
  filters: Filters,
  { from, to, timeZone }: { readonly from: string; readonly to: string; readonly timeZone: string },
): Promise<SpendDay[]> {
  const range = {
    from: new Date(startOf(from, timeZone)),
    to: new Date(startOf(addDays(to, 1), timeZone)),
  }
  const series = await readSeries(database, wholeHours({ ...filters, ...range }), 'day', timeZone)
  const costs = new Map(series.map((day) => [day['date'] as string, day['cost_micros'] as number]))
  const days: SpendDay[] = []
  for (let date = from; date <= to; date = addDays(date, 1))
    if (days.length > 0 || costs.has(date)) days.push({ date, costMicros: costs.get(date) ?? 0 })
  return days
}
