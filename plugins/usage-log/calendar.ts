/** Dates of a time zone, as `2030-01-31`, and the instants they begin at. */

const dayMs = 86_400_000
/** IANA names alone: PostgreSQL reads `+02:00` as two hours west. */
const zoneShape = /^[A-Za-z][A-Za-z0-9_+/-]{0,63}$/

const formats = new Map<string, Intl.DateTimeFormat>()
/** Zones are the operator's words; there are not many, and each costs some 50 kB. */
const mostFormats = 50

/** Whether a name is that of a time zone: `Europe/Berlin`, `UTC`. */
export function isTimeZone(name: string): boolean {
  if (!zoneShape.test(name)) return false
  try {
    formatOf(name)
    return true
  } catch {
    return false
  }
}

/** The date of an instant. */
export function dateAt(atMs: number, timeZone: string): string {
  return new Date(localMs(atMs, timeZone)).toISOString().slice(0, 10)
}

/** When a date begins; where clocks are set forward at midnight, when they are. */
export function startOf(date: string, timeZone: string): number {
  const midnightMs = Date.parse(date)
  const offsetAt = (atMs: number): number => localMs(atMs, timeZone) - atMs
  const candidates = [midnightMs - dayMs, midnightMs + dayMs].map((atMs) => midnightMs - offsetAt(atMs))
  return Math.min(...candidates.filter((atMs) => localMs(atMs, timeZone) === midnightMs), Math.max(...candidates))
}

/** The date some days later. */
export function addDays(date: string, days: number): string {
  return new Date(Date.parse(date) + days * dayMs).toISOString().slice(0, 10)
}

/** Days from one date to another. */
export function daysBetween(from: string, to: string): number {
  return Math.round((Date.parse(to) - Date.parse(from)) / dayMs)
}

/** 0 for Sunday. */
export function weekdayOf(date: string): number {
  return new Date(date).getUTCDay()
}

/** First day of the calendar period that a date is in, and of the next one. Weeks begin on Monday. */
export function periodOf(date: string, period: 'daily' | 'weekly' | 'monthly'): { start: string; end: string } {
  if (period === 'daily') return { start: date, end: addDays(date, 1) }
  if (period === 'weekly') {
    const start = addDays(date, -((weekdayOf(date) + 6) % 7))
    return { start, end: addDays(start, 7) }
  }
  const start = `${date.slice(0, 8)}01`
  return { start, end: `${addDays(start, 31).slice(0, 8)}01` }
}

/** What the clocks of a zone show, as if it were UTC. */
function localMs(atMs: number, timeZone: string): number {
  if (timeZone === 'UTC') return atMs
  const parts: Record<string, number> = {}
  for (const { type, value } of formatOf(timeZone).formatToParts(atMs)) parts[type] = Number(value)
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts
  return Date.UTC(year, month - 1, day, hour, minute, second)
}

function formatOf(timeZone: string): Intl.DateTimeFormat {
  let format = formats.get(timeZone)
  if (!format) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    })
    if (formats.size >= mostFormats) formats.clear()
    formats.set(timeZone, format)
  }
  return format
}
