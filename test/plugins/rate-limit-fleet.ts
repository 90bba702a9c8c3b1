/** Engines of several instances on one database and one clock, and a record of everything they let through. */
import assert from 'node:assert/strict'
import { migrate } from '../../core/services/database/index.ts'
import type { OpenedDatabase } from '../../core/services/database/index.ts'
import type { Queryable, Row } from '../../core/contract/plugin.ts'
import { FakeClock } from '../../core/testing/index.ts'
import { isRefused } from '../../plugins/rate-limit/demand.ts'
import type { Demand, Refused, Taken } from '../../plugins/rate-limit/demand.ts'
import { Engine } from '../../plugins/rate-limit/engine.ts'
import type { AwayPolicy } from '../../plugins/rate-limit/engine.ts'
import { Store } from '../../plugins/rate-limit/store.ts'
import { windowKinds } from '../../plugins/rate-limit/window.ts'
import type { WindowKind } from '../../plugins/rate-limit/window.ts'

/** The way from one instance to the database. */
export class Wire implements Queryable {
  readonly #database: Queryable
  statements = 0
  /** `cut`: nothing arrives. `deaf`: what arrives is carried out, and the answer is lost. */
  state: 'whole' | 'cut' | 'deaf' = 'whole'
  /** Statements wait for this before they are sent. */
  held: Promise<void> | undefined
  /** Answers wait for this. */
  delayed: Promise<void> | undefined

  constructor(database: Queryable) {
    this.#database = database
  }

  async query<R extends Row = Row>(sql: string, params?: readonly unknown[]): Promise<R[]> {
    this.statements++
    await this.held
    if (this.state === 'cut') throw new Error('the database cannot be reached')
    const rows = await this.#database.query<R>(sql, params)
    await this.delayed
    if (this.state === 'deaf') throw new Error('the connection was lost')
    return rows
  }
}

export interface Instance {
  readonly engine: Engine
  readonly wire: Wire
  readonly log: string[]
  alive: boolean
}

/** Something that was let through. */
export interface Passed {
  readonly instance: Instance
  readonly taken: Taken
  readonly atMs: number
  /** Units that count: those taken, until something is given back. */
  units: number
  open: boolean
}

export const minuteDemand = (
  limit: number,
  subject = 'key:a',
  kind: WindowKind = windowKinds.requestsPerMinute,
): Demand => ({
  subject,
  scope: 'key',
  limit,
  kind,
})
export const dayDemand = (limit: number, subject = 'key:a'): Demand =>
  minuteDemand(limit, subject, windowKinds.tokensPerDay)
export const slotDemand = (limit: number, subject = 'key:a'): Demand => ({
  subject,
  scope: 'key',
  limit,
  kind: undefined,
})

export class Fleet {
  readonly database: OpenedDatabase
  readonly clock = new FakeClock()
  readonly instances: Instance[] = []
  readonly passed: Passed[] = []
  readonly #away: AwayPolicy

  constructor(database: OpenedDatabase, away: AwayPolicy = { mode: 'refuse', forMs: 0 }) {
    this.database = database
    this.#away = away
  }

  static async on(database: OpenedDatabase, instances: number, away?: AwayPolicy): Promise<Fleet> {
    await migrate(database, 'rate-limit', new URL('../../plugins/rate-limit/migrations/', import.meta.url))
    await database.query('truncate rate_limit_windows, rate_limit_slots')
    const fleet = new Fleet(database, away)
    for (let count = 0; count < instances; count++) fleet.add()
    return fleet
  }

  add(): Instance {
    const log: string[] = []
    const wire = new Wire(this.database)
    const note = (_: object, message: string): void => void log.push(message)
    const engine = new Engine({
      store: new Store(wire, crypto.randomUUID()),
      clock: this.clock,
      logger: { debug: note, info: note, warn: note, error: note },
      away: this.#away,
    })
    const instance = { engine, wire, log, alive: true }
    this.instances.push(instance)
    return instance
  }

  /** Demands are made anew, as each instance does for its own principals. */
  async request(instance: Instance, demands: readonly Demand[], units = 1): Promise<Passed | Refused> {
    const result = await instance.engine.take(
      demands.map((demand) => ({ ...demand })),
      units,
    )
    if (isRefused(result)) return result
    const passed = { instance, taken: result, atMs: this.clock.monotonicMs(), units, open: true }
    // What a killed process lets through reaches nobody.
    if (instance.alive) this.passed.push(passed)
    return passed
  }

  /** How many of these requests at once were let through. */
  async count(instance: Instance, demands: readonly Demand[], requests: number, units = 1): Promise<number> {
    const results = await Promise.all(Array.from({ length: requests }, () => this.request(instance, demands, units)))
    return results.filter((result) => 'open' in result).length
  }

  finish(passed: Passed, used: number): void {
    if (!passed.open) return
    passed.open = false
    passed.units = used
    if (!passed.instance.alive) return
    passed.instance.engine.settle(passed.taken, used)
    passed.instance.engine.releaseSlots(passed.taken)
  }

  refuse(passed: Passed): void {
    if (!passed.open) return
    passed.open = false
    passed.units = 0
    if (passed.instance.alive) passed.instance.engine.giveBack(passed.taken)
  }

  /** Moves time on in steps that are short against every deadline, letting statements come back. */
  async pass(milliseconds: number): Promise<void> {
    for (let passed = 0; passed < milliseconds; passed += 500) {
      await this.clock.advance(Math.min(500, milliseconds - passed))
      await this.idle()
    }
  }

  async idle(): Promise<void> {
    await Promise.all(
      this.instances.filter(({ wire }) => !wire.held && !wire.delayed).map(({ engine }) => engine.idle()),
    )
  }

  /** As kill -9 does: nothing is given back. */
  kill(instance: Instance): void {
    instance.alive = false
    instance.wire.state = 'cut'
    for (const passed of this.passed) if (passed.instance === instance) passed.open = false
  }

  async close(): Promise<void> {
    for (const { engine, wire } of this.instances) {
      wire.held = undefined
      await engine.close()
    }
  }

  /** Checks that no window of this length has more than the limit. */
  assertWithin(limit: number, windowMs: number): void {
    const events = this.passed.filter(({ units }) => units > 0).toSorted((a, b) => a.atMs - b.atMs)
    let sum = 0
    let first = 0
    for (const { atMs, units } of events) {
      sum += units
      while (events[first]!.atMs <= atMs - windowMs) sum -= events[first++]!.units
      assert(sum <= limit, `${sum} of ${limit} in the ${windowMs} ms before ${atMs}`)
    }
  }

  /** Units that the database counts for a subject. */
  async counted(subject = 'key:a'): Promise<number> {
    const rows = await this.database.query<{ used: string }>(
      `select coalesce(sum(units), 0) as used from rate_limit_windows, unnest(counts) as units where subject = $1`,
      [subject],
    )
    return Number(rows[0]!.used)
  }

  /** Slots that the database counts for a subject. */
  async slotsHeld(subject = 'key:a'): Promise<number> {
    const rows = await this.database.query<{ slots: string }>(
      `select coalesce(sum((lease ->> 0)::bigint), 0) as slots from rate_limit_slots, jsonb_each(holders) as held(name, lease)
       where subject = $1 and (lease ->> 1)::bigint > $2`,
      [subject, this.clock.now()],
    )
    return Number(rows[0]!.slots)
  }
}
