-- Who called: a principal with the owners it had. A key that changes its owners is another caller from then on.
create table usage_log_callers (
  -- Made of the principal's id and the owners, so that every instance gives the same caller the same id.
  id uuid primary key,
  principal_id text not null,
  -- The last one that was seen.
  principal_name text,
  named_at timestamptz(3) not null,
  -- `kind:id`, from the nearest up: `team:…`, `organization:…`.
  owners text[] not null
);

create index usage_log_callers_by_principal on usage_log_callers (principal_id);
create index usage_log_callers_by_owner on usage_log_callers using gin (owners);

insert into usage_log_callers (id, principal_id, named_at, owners)
select md5(principal_id)::uuid, principal_id, max(started_at), '{}' from usage_log_exchanges group by principal_id;

create table usage_log_attempts (
  exchange_id uuid not null,
  -- Counts from 1 over the exchange.
  number integer not null,
  started_at timestamptz(3) not null,
  provider text not null,
  model text not null,
  outcome text,
  -- Of the upstream where it said one, else of the error.
  http_status integer,
  error_code text,
  -- Null where nothing was billed.
  input_tokens bigint,
  output_tokens bigint,
  cached_tokens bigint,
  cache_write_tokens bigint,
  reasoning_tokens bigint,
  audio_input_tokens bigint,
  audio_output_tokens bigint,
  images bigint,
  cost_micros bigint,
  -- What the upstream said it cost.
  reported_cost_micros bigint,
  estimated boolean not null,
  -- Both from the start of the attempt.
  first_event_ms bigint,
  duration_ms bigint,
  primary key (exchange_id, number)
);

insert into usage_log_attempts (exchange_id, number, started_at, provider, model, outcome, http_status, error_code,
  input_tokens, output_tokens, cached_tokens, cache_write_tokens, reasoning_tokens, cost_micros, estimated,
  first_event_ms, duration_ms)
select e.id, a.number, e.started_at, split_part(a.value ->> 'target', '/', 1),
  substr(a.value ->> 'target', strpos(a.value ->> 'target', '/') + 1), a.value ->> 'outcome',
  (a.value ->> 'status')::integer, a.value ->> 'error_code', (a.value -> 'tokens' ->> 'input_tokens')::bigint,
  (a.value -> 'tokens' ->> 'output_tokens')::bigint, (a.value -> 'tokens' ->> 'cached_tokens')::bigint,
  (a.value -> 'tokens' ->> 'cache_write_tokens')::bigint, (a.value -> 'tokens' ->> 'reasoning_tokens')::bigint,
  (a.value ->> 'cost_micros')::bigint, e.estimated, (a.value ->> 'first_event_ms')::bigint,
  (a.value ->> 'ms')::bigint
from usage_log_exchanges e cross join lateral jsonb_array_elements(e.attempt_records) with ordinality as a(value, number)
where a.value ->> 'target' is not null;

alter table usage_log_exchanges
  add column caller_id uuid,
  add column audio_input_tokens bigint,
  add column audio_output_tokens bigint,
  add column images bigint,
  add column reported_cost_micros bigint,
  -- Plugins with params that took part; null if none did.
  add column plugins text[];
update usage_log_exchanges set caller_id = md5(principal_id)::uuid;
alter table usage_log_exchanges
  alter column caller_id set not null,
  drop column principal_id,
  drop column attempt_records;

create index usage_log_exchanges_by_caller on usage_log_exchanges (caller_id, started_at desc, id desc);
create index usage_log_exchanges_by_provider on usage_log_exchanges (provider, started_at desc, id desc);
create index usage_log_exchanges_by_requested_model
  on usage_log_exchanges (requested_model, started_at desc, id desc);
create index usage_log_exchanges_by_error on usage_log_exchanges (error_code, started_at desc, id desc)
  where error_code is not null;

