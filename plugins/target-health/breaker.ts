/** When a breaker opens and for how long. */
export interface BreakerSettings {
  readonly enabled: boolean
  /** Failures in a row that open it. */
  readonly failures: number
  /** Share of the calls of a window, 0 to 1, that opens it when they fail. */
  readonly failureRatio: number
  /** Calls of a window below which the share says nothing. */
  readonly minimumCalls: number
  readonly windowMs: number
  /** How long it is open at first; doubled each time a probe fails. */
  readonly openMs: number
  readonly maxOpenMs: number
  /** Share of the calls of a window that makes a target degraded when they fail. */
  readonly degradedRatio: number
}

/** As operators know it. */
export type BreakerStatus = 'closed' | 'open' | 'half_open'

/** What became of a call, as far as it says something about the target. */
export type Verdict = 'success' | 'failure' | 'neutral'

const slotCount = 10
/** Fewer failures than these in a window are bad luck. */
const fewestToDegrade = 3
/** What whoever comes while a probe is under way is told to wait. */
const probeWaitMs = 1_000
/** Of a call beside a probe, whose result says nothing. */
const noPermit = -1

/**
 * The circuit breaker of one target. Closed, calls go through and their results are counted over a rolling window. Open,
 * none goes through. When its time is over, exactly one call is let through as a probe, and the next only when that one
 * has ended: its first event closes the breaker, its failure opens it again for longer. A probe whose answer is cut
 * after the first event opens it again too.
 *
 * A call is told apart by the permit it got from {@link begin}: what calls from before the last change of state come to
 * says nothing any more. Times are monotonic milliseconds.
 */
export class Breaker {
  readonly #source: { readonly breaker: BreakerSettings }
  #status: BreakerStatus = 'closed'
  #permit = 0
  #isProbing = false
  /** How often it has opened without a whole answer since. */
  #opens = 0
  #openUntilMs = 0
  #changedMs: number | undefined
  #inRow = 0
  readonly #calls = new Uint32Array(slotCount)
  readonly #failures = new Uint32Array(slotCount)
  #callSum = 0
  #failureSum = 0
  #newest = 0

  /** @param source whose settings hold at each moment: a reload may change them */
  constructor(source: { readonly breaker: BreakerSettings }) {
    this.#source = source
  }

  /** Stays `open` until a probe begins. */
  get status(): BreakerStatus {
    return this.#status
  }

  get consecutiveOpens(): number {
    return this.#opens
  }

  /** When the status last changed. */
  get changedMs(): number | undefined {
    return this.#changedMs
  }

  /** Calls and failures of the window. */
  counts(nowMs: number): { readonly calls: number; readonly failures: number; readonly inRow: number } {
    this.#turnTo(nowMs)
    return { calls: this.#callSum, failures: this.#failureSum, inRow: this.#inRow }
  }

  /** 0 if a call may begin now, else how long that will take. */
  waitMs(nowMs: number): number {
    if (this.#status === 'closed' || !this.#source.breaker.enabled) return 0
    if (this.#status === 'open') return Math.max(0, this.#openUntilMs - nowMs)
    return this.#isProbing ? probeWaitMs : 0
  }

  /** Calls go through, but many fail. */
  isDegraded(nowMs: number): boolean {
    // One whose time is over must stand in its place again, else it gets no probe where others are well.
    if (this.#failureSum < fewestToDegrade || this.#status !== 'closed') return false
    this.#turnTo(nowMs)
    if (this.#failureSum < fewestToDegrade) return false
    return this.#failureSum >= this.#callSum * this.#source.breaker.degradedRatio
  }

  /** A call begins: only where {@link waitMs} was 0, or for one that must go through all the same. */
  begin(nowMs: number): number {
    if (this.#status === 'closed') return this.#permit
    if (this.#isProbing) return noPermit
    this.#setStatus('half_open', nowMs)
    this.#isProbing = true
    return ++this.#permit
  }

  /** Whether this is the permit of the probe that is under way. */
  isProbe(permit: number): boolean {
    return this.#isProbing && permit === this.#permit
  }

  /** The probe has got the first event of its answer. */
  firstEvent(permit: number, nowMs: number): void {
    if (this.isProbe(permit)) this.#close(nowMs)
  }

  /**
   * A call has ended.
   *
   * @param wasProbe it began as a probe
   * @returns whether that has opened the breaker
   */
  end(permit: number, verdict: Verdict, wasProbe: boolean, nowMs: number): boolean {
    if (permit !== this.#permit) return false
    if (this.#status !== 'closed') return this.isProbe(permit) && this.#endProbe(verdict, nowMs)
    if (verdict === 'neutral') return false
    this.#count(verdict, nowMs)
    if (verdict === 'success') {
      this.#inRow = 0
      this.#opens = 0
      return false
    }
    this.#inRow++
    const { enabled, failures, failureRatio, minimumCalls } = this.#source.breaker
    const tooMany =
      (wasProbe && this.#opens > 0) ||
      this.#inRow >= failures ||
      (this.#callSum >= minimumCalls && this.#failureSum >= this.#callSum * failureRatio)
    if (!tooMany || !enabled) return false
    this.#open(nowMs)
    return true
  }

  /** Closes it and forgets everything. */
  reset(nowMs: number): void {
    this.#opens = 0
    this.#permit++
    this.#close(nowMs)
  }

  #endProbe(verdict: Verdict, nowMs: number): boolean {
    this.#isProbing = false
    // The next call is the probe then.
    if (verdict === 'neutral') return false
    if (verdict === 'failure') {
      this.#open(nowMs)
      return true
    }
    this.#opens = 0
    this.#close(nowMs)
    return false
  }

  #open(nowMs: number): void {
    const { openMs, maxOpenMs } = this.#source.breaker
    this.#openUntilMs = nowMs + Math.min(openMs * 2 ** this.#opens, Math.max(openMs, maxOpenMs))
    this.#opens++
    this.#permit++
    this.#isProbing = false
    this.#setStatus('open', nowMs)
  }

  #close(nowMs: number): void {
    this.#isProbing = false
    this.#inRow = 0
    this.#calls.fill(0)
    this.#failures.fill(0)
    this.#callSum = 0
    this.#failureSum = 0
    this.#setStatus('closed', nowMs)
  }

  #setStatus(status: BreakerStatus, nowMs: number): void {
    if (status === this.#status) return
    this.#status = status
    this.#changedMs = nowMs
  }

  #count(verdict: Verdict, nowMs: number): void {
    this.#turnTo(nowMs)
    const slot = this.#newest % slotCount
    this.#calls[slot]!++
    this.#callSum++
    if (verdict !== 'failure') return
    this.#failures[slot]!++
    this.#failureSum++
  }

  /** Forgets what is older than the window. */
  #turnTo(nowMs: number): void {
    const newest = Math.floor((nowMs * slotCount) / this.#source.breaker.windowMs)
    if (newest === this.#newest) return
    // A reload that makes the window longer makes the numbers smaller: then everything is forgotten.
    const gone = newest < this.#newest ? slotCount : Math.min(newest - this.#newest, slotCount)
    for (let step = 1; step <= gone; step++) {
      const slot = (newest - gone + step + slotCount) % slotCount
      this.#callSum -= this.#calls[slot]!
      this.#failureSum -= this.#failures[slot]!
      this.#calls[slot] = 0
      this.#failures[slot] = 0
    }
    this.#newest = newest
    if (this.#callSum === 0) this.#inRow = 0
  }
}
