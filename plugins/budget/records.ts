import { isUuid } from '@hadrian/core/plugin'
import type { JsonObject } from '@hadrian/core/plugin'

/** What the journal keeps: short names, since one of each goes by with every call. */
export type BudgetRecord =
  /** An instance may have leases. */
  | { readonly kind: 'instance'; readonly instance: string }
  /** Money is set aside for a call that is about to be made. */
  | {
      readonly kind: 'reservation'
      readonly instance: string
      readonly exchangeId: string
      /** When it was made, milliseconds since 1970. */
      readonly atMs: number
      readonly amountMicros: number
      readonly accounts: readonly string[]
    }
  /** What all calls of an exchange have cost. */
  | {
      readonly kind: 'settlement'
      readonly instance: string
      readonly exchangeId: string
      /** When it was made, milliseconds since 1970. */
      readonly atMs: number
      readonly amountMicros: number
      readonly accounts: readonly string[]
    }

/** A record as the journal has it. */
export function encodeRecord(record: BudgetRecord): JsonObject {
  if (record.kind === 'instance') return { t: 'i', i: record.instance }
  return {
    t: record.kind === 'reservation' ? 'r' : 's',
    i: record.instance,
    x: record.exchangeId,
    w: record.atMs,
    m: record.amountMicros,
    a: record.accounts,
  }
}

/** Reads what {@link encodeRecord} wrote; undefined for anything else. */
export function decodeRecord({ t, i, x, w, m, a }: JsonObject): BudgetRecord | undefined {
  if (!isUuid(i)) return undefined
  if (t === 'i') return { kind: 'instance', instance: i }
  if ((t !== 'r' && t !== 's') || !isUuid(x) || !isAmount(w) || !isAmount(m) || !Array.isArray(a) || !a.every(isUuid))
    return undefined
  return {
    kind: t === 'r' ? 'reservation' : 'settlement',
    instance: i,
    exchangeId: x,
    atMs: w,
    amountMicros: m,
    accounts: a,
  }
}

function isAmount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
