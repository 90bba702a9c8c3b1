import type { Clock, Logger } from '@hadrian/core/plugin'
import type { ChargeQueue } from './charge-queue.ts'
import type { AccountReply, AccountRequest, LeaseTable } from './lease-table.ts'
import type { LocalAccount, Waiter } from './ledger.ts'

/** The database cannot say at the moment whether there is money. */
export class LedgerUnavailableError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'LedgerUnavailableError'
  }
}

/** Charges wait so long for others, unless there are enough of them, or a statement goes out anyway. */
const chargeDelayMs = 100
/** Rows of charges in one statement, and accounts. */
const mostRows = 500
const mostAccounts = 200
/** A call that needs money does not wait longer for the database. */
const waitLimitMs = 2000
/** Nor does it begin to wait once the database has failed for so long. */
const failFastAfterMs = 1000
/** A statement without an answer after this is given up; it may still be carried out, which its version prevents. */
const statementLimitMs = 10_000
const firstRetryMs = 50
const longestRetryMs = 2000

export interface LeaseSyncOptions {
  readonly table: LeaseTable
  readonly clock: Clock
  readonly logger: Logger
  readonly charges: ChargeQueue
  readonly instance: () => string
  /** This instance was closed by somebody: nothing it held is its own any more. Makes another. */
  readonly onClosed: (instance: string) => Promise<void>
}

/** What goes into a statement for one account, and what must be told when it is answered. */
interface Batched {
  readonly account: LocalAccount
  readonly request: AccountRequest
  readonly waiters: readonly Waiter[]
  readonly stopMicros: number
  /** What was free has gone back with it, as a lowered limit wants it. */
  readonly rechecked: boolean
}

/**
 * Keeps accounts and database in step: one statement at a time, for all accounts that have something to say. A statement
 * whose outcome is unknown leaves the version of its leases unknown, and the next one makes it void.
 */
export class LeaseSync {
  readonly #options: LeaseSyncOptions
  readonly #due = new Set<LocalAccount>()
  #running: Promise<void> | undefined
  #statementSinceMs: number | undefined
  #failures = 0
  #failedSinceMs: number | undefined
  #cancelTimer: (() => void) | undefined
  #timerDueMs = Infinity
  #stopped = false

  constructor(options: LeaseSyncOptions) {
    this.#options = options
  }

  /** Milliseconds since the database was last known to work; 0 while it does. */
  get awayMs(): number {
    return this.#failedSinceMs === undefined ? 0 : this.#options.clock.monotonicMs() - this.#failedSinceMs
  }

