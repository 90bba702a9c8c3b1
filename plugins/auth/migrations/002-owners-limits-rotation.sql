alter table auth_api_keys
  -- Null: a key that belongs to nobody. Not a foreign key: who owners are is the business of another plugin.
  add column owner_kind text,
  add column owner_id uuid,
  -- Addresses and ranges. Null: every address.
  add column ip_allowlist text[],
  -- As in the JSON of the admin API. Null: no limit of its own.
  add column budgets jsonb,
  add column rate_limits jsonb,
  add column rotated_at timestamptz(3),
  -- Secrets from before rotations, until their grace ends: [{"hash", "prefix", "valid_until_ms"}]. In the row of the key,
  -- so that whoever reads or revokes the row has all of it at once.
  add column earlier_secrets jsonb not null default '[]',
  add constraint auth_api_keys_owner check ((owner_kind is null) = (owner_id is null));

create index auth_api_keys_by_owner on auth_api_keys (owner_id, created_at desc, id desc) where owner_id is not null;

drop trigger auth_api_keys_changed on auth_api_keys;

create trigger auth_api_keys_changed
  after insert or delete or update of name, key_hash, earlier_secrets, scopes, allowed_models, expires_at, revoked_at,
    owner_kind, owner_id, ip_allowlist, budgets, rate_limits
  on auth_api_keys for each row execute function auth_api_keys_notify();
