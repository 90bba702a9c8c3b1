const slotMs = 30_000
const slotCount = 11

/** The share of good ones among what was counted in the last five minutes (up to 30 s more). Monotonic milliseconds. */
export class RollingShare {
  readonly #all = new Uint32Array(slotCount)
  readonly #good = new Uint32Array(slotCount)
  #newest = 0

  count(isGood: boolean, nowMs: number): void {
    this.#turnTo(nowMs)
    const slot = this.#newest % slotCount
    this.#all[slot]!++
    if (isGood) this.#good[slot]!++
  }

  /** Undefined if nothing was counted. */
  read(nowMs: number): { readonly share: number; readonly count: number } | undefined {
    this.#turnTo(nowMs)
    const count = sum(this.#all)
    return count === 0 ? undefined : { share: sum(this.#good) / count, count }
  }

  #turnTo(nowMs: number): void {
    const newest = Math.floor(nowMs / slotMs)
    const gone = Math.min(newest - this.#newest, slotCount)
    for (let step = 1; step <= gone; step++) {
      const slot = (newest - gone + step) % slotCount
      this.#all[slot] = 0
      this.#good[slot] = 0
    }
    this.#newest = newest
  }
}

function sum(counts: Uint32Array): number {
  return counts.reduce((total, count) => total + count, 0)
}