  /**
   * Resolves when the database has answered for this account: to whether the money was set aside, or too little is left.
   */
  ask(account: LocalAccount, needMicros: number): Promise<boolean> {
    const { clock } = this.#options
    const nowMs = clock.monotonicMs()
    const hangs = this.#statementSinceMs !== undefined && nowMs - this.#statementSinceMs > failFastAfterMs
    if (this.#stopped || hangs || this.awayMs > failFastAfterMs)
      return Promise.reject(new LedgerUnavailableError('the database does not answer'))
    return new Promise<boolean>((resolve, reject) => {
      const cancel = clock.after(waitLimitMs, () => {
        account.waiters = account.waiters.filter((each) => each !== waiter)
        reject(new LedgerUnavailableError(`the database has not answered within ${waitLimitMs} ms`))
      })
      const waiter: Waiter = {
        needMicros,
        resolve: (isSetAside) => {
          cancel()
          resolve(isSetAside)
        },
        reject: (error) => {
          cancel()
          reject(error)
        },
      }
      account.waiters.push(waiter)
      this.#due.add(account)
      this.#wake()
    })
  }

  /** Something of the account is to be said, at the latest with the next charges. */
  note(account: LocalAccount, soon: boolean): void {
    this.#due.add(account)
    if (soon || this.#options.charges.rows >= mostRows) this.#wake()
    else this.#schedule(chargeDelayMs)
  }

  /** Whether something of the account is still to be said. */
  isDue(account: LocalAccount): boolean {
    return this.#due.has(account)
  }

  /** Tells of the database's health by other statements than those of this class. */
  noteFailure(error: unknown): void {
    if (this.#failedSinceMs === undefined) {
      this.#failedSinceMs = this.#options.clock.monotonicMs()
      this.#options.logger.warn({ error }, 'the budget ledger cannot reach the database; going on within its leases')
    }
  }

  noteSuccess(): void {
    if (this.#failedSinceMs !== undefined) this.#options.logger.info({}, 'the budget ledger is up to date again')
    this.#failedSinceMs = undefined
    this.#failures = 0
  }

  /** Writes what is left, within the time of a few statements. Throws if that is not possible. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    await this.#running
    for (let tries = 0; this.#due.size > 0;) {
      try {
        await this.#next()
      } catch (error) {
        if (++tries === 3) throw error
      }
    }
  }

  #schedule(delayMs: number): void {
    if (this.#stopped || this.#running) return
    const dueMs = this.#options.clock.monotonicMs() + delayMs
    if (this.#cancelTimer && this.#timerDueMs <= dueMs) return
    this.#cancelTimer?.()
    this.#timerDueMs = dueMs
    this.#cancelTimer = this.#options.clock.after(delayMs, () => {
      this.#cancelTimer = undefined
      this.#run()
    })
  }

  /** Now, unless the database has just failed: then with the next try. */
  #wake(): void {
    if (this.#stopped || this.#running || this.#failures > 0) return
    this.#run()
  }

  #run(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    this.#running = this.#drain()
  }

  /** Never rejects. */
  async #drain(): Promise<void> {
    let delayMs = chargeDelayMs
    try {
      // Collects what one turn of the event loop asks for.
      await Promise.resolve()
      do await this.#next()
      while (this.#isUrgent() && !this.#stopped)
    } catch (error) {
      this.noteFailure(error)
      delayMs = Math.min(longestRetryMs, firstRetryMs * 2 ** Math.min(this.#failures++, 16))
    }
    this.#running = undefined
    if (this.#due.size > 0) this.#schedule(delayMs)
  }

  #isUrgent(): boolean {
    if (this.#options.charges.rows >= mostRows) return this.#due.size > 0
    for (const { waiters, refillDue } of this.#due) if (waiters.length > 0 || refillDue) return true
    return false
  }

  /** One statement for as many accounts as it takes; those that calls wait for first. */
  async #next(): Promise<void> {
    const { table, clock, onClosed } = this.#options
    const instance = this.#options.instance()
    const batch = this.#batch()
    if (batch.length === 0) return
    this.#statementSinceMs = clock.monotonicMs()
    let replies: ReadonlyMap<string, AccountReply> | undefined
    try {
      replies = await this.#limited(
        table.sync(
          instance,
          batch.map(({ request }) => request),
          new Date(clock.now()),
        ),
      )
    } catch (error) {
      for (const { account } of batch) {
        account.version = undefined
        this.#due.add(account)
      }
      throw error
    } finally {
      this.#statementSinceMs = undefined
    }
    this.noteSuccess()
    if (!replies) {
      for (const { account } of batch) this.#due.add(account)
      await onClosed(instance)
      return
    }
    // What an instance that has been closed meanwhile was told is not true any more.
    if (instance !== this.#options.instance()) replies = new Map()
    for (const batched of batch) this.#apply(batched, replies.get(batched.account.key.id))
  }

  #batch(): Batched[] {
    const batch: Batched[] = []
    let rows = mostRows
    const add = (account: LocalAccount): void => {
      if (batch.length === mostAccounts || (rows === 0 && account.pending.length > 0)) return
      const batched = batchedOf(account, rows)
      rows -= batched.request.charges.length
      account.refillDue = false
      this.#due.delete(account)
      batch.push(batched)
    }
    for (const account of this.#due) if (account.waiters.length > 0) add(account)
    for (const account of this.#due) add(account)
    return batch
  }

  #apply({ account, request, waiters, stopMicros, rechecked }: Batched, reply: AccountReply | undefined): void {
    const { charges, clock } = this.#options
    if (reply?.outcome !== 'ok') {
      account.version = undefined
      this.#due.add(account)
      return
    }
    charges.written(account, request.charges.length)
    // What was short under another limit need not be so under this one.
    const short = reply.short && account.stopMicros <= stopMicros
    account.confirm({ ...reply, short }, request.needMicros > 0, clock.monotonicMs())
    if (rechecked) account.recheckDue = false
    // The limit was lowered while the statement was under way, or what was free could not go back with it.
    if (account.recheckDue || account.stopMicros < stopMicros) account.recheck()
    if (request.close) account.closeDue = false
    account.leaseClosed = request.close
    if (account.pending.length > 0 || account.recheckDue) this.#due.add(account)
    if (account.recheckDue) return
    // Those that have given up meanwhile are not among the waiters any more.
    const batched = new Set(waiters)
    const answered = account.waiters.filter((waiter) => batched.has(waiter))
    account.waiters = account.waiters.filter((waiter) => !batched.has(waiter))
    for (const waiter of answered) waiter.resolve(account.setAside(waiter.needMicros))
    if (account.waiters.length > 0) this.#due.add(account)
  }

  async #limited<T>(statement: Promise<T>): Promise<T> {
    let cancel: (() => void) | undefined
    const limit = new Promise<never>((_, reject) => {
      cancel = this.#options.clock.after(statementLimitMs, () =>
        reject(new LedgerUnavailableError(`no answer to a statement within ${statementLimitMs} ms`)),
      )
    })
    try {
      return await Promise.race([statement, limit])
    } finally {
      cancel?.()
    }
  }
}

function batchedOf(account: LocalAccount, rows: number): Batched {
  const charges = account.pending.slice(0, rows).map(({ exchangeId, amountMicros }) => ({ exchangeId, amountMicros }))
  const written = charges.reduce((sum, { amountMicros }) => sum + amountMicros, 0)
  const { version, waiters, key } = account
  const isIdle = account.holds === 0 && waiters.length === 0 && account.pending.length === charges.length
  // Neither this nor what is given back may come late, when it would take what is in use again: only a version prevents it.
  const close = account.closeDue && isIdle && version !== undefined
  // Nothing may be taken while the statement is under way.
  if (close) account.giveBack(account.freeMicros)
  // What was to go back with a statement that is void, or perhaps not, is known when its successor is answered.
  const backMicros = version === undefined ? 0 : account.returningMicros
  return {
    account,
    waiters: [...waiters],
    stopMicros: account.stopMicros,
    rechecked: account.recheckDue && version !== undefined,
    request: {
      accountId: key.id,
      key,
      limitMicros: account.limitMicros,
      overageMicros: account.overageMicros,
      version,
      heldMicros: account.reservedMicros + account.pendingMicros - written,
      needMicros: waiters.reduce((sum, { needMicros }) => sum + needMicros, 0),
      wantMicros: close || account.recheckDue ? 0 : account.wantedMicros,
      backMicros,
      close,
      charges,
    },
  }
}
