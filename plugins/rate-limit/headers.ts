import type { Exchange } from '@hadrian/core/plugin'
import type { Demand } from './demand.ts'
import { Ledger } from './ledger.ts'

type Headers = Pick<Exchange, 'header'>

/** Says where the caller stands with the limit on requests that has the fewest left. */
export function requestHeaders(exchange: Headers, demands: readonly Demand[], nowMs: number): void {
  let tightest: Ledger | undefined
  let remaining = Infinity
  for (const { counter } of demands) {
    if (!(counter instanceof Ledger)) continue
    const left = counter.remaining(nowMs)
    if (left >= remaining) continue
    tightest = counter
    remaining = left
  }
  if (!tightest) return
  exchange.header('x-ratelimit-limit', String(tightest.limit))
  exchange.header('x-ratelimit-remaining', String(remaining))
  exchange.header('x-ratelimit-reset', String(Math.ceil(tightest.resetInMs(nowMs) / 1000)))
}

/** The same for tokens, by minute and by day. */
export function tokenHeaders(exchange: Headers, demands: readonly Demand[], nowMs: number): void {
  let minute: Ledger | undefined
  let day: Ledger | undefined
  for (const { counter } of demands) {
    if (!(counter instanceof Ledger)) continue
    if (counter.kind.window === 'minute') {
      if (!minute || counter.remaining(nowMs) < minute.remaining(nowMs)) minute = counter
    } else if (!day || counter.remaining(nowMs) < day.remaining(nowMs)) day = counter
  }
  if (minute) {
    const remaining = minute.remaining(nowMs)
    exchange.header('x-tokenratelimit-limit', String(minute.limit))
    exchange.header('x-tokenratelimit-remaining', String(remaining))
    exchange.header('x-tokenratelimit-used', String(minute.limit - remaining))
  }
  if (day) {
    exchange.header('x-tokenratelimit-day-limit', String(day.limit))
    exchange.header('x-tokenratelimit-day-remaining', String(day.remaining(nowMs)))
  }
}
