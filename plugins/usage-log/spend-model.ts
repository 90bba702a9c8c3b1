import { weekdayOf } from './calendar.ts'
import { quantile95 } from './student.ts'

/** What was spent on a day, in micro-dollars. */
export interface SpendDay {
  readonly date: string
  readonly costMicros: number
}

/** Spend still to come up to some moment. */
export interface Expected {
  readonly micros: number
  /** The interval that holds 95 % of what may come; never below zero. */
  readonly lowerMicros: number
  readonly upperMicros: number
}

/** Two of each weekday: with one, a weekday's mean would say nothing of its error. */
const fewestForWeekdays = 14

/**
 * Daily spend as the mean of the same weekdays (of all days, while there are fewer than 14) and an error that is alike on
 * all days and independent between them.
 */
export class SpendModel {
  readonly method: 'weekday_mean' | 'mean'
  /** Mean and sample standard deviation of all days. */
  readonly averageMicros: number
  readonly deviationMicros: number
  /** Standard deviation of a day from its mean. */
  readonly #residualMicros: number
  readonly #quantile: number
  readonly #groups: ReadonlyMap<number, { readonly mean: number; readonly count: number }>

  /** @param days without gaps; at least two */
  constructor(days: readonly SpendDay[]) {
    const byWeekday = days.length >= fewestForWeekdays
    this.method = byWeekday ? 'weekday_mean' : 'mean'
    this.averageMicros = meanOf(days)
    this.deviationMicros = Math.sqrt(squares(days, () => this.averageMicros) / Math.max(1, days.length - 1))
    const groups = new Map<number, { mean: number; count: number }>()
    for (let weekday = 0; weekday < 7; weekday++) {
      const alike = byWeekday ? days.filter(({ date }) => weekdayOf(date) === weekday) : days
      groups.set(weekday, { mean: meanOf(alike), count: alike.length })
    }
    this.#groups = groups
    const degreesOfFreedom = days.length - (byWeekday ? 7 : 1)
    this.#residualMicros = Math.sqrt(squares(days, ({ date }) => this.mean(date)) / degreesOfFreedom)
    this.#quantile = quantile95(degreesOfFreedom)
  }

  /** Expected spend of a day. */
  mean(date: string): number {
    return this.#groups.get(weekdayOf(date))!.mean
  }

  /** Returns what the days given to it so far are expected to cost, each with the share of it that is still to come. */
  ahead(): (date: string, share: number) => Expected {
    let micros = 0
    let ownVariance = 0
    const shares = new Map<number, number>()
    return (date, share) => {
      micros += share * this.mean(date)
      ownVariance += share
      // All days of a weekday share the error of its mean; without weekdays all days do.
      const group = this.method === 'weekday_mean' ? weekdayOf(date) : 0
      shares.set(group, (shares.get(group) ?? 0) + share)
      let meanVariance = 0
      for (const [key, sum] of shares) meanVariance += sum ** 2 / this.#groups.get(key)!.count
      const margin = this.#quantile * this.#residualMicros * Math.sqrt(ownVariance + meanVariance)
      return { micros, lowerMicros: Math.max(0, micros - margin), upperMicros: micros + margin }
    }
  }
}

function meanOf(days: readonly SpendDay[]): number {
  let sum = 0
  for (const { costMicros } of days) sum += costMicros
  return days.length === 0 ? 0 : sum / days.length
}

function squares(days: readonly SpendDay[], mean: (day: SpendDay) => number): number {
  let sum = 0
  for (const day of days) sum += (day.costMicros - mean(day)) ** 2
  return sum
}
