import type { JsonObject } from '@hadrian/core/plugin'
import { addDays, daysBetween } from './calendar.ts'
import { SpendModel } from './spend-model.ts'
import type { SpendDay } from './spend-model.ts'

/** How far ahead the end of a budget is looked for. */
const horizonDays = 366
/** Share of the cases that an interval is made to hold. */
const confidence = 0.95
const fewestDays = 2

/** What a forecast is made of. */
export interface ForecastInput {
  /** Whole days before today, the oldest first, without gaps: what the forecast goes by. */
  readonly history: readonly SpendDay[]
  readonly today: string
  /** Share of today that has passed, 0 to 1. */
  readonly elapsed: number
  /** Days of the period up to today, the first one first. */
  readonly spent: readonly SpendDay[]
  /** The day after the last of the period. */
  readonly periodEnd: string
  readonly budgetMicros?: number
}

/** Spend of the period up to the end of a day. */
interface Point {
  readonly date: string
  readonly micros: number
  readonly lowerMicros: number
  readonly upperMicros: number
  /** Of the day alone. */
  readonly dayMicros: number
  readonly dayLowerMicros: number
  readonly dayUpperMicros: number
}

/** What the period will have cost at its end, and when the budget is spent, with what is not known about both. */
export function forecast(input: ForecastInput): JsonObject {
  const { history, spent, periodEnd, today, budgetMicros } = input
  const spentMicros = spent.reduce((sum, { costMicros }) => sum + costMicros, 0)
  const model = history.length < fewestDays ? undefined : new SpendModel(history)
  const points = model && pointsOf(input, model, spentMicros)
  const inPeriod = points?.filter(({ date }) => date < periodEnd)
  const end = inPeriod?.at(-1)
  const todayMicros = spent.at(-1)?.costMicros ?? 0
  return {
    confidence,
    method: model?.method ?? null,
    reason: model ? null : `at least ${fewestDays} whole days of usage are needed, and there are ${history.length}`,
    history_days: history.length,
    average_daily_spend: model ? dollars(model.averageMicros) : null,
    standard_deviation: model ? dollars(model.deviationMicros) : null,
    current_spend: dollars(spentMicros),
    projected_spend: end ? dollars(end.micros) : null,
    projected_spend_lower: end ? dollars(end.lowerMicros) : null,
    projected_spend_upper: end ? dollars(end.upperMicros) : null,
    ...(budgetMicros !== undefined && exhaustion(input, points, spentMicros, budgetMicros)),
    series: [
      ...spentSeries(spent.filter(({ date }) => date < today)),
      ...(inPeriod ?? []).map((point) => ({
        date: point.date,
        actual: point.date === today ? dollars(todayMicros) : null,
        spend: dollars(point.dayMicros),
        lower: dollars(point.dayLowerMicros),
        upper: dollars(point.dayUpperMicros),
        cumulative: dollars(point.micros),
        cumulative_lower: dollars(point.lowerMicros),
        cumulative_upper: dollars(point.upperMicros),
      })),
    ],
  }
}

function spentSeries(days: readonly SpendDay[]): JsonObject[] {
  let sum = 0
  return days.map(({ date, costMicros }) => {
    sum += costMicros
    const [spend, cumulative] = [dollars(costMicros), dollars(sum)]
    return {
      date,
      actual: spend,
      spend,
      lower: spend,
      upper: spend,
      cumulative,
      cumulative_lower: cumulative,
      cumulative_upper: cumulative,
    }
  })
}

/** Today and the days after it, up to the horizon or the end of the period. */
function pointsOf(input: ForecastInput, model: SpendModel, spentMicros: number): Point[] {
  const { today, elapsed, periodEnd } = input
  const todayMicros = input.spent.at(-1)?.costMicros ?? 0
  const count = Math.max(daysBetween(today, periodEnd), input.budgetMicros === undefined ? 0 : horizonDays)
  const expectAll = model.ahead()
  const points: Point[] = []
  let lowerMicros = spentMicros
  for (let index = 0; index < count; index++) {
    const date = addDays(today, index)
    const share = index === 0 ? 1 - elapsed : 1
    const all = expectAll(date, share)
    const alone = model.ahead()(date, share)
    const already = index === 0 ? todayMicros : 0
    // Money that is spent stays spent, so no day ends with less than the day before.
    lowerMicros = Math.max(lowerMicros, spentMicros + all.lowerMicros)
    points.push({
      date,
      micros: spentMicros + all.micros,
      lowerMicros,
      upperMicros: spentMicros + all.upperMicros,
      dayMicros: already + alone.micros,
      dayLowerMicros: already + alone.lowerMicros,
      dayUpperMicros: already + alone.upperMicros,
    })
  }
  return points
}

/** When the budget is spent, as if it did not begin anew with the next period. */
function exhaustion(
  { today, elapsed, periodEnd }: ForecastInput,
  points: readonly Point[] | undefined,
  spentMicros: number,
  budgetMicros: number,
): JsonObject {
  const daysUntil = (value: (point: Point) => number): number | null => {
    if (spentMicros >= budgetMicros) return 0
    let before = { days: 0, micros: spentMicros }
    for (const [index, point] of (points ?? []).entries()) {
      const after = { days: index + 1 - elapsed, micros: value(point) }
      if (after.micros >= budgetMicros) {
        const share = (budgetMicros - before.micros) / (after.micros - before.micros)
        return before.days + share * (after.days - before.days)
      }
      before = after
    }
    return null
  }
  const days = daysUntil(({ micros }) => micros)
  const date = days === null ? null : addDays(today, Math.floor(elapsed + days))
  return {
    budget: dollars(budgetMicros),
    remaining: dollars(Math.max(0, budgetMicros - spentMicros)),
    days_until_exhaustion: rounded(days),
    days_until_exhaustion_lower: rounded(daysUntil(({ upperMicros }) => upperMicros)),
    days_until_exhaustion_upper: rounded(daysUntil(({ lowerMicros }) => lowerMicros)),
    projected_exhaustion_date: date,
    exhausts_in_period: date !== null && date < periodEnd,
  }
}

function dollars(micros: number): number {
  return Math.round(micros) / 1_000_000
}

function rounded(days: number | null): number | null {
  return days === null ? null : Math.round(days * 100) / 100
}
