import type { Counter, Demand } from './demand.ts'
import type { Ledger } from './ledger.ts'
import { Slots } from './slots.ts'
import type { SlotWant, StoreAnswers, WindowWant } from './store.ts'

/** Counters in one statement. */
const mostCounters = 1000

/** Somebody who waits for units. */
export interface Waiter {
  readonly demands: readonly Demand[]
  readonly units: number
}

/** What one statement says: all that callers wait for, and all the news there is, up to a limit. */
export class Round<W extends Waiter> {
  /** Those whose wants it says. */
  readonly waiting: W[] = []
  readonly #windows = new Map<Ledger, WindowWant>()
  readonly #slots = new Map<Slots, SlotWant>()
  readonly #sentMs: number
  readonly #sentWallMs: number

  /**
   * @param waiting those it has room for are taken out
   * @param news the same
   */
  constructor(
    waiting: W[],
    news: Set<Counter>,
    find: (demand: Demand) => Counter,
    at: { readonly nowMs: number; readonly wallMs: number },
  ) {
    this.#sentMs = at.nowMs
    this.#sentWallMs = at.wallMs
    const needs = new Map<Counter, { units: number; least: number }>()
    let taken = 0
    for (; taken < waiting.length && needs.size < mostCounters; taken++) {
      const { demands, units } = waiting[taken]!
      for (const demand of demands) {
        const counter = find(demand)
        const need = needs.get(counter)
        const wanted = counter instanceof Slots ? 1 : units
        if (need) {
          need.units += wanted
          need.least = Math.min(need.least, wanted)
        } else needs.set(counter, { units: wanted, least: wanted })
      }
    }
    this.waiting = waiting.splice(0, taken)
    for (const counter of news) {
      if (needs.size >= mostCounters) break
      if (!needs.has(counter)) needs.set(counter, { units: 0, least: 0 })
    }
    for (const [counter, { units, least }] of needs) {
      news.delete(counter)
      if (counter instanceof Slots) this.#slots.set(counter, counter.want(units, at.nowMs))
      else this.#windows.set(counter, counter.want(units, least, at.nowMs))
    }
  }

  get windows(): readonly WindowWant[] {
    return [...this.#windows.values()]
  }

  get slots(): readonly SlotWant[] {
    return [...this.#slots.values()]
  }

  get counters(): readonly Counter[] {
    return [...this.#windows.keys(), ...this.#slots.keys()]
  }

  /** Tells the counters what was answered. Returns the most instances that share one of them; 0 for an empty round. */
  apply(answers: StoreAnswers, nowMs: number): number {
    let instances = 0
    const windows = new Map(answers.windows.map((answer) => [`${answer.kind} ${answer.subject}`, answer]))
    for (const [ledger, want] of this.#windows) {
      ledger.apply(want, windows.get(`${want.kind} ${want.subject}`)!, this.#sentMs, this.#sentWallMs, nowMs)
      instances = Math.max(instances, ledger.instances)
    }
    const slots = new Map(answers.slots.map((answer) => [answer.subject, answer]))
    for (const [counter, want] of this.#slots) {
      counter.apply(want, slots.get(want.subject)!, this.#sentMs, nowMs)
      instances = Math.max(instances, counter.instances)
    }
    return instances
  }

  /** Nobody knows whether the statement was carried out. */
  fail(): void {
    for (const ledger of this.#windows.keys()) ledger.fail()
  }
}
