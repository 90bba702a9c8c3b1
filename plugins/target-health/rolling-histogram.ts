import type { Percentiles } from '@hadrian/core/plugin'

/** Each bucket ends this much above where it begins. */
const growth = 1.15
const inverseLogGrowth = 1 / Math.log(growth)
/** With {@link growth}, six decades from the lowest value on. */
const bucketCount = 100
const slotMs = 30_000
/** Five minutes, and the part of a slot that has begun. */
const slotCount = 11
/** What a bucket of a slot can count; what is more is left out, which changes no percentile noticeably. */
const mostInBucket = 65_535

/**
 * How values were distributed in the last five minutes (up to 30 s more), in a fixed 2.6 kB: buckets on a logarithmic
 * scale, for each 30 s apart. A percentile is within 7.3 % (half a bucket) of the true one, for values of up to a
 * million times the lowest. Times are monotonic milliseconds.
 */
export class RollingHistogram {
  readonly #inverseLowest: number
  readonly #lowest: number
  readonly #slots = new Uint16Array(slotCount * bucketCount)
  readonly #totals = new Uint32Array(bucketCount)
  #count = 0
  /** Number of the slot that is filled at the moment, counted since time began. */
  #newest = 0
  #percentiles: Percentiles | undefined

  /** @param lowest values below count as this */
  constructor(lowest: number) {
    this.#lowest = lowest
    this.#inverseLowest = 1 / lowest
  }

  record(value: number, nowMs: number): void {
    this.#turnTo(nowMs)
    const bucket = bucketOf(value * this.#inverseLowest)
    const place = (this.#newest % slotCount) * bucketCount + bucket
    if (this.#slots[place] === mostInBucket) return
    this.#slots[place]!++
    this.#totals[bucket]!++
    this.#count++
    this.#percentiles = undefined
  }

  /** Undefined if there are no values. */
  percentiles(nowMs: number): Percentiles | undefined {
    this.#turnTo(nowMs)
    if (this.#count === 0) return undefined
    this.#percentiles ??= percentilesOf(this.#totals, this.#count, this.#lowest)
    return this.#percentiles
  }

  /** Adds the counts of all buckets to those of others with the same lowest value; returns how many values there are. */
  addTo(totals: Uint32Array, nowMs: number): number {
    this.#turnTo(nowMs)
    for (let bucket = 0; bucket < bucketCount; bucket++) totals[bucket]! += this.#totals[bucket]!
    return this.#count
  }

  /** Forgets the slots that are too old by now. */
  #turnTo(nowMs: number): void {
    const newest = Math.floor(nowMs / slotMs)
    if (newest === this.#newest) return
    const gone = Math.min(newest - this.#newest, slotCount)
    for (let step = 1; step <= gone; step++) {
      const from = ((newest - gone + step) % slotCount) * bucketCount
      for (let bucket = 0; bucket < bucketCount; bucket++) {
        const count = this.#slots[from + bucket]!
        if (count === 0) continue
        this.#totals[bucket]! -= count
        this.#count -= count
        this.#slots[from + bucket] = 0
      }
    }
    this.#newest = newest
    this.#percentiles = undefined
  }
}

/** Percentiles of several histograms with the same lowest value together; undefined if they are empty. */
export function mergedPercentiles(
  histograms: readonly RollingHistogram[],
  lowest: number,
  nowMs: number,
): (Percentiles & { readonly p95: number }) | undefined {
  const totals = new Uint32Array(bucketCount)
  let count = 0
  for (const histogram of histograms) count += histogram.addTo(totals, nowMs)
  if (count === 0) return undefined
  return { ...percentilesOf(totals, count, lowest), p95: quantile(totals, count, lowest, 0.95) }
}

function bucketOf(ratio: number): number {
  if (!(ratio > 1)) return 0
  return Math.min(bucketCount - 1, Math.floor(Math.log(ratio) * inverseLogGrowth))
}

function percentilesOf(totals: Uint32Array, count: number, lowest: number): Percentiles {
  return {
    p50: quantile(totals, count, lowest, 0.5),
    p75: quantile(totals, count, lowest, 0.75),
    p90: quantile(totals, count, lowest, 0.9),
    p99: quantile(totals, count, lowest, 0.99),
    count,
  }
}

/** The middle, on the scale, of the bucket that holds the value of this rank. */
function quantile(totals: Uint32Array, count: number, lowest: number, share: number): number {
  const rank = Math.ceil(share * count)
  let seen = 0
  for (let bucket = 0; bucket < bucketCount; bucket++) {
    seen += totals[bucket]!
    if (seen >= rank) return lowest * growth ** (bucket + 0.5)
  }
  return 0
}
