import { isUuid } from '@hadrian/core/plugin'
import type { Clock, Database, JournalChannel, JournalEntry, Logger } from '@hadrian/core/plugin'
import type { AccountTerms } from './accounts.ts'
import { uuidOf } from './accounts.ts'
import { ChargeQueue } from './charge-queue.ts'
import { LeaseSync, LedgerUnavailableError } from './lease-sync.ts'
import { LeaseTable } from './lease-table.ts'
import { LocalAccount } from './ledger.ts'
import { Upkeep } from './upkeep.ts'
import { encodeRecord } from './records.ts'
import { readLeft, replay } from './replay.ts'

/** What the operator may change while the engine runs. */
export interface EngineSettings {
  /** How long calls go on while the database is away. */
  readonly databaseAwayMs: number
  /** How long charges are kept, by which one that comes twice is recognised. */
  readonly chargesKeptMs: number
  /** How long accounts whose window is over are kept. */
  readonly accountsKeptMs: number
}

export interface EngineOptions {
  readonly database: Pick<Database, 'query'>
  readonly clock: Clock
  readonly logger: Logger
  readonly settings: EngineSettings
}

/** What a call may cost, in whole micro-dollars. */
export interface Quote {
  readonly worstMicros: number
  /** Makes the call fit into less; returns what it may cost then, or undefined if that is not worth calling. */
  fit(availableMicros: number): number | undefined
}

/** Money held by one exchange. */
export interface Hold {
  readonly exchangeId: string
  readonly accounts: readonly LocalAccount[]
  reservedMicros: number
  readonly entries: JournalEntry[]
  settled: boolean
}

/** An account has too little left. */
export class BudgetSpentError extends Error {
  readonly account: LocalAccount

  constructor(account: LocalAccount) {
    super('the budget is spent')
    this.name = 'BudgetSpentError'
    this.account = account
  }
}

/** Accounts of which it is remembered that they were warned of. */
const mostWarned = 10_000
/** Times that a call asks for money: what is granted to it may be taken by another that came first. */
const mostRounds = 8
/** Charges that wait for the database at most: some 100 MB. Then it has been away for too long. */
const mostCharges = 300_000
const replayRetryMs = 5000

/**
 * The budget ledger of one gateway process: holds money for exchanges and charges them. Knows nothing of requests. What
 * it promises is written in `ledger.ts`.
 */
export class BudgetEngine {
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #table: LeaseTable
  readonly #accounts = new Map<string, LocalAccount>()
  readonly #charges: ChargeQueue
  readonly #sync: LeaseSync
  readonly #upkeep: Upkeep
  readonly #warned = new Set<string>()
  #settings: EngineSettings
  #instance: string = crypto.randomUUID()
  #channel: JournalChannel | undefined
  #instanceEntries: JournalEntry[] = []
  #starting: Promise<void> | undefined
  #closing: Promise<void> | undefined
  #cancelReplay = (): void => undefined
  #replaying: Promise<void> = Promise.resolve()

