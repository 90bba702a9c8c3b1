/**
 * The money of this instance: what it may spend of each account without asking the database.
 *
 * Words. *Limit*: what may be spent, overage included. *Lease*: money of an account that an instance took out of what is
 * left before it spends any of it. Of the lease, `reserved` is held by calls under way, or set aside for a call that waits
 * for another account; `pending` is charged and not yet written to the database, and `free` is the rest.
 *
 * Invariants, in the database, at every moment:
 *
 * 1. leased(account) = sum of what is left of its active leases
 * 2. spent(account) = sum of its charges + what is left of its expired leases
 * 3. A grant is made only while spent + leased + grant <= limit. So spent + leased grows beyond the limit only by what a
 *    charge exceeds the lease it is charged to, and a charge exceeds the lease only if a call cost more than it reserved.
 * 4. An exchange is charged to an account at most once, however often its charge is written.
 *
 * Invariants of this file, for each account, at every moment:
 *
 * 5. lease in the database = free + reserved + pending, as of the last answer. After a statement whose answer was lost the
 *    lease may be larger, or charges in `pending` may be written already; `free` is then less than what is really free,
 *    never more, and the next answer sets it right: `free` is always computed from the whole lease, never counted on.
 * 6. Money is taken from `free` in one synchronous step, from all accounts of an exchange or from none.
 * 7. Money that is being given back is not in `free` from before the statement is sent until an answer says what is left,
 *    whatever becomes of the statement.
 * 8. Every hold is settled once: then `reserved` goes down by all it held, and `pending` up by what it cost.
 *
 * From 3, 5, 6 and 7: the sum over all instances of what was charged and what is reserved never exceeds the limit, unless
 * calls cost more than they reserved, and then by no more than the difference.
 *
 * None of it depends on clocks. When others believe that an instance is lost, its leases move from leased to spent, whose
 * sum stays, and its charges are then taken out of what was moved. So it may go on spending what it holds.
 *
 * In the journal before the next step: a reservation before the call, a charge before the end of the answer, the instance
 * before its first lease. What a dead instance held is given back only after its journal was replayed. A journal may show
 * again what was released, all of it or some, so a replay relies on 4 alone.
 */

import type { JournalEntry } from '@hadrian/core/plugin'
import type { AccountKey, AccountTerms } from './accounts.ts'

/** A charge on its way to the database. */
export interface Charge {
  /** A UUID: what makes it be charged once. */
  readonly exchangeId: string
  /** 0 for calls that money was reserved for and that cost nothing: or their reservation might be charged after a crash. */
  readonly amountMicros: number
  /** Released when it is written to all accounts. */
  readonly entries: readonly JournalEntry[]
  /** Accounts it is not written to yet. */
  accountsLeft: number
}

/** Somebody who waits for money of an account. */
export interface Waiter {
  readonly needMicros: number
  /** Told whether it was set aside, which is then the waiter's to put back. */
  resolve(isSetAside: boolean): void
  reject(error: unknown): void
}

/** What the database says of an account after a statement. */
export interface AccountState {
  readonly version: number
  readonly remainingMicros: number
  readonly spentMicros: number
  readonly leasedMicros: number
  /** Less was there than is waited for. */
  readonly short: boolean
}

/** How long an account that has nothing to grant is not asked again. */
const dryMs = 1000
/** Background refills of one account are no closer together than this. */
const refillGapMs = 200

/** One account as this instance knows it. */
export class LocalAccount {
  readonly key: AccountKey
  limitMicros: number
  overageMicros: number
  warnAt: number

  /** May be below zero, after calls that cost more than they reserved. */
  freeMicros = 0
  reservedMicros = 0
  pendingMicros = 0
  /** In the order in which they came. */
  readonly pending: Charge[] = []
  waiters: Waiter[] = []
  /** Exchanges that are open on it. */
  holds = 0

  /** Of the lease; undefined while it is not known what became of the last statement. */
  version: number | undefined
  /** The database has answered for the present terms. */
  known = false
  /** In the database, by its last answer. */
  spentMicros = 0
  leasedMicros = 0
  /** Taken out of `freeMicros`, to be given back with the next statement. */
  returningMicros = 0
  /** The limit was lowered: what is free must go back and be asked for anew. */
  recheckDue = false
  refillDue = false
  closeDue = false
  /** The database has been told that nothing of it is needed here any more. */
  leaseClosed = false
  /** When it was asked last, less was left than was needed: others may be waiting for what is idle here. */
  isScarce = false

  lastUsedMs: number
  #dryUntilMs = -Infinity
  #refillNotBeforeMs = -Infinity
  /** Reserved since the last tick, and in a second by the last ones. */
  #inflowMicros = 0
  #rateMicros = 0
  #largestMicros = 0

  constructor(terms: AccountTerms, nowMs: number) {
    this.key = terms.key
    this.limitMicros = terms.limitMicros
    this.overageMicros = terms.overageMicros
    this.warnAt = terms.warnAt
    this.lastUsedMs = nowMs
  }

  /** The hard stop. */
  get stopMicros(): number {
    return Math.min(this.limitMicros + this.overageMicros, Number.MAX_SAFE_INTEGER)
  }