-- Sums by hour, of each caller and of all: those have a caller of zeros alone, so that sums over everybody need not
-- read everybody's. Exchanges count for the target that answered; calls, tokens and money for the one that was billed.
create table usage_log_hours (
  at timestamptz(0) not null,
  caller_id uuid not null,
  -- Empty where there was no target.
  provider text not null,
  model text not null,
  requests bigint not null,
  completed bigint not null,
  refused bigint not null,
  failed bigint not null,
  aborted bigint not null,
  estimated bigint not null,
  -- Billed attempts, and those of them without a price.
  calls bigint not null,
  unpriced bigint not null,
  input_tokens bigint not null,
  output_tokens bigint not null,
  cached_tokens bigint not null,
  cache_write_tokens bigint not null,
  reasoning_tokens bigint not null,
  audio_input_tokens bigint not null,
  audio_output_tokens bigint not null,
  images bigint not null,
  cost_micros bigint not null,
  reported_cost_micros bigint not null,
  -- Of completed exchanges.
  duration_ms bigint not null,
  -- Of the exchanges that had a first event, and how many they are.
  first_event_ms bigint not null,
  first_events bigint not null,
  -- Starts of the first and the last exchange; null where only calls were counted.
  first_at timestamptz(3),
  last_at timestamptz(3),
  primary key (at, caller_id, provider, model)
) with (fillfactor = 80);

create index usage_log_hours_by_caller on usage_log_hours (caller_id, at);

insert into usage_log_hours
select at, coalesce(caller_id, '00000000-0000-0000-0000-000000000000'), provider, model, sum(requests), sum(completed), sum(refused),
  sum(failed), sum(aborted), sum(estimated), sum(calls), sum(unpriced), sum(input_tokens), sum(output_tokens),
  sum(cached_tokens), sum(cache_write_tokens), sum(reasoning_tokens), 0, 0, 0, sum(cost_micros), 0, sum(duration_ms),
  sum(first_event_ms), sum(first_events), min(first_at), max(first_at)
from (
  select date_trunc('hour', started_at, 'UTC') as at, caller_id, coalesce(provider, '') as provider, coalesce(model, '') as model, 1 as requests,
    (outcome = 'completed')::integer as completed, (outcome = 'refused')::integer as refused,
    (outcome = 'failed')::integer as failed, (outcome = 'aborted')::integer as aborted,
    estimated::integer as estimated, 0 as calls, 0 as unpriced, 0 as input_tokens, 0 as output_tokens,
    0 as cached_tokens, 0 as cache_write_tokens, 0 as reasoning_tokens, 0 as cost_micros,
    case when outcome = 'completed' then duration_ms else 0 end as duration_ms,
    coalesce(first_event_ms, 0) as first_event_ms, (first_event_ms is not null)::integer as first_events,
    started_at as first_at
  from usage_log_exchanges
  union all
  select date_trunc('hour', e.started_at, 'UTC'), e.caller_id, a.provider, a.model, 0, 0, 0, 0, 0, 0, 1, (a.cost_micros is null)::integer,
    coalesce(a.input_tokens, 0), coalesce(a.output_tokens, 0), coalesce(a.cached_tokens, 0),
    coalesce(a.cache_write_tokens, 0), coalesce(a.reasoning_tokens, 0), coalesce(a.cost_micros, 0), 0, 0, 0, null
  from usage_log_attempts a join usage_log_exchanges e on e.id = a.exchange_id
  where num_nonnulls(a.input_tokens, a.output_tokens, a.cost_micros) > 0
) as parts
group by grouping sets ((at, caller_id, provider, model), (at, provider, model));

-- The same by day of UTC, for long ranges.
create table usage_log_days (like usage_log_hours including all);

insert into usage_log_days
select date_trunc('day', at, 'UTC'), caller_id, provider, model, sum(requests), sum(completed), sum(refused),
  sum(failed), sum(aborted), sum(estimated), sum(calls), sum(unpriced), sum(input_tokens), sum(output_tokens),
  sum(cached_tokens), sum(cache_write_tokens), sum(reasoning_tokens), sum(audio_input_tokens),
  sum(audio_output_tokens), sum(images), sum(cost_micros), sum(reported_cost_micros), sum(duration_ms),
  sum(first_event_ms), sum(first_events), min(first_at), max(last_at)
from usage_log_hours group by 1, 2, 3, 4;
