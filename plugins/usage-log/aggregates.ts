import type { JsonObject, OwnerKind, Queryable, Row } from '@hadrian/core/plugin'
import { callerTable } from './columns.ts'
import type { Filters } from './filters.ts'
import { Parameters } from './parameters.ts'
import { rollupSql } from './rollups.ts'
import { summaryBody, summarySql } from './summary.ts'

/** What sums can be grouped by. */
export type Grouping = 'model' | 'provider' | 'principal' | OwnerKind

/** Length of the steps of a time series. */
export type Granularity = 'hour' | 'day' | 'month'

/** The sum of everything that filters leave. */
export async function readSummary(database: Queryable, filters: Filters): Promise<JsonObject> {
  const parameters = new Parameters()
  const sql = `select ${summarySql} from (${rollupSql(filters, parameters)}) as r`
  const [row] = await database.query(sql, parameters.values)
  return summaryBody(row ?? {})
}

interface GroupRow extends Row {
  readonly key: string | null
  readonly name?: string | null
  readonly rank: string
  readonly groups: string
}

/** The groups that cost most, and what all others add up to. */
export async function readGroups(
  database: Queryable,
  filters: Filters,
  grouping: Grouping,
  limit: number,
): Promise<JsonObject> {
  const parameters = new Parameters()
  const byCaller = grouping !== 'model' && grouping !== 'provider'
  const groups = groupSql(grouping, rollupSql(filters, parameters, { byCaller }), parameters)
  const rest = parameters.add(limit + 1)
  const named = grouping === 'principal' ? ', min(name) as name' : ''
  const rows = await database.query<GroupRow>(
    `with groups as (${groups}), ranked as (
       select *, row_number() over (order by cost_micros desc, requests desc, key) as rank, count(*) over () as groups
       from groups)
     select least(rank, ${rest}::bigint) as rank, min(key) as key ${named}, min(groups) as groups, ${summarySql}
     from ranked group by 1 order by 1`,
    parameters.values,
  )
  const shown = rows.filter(({ rank }) => Number(rank) <= limit)
  const other = rows.find(({ rank }) => Number(rank) > limit)
  const id = byCaller ? `${grouping}_id` : grouping
  return {
    data: shown.map((row) => ({
      [id]: row.key,
      ...(grouping === 'principal' && { principal_name: row.name ?? null }),
      ...summaryBody(row),
    })),
    other: other ? summaryBody(other) : null,
    group_count: Number(rows[0]?.groups ?? 0),
    truncated: other !== undefined,
  }
}

function groupSql(grouping: Grouping, rollups: string, parameters: Parameters): string {
  if (grouping === 'model' || grouping === 'provider')
    return `select nullif(${grouping}, '') as key, ${summarySql} from (${rollups}) as r group by 1`
  // By caller first: joining the sums is less work than joining the rollups.
  const callers = `(select caller_id, ${summarySql} from (${rollups}) as r group by 1) as s
    join ${callerTable} c on c.id = s.caller_id`
  if (grouping === 'principal')
    return `select principal_id as key, (array_agg(principal_name order by named_at desc))[1] as name, ${summarySql}
      from ${callers} group by 1`
  const prefix = parameters.add(`${grouping}:`)
  return `select owner.id as key, ${summarySql} from ${callers} left join lateral (
      select distinct substr(o, length(${prefix}::text) + 1) as id from unnest(c.owners) as o
      where starts_with(o, ${prefix}::text)) as owner on true
    group by 1`
}

/** Sums by hour, day or month of a time zone, the oldest first; steps without usage are left out. */
export async function readSeries(
  database: Queryable,
  filters: Filters,
  granularity: Granularity,
  timeZone: string,
): Promise<JsonObject[]> {
  const parameters = new Parameters()
  // Hours of the clock come twice when it is set back, so they are told apart by their instants.
  const byHour = granularity === 'hour'
  const rollups = rollupSql(filters, parameters, { byHour: byHour || timeZone !== 'UTC' })
  const zone = parameters.add(timeZone)
  const step = byHour ? 'at' : `date_trunc('${granularity}', at at time zone ${zone})`
  const start = byHour ? 'step' : `step at time zone ${zone}`
  const local = byHour ? `step at time zone ${zone}` : 'step'
  const format = byHour ? 'YYYY-MM-DD"T"HH24:MI' : granularity === 'day' ? 'YYYY-MM-DD' : 'YYYY-MM'
  const rows = await database.query<Row & { date: string; start: Date }>(
    `select to_char(${local}, '${format}') as date, ${start} as start, s.*
     from (select ${step} as step, ${summarySql} from (${rollups}) as r group by 1) as s order by step`,
    parameters.values,
  )
  return rows.map((row) => ({ date: row.date, start: row.start, ...summaryBody(row) }))
}
