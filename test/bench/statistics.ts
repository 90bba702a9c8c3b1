/** Ratios of measurements on a machine that is never quite quiet. */

/** The middle value; NaN of none. */
export function median(values: readonly number[]): number {
  return percentile(values, 50)
}

/** The value that so many percent do not exceed; NaN of none. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const position = ((sorted.length - 1) * percent) / 100
  const below = sorted[Math.floor(position)] ?? NaN
  const above = sorted[Math.ceil(position)] ?? NaN
  return below + (above - below) * (position - Math.floor(position))
}

/**
 * A candidate against a base, measured in turns. `paired` is the median of the rounds' own ratios, `best` compares the
 * lowest values. Neighbours on the machine raise single values, so where the two differ, the truth lies between.
 */
export interface Comparison {
  readonly candidate: number
  readonly base: number
  readonly paired: number
  readonly best: number
}

/** Compares two lists of the same length, one value per round. */
export function compare(candidates: readonly number[], bases: readonly number[]): Comparison {
  return {
    candidate: median(candidates),
    base: median(bases),
    paired: median(candidates.map((value, round) => value / bases[round]!)),
    best: Math.min(...candidates) / Math.min(...bases),
  }
}

/** How far the worse of the two numbers may be over a bar that the better one keeps. */
const tolerance = 1.15

/** Whether one of the two is under the bar and the other not far over it. */
export function keeps({ paired, best }: Pick<Comparison, 'paired' | 'best'>, bar: number): boolean {
  return Math.min(paired, best) <= bar && Math.max(paired, best) <= bar * tolerance
}
