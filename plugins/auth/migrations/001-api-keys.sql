create table auth_api_keys (
  id uuid primary key,
  name text not null,
  -- SHA-256 of the whole key, hexadecimal. The key itself is nowhere.
  key_hash text not null unique,
  -- The first characters of the key, for people to tell keys apart.
  key_prefix text not null,
  -- Null: everything but admin.
  scopes text[],
  -- Null: every model.
  allowed_models text[],
  -- Id of the principal that made it.
  created_by text,
  created_at timestamptz(3) not null default now(),
  expires_at timestamptz(3),
  revoked_at timestamptz(3),
  last_used_at timestamptz(3)
);

create index auth_api_keys_by_time on auth_api_keys (created_at desc, id desc);

-- A trigger, so that whoever changes a key, by hand too, tells every instance.
create function auth_api_keys_notify() returns trigger language plpgsql as $$
begin
  perform pg_notify('auth_api_keys', coalesce(new.id, old.id)::text);
  return null;
end
$$;

create trigger auth_api_keys_changed
  after insert or delete or update of name, key_hash, scopes, allowed_models, expires_at, revoked_at
  on auth_api_keys for each row execute function auth_api_keys_notify();
