/** Fills the tables of the usage log as months of traffic would, faster than traffic can. */
import { Client } from 'pg'
import { everyone } from '../plugins/usage-log/columns.ts'

/** Time over which the exchanges are spread, ending at `untilMs`. */
const days = 90
/** Exchanges per statement. */
const chunk = 500_000

/** Keys that call; the first ones far more often than the last. */
export const callerCount = 1000

const callersSql = `
insert into usage_log_callers (id, principal_id, principal_name, named_at, owners)
select md5('caller ' || n)::uuid, 'key-' || n, 'Key ' || n, now(),
  array['user:user-' || n / 2, 'team:team-' || n % 50, 'project:project-' || n % 200, 'organization:org-' || n % 5]
from generate_series(0, ${callerCount - 1}) as n`

const exchangesSql = `
insert into usage_log_exchanges (id, started_at, caller_id, operation, dialect, requested_model, provider, model, outcome,
  http_status, error_code, streamed, attempts, input_tokens, output_tokens, cost_micros, estimated, finish_reason,
  duration_ms, first_event_ms)
select md5(n::text)::uuid, $1::timestamptz - n * ($4 * interval '1 day' / $5::float8),
  md5('caller ' || floor(${callerCount} * power(chance, 3)))::uuid, 'generate', 'chat', 'model-' || n % 12,
  'provider-' || n % 4, 'model-' || n % 12, outcome, case outcome when 'completed' then 200 else 502 end,
  case outcome when 'failed' then 'provider_error' when 'aborted' then 'request_cancelled' end, n % 2 = 0, 1,
  n % 2000, n % 500, n % 10000, false, 'stop', n % 3000, n % 300
from generate_series($2::bigint, $3::bigint) as n
cross join lateral (select (n * 2654435761 % 4294967296) / 4294967296.0 as chance) as c
cross join lateral (
  select case when n % 100 < 97 then 'completed' when n % 100 < 99 then 'failed' else 'aborted' end as outcome) as o`

const attemptsSql = `
insert into usage_log_attempts (exchange_id, number, started_at, provider, model, outcome, input_tokens, output_tokens,
  cost_micros, estimated, first_event_ms, duration_ms)
select id, 1, started_at, provider, model, outcome, input_tokens, output_tokens, cost_micros, estimated, first_event_ms,
  duration_ms
from usage_log_exchanges`

const hoursSql = `
insert into usage_log_hours
select at, coalesce(caller_id, '${everyone}'), provider, model, count(*),
  count(*) filter (where outcome = 'completed'), 0, count(*) filter (where outcome = 'failed'),
  count(*) filter (where outcome = 'aborted'), 0, count(*), 0, sum(input_tokens), sum(output_tokens), 0, 0, 0, 0, 0, 0,
  sum(cost_micros), 0, coalesce(sum(duration_ms) filter (where outcome = 'completed'), 0), sum(first_event_ms), count(*),
  min(started_at), max(started_at)
from (select date_trunc('hour', started_at, 'UTC') as at, * from usage_log_exchanges) as e
group by grouping sets ((at, caller_id, provider, model), (at, provider, model)) order by 1, 2, 3, 4`

const daysSql = `
insert into usage_log_days
select date_trunc('day', at, 'UTC'), caller_id, provider, model, sum(requests), sum(completed), 0, sum(failed),
  sum(aborted), 0, sum(calls), 0, sum(input_tokens), sum(output_tokens), 0, 0, 0, 0, 0, 0, sum(cost_micros), 0,
  sum(duration_ms), sum(first_event_ms), sum(first_events), min(first_at), max(last_at)
from usage_log_hours group by 1, 2, 3, 4 order by 1, 2, 3, 4`

/** Fills empty tables with `count` exchanges of one attempt each, and their rollups. */
export async function fillUsage(url: string, count: number, untilMs: number): Promise<void> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(`set maintenance_work_mem = '1GB'; set work_mem = '512MB'`)
    await client.query(callersSql)
    const restore = await dropIndexes(client)
    for (let from = 1; from <= count; from += chunk)
      await client.query(exchangesSql, [new Date(untilMs), from, Math.min(count, from + chunk - 1), days, count])
    for (const sql of [attemptsSql, hoursSql, daysSql]) await client.query(sql)
    for (const sql of restore) await client.query(sql)
    await client.query('vacuum analyze')
  } finally {
    await client.end()
  }
}

/** Indexes are made faster at once than row by row. Returns the statements that make them again. */
async function dropIndexes(client: Client): Promise<string[]> {
  const { rows } = await client.query<{ table: string; name: string; sql: string; constraint: string | null }>(
    `select tablename as table, indexname as name, indexdef as sql, pg_get_constraintdef(c.oid) as constraint
     from pg_indexes left join pg_constraint c on c.conname = indexname
     where tablename in ('usage_log_exchanges', 'usage_log_attempts', 'usage_log_hours', 'usage_log_days')`,
  )
  for (const { table, name, constraint } of rows)
    await client.query(constraint === null ? `drop index ${name}` : `alter table ${table} drop constraint ${name}`)
  return rows.map(({ table, name, sql, constraint }) =>
    constraint === null ? sql : `alter table ${table} add constraint ${name} ${constraint}`,
  )
}
