-- What one holder may spend in one window of a period, together with what it has spent.
-- spent_micros = the charges, and what is left of expired leases; leased_micros = what is left of active leases.
create table budget_accounts (
  -- Made from the four columns below, so that an instance knows it without asking.
  id uuid primary key,
  holder_kind text not null,
  holder_id text not null,
  period text not null,
  starts_at timestamptz(3) not null,
  -- Null for a period that never ends.
  ends_at timestamptz(3),
  -- As the instance that asked last knew them.
  limit_micros bigint not null,
  overage_micros bigint not null,
  spent_micros bigint not null default 0,
  leased_micros bigint not null default 0 check (leased_micros >= 0),
  created_at timestamptz(3) not null,
  updated_at timestamptz(3) not null
);

create index budget_accounts_by_time on budget_accounts (created_at desc, id desc);
create index budget_accounts_by_holder on budget_accounts (holder_kind, holder_id, created_at desc, id desc);

-- One run of one gateway process. Closed once and for all when its money is accounted for.
create table budget_instances (
  id uuid primary key,
  expires_at timestamptz(3) not null,
  closed boolean not null default false,
  created_at timestamptz(3) not null
);

-- Money of an account that an instance may spend without asking. Changed only under the lock of the account.
create table budget_leases (
  account_id uuid not null references budget_accounts on delete cascade,
  instance_id uuid not null,
  -- Grows with every change: a statement that was sent for an older version comes too late and changes nothing.
  version bigint not null default 0,
  remaining_micros bigint not null default 0 check (remaining_micros >= 0),
  -- active: in leased_micros. expired: in spent_micros, until the instance is heard of again. closed: nothing is left.
  state text not null default 'active' check (state in ('active', 'expired', 'closed')),
  updated_at timestamptz(3) not null,
  primary key (account_id, instance_id),
  check (state <> 'closed' or remaining_micros = 0)
);

create index budget_leases_by_instance on budget_leases (instance_id);

-- One row for each exchange and account it was charged to, so that charging again changes nothing.
create table budget_charges (
  exchange_id uuid not null,
  account_id uuid not null references budget_accounts on delete cascade,
  -- 0 says that a call which money was reserved for has cost nothing.
  amount_micros bigint not null check (amount_micros >= 0),
  -- Null for a cost that is known; 'crash' for the estimate of a call whose end nobody saw.
  estimated text,
  created_at timestamptz(3) not null,
  primary key (exchange_id, account_id)
);

create index budget_charges_by_account on budget_charges (account_id);
create index budget_charges_by_time on budget_charges (created_at);

-- Counts leases of other instances that have not been heard of as spent. The caller holds the lock of the account.
-- Returns what was moved.
create function budget_expire(p_account uuid, p_instance uuid, p_now timestamptz) returns bigint
language sql volatile as $$
  with lost as (
    update budget_leases lease
       set state = 'expired', updated_at = p_now
      from budget_instances instance
     where lease.account_id = p_account and lease.state = 'active' and lease.instance_id is distinct from p_instance
       and instance.id = lease.instance_id and instance.expires_at < p_now
    returning lease.remaining_micros)
  select coalesce(sum(remaining_micros), 0)::bigint from lost
$$;

-- Everything an instance has to say about some of its accounts, and what the ledger answers: charges, money to give
-- back, money wanted. One statement, so that no lock is ever held by a client that may be gone.
-- No row at all: the instance is closed or unknown. outcome: ok, stale (another version; nothing was done) or missing
-- (there is no such account, and nobody said what it is).
create function budget_sync(p_instance uuid, p_now timestamptz, p_replay boolean, p_accounts jsonb)
returns table (
  account_id uuid, outcome text, lease_version bigint, remaining_micros bigint,
  spent_micros bigint, leased_micros bigint, short boolean
)
language plpgsql volatile as $$
#variable_conflict use_column
declare
  asked record;
  account budget_accounts;
  lease budget_leases;
  charged bigint;
  moved bigint;
  available bigint;
  unheld bigint;
  granted bigint;
  holders bigint;
