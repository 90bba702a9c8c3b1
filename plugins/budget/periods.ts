import type { BudgetPeriod } from '@hadrian/core/plugin'

/** One window of a period: from `startsAtMs`, inclusive, to `endsAtMs`, exclusive; milliseconds since 1970. */
export interface Window {
  readonly startsAtMs: number
  /** Undefined for `total`, which never ends. */
  readonly endsAtMs: number | undefined
}

/** A day of the calendar, as one number that grows with it. */
type Day = number

const dayMs = 86_400_000
/** No zone is further from UTC than 14 hours, and clocks are never moved by more than a day. */
const farthestMs = 40 * 3_600_000
const forever: Window = { startsAtMs: 0, endsAtMs: undefined }

/** The windows of calendar periods in one time zone: days from midnight to midnight, weeks from Monday, months. */
export class Calendar {
  readonly timeZone: string
  readonly #format: Intl.DateTimeFormat
  readonly #current = new Map<BudgetPeriod, Window>()

  /** @throws RangeError for a time zone that the runtime does not know */
  constructor(timeZone: string) {
    this.timeZone = timeZone
    this.#format = new Intl.DateTimeFormat('en-US', {
      timeZone,
      calendar: 'gregory',
      numberingSystem: 'latn',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
    })
  }

  /** The window that holds a time. Remembered: working one out takes some 50 us. */
  windowOf(period: BudgetPeriod, nowMs: number): Window {
    if (period === 'total') return forever
    const known = this.#current.get(period)
    if (known && nowMs >= known.startsAtMs && nowMs < known.endsAtMs!) return known
    const today = this.#dayOf(nowMs)
    const first = firstDay(period, today)
    const window = { startsAtMs: this.#startOf(first), endsAtMs: this.#startOf(dayAfter(period, first)) }
    this.#current.set(period, window)
    return window
  }

  #dayOf(nowMs: number): Day {
    let year = 0
    let month = 0
    let day = 0
    for (const { type, value } of this.#format.formatToParts(nowMs))
      if (type === 'year') year = Number(value)
      else if (type === 'month') month = Number(value)
      else if (type === 'day') day = Number(value)
    return Date.UTC(year, month - 1, day) / dayMs
  }

  /**
   * The first second of a day. Looked for, since midnight may be skipped by summer time, happen at any offset, or be a
   * day that a country has left out.
   */
  #startOf(day: Day): number {
    let before = (day * dayMs - farthestMs) / 1000
    let notBefore = (day * dayMs + farthestMs) / 1000
    while (notBefore - before > 1) {
      const middle = Math.floor((before + notBefore) / 2)
      if (this.#dayOf(middle * 1000) < day) before = middle
      else notBefore = middle
    }
    return notBefore * 1000
  }
}

function firstDay(period: BudgetPeriod, today: Day): Day {
  const date = new Date(today * dayMs)
  if (period === 'weekly') return today - ((date.getUTCDay() + 6) % 7)
  if (period === 'monthly') return today - date.getUTCDate() + 1
  return today
}

function dayAfter(period: BudgetPeriod, first: Day): Day {
  const date = new Date(first * dayMs)
  if (period === 'weekly') return first + 7
  if (period === 'monthly') return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1) / dayMs
  return first + 1
}
