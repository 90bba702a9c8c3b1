import type { Ledger, Slice } from './ledger.ts'
import type { Slots } from './slots.ts'
import type { WindowKind } from './window.ts'

/** What limits are counted by in memory. */
export type Counter = Ledger | Slots

/** A limit that an exchange is under. The same object serves all exchanges of a caller. */
export interface Demand {
  /** `key:ID`, `team:ID`, `model:NAME`: what is counted together. */
  readonly subject: string
  /** The holder in people's words: `key`, `team platform`, `model gpt-4o`. */
  readonly scope: string
  readonly limit: number
  /** Undefined for concurrent requests. */
  readonly kind: WindowKind | undefined
  /** The counter, once it was looked up. */
  counter?: Counter
}

/** What was taken for all of some demands: the same number of units of each. */
export interface Taken {
  readonly demands: readonly Demand[]
  readonly units: number
  /** Where each demand's units came from; undefined for a slot. */
  readonly slices: readonly (Slice | undefined)[]
  /** The counters they are of; undefined for what was given back or settled since. */
  readonly counters: (Counter | undefined)[]
}

/** Why nothing was taken. Without a demand: the shared counters are out of reach, and nothing may be decided without. */
export interface Refused {
  readonly demand: Demand | undefined
  readonly retryAfterMs: number
}

/** Whether something was refused. */
export function isRefused(result: Taken | Refused): result is Refused {
  return 'retryAfterMs' in result
}
