/** Budget engines on one database and a clock that the test moves, with everything that can go wrong between them. */
import assert from 'node:assert/strict'
import type { JournalChannel, JournalEntry, JsonObject, Logger, Row } from '../../core/contract/plugin.ts'
import { migrate, openDatabase } from '../../core/services/database/index.ts'
import type { OpenedDatabase } from '../../core/services/database/index.ts'
import { FakeClock } from '../../core/testing/index.ts'
import type { AccountTerms } from '../../plugins/budget/accounts.ts'
import { uuidOf } from '../../plugins/budget/accounts.ts'
import { BudgetEngine } from '../../plugins/budget/engine.ts'
import type { Hold } from '../../plugins/budget/engine.ts'
import budget from '../../plugins/budget/index.ts'
import { preparedDataDirectory } from '../prepared-database.ts'

export const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }
const dayMs = 86_400_000

const opened: OpenedDatabase[] = []
let embedded: OpenedDatabase | undefined

/** An empty ledger: at a URL, or in the embedded database, which all tests of a process share one after the other. */
export async function emptyLedger(url: string | undefined): Promise<OpenedDatabase> {
  if (url === undefined && embedded) {
    await embedded.query('truncate budget_accounts, budget_instances, budget_leases, budget_charges')
    return embedded
  }
  const database = await openDatabase({
    ...(url !== undefined && { url }),
    dataDirectory: url === undefined ? await preparedDataDirectory() : '/nonexistent',
    logger: silent,
  })
  opened.push(database)
  if (url === undefined) embedded = database
  await migrate(database, 'budget', budget.migrations!)
  return database
}

export async function closeLedgers(): Promise<void> {
  for (const database of opened.splice(0)) await database.close()
}

/** Numbers that look random and are the same for the same seed. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

class KeptEntry implements JournalEntry {
  readonly record: JsonObject
  readonly json: string
  released = false

  constructor(record: JsonObject) {
    this.record = record
    this.json = JSON.stringify(record)
  }
}

/**
 * A journal whose releases are no more than a wish, as on a disk where files go only as a whole: after a crash any of
 * what was released may be there again, and the rest of the same exchange may not.
 */
export class ForgetfulJournal {
  #kept: JsonObject[] = []
  #entries: KeptEntry[] = []
  #waiting: KeptEntry[] = []
  #flushing: Promise<void> | undefined
  #generation = 0