begin
  if not p_replay then
    -- Whoever closes the instance waits for this statement, and later ones find it closed.
    perform 1 from budget_instances where id = p_instance and not closed for key share;
    if not found then return; end if;
  end if;

  -- In the order of their ids, so that two instances never wait for each other.
  for asked in
    select * from jsonb_to_recordset(p_accounts) as asked(
      id uuid, kind text, holder text, period text, starts timestamptz, ends timestamptz, "limit" bigint, overage bigint,
      version bigint, held bigint, need bigint, want bigint, back bigint, close boolean, charges jsonb)
    order by id
  loop
    select * into account from budget_accounts where id = asked.id for no key update;
    if not found then
      if asked.kind is null then
        account_id := asked.id; outcome := 'missing'; return next;
        continue;
      end if;
      insert into budget_accounts (id, holder_kind, holder_id, period, starts_at, ends_at, limit_micros, overage_micros,
                                   created_at, updated_at)
      values (asked.id, asked.kind, asked.holder, asked.period, asked.starts, asked.ends, asked."limit", asked.overage,
              p_now, p_now)
      on conflict (id) do nothing;
      select * into account from budget_accounts where id = asked.id for no key update;
    end if;

    select * into lease from budget_leases where account_id = account.id and instance_id = p_instance;
    if not found then
      insert into budget_leases (account_id, instance_id, updated_at) values (account.id, p_instance, p_now)
      returning * into lease;
    end if;
    if asked.version is not null and asked.version <> lease.version then
      account_id := account.id; outcome := 'stale'; lease_version := lease.version;
      remaining_micros := lease.remaining_micros; spent_micros := account.spent_micros;
      leased_micros := account.leased_micros; short := false; return next;
      continue;
    end if;
    lease.version := lease.version + 1;
    if lease.state = 'expired' then
      account.spent_micros := account.spent_micros - lease.remaining_micros;
      account.leased_micros := account.leased_micros + lease.remaining_micros;
    end if;
    lease.state := 'active';

    charged := 0;
    if jsonb_array_length(asked.charges) > 0 then
      with inserted as (
        insert into budget_charges (exchange_id, account_id, amount_micros, estimated, created_at)
        select charge.exchange, account.id, charge.amount, charge.estimated, p_now
          from jsonb_to_recordset(asked.charges) as charge(exchange uuid, amount bigint, estimated text)
        on conflict do nothing
        returning amount_micros)
      select coalesce(sum(amount_micros), 0)::bigint into charged from inserted;
    end if;
    -- What the lease does not cover is spent nevertheless.
    moved := least(charged, lease.remaining_micros);
    lease.remaining_micros := lease.remaining_micros - moved;
    account.leased_micros := account.leased_micros - moved;
    account.spent_micros := account.spent_micros + charged;

    moved := case when asked.close then lease.remaining_micros else least(asked.back, lease.remaining_micros) end;
    lease.remaining_micros := lease.remaining_micros - moved;
    account.leased_micros := account.leased_micros - moved;

    short := false;
    if asked.close then
      lease.state := 'closed';
    elsif not p_replay then
      moved := budget_expire(account.id, p_instance, p_now);
      account.leased_micros := account.leased_micros - moved;
      account.spent_micros := account.spent_micros + moved;
      available := greatest(0, asked."limit" + asked.overage - account.spent_micros - account.leased_micros);
      unheld := lease.remaining_micros - asked.held;
      -- What calls wait for, as far as it is there; beyond that a fair part only.
      granted := least(greatest(0, asked.need - unheld), available);
      if unheld + granted < asked.want and available > granted then
        select count(*) into holders from budget_leases
         where account_id = account.id and state = 'active' and remaining_micros > 0 and instance_id <> p_instance;
        granted := granted + least(asked.want - unheld - granted, (available - granted) / (2 * (holders + 1)));
      end if;
      lease.remaining_micros := lease.remaining_micros + granted;
      account.leased_micros := account.leased_micros + granted;
      short := unheld + granted < asked.need;
    end if;

    update budget_leases
       set version = lease.version, remaining_micros = lease.remaining_micros, state = lease.state, updated_at = p_now
     where account_id = account.id and instance_id = p_instance;
    update budget_accounts
       set spent_micros = account.spent_micros, leased_micros = account.leased_micros, updated_at = p_now,
           limit_micros = coalesce(asked."limit", limit_micros), overage_micros = coalesce(asked.overage, overage_micros)
     where id = account.id;
    account_id := account.id; outcome := 'ok'; lease_version := lease.version;
    remaining_micros := lease.remaining_micros; spent_micros := account.spent_micros;
    leased_micros := account.leased_micros; return next;
  end loop;
end
$$;

-- Gives back all that an instance holds, and closes it: statements of its own that come later find it closed.
create function budget_close(p_instance uuid, p_now timestamptz) returns void
language plpgsql volatile as $$
declare
  found_account uuid;
  lease budget_leases;
begin
  perform 1 from budget_instances where id = p_instance for update;
  update budget_instances set closed = true where id = p_instance;
  for found_account in
    select account_id from budget_leases where instance_id = p_instance and state <> 'closed' order by account_id
  loop
    perform 1 from budget_accounts where id = found_account for no key update;
    select * into lease from budget_leases where account_id = found_account and instance_id = p_instance;
    update budget_accounts
       set spent_micros = spent_micros - case when lease.state = 'expired' then lease.remaining_micros else 0 end,
           leased_micros = leased_micros - case when lease.state = 'active' then lease.remaining_micros else 0 end,
           updated_at = p_now
     where id = found_account;
    update budget_leases set state = 'closed', remaining_micros = 0, version = version + 1, updated_at = p_now
     where account_id = found_account and instance_id = p_instance;
  end loop;
end
$$;

-- Counts the leases of lost instances as spent, on accounts that nobody asks for. Returns how many accounts it changed.
create function budget_sweep(p_now timestamptz, p_most integer) returns integer
language plpgsql volatile as $$
declare
  found_account uuid;
  moved bigint;
  changed integer := 0;
begin
  for found_account in
    select distinct lease.account_id
      from budget_instances instance join budget_leases lease on lease.instance_id = instance.id
     where not instance.closed and instance.expires_at < p_now and lease.state = 'active'
     order by lease.account_id limit p_most
  loop
    perform 1 from budget_accounts where id = found_account for no key update;
    moved := budget_expire(found_account, null, p_now);
    update budget_accounts
       set leased_micros = leased_micros - moved, spent_micros = spent_micros + moved, updated_at = p_now
     where id = found_account;
    changed := changed + 1;
  end loop;
  return changed;
end
$$;
