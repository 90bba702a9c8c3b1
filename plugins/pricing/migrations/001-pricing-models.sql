create table pricing_models (
  id uuid primary key,
  -- Name of a provider instance.
  provider text not null,
  -- A model of it, or the beginning of names and a final asterisk.
  model text not null,
  -- Micro-dollars per million tokens.
  input bigint not null,
  output bigint not null,
  cached_input bigint,
  cache_write bigint,
  cache_write_1h bigint,
  reasoning bigint,
  audio_input bigint,
  audio_output bigint,
  -- Micro-dollars per request and per image of a request.
  request bigint,
  image bigint,
  -- An array of objects: above_input_tokens, and prices under the names of the columns above.
  tiers jsonb,
  created_at timestamptz(3) not null default now(),
  updated_at timestamptz(3) not null default now(),
  unique (provider, model)
);

create index pricing_models_by_time on pricing_models (created_at desc, id desc);

-- A trigger, so that whoever changes a price, by hand too, tells every instance.
create function pricing_models_notify() returns trigger language plpgsql as $$
begin
  perform pg_notify('pricing_models', '');
  return null;
end
$$;

create trigger pricing_models_changed
  after insert or update or delete or truncate
  on pricing_models for each statement execute function pricing_models_notify();
