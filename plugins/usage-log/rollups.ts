import { callersSql } from './filters.ts'
import type { Filters } from './filters.ts'
import { dayTable, everyone, hourTable, rollupKey, sumColumns } from './columns.ts'
import type { Parameters } from './parameters.ts'

/** Inclusive and exclusive, in milliseconds since 1970. */
type Range = readonly [fromMs: number | undefined, toMs: number | undefined]

const hourMs = 3_600_000
const dayMs = 24 * hourMs

/** Rollups are kept by the hour, so a sum begins and ends with one: a range is widened to whole hours. */
export function wholeHours(filters: Filters): Filters {
  return {
    ...filters,
    from: filters.from && new Date(floor(filters.from.getTime(), hourMs)),
    to: filters.to && new Date(ceil(filters.to.getTime(), hourMs)),
  }
}

/** What rows of the rollups are needed for. */
export interface RollupUse {
  /** By the hour throughout, for whoever counts in other days than those of UTC. */
  readonly byHour?: boolean
  /** A row for each caller, and not their sum where that will do. */
  readonly byCaller?: boolean
}

/**
 * SQL for the rows of the rollups that filters leave: sums by day for the whole days of UTC in the range, by hour for
 * its ends.
 *
 * @param filters of whole hours
 */
export function rollupSql(filters: Filters, parameters: Parameters, use: RollupUse = {}): string {
  const fromMs = filters.from?.getTime()
  const toMs = filters.to?.getTime()
  const firstDayMs = fromMs === undefined ? undefined : ceil(fromMs, dayMs)
  const lastDayMs = toMs === undefined ? undefined : floor(toMs, dayMs)
  const hasDays = firstDayMs === undefined || lastDayMs === undefined || firstDayMs < lastDayMs
  const read = (table: string, range: Range): string => part(table, range, filters, { parameters, ...use })
  if (use.byHour || !hasDays) return read(hourTable, [fromMs, toMs])
  return [
    read(dayTable, [firstDayMs, lastDayMs]),
    ...(fromMs === firstDayMs ? [] : [read(hourTable, [fromMs, firstDayMs])]),
    ...(toMs === lastDayMs ? [] : [read(hourTable, [lastDayMs, toMs])]),
  ].join(' union all ')
}

function part(
  table: string,
  [fromMs, toMs]: Range,
  filters: Filters,
  { parameters, byCaller = false }: RollupUse & { readonly parameters: Parameters },
): string {
  const callers = callersSql(filters, parameters)
  const all = byCaller ? `caller_id <> '${everyone}'` : `caller_id = '${everyone}'`
  const conditions = [
    ...(fromMs === undefined ? [] : [`at >= ${parameters.add(new Date(fromMs))}`]),
    ...(toMs === undefined ? [] : [`at < ${parameters.add(new Date(toMs))}`]),
    ...filters.columns.map(([name, value]) => `${name} = ${parameters.add(value)}`),
    callers === undefined ? all : `caller_id in (${callers})`,
  ]
  return `select ${rollupKey.join(', ')}, ${sumColumns.join(', ')}, first_at, last_at from ${table}
    where ${conditions.join(' and ')}`
}

function floor(value: number, unit: number): number {
  return Math.floor(value / unit) * unit
}

function ceil(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit
}
