import type { JournalEntry } from '@hadrian/core/plugin'
import type { Charge, LocalAccount } from './ledger.ts'

/** Charges that are not in the database yet, of all accounts: how many, and since when. */
export class ChargeQueue {
  readonly #release: (entry: JournalEntry) => void
  /** Rows to be written: one for each charge and account. */
  rows = 0

  /** @param release called with the journal entries of a charge when it is written everywhere */
  constructor(release: (entry: JournalEntry) => void) {
    this.#release = release
  }

  /** Settles a hold on its accounts. Where nothing was reserved and nothing spent, that is all. */
  settle(
    accounts: readonly LocalAccount[],
    { exchangeId, reservedMicros, costMicros, entries }: Settled,
    nowMs: number,
  ): void {
    const charge: Charge | undefined =
      costMicros > 0 || reservedMicros > 0
        ? { exchangeId, amountMicros: costMicros, entries, accountsLeft: accounts.length }
        : undefined
    for (const account of accounts) account.settle(reservedMicros, charge, nowMs)
    if (charge) this.rows += accounts.length
    else this.#releaseAll(entries)
  }

  /** The first so many charges of an account are in the database. */
  written(account: LocalAccount, count: number): void {
    this.rows -= count
    for (const charge of account.written(count)) {
      charge.accountsLeft--
      if (charge.accountsLeft === 0) this.#releaseAll(charge.entries)
    }
  }

  #releaseAll(entries: readonly JournalEntry[]): void {
    for (const entry of entries) this.#release(entry)
  }
}

/** How a hold ended. */
export interface Settled {
  readonly exchangeId: string
  readonly reservedMicros: number
  readonly costMicros: number
  readonly entries: readonly JournalEntry[]
}
