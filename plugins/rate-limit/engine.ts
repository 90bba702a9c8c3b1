import type { Clock, Logger } from '@hadrian/core/plugin'
import { Counters } from './counters.ts'
import type { Counter, Demand, Refused, Taken } from './demand.ts'
import type { Ledger, Slice } from './ledger.ts'
import { Round } from './round.ts'
import type { Waiter } from './round.ts'
import { Slots } from './slots.ts'
import type { Store, StoreAnswers } from './store.ts'

/** What to do while the database is away. */
export interface AwayPolicy {
  /** `local`: go on with this instance's share of each limit. `refuse`: refuse what leases do not cover. */
  readonly mode: 'local' | 'refuse'
  /** For how long `local` may go on, in milliseconds. */
  readonly forMs: number
}

export interface EngineOptions {
  readonly store: Store
  readonly clock: Clock
  readonly logger: Logger
  readonly away: AwayPolicy
}

interface Waiting extends Waiter {
  readonly resolve: (result: Taken | Refused) => void
  rounds: number
}

/** Between two looks at leases, in milliseconds. What is to be given back waits that long, unless somebody needs it. */
const tickMs = 500
const sweepMs = 30_000
const clearMs = 600_000
/** Between two attempts to reach a database that is away. */
const probeMs = 1000
/** A database that takes longer is away. Below the deadline of a hook, so that its callers get an answer. */
const patienceMs = 4000
/** A caller that lost what was granted for it to others this often is refused. */
const mostRounds = 8

/**
 * The limits of one instance. Hands out units that the database has granted, from memory, and keeps some in stock for
 * whoever comes next. Knows nothing of exchanges.
 */
export class Engine {
  readonly #store: Store
  readonly #clock: Clock
  readonly #logger: Logger
  #away: AwayPolicy
  readonly #counters: Counters
  /** Counters with something to tell the database. */
  readonly #news = new Set<Counter>()
  /** Counters with leases that must be watched. */
  readonly #leased = new Set<Counter>()
  #waiting: Waiting[] = []
  #trading: Promise<void> | undefined
  #due = false
  #awaySinceMs: number | undefined
  #warned = false
  #nextProbeMs = 0
  #cancelTick: (() => void) | undefined
  /** The next look comes soon, not only to sweep. */
  #ticksFast = false
  #sweptMs = 0
  #clearedMs = 0
  #closed = false

