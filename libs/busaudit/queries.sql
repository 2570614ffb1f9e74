-- lead --
insert into lease as held (name, holder, epoch, until)
values ($1, $2, 1, clock_timestamp() + make_interval(secs => $3))
on conflict (name) do update
    set holder = excluded.holder, until = clock_timestamp() + make_interval(secs => $3),
        epoch = case when held.holder = excluded.holder and held.epoch = $4 then held.epoch else held.epoch + 1 end
    where held.until <= clock_timestamp() or held.holder = excluded.holder
returning epoch

-- remembered --
select seen from bus_audit

-- keep --
with fence as (select from lease where name = $1 and epoch = $2 for key share)
insert into bus_audit (seen) select $3::json from fence
on conflict (only_one) do update set seen = excluded.seen
returning 1

-- begin --
with fence as (select from lease where name = $1 and epoch = $2 for key share)
insert into bus_epoch (epoch, state, reason, ended)
select $3, $4, $5, case when $4 = 'sound' then clock_timestamp() end from fence
on conflict (epoch) do update set epoch = excluded.epoch
returning 1

-- enter --
with fence as (select from lease where name = $1 and epoch = $2 for key share)
update bus_epoch set state = $4,
    requeued = case when $4 = 'republishing' then clock_timestamp() else requeued end,
    ended = case when $4 = 'sound' then clock_timestamp() end
where epoch = $3 and exists (select from fence)
returning 1

-- known --
select id, stream, version, type, schema_version, data, meta, recorded_at, prev_hash, hash, position, xid
from events
where id = any ($1::uuid[])

-- stretch --
-- Only transactions before the oldest that still runs, as every reader of the record.
with wanted as materialized (
    -- One row for each type: found by it, and not in a list once for every event.
    select w.durable, t.type
    from jsonb_to_recordset($1::jsonb) as w (durable text, types jsonb)
    left join lateral jsonb_array_elements_text(nullif(w.types, 'null')) as t (type) on true
    where w.types is null or w.types = 'null' or t.type is not null
), stretch as materialized (
    select xid, position, stream, version, id, type, recorded_at from events
    where (xid, position) > ($2::bigint, $3::bigint)
        and xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
    order by xid, position
    limit $4
), open as materialized (
    select s.durable, s.xid, s.position, s.stream, s.version, s.id, s.recorded_at
    from (
        select w.durable, e.* from wanted w join stretch e on e.type = w.type
        union all
        select w.durable, e.* from wanted w cross join stretch e where w.type is null
    ) as s
    -- One look into the index for each: a join would read the whole inbox, which grows with every task.
    where coalesce(
        (select i.version from inbox i where i.consumer = s.durable and i.stream = s.stream), 0
    ) < s.version
), first as (
    select xid, position from open order by xid, position limit 1
)
select
    (select count(*) from stretch) as size,
    (select array[s.xid, s.position] from stretch s order by s.xid desc, s.position desc limit 1) as "end",
    (
        select array[s.xid, s.position] from stretch s
        where not exists (select from first f where (f.xid, f.position) <= (s.xid, s.position))
        order by s.xid desc, s.position desc limit 1
    ) as settled,
    (
        select json_agg(json_build_object(
            'durable', o.durable, 'event_id', o.id, 'stream', o.stream, 'version', o.version,
            'waiting', exists (select from outbox w where w.position = o.position),
            'age_s', extract(epoch from clock_timestamp() - o.recorded_at)
        ) order by o.xid, o.position) from (
            select * from open
            where cardinality($5::uuid[]) = 0 or id = any ($5)
            order by xid, position limit 500
        ) as o
    ) as open

-- waits --
select coalesce(max(extract(epoch from clock_timestamp() - o.inserted_at)), 0)::float8 as waits_s
from outbox o join lease l on l.name = 'relay-' || o.service
where l.until > clock_timestamp() - make_interval(secs => $1)

-- requeue --
-- Everything visible, without regard to transactions that still run: what they wrote is published to the new stream.
with fence as (
    select from lease where name = $1 and epoch = $2 for key share
), stretch as materialized (
    select xid, position, stream, version, type, meta ->> 'service' as service from events
    where (xid, position) > ($4::bigint, $5::bigint) and exists (select from fence)
    order by xid, position
    limit $6
), open as (
    select distinct s.position, s.service, s.stream, s.version
    from jsonb_to_recordset($3::jsonb) as wanted (durable text, types jsonb)
    join stretch s on wanted.types is null or wanted.types = 'null' or wanted.types ? s.type
    where coalesce(
        (select i.version from inbox i where i.consumer = wanted.durable and i.stream = s.stream), 0
    ) < s.version
), put as (
    -- Old enough for the next sweep.
    insert into outbox (position, service, stream, version, inserted_at)
    select position, service, stream, version, clock_timestamp() - interval '10 seconds' from open
    on conflict (position) do nothing
    returning 1
)
select
    exists (select from fence) as fenced,
    (select count(*) from put) as put,
    (select array[s.xid, s.position] from stretch s order by s.xid desc, s.position desc limit 1) as "end"

-- republished --
select not exists (
    select from outbox o join bus_epoch b on b.epoch = $1 where o.inserted_at < b.requeued
) as republished
