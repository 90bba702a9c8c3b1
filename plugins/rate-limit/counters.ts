import type { Clock } from '@hadrian/core/plugin'
import type { Counter, Demand } from './demand.ts'
import { Ledger } from './ledger.ts'
import { Slots } from './slots.ts'

/** Counters that were not used for this long are forgotten; the database goes on knowing them. */
const idleMs = 60_000

/** The counters that are in memory. */
export class Counters {
  readonly #clock: Clock
  readonly #onChange: (counter: Counter) => void
  readonly #byKey = new Map<string, Counter>()
  /** Instances that share counters, as far as is known: for counters nothing is known of yet. */
  instances = 1

  /** @param onChange told of counters that are new or have a new limit */
  constructor(clock: Clock, onChange: (counter: Counter) => void) {
    this.#clock = clock
    this.#onChange = onChange
  }

  get size(): number {
    return this.#byKey.size
  }

  values(): Iterable<Counter> {
    return this.#byKey.values()
  }

  /** The counter of a demand, with the demand's limit. */
  of(demand: Demand): Counter {
    let { counter } = demand
    if (counter === undefined || counter.forgotten) {
      counter = this.#find(demand)
      demand.counter = counter
    }
    if (counter.limit !== demand.limit) {
      counter.setLimit(demand.limit)
      this.#onChange(counter)
    }
    return counter
  }

  /** The counter of a demand if it is in memory and has the demand's limit. For looking: makes and changes none. */
  peek({ kind, subject, limit }: Demand): Counter | undefined {
    const counter = this.#byKey.get(keyOf(kind, subject))
    return counter?.limit === limit ? counter : undefined
  }

  /** Forgets what nobody has used for a while and nobody needs. */
  sweep(nowMs: number, isNeeded: (counter: Counter) => boolean): void {
    for (const [key, counter] of this.#byKey) {
      if (nowMs - counter.usedMs < idleMs || counter.isStocked || isNeeded(counter)) continue
      counter.forgotten = true
      this.#byKey.delete(key)
    }
  }

  #find({ kind, subject, limit }: Demand): Counter {
    const key = keyOf(kind, subject)
    let counter = this.#byKey.get(key)
    if (!counter) {
      counter = kind ? new Ledger(subject, kind, limit, this.instances) : new Slots(subject, limit, this.instances)
      counter.usedMs = this.#clock.monotonicMs()
      this.#byKey.set(key, counter)
      this.#onChange(counter)
    }
    return counter
  }
}

function keyOf(kind: Demand['kind'], subject: string): string {
  return `${kind?.name ?? 'concurrent_requests'} ${subject}`
}