  constructor({ store, clock, logger, away }: EngineOptions) {
    this.#store = store
    this.#clock = clock
    this.#logger = logger
    this.#away = away
    this.#clearedMs = clock.monotonicMs()
    this.#counters = new Counters(clock, (counter) => {
      if (counter.hasNews) this.#news.add(counter)
      this.#watch()
    })
  }

  /** Takes over what a reloaded config says; counters stay. */
  configure(away: AwayPolicy): void {
    this.#away = away
  }

  /** Counters in memory. */
  get size(): number {
    return this.#counters.size
  }

  /**
   * Takes the same number of units of every demand, or nothing at all. Synchronous if everything is in stock or known to
   * be used up.
   *
   * @param units at least 1; slots for concurrent requests are always taken one by one
   */
  take(demands: readonly Demand[], units: number): Taken | Refused | Promise<Taken | Refused> {
    const nowMs = this.#clock.monotonicMs()
    let short = false
    let refused: Refused | undefined
    for (const demand of demands) {
      const counter = this.#counters.of(demand)
      if (counter.stock(nowMs) >= (counter instanceof Slots ? 1 : units)) continue
      short = true
      const retryAfterMs = counter.refusal(units, nowMs)
      if (retryAfterMs !== undefined && retryAfterMs > (refused?.retryAfterMs ?? -1)) refused = { demand, retryAfterMs }
    }
    if (!short) return this.#commit(demands, units, nowMs)
    if (refused) return refused
    if (this.#closed || this.#awaySinceMs !== undefined) return this.#takeAlone(demands, units, nowMs)
    return new Promise((resolve) => {
      this.#waiting.push({ demands, units, resolve, rounds: 0 })
      this.#wake()
    })
  }

  /** Units left of a demand's limit, as far as it is known here; undefined while nothing is. Takes and asks nothing. */
  remaining(demand: Demand): number | undefined {
    return this.#counters.peek(demand)?.remaining(this.#clock.monotonicMs())
  }

  /** Gives back everything that was taken. */
  giveBack(taken: Taken): void {
    for (let place = 0; place < taken.demands.length; place++) this.giveBackOne(taken, place)
  }

  /** Gives back what was taken for the demand at this place. A second time changes nothing. */
  giveBackOne(taken: Taken, place: number): void {
    const counter = taken.counters[place]
    if (!counter) return
    taken.counters[place] = undefined
    if (counter instanceof Slots) counter.release()
    else this.#reconcile(counter, taken.slices[place]!, taken.units, 0)
  }

  /** Gives back the slots for concurrent requests among what was taken. */
  releaseSlots(taken: Taken): void {
    for (let place = 0; place < taken.demands.length; place++)
      if (taken.counters[place] instanceof Slots) this.giveBackOne(taken, place)
  }

  /** Says what was really used of what was taken: what is left over goes back, what is more is counted now. */
  settle(taken: Taken, used: number): void {
    for (let place = 0; place < taken.demands.length; place++) {
      const counter = taken.counters[place]
      if (!counter || counter instanceof Slots) continue
      taken.counters[place] = undefined
      this.#reconcile(counter, taken.slices[place]!, taken.units, used)
    }
  }

  /** Resolves when no statement is under way and nobody waits for one. For tests. */
  async idle(): Promise<void> {
    while (this.#trading) await this.#trading
  }

  /** Gives back whatever is left, as far as the database can be reached, and ends. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#cancelTick?.()
    this.#cancelTick = undefined
    await this.idle()
    for (const counter of this.#leased) {
      counter.retire()
      this.#news.add(counter)
    }
    while (this.#news.size > 0 && this.#awaySinceMs === undefined) await this.#trade()
  }

  #reconcile(ledger: Ledger, slice: Slice, taken: number, used: number): void {
    const nowMs = this.#clock.monotonicMs()
    if (used < taken) ledger.giveBack(slice, taken - used, nowMs)
    else if (used > taken) ledger.owe(used - taken, nowMs, this.#clock.now())
    if (ledger.hasNews) {
      this.#news.add(ledger)
      this.#watch()
    }
  }

  #commit(demands: readonly Demand[], units: number, nowMs: number): Taken {
    const slices: (Slice | undefined)[] = []
    const counters: Counter[] = []
    for (const { counter } of demands) {
      counters.push(counter!)
      if (counter instanceof Slots) {
        counter.take(nowMs)
        slices.push(undefined)
        continue
      }
      slices.push(counter!.take(units, nowMs))
      if (!this.#closed && counter!.runsLow(nowMs) && this.#awaySinceMs === undefined) {
        this.#news.add(counter!)
        this.#wake()
      }
    }
    return { demands, units, slices, counters }
  }

  /** While the database is away, or after the end. */
  #takeAlone(demands: readonly Demand[], units: number, nowMs: number): Taken | Refused {
    if (this.#away.mode === 'refuse' || this.#closed || nowMs - this.#awaySinceMs! >= this.#away.forMs)
      return { demand: undefined, retryAfterMs: probeMs }
    let refused: Refused | undefined
    for (const demand of demands) {
      const counter = this.#counters.of(demand)
      const waitMs =
        counter instanceof Slots
          ? counter.grantLocally(nowMs)
          : counter.stock(nowMs) >= units
            ? 0
            : counter.grantLocally(units, nowMs, this.#clock.now())
      if (waitMs > (refused?.retryAfterMs ?? 0)) refused = { demand, retryAfterMs: waitMs }
      this.#leased.add(counter)
    }
    this.#watch()
    return refused ?? this.#commit(demands, units, nowMs)
  }

  /** Sees to it that a statement is made, after what is going on in this turn of the event loop. */
  #wake(): void {
    this.#due = true
    this.#trading ??= this.#trades()
  }

  async #trades(): Promise<void> {
    await Promise.resolve()
    while (this.#due && !this.#closed) {
      this.#due = false
      await this.#trade()
      if (this.#waiting.length > 0) this.#due = true
    }
    if (this.#closed) this.#decideAlone(this.#waiting.splice(0))
    this.#watch()
    // In the same turn as the last look at what is due, so that nothing falls between.
    this.#trading = undefined
  }

  /** One statement. */
  async #trade(): Promise<void> {
    if (this.#awaySinceMs !== undefined && !(await this.#probe())) return
    const at = { nowMs: this.#clock.monotonicMs(), wallMs: this.#clock.now() }
    const round = new Round(this.#waiting, this.#news, (demand) => this.#counters.of(demand), at)
    if (this.#news.size > 0) this.#due = true
    let answers: StoreAnswers
    try {
      answers = await this.#patiently(this.#store.trade(at.wallMs, round.windows, round.slots))
    } catch (error) {
      round.fail()
      for (const counter of round.counters) this.#leased.add(counter)
      this.#failed(round.waiting, error)
      return
    }
    const instances = round.apply(answers, this.#clock.monotonicMs())
    if (instances > 0) this.#counters.instances = instances
    for (const counter of round.counters) this.#keepWatch(counter)
    this.#serve(round.waiting)
  }

  /** Nothing is entrusted to a statement of which nobody will know whether it was carried out. */
  async #probe(): Promise<boolean> {
    try {
      await this.#patiently(this.#store.trade(this.#clock.now(), [], []))
    } catch (error) {
      this.#failed([], error)
      return false
    }
    this.#returned()
    return true
  }

  /** Serves those who waited, in their order, before anybody who comes now. */
  #serve(waiting: readonly Waiting[]): void {
    const nowMs = this.#clock.monotonicMs()
    for (const each of waiting) {
      const { demands, units } = each
      let refused: Refused | undefined
      let mayTryAgain = false
      for (const demand of demands) {
        const counter = this.#counters.of(demand)
        if (counter.stock(nowMs) >= (counter instanceof Slots ? 1 : units)) continue
        const retryAfterMs = counter.refusal(units, nowMs)
        // What was granted went to others, or its lease has ended on the way.
        if (retryAfterMs === undefined) mayTryAgain = true
        else if (retryAfterMs > (refused?.retryAfterMs ?? -1)) refused = { demand, retryAfterMs }
      }
      if (refused) each.resolve(refused)
      else if (!mayTryAgain) each.resolve(this.#commit(demands, units, nowMs))
      else if (++each.rounds < mostRounds) this.#waiting.push(each)
      else each.resolve({ demand: demands[0], retryAfterMs: 1000 })
    }
  }

  #failed(waiting: readonly Waiting[], error: unknown): void {
    const nowMs = this.#clock.monotonicMs()
    this.#nextProbeMs = nowMs + probeMs
    this.#awaySinceMs ??= nowMs
    if (!this.#warned) {
      this.#warned = true
      const goesOn = this.#away.mode === 'local' ? `each instance enforces its share of every limit` : 'refusing'
      this.#logger.warn({ error }, `the shared rate limits cannot be reached; beyond what is leased: ${goesOn}`)
    }
    this.#decideAlone([...waiting, ...this.#waiting.splice(0)])
    this.#watch()
  }

  #decideAlone(waiting: readonly Waiting[]): void {
    const nowMs = this.#clock.monotonicMs()
    for (const { demands, units, resolve } of waiting) resolve(this.#takeAlone(demands, units, nowMs))
  }

  /** The database answers again: what was used without it is counted before anything is taken. */
  #returned(): void {
    this.#awaySinceMs = undefined
    this.#warned = false
    this.#logger.info({}, 'the shared rate limits are reached again')
    const wallMs = this.#clock.now()
    for (const counter of this.#counters.values()) {
      if (counter instanceof Slots) {
        if (counter.isStocked) this.#news.add(counter)
        continue
      }
      counter.rejoin(wallMs)
      if (counter.hasNews) this.#news.add(counter)
    }
  }

  #keepWatch(counter: Counter): void {
    if (counter.isStocked) this.#leased.add(counter)
    else this.#leased.delete(counter)
  }

  #watch(): void {
    const busy = this.#leased.size > 0 || this.#news.size > 0 || this.#awaySinceMs !== undefined
    if (this.#closed || (this.#cancelTick && (this.#ticksFast || !busy))) return
    this.#cancelTick?.()
    this.#cancelTick = undefined
    if (!busy && this.#counters.size === 0) return
    this.#ticksFast = busy
    this.#cancelTick = this.#clock.after(busy ? tickMs : sweepMs, () => {
      this.#cancelTick = undefined
      this.#look()
    })
  }

  #look(): void {
    const nowMs = this.#clock.monotonicMs()
    for (const counter of this.#leased) {
      counter.stock(nowMs)
      if (counter instanceof Slots ? counter.isDue(nowMs) : counter.hasNews) this.#news.add(counter)
      this.#keepWatch(counter)
    }
    if (nowMs - this.#sweptMs >= sweepMs) this.#sweep(nowMs)
    if (this.#awaySinceMs === undefined ? this.#news.size > 0 : nowMs >= this.#nextProbeMs) this.#wake()
    this.#watch()
  }

  #sweep(nowMs: number): void {
    this.#sweptMs = nowMs
    // While the database is away, counters know what it does not.
    if (this.#awaySinceMs !== undefined) return
    this.#counters.sweep(nowMs, (counter) => this.#news.has(counter))
    if (nowMs - this.#clearedMs < clearMs) return
    this.#clearedMs = nowMs
    void this.#store.clear(this.#clock.now()).catch((error: unknown) => {
      this.#logger.debug({ error }, 'old rate limit counters could not be cleared')
    })
  }

  async #patiently<T>(work: Promise<T>): Promise<T> {
    let cancel: (() => void) | undefined
    const late = new Promise<never>((_, reject) => {
      cancel = this.#clock.after(patienceMs, () => reject(new Error(`no answer after ${patienceMs} ms`)))
    })
    try {
      return await Promise.race([work, late])
    } finally {
      cancel?.()
    }
  }
}
