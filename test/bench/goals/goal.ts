import type { Bench } from '../bench.ts'
import { keeps } from '../statistics.ts'
import type { Comparison } from '../statistics.ts'

/** A line of the result. */
export interface Row {
  readonly goal: number
  readonly title: string
  /** Measured values, with their units. */
  readonly candidate: string
  readonly base: string
  /** What is held against the bars. */
  readonly paired: number
  readonly best: number
  /** Unit of `paired`, `best` and the bars; absent for a ratio. */
  readonly unit?: string
  /** Absent for a line that only informs. */
  readonly must?: number
  readonly stretch?: number
  /** Whether something failed that no ratio shows. */
  readonly broken?: string
}

/** Something to measure, for one or more goals. */
export interface Measurement {
  readonly goals: readonly number[]
  measure(bench: Bench): Promise<readonly Row[]>
}

/** The bars of a goal. */
export interface Bars {
  readonly goal: number
  readonly title: string
  readonly must?: number
  readonly stretch?: number
}

/** A row for a ratio. */
export function ratioRow(bars: Bars, comparison: Comparison, format: (value: number) => string): Row {
  const { candidate, base, paired, best } = comparison
  return { ...bars, candidate: format(candidate), base: format(base), paired, best }
}

export function isMet(row: Row, bar: number | undefined): boolean | undefined {
  return bar === undefined ? undefined : row.broken === undefined && keeps(row, bar)
}

/** Measures two things in turns, so that a disturbance of the machine hits both. */
export async function inTurns<T>(
  rounds: number,
  candidate: () => Promise<T>,
  base: () => Promise<T>,
): Promise<{ readonly candidates: readonly T[]; readonly bases: readonly T[] }> {
  const candidates: T[] = []
  const bases: T[] = []
  for (let round = 0; round < rounds; round++) {
    candidates.push(await candidate())
    bases.push(await base())
  }
  return { candidates, bases }
}

export const micros = (value: number): string => `${value.toFixed(value < 100 ? 1 : 0)} us`
