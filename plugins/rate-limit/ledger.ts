import type { WindowAnswer, WindowWant } from './store.ts'
import { leaseMs, LocalWindow, spanOf } from './window.ts'
import type { WindowKind } from './window.ts'

/** Units that an instance may hand out until their lease ends. */
export interface Slice {
  /** In which they were counted, and go back to. */
  readonly bucket: number
  units: number
  /** Monotonic milliseconds. */
  readonly expiresMs: number
  /** Granted by the instance to itself while the database was away. */
  readonly local: boolean
}

/** How long a refusal by the database is believed at most: others may give back what they did not use. */
const believedMs = 1000
/** Pause between two attempts to stock up where little is left. */
const stockPauseMs = 200
/** Length of the ticks by which use is forecast. */
const tickMs = 1000

/**
 * An instance's part of one shared window: what it may hand out, what it has to give back, and what it knows of the rest.
 * Times are monotonic milliseconds, except for wall-clock ones that are called `wallMs`.
 */
export class Ledger {
  readonly subject: string
  readonly kind: WindowKind
  limit: number
  /** Instances that use the window, as far as is known. */
  instances: number
  /** Set when the engine has forgotten it: whoever still holds it must ask for it anew. */
  forgotten = false
  usedMs = 0
  #slices: Slice[] = []
  #stock = 0
  /** What is left of the limit beyond what was granted, as the database last said. */
  #remainder: number | undefined
  #remainderWallMs = 0
  #oldestAtMs = 0
  #returned: Map<number, number> | undefined
  #debt = 0
  /** The debt that is on its way to the database. */
  #sentDebt = 0
  #deniedUnits = Infinity
  #deniedUntilMs = 0
  #freeAtMs = 0
  #stockAgainMs = 0
  #tick = -1
  #usedNow = 0
  #usedBefore = 0
  #takesNow = 0
  #takesBefore = 0
  #local: LocalWindow | undefined
  /** Of the local window: what others and this instance had used when the database was last heard of. */
  #localSeed = 0
  #isRetired = false

  constructor(subject: string, kind: WindowKind, limit: number, instances: number) {
    this.subject = subject
    this.kind = kind
    this.limit = limit
    this.instances = instances
  }

  /** Units that can be handed out at once. */
  stock(nowMs: number): number {
    this.#expire(nowMs)
    return this.#stock
  }