  constructor(options: EngineOptions) {
    this.#clock = options.clock
    this.#logger = options.logger
    this.#settings = options.settings
    this.#table = new LeaseTable(options.database)
    this.#charges = new ChargeQueue((entry) => this.#channel?.release(entry))
    this.#sync = new LeaseSync({
      table: this.#table,
      clock: this.#clock,
      logger: this.#logger,
      charges: this.#charges,
      instance: () => this.#instance,
      onClosed: (instance) => this.#beginAgain(instance),
    })
    this.#upkeep = new Upkeep({
      table: this.#table,
      sync: this.#sync,
      clock: this.#clock,
      logger: this.#logger,
      accounts: this.#accounts,
      settings: () => this.#settings,
      instance: () => this.#instance,
      onClosed: (instance) => this.#beginAgain(instance),
    })
  }

  /** Accounts in memory. */
  get accounts(): ReadonlyMap<string, LocalAccount> {
    return this.#accounts
  }

  /** Rows of charges that wait for the database. */
  get waitingCharges(): number {
    return this.#charges.rows
  }

  configure(settings: EngineSettings): void {
    this.#settings = settings
  }

  /**
   * Registers this process, and charges what earlier ones left in the journal: if the database is away, later. Only the
   * first call does anything.
   *
   * @throws if the database cannot be reached at all
   */
  start(channel: JournalChannel): Promise<void> {
    this.#starting ??= this.#start(channel)
    return this.#starting
  }

  async #start(channel: JournalChannel): Promise<void> {
    this.#channel = channel
    const { left } = channel
    await this.#register()
    await this.#replay(left)
    if (!this.#closing) this.#upkeep.start()
  }

  /** The account if it is in memory, with its limits as they are now. For looking, not for spending. */
  find(terms: AccountTerms): LocalAccount | undefined {
    const account = this.#accounts.get(terms.key.id)
    account?.update(terms)
    return account
  }

  /** The account among these that has nothing left, as far as that is known without asking. */
  spent(terms: readonly AccountTerms[]): LocalAccount | undefined {
    const nowMs = this.#clock.monotonicMs()
    for (const each of terms) {
      const account = this.find(each)
      if (account?.known && (account.isSpent || (account.isDry(nowMs) && account.freeMicros < 1))) return account
    }
    return undefined
  }

  /** Whether nobody was warned of this account before. */
  warnOnce({ key }: LocalAccount): boolean {
    if (this.#warned.has(key.id)) return false
    if (this.#warned.size >= mostWarned) this.#warned.delete(this.#warned.values().next().value!)
    this.#warned.add(key.id)
    return true
  }

  /** Opens a hold of an exchange on its accounts. Each must be settled, whatever becomes of the exchange. */
  hold(exchangeId: string, terms: readonly AccountTerms[]): Hold {
    const nowMs = this.#clock.monotonicMs()
    const accounts = terms.map((each) => {
      let account = this.find(each)
      if (!account) {
        account = new LocalAccount(each, nowMs)
        this.#accounts.set(each.key.id, account)
      }
      account.holds++
      return account
    })
    return {
      exchangeId: isUuid(exchangeId) ? exchangeId : uuidOf(exchangeId),
      accounts,
      reservedMicros: 0,
      entries: [],
      settled: false,
    }
  }

  /**
   * Takes what a call may cost out of all accounts of the hold, and resolves when that is in the journal. Asks the
   * database only if this instance has too little of its own.
   *
   * @throws BudgetSpentError if too little is left, with the account that has least
   * @throws LedgerUnavailableError if nobody can say at the moment, or the database has been away for too long
   */
  async reserve(hold: Hold, quote: Quote): Promise<void> {
    this.#checkService()
    if (hold.accounts.every((account) => account.fits(quote.worstMicros))) this.#take(hold, quote.worstMicros)
    else {
      const aside = new Set<LocalAccount>()
      const failure = await this.#ask(hold, quote.worstMicros, aside)
      // Nothing may be awaited between the look at what is left and its taking.
      for (const account of aside) account.putBack(quote.worstMicros)
      this.#take(hold, this.#affordable(hold, quote, failure))
    }
    try {
      await this.#channel!.written()
    } catch (error) {
      // What was taken is given back when the hold is settled.
      throw unwritten(error)
    }
  }

  /**
   * Asks for money until all accounts have set it aside, or have nothing to grant. Resolves to why it could not go on.
   *
   * @param aside accounts that have set it aside, added to; the caller puts it back
   */
  async #ask(hold: Hold, worstMicros: number, aside: Set<LocalAccount>): Promise<unknown> {
    for (let round = 0; round < mostRounds; round++) {
      const nowMs = this.#clock.monotonicMs()
      const lacking: LocalAccount[] = []
      for (const account of hold.accounts) {
        if (aside.has(account)) {
          if (account.known) continue
          aside.delete(account)
          account.putBack(worstMicros)
        }
        // Never before those who wait already, or the largest would wait for ever.
        if (account.fits(worstMicros) && account.setAside(worstMicros)) aside.add(account)
        else if (!account.known || (!account.isSpent && !account.isDry(nowMs))) lacking.push(account)
      }
      if (lacking.length === 0) return undefined
      const answers = await Promise.allSettled(
        lacking.map(async (account) => {
          if (await this.#sync.ask(account, worstMicros)) aside.add(account)
        }),
      )
      const failed = answers.find((answer) => answer.status === 'rejected')
      if (failed) return failed.reason
    }
    return undefined
  }

  /** How much of what a call may cost can be had at this moment. */
  #affordable(hold: Hold, quote: Quote, failure: unknown): number {
    const { accounts } = hold
    if (hold.settled) throw new LedgerUnavailableError('the exchange has ended')
    if (accounts.some(({ known }) => !known)) throw failure ?? new LedgerUnavailableError('the limit was changed')
    const spent = accounts.find(({ isSpent }) => isSpent)
    if (spent) throw new BudgetSpentError(spent)
    const tightest = accounts.reduce((least, each) => (each.freeMicros < least.freeMicros ? each : least))
    if (tightest.freeMicros >= quote.worstMicros) return quote.worstMicros
    const fitting = quote.fit(tightest.freeMicros)
    if (fitting === undefined || fitting > tightest.freeMicros) throw failure ?? new BudgetSpentError(tightest)
    return fitting
  }

  #take(hold: Hold, amountMicros: number): void {
    const nowMs = this.#clock.monotonicMs()
    for (const account of hold.accounts) {
      account.take(amountMicros, nowMs)
      if (account.isLow(nowMs)) {
        account.refillDue = true
        this.#sync.note(account, true)
      }
    }
    hold.reservedMicros += amountMicros
    try {
      hold.entries.push(this.#append('reservation', hold, amountMicros))
    } catch (error) {
      throw unwritten(error)
    }
  }

  /**
   * Charges what an exchange has cost and gives back the rest. Only the first call does anything.
   *
   * @returns undefined if nothing needs to be waited for, else a promise for when it is in the journal
   */
  settle(hold: Hold, costMicros: number): Promise<void> | undefined {
    if (hold.settled) return undefined
    hold.settled = true
    const cost = costMicros > 0 ? Math.min(Math.ceil(costMicros), Number.MAX_SAFE_INTEGER) : 0
    for (const account of hold.accounts) account.holds--
    if (hold.entries.length === 0 && hold.reservedMicros === 0 && cost === 0) return undefined
    try {
      hold.entries.push(this.#append('settlement', hold, cost))
    } catch (error) {
      this.#logger.error({ error, exchange: hold.exchangeId }, 'a charge could not be journalled; it is in memory only')
    }
    this.#charges.settle(hold.accounts, { ...hold, costMicros: cost }, this.#clock.monotonicMs())
    for (const account of hold.accounts) if (account.pending.length > 0) this.#sync.note(account, false)
    return this.#channel!.written()
  }

  /** Writes what is left, gives back all leases, and ends. What cannot be written stays in the journal. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#upkeep.stop()
    this.#cancelReplay()
    await this.#starting?.catch(() => undefined)
    await this.#replaying
    this.#cancelReplay()
    this.#upkeep.stop()
    if (!this.#channel) return
    try {
      await this.#sync.stop()
      const open = [...this.#accounts.values()].some(({ holds }) => holds > 0)
      if (open) return
      await this.#table.close(this.#instance, new Date(this.#clock.now()))
      for (const entry of this.#instanceEntries) this.#channel.release(entry)
    } catch (error) {
      this.#logger.error(
        { error, charges: this.#charges.rows },
        'the budget ledger could not be written before the end; the next start does it from the journal',
      )
    }
    await this.#channel.written()
  }

  #append(kind: 'reservation' | 'settlement', hold: Hold, amountMicros: number): JournalEntry {
    return this.#channel!.append(
      encodeRecord({
        kind,
        instance: this.#instance,
        exchangeId: hold.exchangeId,
        atMs: Math.floor(this.#clock.now()),
        amountMicros,
        accounts: hold.accounts.map(({ key }) => key.id),
      }),
    )
  }

  #checkService(): void {
    if (!this.#channel) throw new LedgerUnavailableError('the ledger has not started')
    if (this.#sync.awayMs > this.#settings.databaseAwayMs)
      throw new LedgerUnavailableError('the database has been away for too long')
    if (this.#charges.rows > mostCharges) throw new LedgerUnavailableError('too many charges wait for the database')
  }

  /** In the journal first: a lease that no journal knows of would stay until its account goes. */
  async #register(): Promise<void> {
    this.#instanceEntries.push(this.#channel!.append(encodeRecord({ kind: 'instance', instance: this.#instance })))
    await this.#channel!.written()
    await this.#table.open(this.#instance, new Date(this.#clock.now()), this.#upkeep.expiry())
  }

  /** Somebody has closed this instance, or the database is another one: what was leased is not ours any more. */
  async #beginAgain(closed: string): Promise<void> {
    if (closed !== this.#instance) return
    this.#logger.error({ instance: this.#instance }, 'the budget ledger of this process was closed; it begins again')
    this.#instance = crypto.randomUUID()
    for (const account of this.#accounts.values()) account.forfeit()
    await this.#register()
  }

  async #replay(left: readonly JournalEntry[]): Promise<void> {
    if (left.length === 0) return
    const found = readLeft(left, this.#settings.chargesKeptMs)
    try {
      const report = await replay(found, this.#table, () => new Date(this.#clock.now()))
      for (const entry of found.read) this.#channel!.release(entry)
      if (found.unreadable + report.lost > 0)
        this.#logger.error(
          { ...report, unreadable: found.unreadable },
          'parts of the budget journal could not be charged',
        )
      else this.#logger.info(report, 'the budget journal of an earlier process was charged')
    } catch (error) {
      this.#logger.warn({ error }, 'the budget journal could not be charged; trying again')
      if (!this.#closing)
        this.#cancelReplay = this.#clock.after(replayRetryMs, () => {
          this.#replaying = this.#replay(left)
        })
    }
  }
}

function unwritten(cause: unknown): LedgerUnavailableError {
  return new LedgerUnavailableError('the journal cannot be written', { cause })
}
