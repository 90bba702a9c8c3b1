-- In all tables, "budgets" and "rate_limits" are the JSON of the admin API, null where nothing is limited, and
-- "managed_by" is 'config' for what the config file declares, else 'api'.

create table identity_organizations (
  id uuid primary key default gen_random_uuid(),
  slug text not null unique,
  name text,
  budgets jsonb,
  rate_limits jsonb,
  managed_by text not null default 'api',
  created_at timestamptz(3) not null default now(),
  updated_at timestamptz(3) not null default now()
);

create table identity_teams (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references identity_organizations (id),
  slug text not null,
  name text,
  budgets jsonb,
  rate_limits jsonb,
  managed_by text not null default 'api',
  created_at timestamptz(3) not null default now(),
  updated_at timestamptz(3) not null default now(),
  unique (organization_id, slug),
  -- For the projects, which belong to a team of their own organization.
  unique (organization_id, id)
);

create table identity_projects (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references identity_organizations (id),
  team_id uuid,
  slug text not null,
  name text,
  budgets jsonb,
  rate_limits jsonb,
  managed_by text not null default 'api',
  created_at timestamptz(3) not null default now(),
  updated_at timestamptz(3) not null default now(),
  unique (organization_id, slug),
  foreign key (organization_id, team_id) references identity_teams (organization_id, id)
);

create table identity_users (
  id uuid primary key default gen_random_uuid(),
  -- What the system that knows the user calls them: the subject of a token, an e-mail address.
  external_id text not null unique,
  organization_id uuid references identity_organizations (id),
  email text,
  name text,
  budgets jsonb,
  rate_limits jsonb,
  managed_by text not null default 'api',
  created_at timestamptz(3) not null default now(),
  updated_at timestamptz(3) not null default now()
);

create table identity_service_accounts (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references identity_organizations (id),
  slug text not null,
  name text,
  description text,
  budgets jsonb,
  rate_limits jsonb,
  managed_by text not null default 'api',
  created_at timestamptz(3) not null default now(),
  updated_at timestamptz(3) not null default now(),
  unique (organization_id, slug)
);

create table identity_team_members (
  team_id uuid not null references identity_teams (id) on delete cascade,
  user_id uuid not null references identity_users (id) on delete cascade,
  role text not null default 'member' check (role in ('member', 'admin')),
  created_at timestamptz(3) not null default now(),
  primary key (team_id, user_id)
);

create index identity_organizations_by_time on identity_organizations (created_at desc, id desc);
create index identity_teams_by_time on identity_teams (organization_id, created_at desc, id desc);
create index identity_projects_by_time on identity_projects (organization_id, created_at desc, id desc);
create index identity_projects_by_team on identity_projects (team_id);
create index identity_users_by_time on identity_users (created_at desc, id desc);
create index identity_users_by_organization on identity_users (organization_id);
create index identity_service_accounts_by_time on identity_service_accounts (organization_id, created_at desc, id desc);
create index identity_team_members_by_time on identity_team_members (team_id, created_at desc, user_id desc);
create index identity_team_members_by_user on identity_team_members (user_id);

-- Triggers, so that whoever changes an owner, by hand too, tells every instance: kind and id.
create function identity_notify() returns trigger language plpgsql as $$
begin
  perform pg_notify('identity_owners', tg_argv[0] || ':' || coalesce(new.id, old.id)::text);
  return null;
end
$$;

-- A membership is part of what is known of the user.
create function identity_notify_member() returns trigger language plpgsql as $$
begin
  if tg_op <> 'INSERT' then
    perform pg_notify('identity_owners', 'user:' || old.user_id::text);
  end if;
  if tg_op <> 'DELETE' then
    perform pg_notify('identity_owners', 'user:' || new.user_id::text);
  end if;
  return null;
end
$$;

create trigger identity_organizations_changed
  after insert or delete or update of slug, name, budgets, rate_limits
  on identity_organizations for each row execute function identity_notify('organization');
create trigger identity_teams_changed
  after insert or delete or update of slug, name, budgets, rate_limits, organization_id
  on identity_teams for each row execute function identity_notify('team');
create trigger identity_projects_changed
  after insert or delete or update of slug, name, budgets, rate_limits, organization_id, team_id
  on identity_projects for each row execute function identity_notify('project');
create trigger identity_users_changed
  after insert or delete or update of external_id, name, budgets, rate_limits, organization_id
  on identity_users for each row execute function identity_notify('user');
create trigger identity_service_accounts_changed
  after insert or delete or update of slug, name, budgets, rate_limits, organization_id
  on identity_service_accounts for each row execute function identity_notify('service_account');
create trigger identity_team_members_changed
  after insert or delete or update of team_id, user_id
  on identity_team_members for each row execute function identity_notify_member();