  /** Units left of the limit, as far as is known here. */
  remaining(nowMs: number): number {
    const stock = this.stock(nowMs)
    return Math.max(0, Math.min(this.limit, (this.#remainder ?? this.limit - stock) + stock - this.#debt))
  }

  /** Milliseconds until some of what counts now stops counting; 0 if nothing is known to count. */
  resetInMs(nowMs: number): number {
    return Math.max(0, this.#oldestAtMs - nowMs)
  }

  /** A limit that has changed holds at once: what was granted under the old one goes back. */
  setLimit(limit: number): void {
    if (limit === this.limit) return
    this.limit = limit
    this.#remainder = undefined
    this.#deniedUnits = Infinity
    this.surrender()
  }

  /**
   * Why `units` cannot be had, if that is known without asking the database.
   *
   * @returns milliseconds until they can
   */
  refusal(units: number, nowMs: number): number | undefined {
    if (units > this.limit) return this.kind.windowMs
    if (units < this.#deniedUnits || nowMs >= this.#deniedUntilMs || this.#returned) return undefined
    return Math.max(1, this.#freeAtMs - nowMs)
  }

  /**
   * Takes units out of the stock, which must have them. They go back, if at all, to the bucket of the slice that is
   * returned: the oldest that was drawn on. Later buckets then count a little too much, never too little.
   */
  take(units: number, nowMs: number): Slice {
    const oldest = this.#slices.find((slice) => slice.units > 0) ?? this.#slices[0]!
    this.#draw(units)
    this.usedMs = nowMs
    this.#advance(nowMs)
    this.#usedNow += units
    this.#takesNow++
    return oldest
  }

  /** Whether the stock should be filled up before it is empty. */
  runsLow(nowMs: number): boolean {
    if (this.#isRetired || this.#forecast() === 0 || nowMs < this.#stockAgainMs || this.#local) return false
    return this.#stock * 2 < this.#forecast()
  }

  /** Gives back units of a slice that were taken and not used. */
  giveBack(slice: Slice, units: number, nowMs: number): void {
    if (units <= 0) return
    const local = slice.local ? this.#local : undefined
    if (slice.expiresMs > nowMs && this.#slices.includes(slice)) {
      slice.units += units
      this.#stock += units
    } else if (local) local.remove(slice.bucket, units)
    else this.#return(slice.bucket, units)
  }

  /** Counts units that were used beyond those taken. */
  owe(units: number, nowMs: number, wallMs: number): void {
    this.stock(nowMs)
    const left = units - this.#draw(units)
    if (this.#local) this.#local.add(left, wallMs)
    else this.#debt += left
  }

  /** Gives up all units in stock. */
  surrender(): void {
    for (const slice of this.#slices) this.#giveUp(slice)
    this.#slices = []
    this.#stock = 0
  }

  /** Gives up all units in stock for good: what is left to say to the database asks for no more. */
  retire(): void {
    this.surrender()
    this.#isRetired = true
  }

  /** Something is there that the database should know. */
  get hasNews(): boolean {
    return this.#debt > 0 || this.#returned !== undefined
  }

  /** Units are in stock, whose leases must be watched. */
  get isStocked(): boolean {
    return this.#slices.length > 0
  }

  /**
   * What to ask the database for. What is returned is out of memory from now on; the debt stays until {@link apply}.
   *
   * @param need units that callers wait for, and `least` what the most modest of them does
   */
  want(need: number, least: number, nowMs: number): WindowWant {
    this.#advance(nowMs)
    const stock = this.stock(nowMs)
    const missing = Math.max(0, need - stock)
    const returned = this.#returned
    this.#returned = undefined
    this.#sentDebt = this.#debt
    const { name, windowMs, bucketMs } = this.kind
    return {
      subject: this.subject,
      kind: name,
      most: this.limit,
      window_ms: windowMs,
      bucket_ms: bucketMs,
      span_ms: spanOf(this.kind),
      need: missing,
      least: Math.min(missing, Math.max(1, least - stock)),
      extra: missing > 0 || this.runsLow(nowMs) ? Math.max(0, this.#forecast() - Math.max(0, stock - need)) : 0,
      debt: this.#debt,
      returned: returned ? [...returned] : [],
    }
  }

  /**
   * Takes in what the database answered to `want`.
   *
   * @param sentMs when it was asked: the lease runs from there, since the units were counted no earlier
   * @param sentWallMs the same by the wall clock
   */
  apply(want: WindowWant, answer: WindowAnswer, sentMs: number, sentWallMs: number, nowMs: number): void {
    const { granted, bucket, remainder } = answer
    this.#debt -= this.#sentDebt
    this.#sentDebt = 0
    this.instances = Math.max(1, answer.instances)
    this.#remainder = remainder
    this.#remainderWallMs = sentWallMs
    this.#oldestAtMs = nowMs + answer.oldest_ms
    if (granted > 0) {
      // Granted under a limit that holds no more.
      if (want.most !== this.limit) this.#return(bucket, granted)
      else {
        this.#slices.push({ bucket, units: granted, expiresMs: sentMs + leaseMs, local: false })
        this.#stock += granted
      }
    }
    // What was used in excess meanwhile comes out of what was granted, not on top of it.
    if (this.#debt > 0) this.#debt -= this.#draw(this.#debt)
    if (granted < want.need) {
      this.#deniedUnits = remainder + 1
      this.#deniedUntilMs = nowMs + Math.min(believedMs, answer.free_ms)
      this.#freeAtMs = nowMs + answer.free_ms
    } else if (want.need > 0) this.#deniedUnits = Infinity
    if (want.extra > 0 && granted < want.need + want.extra) this.#stockAgainMs = nowMs + stockPauseMs
  }

  /** The statement may not have been carried out. What was owed is still owed. */
  fail(): void {
    this.#sentDebt = 0
  }

  /**
   * While the database is away: grants this instance its share of the limit, by a window of its own.
   *
   * @returns 0 if the units are now in stock, else milliseconds until they can be had
   */
  grantLocally(units: number, nowMs: number, wallMs: number): number {
    const local = this.#goLocal()
    const share = Math.floor(this.limit / this.instances) - this.#seedAt(wallMs)
    const missing = units - this.stock(nowMs)
    const waitMs = local.freeInMs(missing, share, wallMs)
    if (waitMs > 0) return Math.min(waitMs, this.kind.windowMs)
    const bucket = local.add(missing, wallMs)
    this.#slices.push({ bucket, units: missing, expiresMs: nowMs + leaseMs, local: true })
    this.#stock += missing
    return 0
  }

  /** The database is back: what was used meanwhile is owed to it. */
  rejoin(wallMs: number): void {
    const local = this.#local
    if (!local) return
    this.surrender()
    this.#local = undefined
    this.#debt += Math.max(0, local.used(wallMs))
  }

  #goLocal(): LocalWindow {
    if (!this.#local) {
      this.#local = new LocalWindow(spanOf(this.kind), this.kind.bucketMs)
      this.#localSeed =
        this.#remainder === undefined ? 0 : Math.ceil((this.limit - this.#remainder - this.#stock) / this.instances)
    }
    return this.#local
  }

  #seedAt(wallMs: number): number {
    return wallMs - this.#remainderWallMs < spanOf(this.kind) + this.kind.bucketMs ? this.#localSeed : 0
  }

  #expire(nowMs: number): void {
    let ended = 0
    while (ended < this.#slices.length && this.#slices[ended]!.expiresMs <= nowMs) {
      const slice = this.#slices[ended++]!
      this.#stock -= slice.units
      this.#giveUp(slice)
    }
    if (ended > 0) this.#slices.splice(0, ended)
  }

  #giveUp(slice: Slice): void {
    if (slice.units === 0) return
    if (slice.local && this.#local) this.#local.remove(slice.bucket, slice.units)
    else this.#return(slice.bucket, slice.units)
    slice.units = 0
  }

  #return(bucket: number, units: number): void {
    this.#returned ??= new Map()
    this.#returned.set(bucket, (this.#returned.get(bucket) ?? 0) + units)
  }

  /** Takes up to so many units out of the stock. Returns how many it were. */
  #draw(units: number): number {
    let left = Math.min(units, this.#stock)
    const drawn = left
    this.#stock -= drawn
    for (const slice of this.#slices) {
      const part = Math.min(slice.units, left)
      slice.units -= part
      left -= part
      if (left === 0) break
    }
    return drawn
  }

  /** Units that the next second will need: those of the busier of this and the last. A single use foretells nothing. */
  #forecast(): number {
    return this.#takesNow + this.#takesBefore < 2 ? 0 : Math.max(this.#usedNow, this.#usedBefore)
  }

  #advance(nowMs: number): void {
    const tick = Math.floor(nowMs / tickMs)
    if (tick === this.#tick) return
    const follows = tick - this.#tick === 1
    this.#usedBefore = follows ? this.#usedNow : 0
    this.#takesBefore = follows ? this.#takesNow : 0
    this.#usedNow = 0
    this.#takesNow = 0
    this.#tick = tick
  }
}
