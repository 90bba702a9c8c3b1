import { jsonReply } from '@hadrian/core/plugin'
import type { Clock, Queryable, Route } from '@hadrian/core/plugin'
import { adminRoute } from './admin-route.ts'
import { addDays, dateAt, daysBetween, periodOf, startOf } from './calendar.ts'
import { commonFilters, readFilters } from './filters.ts'
import { forecast } from './forecast.ts'
import { readDollars, readTimeZone, readWhole, readWord } from './query.ts'
import { readSpend } from './spend-history.ts'

/** The current period is the range. */
const filterNames = commonFilters.filter((name) => name !== 'from' && name !== 'to')
const ownNames = ['period', 'lookback_days', 'budget_usd', 'time_zone']

/** The admin API of the forecast. */
export function forecastRoute(database: Queryable, clock: Clock): Route {
  return adminRoute('/forecast', 'Project the spend of the current period', async ({ query }) => {
    const filters = readFilters(query, filterNames, ownNames)
    const period = readWord(query, 'period', ['monthly', 'weekly', 'daily'], 'monthly')
    const lookbackDays = readWhole(query, 'lookback_days', { standard: 30, from: 2, to: 366 })
    const budgetMicros = readDollars(query, 'budget_usd')
    const timeZone = readTimeZone(query)
    const nowMs = clock.now()
    const today = dateAt(nowMs, timeZone)
    const { start, end } = periodOf(today, period)
    const lookback = addDays(today, -lookbackDays)
    const from = lookback < start ? lookback : start
    const days = await readSpend(database, filters, { from, to: today, timeZone })
    const startMs = startOf(today, timeZone)
    const result = forecast({
      history: days.filter(({ date }) => date >= lookback && date < today),
      today,
      elapsed: (nowMs - startMs) / (startOf(addDays(today, 1), timeZone) - startMs),
      spent: Array.from({ length: daysBetween(start, today) + 1 }, (_, index) => {
        const date = addDays(start, index)
        return { date, costMicros: days.find((day) => day.date === date)?.costMicros ?? 0 }
      }),
      periodEnd: end,
      ...(budgetMicros !== undefined && { budgetMicros }),
    })
    return jsonReply({ period, period_start: start, period_end: end, time_zone: timeZone, ...result })
  })
}
