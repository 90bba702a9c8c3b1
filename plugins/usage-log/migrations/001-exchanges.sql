create table usage_log_exchanges (
  -- That of the exchange, so that writing a row again changes nothing.
  id uuid primary key,
  started_at timestamptz(3) not null,
  principal_id text not null,
  operation text not null,
  dialect text not null,
  -- As the client wrote it.
  requested_model text,
  -- The target that answered, else the last that was tried.
  provider text,
  model text,
  outcome text not null,
  http_status integer not null,
  error_code text,
  -- The plugin that answered or refused.
  plugin text,
  streamed boolean not null,
  attempts integer not null,
  -- Sums over all billed attempts; null where nothing was billed.
  input_tokens bigint,
  output_tokens bigint,
  cached_tokens bigint,
  cache_write_tokens bigint,
  reasoning_tokens bigint,
  -- Micro-dollars; null while no price is known.
  cost_micros bigint,
  -- Counted by the gateway because the provider did not say.
  estimated boolean not null,
  finish_reason text,
  duration_ms bigint not null,
  first_event_ms bigint,
  attempt_records jsonb not null
);

create index usage_log_exchanges_by_time on usage_log_exchanges (started_at desc, id desc);
create index usage_log_exchanges_by_principal on usage_log_exchanges (principal_id, started_at desc, id desc);
create index usage_log_exchanges_by_model on usage_log_exchanges (model, started_at desc, id desc);
-- Failures are few, and what people look for.
create index usage_log_exchanges_not_completed on usage_log_exchanges (outcome, started_at desc, id desc)
  where outcome <> 'completed';