  /** What is spent as far as this instance knows: others may have spent more since. */
  get spentSoFarMicros(): number {
    return this.spentMicros + this.pendingMicros
  }

  /** Whether nothing at all may be spent. */
  get isSpent(): boolean {
    return this.spentSoFarMicros >= this.stopMicros
  }

  /** Whether the database need not be asked: it had nothing to grant a moment ago. */
  isDry(nowMs: number): boolean {
    return nowMs < this.#dryUntilMs
  }

  /** Takes over the limit of the moment. What was granted under a higher one is given back first, and asked for anew. */
  update(terms: AccountTerms): void {
    if (this.limitMicros === terms.limitMicros && this.overageMicros === terms.overageMicros) return
    const before = this.stopMicros
    this.limitMicros = terms.limitMicros
    this.overageMicros = terms.overageMicros
    this.warnAt = terms.warnAt
    this.#dryUntilMs = -Infinity
    this.#refillNotBeforeMs = -Infinity
    if (this.stopMicros >= before) return
    this.recheck()
  }

  /** Gives everything that is free back, so that the next grant is made under the present limit. */
  recheck(): void {
    this.known = false
    this.recheckDue = true
    this.giveBack(this.freeMicros)
  }

  /** Whether a call may take so much at once: nobody came before it who waits. */
  fits(amountMicros: number): boolean {
    return this.known && this.freeMicros >= amountMicros && this.waiters.length === 0 && !this.isSpent
  }

  take(amountMicros: number, nowMs: number): void {
    this.freeMicros -= amountMicros
    this.reservedMicros += amountMicros
    this.#inflowMicros += amountMicros
    if (amountMicros > this.#largestMicros) this.#largestMicros = amountMicros
    this.lastUsedMs = nowMs
  }

  /**
   * Keeps money for a call that waits for another account, so that none of those that come meanwhile gets it. False if
   * there is too little.
   */
  setAside(amountMicros: number): boolean {
    if (!this.known || this.freeMicros < amountMicros) return false
    this.freeMicros -= amountMicros
    this.reservedMicros += amountMicros
    return true
  }

  /** Ends {@link setAside}. What was granted under a limit that has been lowered since goes back. */
  putBack(amountMicros: number): void {
    this.reservedMicros -= amountMicros
    this.freeMicros += amountMicros
    if (!this.known) this.giveBack(amountMicros)
  }

  /** Gives a reservation back and charges in its place what the calls cost. */
  settle(reservedMicros: number, charge: Charge | undefined, nowMs: number): void {
    const costMicros = charge?.amountMicros ?? 0
    this.reservedMicros -= reservedMicros
    this.freeMicros += reservedMicros - costMicros
    this.pendingMicros += costMicros
    if (charge) this.pending.push(charge)
    this.lastUsedMs = nowMs
  }

  /** Puts money aside for the next statement to give back. */
  giveBack(amountMicros: number): void {
    if (amountMicros <= 0) return
    this.freeMicros -= amountMicros
    this.returningMicros += amountMicros
  }

  /** What should be free: about a second of recent use, and at least the largest recent reservation. */
  get wantedMicros(): number {
    return Math.max(this.#inflowMicros, this.#rateMicros, this.#largestMicros)
  }

  /** Whether it is time to ask for more in the background. */
  isLow(nowMs: number): boolean {
    return this.freeMicros < this.wantedMicros / 2 && nowMs >= this.#refillNotBeforeMs && !this.isDry(nowMs)
  }

  /** Once a second. */
  tick(idle: boolean): void {
    this.#rateMicros = idle ? 0 : Math.ceil((this.#rateMicros + this.#inflowMicros) / 2)
    this.#inflowMicros = 0
    if (idle) this.#largestMicros = 0
  }

  /** Charges that a statement wrote. */
  written(count: number): Charge[] {
    const charges = this.pending.splice(0, count)
    for (const { amountMicros } of charges) this.pendingMicros -= amountMicros
    return charges
  }

  /**
   * Computes what is free from the whole lease, as the database has it after a statement.
   *
   * @param isAsked calls waited for the statement. Another one does not say that there is enough: whoever asked again after
   *   giving back a part that nobody can use would have that very part again.
   */
  confirm(state: AccountState, isAsked: boolean, nowMs: number): void {
    this.version = state.version
    this.spentMicros = state.spentMicros
    this.leasedMicros = state.leasedMicros
    this.known = true
    this.returningMicros = 0
    this.freeMicros = state.remainingMicros - this.reservedMicros - this.pendingMicros
    if (isAsked) {
      this.isScarce = state.short
      this.#dryUntilMs = state.short ? nowMs + dryMs : -Infinity
    }
    this.#refillNotBeforeMs = nowMs + (this.freeMicros < this.wantedMicros / 2 ? dryMs : refillGapMs)
  }

  /** The lease is gone for good: nothing is left of it. */
  forfeit(): void {
    this.version = undefined
    this.known = false
    this.returningMicros = 0
    this.freeMicros = -this.reservedMicros - this.pendingMicros
  }
}
