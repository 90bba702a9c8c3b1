import type { Queryable } from '@hadrian/core/plugin'
import {
  attemptTable,
  billColumns,
  callerTable,
  dayTable,
  everyone,
  exchangeTable,
  hourTable,
  rollupKey,
  sumColumns,
} from './columns.ts'

const bigints = (names: readonly string[]): Record<string, string> =>
  Object.fromEntries(names.map((name) => [name, 'bigint']))

/** Columns of an exchange and their types. */
const exchange: Readonly<Record<string, string>> = {
  id: 'uuid',
  started_at: 'timestamptz',
  caller_id: 'uuid',
  operation: 'text',
  dialect: 'text',
  requested_model: 'text',
  provider: 'text',
  model: 'text',
  outcome: 'text',
  http_status: 'integer',
  error_code: 'text',
  plugin: 'text',
  plugins: 'text[]',
  streamed: 'boolean',
  attempts: 'integer',
  ...bigints(billColumns),
  estimated: 'boolean',
  purchases: 'jsonb',
  finish_reason: 'text',
  duration_ms: 'bigint',
  first_event_ms: 'bigint',
}
const caller: Readonly<Record<string, string>> = { principal_id: 'text', principal_name: 'text', owners: 'text[]' }
const attempt: Readonly<Record<string, string>> = {
  number: 'integer',
  started_at: 'timestamptz',
  provider: 'text',
  model: 'text',
  outcome: 'text',
  http_status: 'integer',
  error_code: 'text',
  ...bigints(billColumns),
  estimated: 'boolean',
  first_event_ms: 'bigint',
  duration_ms: 'bigint',
}

const declared = (columns: Readonly<Record<string, string>>): string =>
  Object.entries(columns)
    .map(([name, type]) => `${name} ${type}`)
    .join(', ')
const names = (columns: Readonly<Record<string, string>>, prefix = ''): string =>
  Object.keys(columns)
    .map((name) => prefix + name)
    .join(', ')

/** What an exchange adds to its rollup, and what one of its billed attempts does; nothing in all other columns. */
const ofExchange: Readonly<Record<string, string>> = {
  requests: '1',
  completed: `(outcome = 'completed')::integer`,
  refused: `(outcome = 'refused')::integer`,
  failed: `(outcome = 'failed')::integer`,
  aborted: `(outcome = 'aborted')::integer`,
  estimated: 'estimated::integer',
  duration_ms: `case when outcome = 'completed' then duration_ms else 0 end`,
  first_event_ms: 'coalesce(first_event_ms, 0)',
  first_events: '(first_event_ms is not null)::integer',
}
const ofAttempt: Readonly<Record<string, string>> = {
  calls: '1',
  unpriced: '(a.cost_micros is null)::integer',
  ...Object.fromEntries(billColumns.map((name) => [name, `coalesce(a.${name}, 0)`])),
}
/** What its purchases add to it: they belong to no attempt. */
const ofPurchases: Readonly<Record<string, string>> = {
  cost_micros: `(select coalesce(sum((p.value ->> 'cost_micros')::bigint), 0) from jsonb_array_elements(purchases) as p)`,
}
const parts = (values: Readonly<Record<string, string>>): string =>
  sumColumns.map((name) => `${values[name] ?? '0'} as ${name}`).join(', ')

/**
 * Sums of each caller, and of all together. In the order of the key, so that instances that write at once lock the same
 * rows in the same order.
 */
const rollup = (table: string, unit: string): string => `
  insert into ${table} as r (${rollupKey.join(', ')}, ${sumColumns.join(', ')}, first_at, last_at)
  select at, coalesce(caller_id, '${everyone}') as caller_id, provider, model,
    ${sumColumns.map((name) => `sum(${name})`).join(', ')}, min(seen_at), max(seen_at)
  from (select date_trunc('${unit}', started_at, 'UTC') as at, * from parts) as p
  group by grouping sets ((at, caller_id, provider, model), (at, provider, model)) order by 1, 2, 3, 4
  on conflict (${rollupKey.join(', ')}) do update set
    ${sumColumns.map((name) => `${name} = r.${name} + excluded.${name}`).join(', ')},
    first_at = least(r.first_at, excluded.first_at), last_at = greatest(r.last_at, excluded.last_at)`

/**
 * One statement, hence all or nothing. Everything grows by the exchanges that were really inserted, so writing a row
 * again, alone or among others, changes nothing.
 */
const writeSql = `
with batch as materialized (
  select distinct on (id) *
  from json_to_recordset($1::json) as v(${declared(exchange)}, ${declared(caller)}, tries json) order by id
), written as (
  insert into ${exchangeTable} (${names(exchange)}) select ${names(exchange)} from batch
  on conflict (id) do nothing
  returning id, started_at, caller_id, provider, model, outcome, estimated, duration_ms, first_event_ms, purchases
), callers as (
  insert into ${callerTable} as c (id, named_at, ${names(caller)})
  select distinct on (b.caller_id) b.caller_id, b.started_at, ${names(caller, 'b.')}
  from batch b join written using (id) order by b.caller_id, b.started_at desc
  on conflict (id) do update set principal_name = excluded.principal_name, named_at = excluded.named_at
  where c.principal_name is distinct from excluded.principal_name and c.named_at < excluded.named_at
), tried as (
  insert into ${attemptTable} (exchange_id, ${names(attempt)})
  select b.id, ${names(attempt, 'v.')}
  from batch b join written using (id) cross join lateral json_to_recordset(b.tries) as v(${declared(attempt)})
  on conflict (exchange_id, number) do nothing
  returning exchange_id, provider, model, ${billColumns.join(', ')}
), parts as (
  select started_at, caller_id, coalesce(provider, '') as provider, coalesce(model, '') as model,
    ${parts(ofExchange)}, started_at as seen_at
  from written
  union all
  select w.started_at, w.caller_id, a.provider, a.model, ${parts(ofAttempt)}, null
  from tried a join written w on w.id = a.exchange_id
  where num_nonnulls(a.input_tokens, a.output_tokens, a.cost_micros) > 0
  union all
  select started_at, caller_id, coalesce(provider, ''), coalesce(model, ''), ${parts(ofPurchases)}, null
  from written where purchases is not null
), hours as (${rollup(hourTable, 'hour')}
), days as (${rollup(dayTable, 'day')}
)
select count(*)::integer as count from written`

/** Writes rows, given as JSON, with their callers, attempts and rollups. Returns how many of them were new. */
export async function writeRows(database: Queryable, rows: readonly string[]): Promise<number> {
  const [result] = await database.query<{ count: number }>(writeSql, [`[${rows.join(',')}]`])
  return result?.count ?? 0
}