  channel(): JournalChannel {
    const generation = ++this.#generation
    const left = this.#kept.map((record) => new KeptEntry(structuredClone(record)))
    this.#entries = [...left]
    this.#waiting = []
    this.#flushing = undefined
    const flush = (): Promise<void> | undefined => {
      // A killed process is told nothing.
      if (generation !== this.#generation) return new Promise(() => undefined)
      this.#flushing = undefined
      this.#entries.push(...this.#waiting.splice(0))
      return undefined
    }
    return {
      left,
      append: (record) => {
        const entry = new KeptEntry(structuredClone(record))
        if (generation === this.#generation) this.#waiting.push(entry)
        return entry
      },
      written: () => {
        if (generation !== this.#generation) return new Promise(() => undefined)
        if (this.#waiting.length === 0) return Promise.resolve()
        this.#flushing ??= new Promise((resolve) => setImmediate(resolve)).then(flush)
        return this.#flushing
      },
      release: (entry) => void ((entry as KeptEntry).released = true),
    }
  }

  /** The process is gone. What it had not written is lost; what it had released comes back with this probability. */
  crash(random: () => number, comesBack: number): void {
    this.#generation++
    this.#kept = this.#entries.filter(({ released }) => !released || random() < comesBack).map(({ record }) => record)
  }

  get unreleased(): readonly JsonObject[] {
    return [...this.#entries, ...this.#waiting].filter(({ released }) => !released).map(({ record }) => record)
  }
}

/**
 * The way from one instance to the database. up: as it should be. down: statements fail. mute: statements are carried
 * out, and their answers lost. hung: statements wait, and are carried out when the way is up again, however late.
 */
export class Link {
  readonly #network: Network
  mode: 'up' | 'down' | 'mute' | 'hung' = 'up'
  dead = false
  parked: (() => void)[] = []
  /** Statements that were sent. */
  statements: string[] = []

  constructor(network: Network) {
    this.#network = network
  }

  async query<R extends Row = Row>(sql: string, params?: readonly unknown[]): Promise<R[]> {
    this.statements.push(sql)
    if (this.dead) return new Promise(() => undefined)
    const { mode } = this
    if (mode === 'down') throw Object.assign(new Error('the database is away'), { code: 'database_unavailable' })
    if (mode === 'hung') await new Promise<void>((resolve) => this.parked.push(resolve))
    const rows = await this.#network.run<R>(sql, params)
    if (this.dead) return new Promise(() => undefined)
    if (mode === 'mute') throw Object.assign(new Error('the answer was lost'), { code: 'database_unavailable' })
    return rows
  }

  heal(): void {
    this.mode = 'up'
    for (const resume of this.parked.splice(0)) resume()
  }
}

/** The database and everything that is under way to it. */
export class Network {
  readonly database: OpenedDatabase
  #running = 0

  constructor(database: OpenedDatabase) {
    this.database = database
  }

  async run<R extends Row>(sql: string, params?: readonly unknown[]): Promise<R[]> {
    this.#running++
    try {
      return await this.database.query<R>(sql, params)
    } finally {
      this.#running--
    }
  }

  /** Resolves when nothing is under way, and nothing follows from what was. */
  async quiet(): Promise<void> {
    for (let calm = 0; calm < 4; calm++) {
      await new Promise((resolve) => setImmediate(resolve))
      if (this.#running > 0) calm = -1
    }
  }
}

/** A process of the gateway, as far as money goes. */
export interface Instance {
  readonly engine: BudgetEngine
  readonly link: Link
  readonly journal: ForgetfulJournal
  alive: boolean
}

interface Call {
  readonly hold: Hold
  readonly instance: Instance
  readonly terms: readonly AccountTerms[]
  readonly costMicros: (reservedMicros: number) => number
  phase: 'reserving' | 'running' | 'settling' | 'settled' | 'refused' | 'killed'
  /** What it cost, once that is known. */
  cost: number
}

export interface CallPlan {
  readonly worstMicros: number
  readonly leastMicros?: number
  /** Share of the reservation that it really costs; more than 1 is the provider's doing. */
  readonly share: number
  readonly turns?: number
}

/** Instances, calls, and what must be true of them all. */
export class Simulation {
  readonly clock = new FakeClock(Date.UTC(2030, 0, 1))
  readonly network: Network
  readonly random: () => number
  readonly instances: Instance[] = []
  readonly calls: Call[] = []
  /** By account: what upstreams were paid, and how much of that was more than reserved. */
  readonly paid = new Map<string, number>()
  readonly overBilled = new Map<string, number>()
  readonly unseen = new Map<string, number>()
  /** The highest limit an account ever had. */
  readonly highest = new Map<string, number>()
  lostJournals = 0
  /** How probably a record that was released is there again after a crash. */
  comesBack = 0.5

  constructor(database: OpenedDatabase, seed: number) {
    this.network = new Network(database)
    this.random = randomFrom(seed)
  }

  async start(journal = new ForgetfulJournal()): Promise<Instance> {
    const link = new Link(this.network)
    const engine = new BudgetEngine({
      database: link,
      clock: this.clock,
      logger: silent,
      settings: { databaseAwayMs: 900_000, chargesKeptMs: 35 * dayMs, accountsKeptMs: 400 * dayMs },
    })
    const instance: Instance = { engine, link, journal, alive: true }
    await engine.start(journal.channel())
    this.instances.push(instance)
    return instance
  }

  /** Begins a call. Resolves to it when it may go to the upstream, or to undefined when it was refused. */
  async begin(instance: Instance, terms: readonly AccountTerms[], plan: CallPlan): Promise<Call | undefined> {
    const { worstMicros, leastMicros = worstMicros, share, turns = 1 } = plan
    for (const { key, limitMicros, overageMicros } of terms)
      this.highest.set(key.id, Math.max(this.highest.get(key.id) ?? 0, limitMicros + overageMicros))
    const call: Call = {
      hold: instance.engine.hold(crypto.randomUUID(), terms),
      instance,
      terms,
      costMicros: (reserved) => Math.floor(reserved * share),
      phase: 'reserving',
      cost: 0,
    }
    this.calls.push(call)
    try {
      for (let turn = 0; turn < turns; turn++)
        await instance.engine.reserve(call.hold, {
          worstMicros,
          fit: (available) => (available >= leastMicros ? Math.min(worstMicros, Math.floor(available)) : undefined),
        })
    } catch {
      if (call.phase === 'reserving') call.phase = 'refused'
      if (instance.alive) await instance.engine.settle(call.hold, 0)
      return undefined
    }
    if (call.phase !== 'reserving') return undefined
    call.phase = 'running'
    return call
  }

  async end(call: Call): Promise<void> {
    if (call.phase !== 'running') return
    call.phase = 'settling'
    this.#pay(call)
    await call.instance.engine.settle(call.hold, call.cost)
    // A crash in between: whether it was written nobody knows.
    if (call.phase === 'settling') call.phase = 'settled'
  }

  /** kill -9. The upstream goes on with what it was asked. */
  kill(instance: Instance, keepJournal: boolean): void {
    if (!instance.alive) return
    instance.alive = false
    instance.link.dead = true
    for (const call of this.calls)
      if (call.instance === instance && call.phase === 'running') {
        call.phase = 'killed'
        this.#pay(call)
        this.#unseen(call)
      } else if (call.instance === instance && (call.phase === 'settling' || !keepJournal)) this.#unseen(call)
    instance.journal.crash(this.random, this.comesBack)
    if (!keepJournal) this.lostJournals++
    // A statement on its way may still be carried out, now or much later, or never.
    for (const resume of instance.link.parked.splice(0)) if (this.random() < 0.5) this.#late.push(resume)
  }

  readonly #late: (() => void)[] = []

  #pay(call: Call): void {
    const { reservedMicros } = call.hold
    call.cost = call.costMicros(reservedMicros)
    for (const { key } of call.terms) {
      this.paid.set(key.id, (this.paid.get(key.id) ?? 0) + call.cost)
      const excess = Math.max(0, call.cost - reservedMicros)
      this.overBilled.set(key.id, (this.overBilled.get(key.id) ?? 0) + excess)
    }
  }

  /** What it cost beyond its reservation died with the only process that knew it. */
  #unseen({ cost, hold, terms }: Call): void {
    for (const { key } of terms)
      this.unseen.set(key.id, (this.unseen.get(key.id) ?? 0) + Math.max(0, cost - hold.reservedMicros))
  }

  /** Time goes by, in steps between which the database has time to answer. */
  async advance(milliseconds: number, stepMs = 250): Promise<void> {
    for (let left = milliseconds; left > 0; left -= stepMs) {
      await this.clock.advance(Math.min(left, stepMs))
      for (const resume of this.#late.splice(0)) if (this.random() < 0.3) resume()
      await this.network.quiet()
    }
  }

  /** What must be true at every moment: nothing spent beyond a limit but what a provider billed beyond the reservation. */
  assertWithinLimits(): void {
    const exposed = new Map(this.paid)
    for (const { hold, terms, phase } of this.calls)
      if (phase === 'running' || phase === 'reserving')
        for (const { key } of terms) exposed.set(key.id, (exposed.get(key.id) ?? 0) + hold.reservedMicros)
    for (const [id, micros] of exposed) {
      const most = this.highest.get(id)! + (this.overBilled.get(id) ?? 0)
      assert.ok(micros <= most, `account ${id}: ${micros} spent and reserved of ${most}`)
    }
  }

  /** What must be true of the tables at every moment. */
  async assertLedger(): Promise<void> {
    const rows = await this.network.database.query<{ id: string } & Record<string, string>>(
      `select id, spent_micros, leased_micros,
              (select coalesce(sum(amount_micros), 0) from budget_charges where account_id = id) as charged,
              (select coalesce(sum(remaining_micros), 0) from budget_leases
                where account_id = id and state = 'active') as active,
              (select coalesce(sum(remaining_micros), 0) from budget_leases
                where account_id = id and state = 'expired') as expired
         from budget_accounts`,
    )
    for (const row of rows) {
      assert.equal(Number(row['leased_micros']), Number(row['active']), `leased of ${row.id}`)
      assert.equal(Number(row['spent_micros']), Number(row['charged']) + Number(row['expired']), `spent of ${row.id}`)
      const most = (this.highest.get(row.id) ?? 0) + (this.overBilled.get(row.id) ?? 0)
      const taken = Number(row['spent_micros']) + Number(row['leased_micros'])
      assert.ok(taken <= most, `account ${row.id}: ${taken} taken of ${most}`)
    }
  }

  /** Ends all calls and instances in order; those that were killed start once more if their journal was kept. */
  async finish(revive: readonly ForgetfulJournal[]): Promise<void> {
    for (const { link } of this.instances) link.heal()
    for (const resume of this.#late.splice(0)) resume()
    await this.advance(15_000)
    for (const journal of revive) await this.start(journal)
    // Long enough for somebody to see that those with lost journals do not come back.
    if (this.lostJournals > 0) {
      await this.start()
      await this.advance(100_000, 5000)
    }
    for (const call of this.calls) if (call.instance.alive) await this.end(call)
    await this.advance(2000)
    const closings = this.instances.filter(({ alive }) => alive).map(({ engine }) => engine.close())
    await Promise.all(closings)
    await this.network.quiet()
  }

  /** After the end: nothing is held by anybody, and what was charged is what was spent. */
  async assertSettled(): Promise<void> {
    const { database } = this.network
    await this.assertLedger()
    const active = await database.query(`select * from budget_leases where state = 'active'`)
    assert.deepEqual(active, [], 'a lease is left')
    for (const { alive, engine, journal } of this.instances)
      if (alive) {
        assert.equal(engine.waitingCharges, 0)
        for (const account of engine.accounts.values()) {
          assert.equal(account.reservedMicros, 0, 'a reservation is left')
          assert.equal(account.pendingMicros, 0, 'a charge is left')
          assert.equal(account.holds, 0)
        }
        assert.deepEqual(journal.unreleased, [], 'the journal is not released')
      }
    const expired = await database.query(`select * from budget_leases where state = 'expired' and remaining_micros > 0`)
    if (this.lostJournals === 0) assert.deepEqual(expired, [], 'the lease of an instance that came back')
    const charged = new Map(
      (
        await database.query<{ exchange_id: string; account_id: string; amount_micros: string }>(
          'select exchange_id, account_id, amount_micros from budget_charges',
        )
      ).map((row) => [`${row.exchange_id} ${row.account_id}`, Number(row.amount_micros)]),
    )
    for (const call of this.calls)
      for (const { key } of call.terms) {
        const amount = charged.get(`${call.hold.exchangeId} ${key.id}`) ?? 0
        const allowed = this.#allowed(call)
        assert.ok(allowed.includes(amount), `${call.phase} call charged ${amount}, not ${allowed.join(' or ')}`)
        charged.delete(`${call.hold.exchangeId} ${key.id}`)
      }
    assert.deepEqual([...charged], [], 'charges of calls that nobody made')
    const spent = await database.query<{ id: string; spent_micros: string }>(
      'select id, spent_micros from budget_accounts',
    )
    for (const { id, spent_micros: micros } of spent) {
      const paid = (this.paid.get(id) ?? 0) - (this.unseen.get(id) ?? 0)
      assert.ok(Number(micros) >= paid, `account ${id}: ${micros} recorded of ${paid} that was paid`)
    }
  }

  #allowed({ phase, cost, hold, instance }: Call): number[] {
    const isLost = !instance.alive && this.lostJournals > 0
    switch (phase) {
      case 'settled':
        return isLost ? [cost, 0] : [cost]
      case 'killed':
        return isLost ? [hold.reservedMicros, 0] : [hold.reservedMicros]
      case 'settling':
        return [cost, hold.reservedMicros, 0]
      // It never reached the upstream; if it was killed on the way, part of the reservation may be in the journal.
      case 'refused':
      case 'reserving':
      case 'running':
        return instance.alive ? [0] : [...new Set([0, hold.reservedMicros, Math.floor(hold.reservedMicros / 2)])]
    }
  }
}

/** An account of a holder in a window of some minutes, as `ApplicableAccounts` would name it for a calendar period. */
export function termsOf(
  holder: string,
  limitMicros: number,
  more: Partial<AccountTerms> & { startsAtMs?: number } = {},
): AccountTerms {
  const { startsAtMs = 0, ...rest } = more
  return {
    key: {
      id: uuidOf(`${holder} ${startsAtMs}`),
      holderKind: 'principal',
      holderId: holder,
      period: 'daily',
      startsAtMs,
      endsAtMs: startsAtMs + dayMs,
    },
    limitMicros,
    overageMicros: 0,
    warnAt: 0.8,
    ...rest,
  }
}
