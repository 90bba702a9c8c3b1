-- One row for each counter: the units that were granted in each of the last buckets of its window.
create table rate_limit_windows (
  subject text not null,
  kind text not null,
  -- The latest time that any instance has told, in milliseconds since 1970: a clock that is behind moves nothing back.
  clock_ms bigint not null,
  -- When the last bucket has left the window.
  expires_ms bigint not null,
  window_ms bigint not null default 0,
  bucket_ms bigint not null default 1,
  most bigint not null default 0,
  -- Numbers of buckets, rising, and the units granted in each.
  buckets bigint[] not null default '{}',
  counts bigint[] not null default '{}',
  -- Who took units in the last seconds: instance to time.
  instances jsonb not null default '{}',
  primary key (subject, kind)
) with (fillfactor = 50);

-- Slots for concurrent requests, leased to instances.
create table rate_limit_slots (
  subject text primary key,
  clock_ms bigint not null,
  expires_ms bigint not null,
  most bigint not null default 0,
  -- Instance to slots and the time until which it has them.
  holders jsonb not null default '{}'
) with (fillfactor = 50);

-- Takes units for many counters at once, after taking back what was returned and adding what was used in excess.
-- Rows are locked in the order of their keys, so that two instances never wait for each other.
create function rate_limit_take(now_ms bigint, instance text, wants jsonb) returns setof jsonb
language plpgsql as $$
declare
  want record;
  held rate_limit_windows%rowtype;
  present bigint;
  used bigint;
  remainder bigint;
  granted bigint;
  sharing bigint;
  freed bigint;
  free_at bigint;
begin
  for want in
    select * from jsonb_to_recordset(wants) as each_want(
      subject text, kind text, most bigint, window_ms bigint, bucket_ms bigint, span_ms bigint,
      need bigint, least bigint, extra bigint, debt bigint, returned jsonb)
    order by subject, kind
  loop
    insert into rate_limit_windows as known (subject, kind, clock_ms, expires_ms)
      values (want.subject, want.kind, now_ms, now_ms)
      on conflict (subject, kind) do update set clock_ms = greatest(known.clock_ms, excluded.clock_ms)
      returning * into held;
    present := held.clock_ms / want.bucket_ms;

    -- What is given back can be more than the bucket has, where later buckets were drawn on too: the sum is right.
    select coalesce(array_agg(bucket order by bucket), '{}'), coalesce(array_agg(units order by bucket), '{}'),
        greatest(coalesce(sum(units), 0), 0)
      into held.buckets, held.counts, used
      from (
        select bucket, sum(units)::bigint as units
        from (
          select * from unnest(held.buckets, held.counts) as kept(bucket, units)
          union all
          select (entry ->> 0)::bigint, -(entry ->> 1)::bigint from jsonb_array_elements(want.returned) as entry
          union all
          select present, want.debt
        ) as entries
        where bucket >= (held.clock_ms - want.span_ms) / want.bucket_ms
        group by bucket
      ) as sums
      where units <> 0;

    select coalesce(jsonb_object_agg(name, seen_ms), '{}'), count(*)
      into held.instances, sharing
      from (
        select name, seen_ms::bigint from jsonb_each_text(held.instances) as other(name, seen_ms)
        where seen_ms::bigint > held.clock_ms - 10000 and (name <> instance or want.need + want.extra = 0)
        union all
        select instance, held.clock_ms where want.need + want.extra > 0
      ) as recent;

    remainder := greatest(want.most - used, 0);
    granted := case when remainder < want.least then 0 else least(want.need, remainder) end;
    if granted = want.need then
      granted := granted + least(want.extra, (remainder - granted) / (2 * greatest(sharing, 1)));
    end if;
    remainder := remainder - granted;
    if granted > 0 then
      if held.buckets[cardinality(held.buckets)] = present then
        held.counts[cardinality(held.counts)] := held.counts[cardinality(held.counts)] + granted;
      else
        held.buckets := held.buckets || present;
        held.counts := held.counts || granted;
      end if;
    end if;

    -- When the smallest of those who wait would fit, if nothing comes back before.
    freed := want.most - used - granted;
    free_at := held.clock_ms;
    for place in 1 .. cardinality(held.buckets) loop
      exit when freed >= greatest(want.least, 1);
      freed := freed + held.counts[place];
      free_at := (held.buckets[place] + 1) * want.bucket_ms + want.span_ms;
    end loop;

    update rate_limit_windows as known
      set buckets = held.buckets, counts = held.counts, instances = held.instances, most = want.most,
        window_ms = want.window_ms, bucket_ms = want.bucket_ms,
        expires_ms = held.clock_ms + want.span_ms + want.bucket_ms
      where known.subject = want.subject and known.kind = want.kind;

    return next jsonb_build_object(
      'subject', want.subject, 'kind', want.kind, 'granted', granted, 'bucket', present, 'remainder', remainder,
      'free_ms', free_at - held.clock_ms,
      'oldest_ms', coalesce((held.buckets[1] + 1) * want.bucket_ms + want.span_ms - held.clock_ms, 0),
      'instances', greatest(sharing, 1));
  end loop;
end
$$;

-- Says how many slots of each counter an instance has in use and would like to have; says how many it has from now on.
create function rate_limit_hold(now_ms bigint, instance text, lease_ms bigint, wants jsonb) returns setof jsonb
language plpgsql as $$
declare
  want record;
  held rate_limit_slots%rowtype;
  others bigint;
  sharing bigint;
  slots bigint;
begin
  for want in
    select * from jsonb_to_recordset(wants) as each_want(subject text, most bigint, used bigint, want bigint)
    order by subject
  loop
    insert into rate_limit_slots as known (subject, clock_ms, expires_ms)
      values (want.subject, now_ms, now_ms)
      on conflict (subject) do update set clock_ms = greatest(known.clock_ms, excluded.clock_ms)
      returning * into held;

    select coalesce(jsonb_object_agg(name, lease), '{}'), coalesce(sum((lease ->> 0)::bigint), 0), count(*)
      into held.holders, others, sharing
      from jsonb_each(held.holders) as other(name, lease)
      where name <> instance and (lease ->> 1)::bigint > held.clock_ms;

    -- What is in use stays in use, whatever the limit has become.
    slots := greatest(want.used, least(want.want, want.most - others), 0);
    if slots > 0 then
      held.holders := held.holders || jsonb_build_object(instance, jsonb_build_array(slots, held.clock_ms + lease_ms));
    end if;
    update rate_limit_slots as known
      set holders = held.holders, most = want.most, expires_ms = greatest(held.expires_ms, held.clock_ms + lease_ms)
      where known.subject = want.subject;

    return next jsonb_build_object(
      'subject', want.subject, 'slots', slots, 'others', others,
      'instances', sharing + case when slots > 0 then 1 else 0 end);
  end loop;
end
$$;
