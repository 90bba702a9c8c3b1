create table models_entries (
  id uuid primary key,
  -- What clients send as model; for an entry without targets, a target: provider/model.
  model text not null unique,
  -- [{"target": "provider/model", ...}] with what is known of each under this name, as in the JSON of the admin API.
  targets jsonb,
  -- What is known of all of them, or of the target, as in the JSON of the admin API.
  info jsonb not null,
  created_at timestamptz(3) not null default now(),
  updated_at timestamptz(3) not null default now()
);

create index models_entries_by_time on models_entries (created_at desc, id desc);

-- A trigger, so that whoever changes an entry, by hand too, tells every instance.
create function models_entries_notify() returns trigger language plpgsql as $$
begin
  perform pg_notify('models_entries', coalesce(new.id, old.id)::text);
  return null;
end
$$;

create trigger models_entries_changed
  after insert or update or delete
  on models_entries for each row execute function models_entries_notify();
