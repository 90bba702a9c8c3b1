import type { JournalEntry } from '@hadrian/core/plugin'
import type { ChargeRow, LeaseTable } from './lease-table.ts'
import { decodeRecord } from './records.ts'
import type { BudgetRecord } from './records.ts'

/** Rows of charges in one statement. */
const mostRows = 500

type ExchangeRecord = Exclude<BudgetRecord, { kind: 'instance' }>

/** What earlier processes left in the journal. */
export interface Left {
  /** Processes that may have had leases. */
  readonly instances: ReadonlySet<string>
  /** What is to be charged, and to which accounts. */
  readonly charges: readonly (ChargeRow & { readonly instance: string; readonly accounts: readonly string[] })[]
  readonly read: readonly JournalEntry[]
  /** Records of which nothing is known; they stay, for a version that knows them. */
  readonly unreadable: number
}

/** What {@link replay} did. */
export interface ReplayReport {
  readonly settled: number
  /** Calls whose end nobody saw, charged at what was reserved for them. */
  readonly estimated: number
  readonly estimatedMicros: number
  /** Charges to accounts that the database does not have any more. */
  readonly lost: number
}

/**
 * Makes charges of records: what an exchange cost, or else all that was reserved for it, since the upstream may have
 * gone on to the end.
 *
 * @param keptMs how long the database knows what it was charged. Records that are older than the last of their process by
 *   more were written by that process long ago, and would be charged a second time.
 */
export function readLeft(entries: readonly JournalEntry[], keptMs: number): Left {
  const lastMs = new Map<string, number>()
  for (const { record } of entries) {
    const read = decodeRecord(record)
    if (read && read.kind !== 'instance') lastMs.set(read.instance, Math.max(lastMs.get(read.instance) ?? 0, read.atMs))
  }
  const instances = new Set<string>()
  const reservations = new Map<string, ExchangeRecord>()
  const settlements = new Map<string, ExchangeRecord>()
  const read: JournalEntry[] = []
  let unreadable = 0
  for (const entry of entries) {
    const record = decodeRecord(entry.record)
    if (!record) {
      unreadable++
      continue
    }
    read.push(entry)
    instances.add(record.instance)
    if (record.kind === 'instance' || record.atMs < lastMs.get(record.instance)! - keptMs) continue
    if (record.kind === 'settlement') settlements.set(record.exchangeId, record)
    else {
      const before = reservations.get(record.exchangeId)
      reservations.set(record.exchangeId, {
        ...record,
        amountMicros: record.amountMicros + (before?.amountMicros ?? 0),
      })
    }
  }
  const charged = [
    ...[...settlements.values()].map((record) => chargeOf(record)),
    ...[...reservations.values()]
      .filter(({ exchangeId }) => !settlements.has(exchangeId))
      .map((record) => ({ ...chargeOf(record), estimated: 'crash' })),
  ]
  return {
    instances,
    charges: charged,
    read,
    unreadable,
  }
}

function chargeOf({ instance, exchangeId, amountMicros, accounts }: ExchangeRecord): Left['charges'][number] {
  return { instance, exchangeId, amountMicros, accounts }
}

/**
 * Writes the charges of dead instances, those that are written already too, and only then gives back what is left of
 * their leases. May be repeated from the start after any failure.
 */
export async function replay(left: Left, table: LeaseTable, now: () => Date): Promise<ReplayReport> {
  let lost = 0
  for (const instance of left.instances) {
    const rows = left.charges
      .filter((charge) => charge.instance === instance)
      .flatMap((charge) => charge.accounts.map((account) => [account, charge] as const))
    for (let from = 0; from < rows.length; from += mostRows) {
      const byAccount = new Map<string, ChargeRow[]>()
      for (const [account, charge] of rows.slice(from, from + mostRows))
        byAccount.set(account, [...(byAccount.get(account) ?? []), charge])
      const replies = await table.replay(instance, byAccount, now())
      for (const [account, charges] of byAccount) if (replies.get(account)?.outcome !== 'ok') lost += charges.length
    }
  }
  for (const instance of left.instances) await table.close(instance, now())
  const guesses = left.charges.filter(({ estimated }) => estimated !== undefined)
  return {
    settled: left.charges.length - guesses.length,
    estimated: guesses.length,
    estimatedMicros: guesses.reduce((sum, { amountMicros }) => sum + amountMicros, 0),
    lost,
  }
}
