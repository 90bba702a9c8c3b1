/** How long units may lie in an instance's memory before it must use them or give them back, in milliseconds. */
export const leaseMs = 2000

/** One kind of limit that is counted over a window of time. */
export interface WindowKind {
  readonly name: 'requests_per_minute' | 'requests_per_day' | 'tokens_per_minute' | 'tokens_per_day'
  readonly unit: 'requests' | 'tokens'
  readonly window: 'minute' | 'day'
  readonly windowMs: number
  /** Units are counted by buckets of this length, so that they are remembered up to one bucket too long. */
  readonly bucketMs: number
}

const minute = { window: 'minute', windowMs: 60_000, bucketMs: 1000 } as const
const day = { window: 'day', windowMs: 86_400_000, bucketMs: 900_000 } as const

/** The kinds of limits over windows, by the field of `RateLimits`. */
export const windowKinds = {
  requestsPerMinute: { name: 'requests_per_minute', unit: 'requests', ...minute },
  requestsPerDay: { name: 'requests_per_day', unit: 'requests', ...day },
  tokensPerMinute: { name: 'tokens_per_minute', unit: 'tokens', ...minute },
  tokensPerDay: { name: 'tokens_per_day', unit: 'tokens', ...day },
} as const satisfies Readonly<Record<string, WindowKind>>

/**
 * Milliseconds for which a unit counts after the end of its bucket. Units may be used until their lease ends, so the
 * window reaches back that much further: then no window of `windowMs` ever has more than was granted in it.
 */
export function spanOf({ windowMs }: WindowKind): number {
  return windowMs + leaseMs
}

/** A sliding window of this process alone. Holds at most one entry for each bucket in which something was counted. */
export class LocalWindow {
  readonly #spanMs: number
  readonly #bucketMs: number
  readonly #buckets: number[] = []
  readonly #counts: number[] = []
  #used = 0

  /** @param spanMs for how long a unit counts after the end of its bucket */
  constructor(spanMs: number, bucketMs: number) {
    this.#spanMs = spanMs
    this.#bucketMs = bucketMs
  }

  /** Units that count at this time. Times may be of any clock, but of one only. */
  used(nowMs: number): number {
    const first = Math.floor((nowMs - this.#spanMs) / this.#bucketMs)
    let gone = 0
    while (gone < this.#buckets.length && this.#buckets[gone]! < first) this.#used -= this.#counts[gone++]!
    if (gone > 0) {
      this.#buckets.splice(0, gone)
      this.#counts.splice(0, gone)
    }
    return this.#used
  }

  /** Counts units now. Returns their bucket, for {@link remove}. */
  add(units: number, nowMs: number): number {
    // A clock that was set back must not break the order.
    const bucket = Math.max(Math.floor(nowMs / this.#bucketMs), this.#buckets.at(-1) ?? -Infinity)
    this.#used += units
    if (this.#buckets.at(-1) === bucket) this.#counts[this.#counts.length - 1]! += units
    else {
      this.#buckets.push(bucket)
      this.#counts.push(units)
    }
    return bucket
  }

  /** Takes back what was counted in a bucket; nothing if the bucket has left the window. */
  remove(bucket: number, units: number): void {
    const place = this.#buckets.lastIndexOf(bucket)
    if (place < 0) return
    this.#counts[place]! -= units
    this.#used -= units
  }

  /** Milliseconds until `units` fit below `limit`; 0 if they do now, Infinity if they never will. */
  freeInMs(units: number, limit: number, nowMs: number): number {
    let free = limit - this.used(nowMs)
    if (free >= units) return 0
    for (const [place, bucket] of this.#buckets.entries()) {
      free += this.#counts[place]!
      if (free >= units) return (bucket + 1) * this.#bucketMs + this.#spanMs - nowMs
    }
    return Infinity
  }
}
