import type { SlotAnswer, SlotWant } from './store.ts'
import { slotLeaseMs } from './store.ts'

/** How long a refusal is believed: a slot may come free anywhere at any moment. */
const believedMs = 500
/** Slots that were not needed for this long go back. */
const idleMs = 1000
/** What a refused caller is told to wait: nobody knows how long requests will take. */
const retryMs = 1000

/** The slots for concurrent requests of one subject that this instance has on lease. Times are monotonic milliseconds. */
export class Slots {
  readonly subject: string
  limit: number
  instances: number
  forgotten = false
  usedMs = 0
  #inUse = 0
  #leased = 0
  #leaseEndsMs = 0
  #deniedUntilMs = 0
  #othersHave = 0
  /** The most that were in use at once since then. */
  #peak = 0
  #peakMs = 0

  constructor(subject: string, limit: number, instances: number) {
    this.subject = subject
    this.limit = limit
    this.instances = instances
  }

  get inUse(): number {
    return this.#inUse
  }

  /** Slots that can be had at once. */
  stock(nowMs: number): number {
    return nowMs < this.#leaseEndsMs ? Math.max(0, Math.min(this.#leased, this.limit) - this.#inUse) : 0
  }

  remaining(): number {
    return Math.max(0, this.limit - this.#othersHave - this.#inUse)
  }

  setLimit(limit: number): void {
    if (limit === this.limit) return
    this.limit = limit
    this.#deniedUntilMs = 0
  }

  /** @returns milliseconds to wait, if it is known without asking the database that there is no slot */
  refusal(_units: number, nowMs: number): number | undefined {
    return this.limit === 0 || nowMs < this.#deniedUntilMs ? retryMs : undefined
  }

  take(nowMs: number): void {
    this.#inUse++
    this.usedMs = nowMs
    if (this.#inUse >= this.#peak) {
      this.#peak = this.#inUse
      this.#peakMs = nowMs
    }
  }

  release(): void {
    this.#inUse--
  }

  /** The lease must be renewed, or is larger than what is needed. */
  isDue(nowMs: number): boolean {
    if (this.#leased === 0 && this.#inUse === 0) return false
    return this.#leaseEndsMs - nowMs < slotLeaseMs / 2 || this.#wanted(nowMs) < this.#leased
  }

  /** A limit that was lowered must be told, since others may have taken slots by the old one. */
  get hasNews(): boolean {
    return this.isStocked
  }

  get isStocked(): boolean {
    return this.#leased > 0 || this.#inUse > 0
  }

  want(waiting: number, nowMs: number): SlotWant {
    const want = Math.min(this.limit, Math.max(this.#inUse + waiting, this.#wanted(nowMs)))
    // From now on they are others' to take.
    this.#leased = Math.min(this.#leased, Math.max(want, this.#inUse))
    return { subject: this.subject, most: this.limit, used: this.#inUse, want }
  }

  /** @param sentMs when the database was asked: the lease runs from there */
  apply(want: SlotWant, answer: SlotAnswer, sentMs: number, nowMs: number): void {
    this.#leased = answer.slots
    this.#leaseEndsMs = sentMs + slotLeaseMs
    this.#othersHave = answer.others
    this.instances = Math.max(1, answer.instances)
    this.#deniedUntilMs = answer.slots < want.want ? nowMs + believedMs : 0
  }

  /**
   * While the database is away: this instance's share of the slots.
   *
   * @returns 0 if there is a slot now, else milliseconds to wait
   */
  grantLocally(nowMs: number): number {
    if (this.stock(nowMs) > 0) return 0
    const share = Math.floor(this.limit / this.instances)
    if (this.#inUse >= share) return retryMs
    this.#leased = Math.max(share, this.#inUse + 1)
    // The next statement that works asks anew.
    this.#leaseEndsMs = nowMs + idleMs
    return 0
  }

  /** Gives all slots up that are not in use. */
  retire(): void {
    this.#peak = 0
    this.#leased = this.#inUse
    this.#leaseEndsMs = 0
  }

  #wanted(nowMs: number): number {
    if (nowMs - this.#peakMs >= idleMs) {
      this.#peak = this.#inUse
      this.#peakMs = nowMs
    }
    return Math.max(this.#inUse, this.#peak)
  }
}
