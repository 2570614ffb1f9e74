-- append --
-- Each member of the group is made true or refused by itself; rows come back in the order of the group.
select a.refusal, a.subject, a.expected, a.positions, a.xid
from unnest($1::jsonb[]) with ordinality as member (request, place)
cross join lateral append_events(member.request, $2::json[]) as a
order by member.place

-- read_stream --
-- The upper bound is written so that the index can use it: a page of a long stream must not cost the rest of it.
select id, stream, version, type, schema_version, data, meta, recorded_at, prev_hash, hash, position, xid
from events
where stream = $1 and version > $2 and version <= coalesce(nullif($4::bigint, 0), 9223372036854775807)
    and (cardinality($3::text[]) = 0 or type = any ($3))
order by version

-- read_streams --
select
    e.id, e.stream, e.version, e.type, e.schema_version, e.data, e.meta, e.recorded_at, e.prev_hash, e.hash,
    e.position, e.xid
from unnest($1::text[]) with ordinality as wanted (stream, place)
-- One look into the index for each: how long a stream is, the planner does not know.
cross join lateral (select * from events where stream = wanted.stream and version <= $2 order by version) as e
order by wanted.place, e.version

-- read_stream_page --
select id, stream, version, type, schema_version, data, meta, recorded_at, prev_hash, hash, position, xid
from events
where stream = $1 and version > $2 and version <= $3
order by version
limit $4

-- read_all --
-- Only transactions before the oldest that still runs: nothing can appear among or before these rows any more.
select id, stream, version, type, schema_version, data, meta, recorded_at, prev_hash, hash, position, xid
from events
where (xid, position) > ($1::bigint, $2::bigint)
    and xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
    and (cardinality($4::text[]) = 0 or category = any ($4))
order by xid, position
limit $3

-- scan --
-- As read_all, up to a place. Text as the reader takes it: hex and uuid would be made of bytes one by one.
select
    id::text, stream, version, type, schema_version, data::text, meta::text, recorded_at,
    encode(prev_hash, 'hex') as prev_hash, encode(hash, 'hex') as hash, position, xid
from events
where (xid, position) > ($1::bigint, $2::bigint) and (xid, position) <= ($5::bigint, $6::bigint)
    and xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
    and (cardinality($4::text[]) = 0 or category = any ($4))
order by xid, position
limit $3

-- place_ahead --
-- So many events ahead: a scan for what is rare looks at so many at a time.
select xid, position from events
where (xid, position) > ($1::bigint, $2::bigint)
    and xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
order by xid, position
offset $3 limit 1

-- cursor_of --
-- A position that was never committed stands for the one before it.
select xid, position from events where position <= $1 order by position desc limit 1

-- end --
select xid, position from events
where xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
order by xid desc, position desc limit 1

-- find --
select id, stream, version, type, schema_version, data, meta, recorded_at, prev_hash, hash, position, xid
from events
where id = $1

-- head --
select stream, version, hash, ended from streams where stream = $1

-- heads --
select stream, version, hash, ended from streams
where category = $1 and ($3 = '' or created < (select s.created from streams s where s.stream = $3))
order by created desc
limit $2

-- open_heads --
select stream, version, hash, ended from streams
where category = $1 and not ended and ($3 = '' or created < (select s.created from streams s where s.stream = $3))
order by created desc
limit $2

-- handled --
-- By its inbox; or, of a follower, by what is held back or else by its cursor.
select coalesce(
    (select version from inbox where consumer = $1 and stream = $2),
    (select version from held_back where consumer = $1 and stream = $2),
    (
        select max(e.version) from follower f join events e on e.stream = $2
        where f.consumer = $1 and (e.xid, e.position) <= (f.xid, f.position)
    )
) as version

-- unhandled --
-- Only near the end of the record: whatever is older the bus has given out again by itself.
select
    e.id, e.stream, e.version, e.type, e.schema_version, e.data, e.meta, e.recorded_at, e.prev_hash, e.hash,
    e.position, e.xid
from events e
where e.position > (select coalesce(max(position), 0) from events) - $3::bigint
    and (cardinality($2::text[]) = 0 or e.type = any ($2))
    and not exists (select from inbox i where i.consumer = $1 and i.stream = e.stream and i.version >= e.version)
order by e.xid, e.position

-- follower --
select xid, position from follower where consumer = $1

-- follower_start --
-- Just before the first event that the consumer's inbox lacks: the bus may have fed it before. Without any, at the end.
select xid, position from (
    (
        select 1 as place, e.xid, e.position - 1 as position from events e
        where (cardinality($2::text[]) = 0 or e.type = any ($2))
            and e.xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
            and not exists (
                select from inbox i where i.consumer = $1 and i.stream = e.stream and i.version >= e.version
            )
        order by e.xid, e.position limit 1
    ) union all (
        select 2, xid, position from events
        where xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
        order by xid desc, position desc limit 1
    )
) as found order by place limit 1

-- behind --
-- Recorded, and perhaps not yet readable: an open transaction holds back every reader.
select extract(epoch from clock_timestamp() - e.recorded_at)::float8 as behind_s
from events e
where (e.xid, e.position) > (
    coalesce((select xid from follower where consumer = $1), 0),
    coalesce((select position from follower where consumer = $1), 0)
)
order by e.xid, e.position
limit 1

-- held_back --
select stream, version from held_back where consumer = $1

-- read_page --
-- Of so many events, and so many bytes, those of some types; and the last one in any case: it says how far the page goes.
-- What is not wanted is looked at and not read.
with next as materialized (
    select
        ctid as row, xid, position, cardinality($3::text[]) = 0 or type = any ($3) as wanted,
        pg_column_size(data) as bytes
    from events
    where (xid, position) > ($1::bigint, $2::bigint)
        and xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
    order by xid, position
    limit $4
), stretch as materialized (
    -- At least one event, however large.
    select row, wanted, place from (
        select *, sum(bytes) filter (where wanted) over earlier as earlier, row_number() over earlier as place from next
        window earlier as (order by xid, position rows between unbounded preceding and 1 preceding)
    ) as weighed
    where coalesce(earlier, 0) < 4194304
), whole as (
    select count(*) as size from stretch
)
select
    e.id::text, e.stream, e.version, e.type, e.schema_version, e.data::text, e.meta::text, e.recorded_at,
    encode(e.prev_hash, 'hex') as prev_hash, encode(e.hash, 'hex') as hash, e.position, e.xid, whole.size
from whole, stretch s
-- By where the row lies, one by one: what the planner knows of so few rows would have it read the whole table.
cross join lateral (select * from events where ctid = s.row offset 0) as e
where s.wanted or s.place = whole.size
order by s.place

-- due --
-- One row for each arrival, and one for each event that it has overtaken.
select
    a.place, i.handled,
    e.id, e.stream, e.version, e.type, e.schema_version, e.data, e.meta, e.recorded_at, e.prev_hash, e.hash,
    e.position, e.xid
from unnest($2::text[], $3::bigint[], $4::bigint[]) with ordinality as a (stream, after, version, place)
-- One look into the index for each: a join may read all that the consumer has ever handled.
cross join lateral (
    select coalesce((select version from inbox where consumer = $1 and stream = a.stream), 0) as handled
    -- Looked up once, not at every mention.
    offset 0
) i
left join lateral (
    select * from events
    where stream = a.stream and version > greatest(a.after, i.handled) and version < a.version
        -- Says the same again without naming events: where nothing lies between, their index is not opened at all.
        and a.version > greatest(a.after, i.handled) + 1
        and (cardinality($5::text[]) = 0 or type = any ($5))
    order by version
) e on true
order by a.place, e.version

-- pending_outbox --
-- In order of position: within a stream that is the order of versions, because an append holds the stream's head.
select
    e.id, e.stream, e.version, e.type, e.schema_version, e.data, e.meta, e.recorded_at, e.prev_hash, e.hash,
    e.position, e.xid
from outbox o join events e on e.position = o.position
where o.service = $1 and o.inserted_at <= clock_timestamp() - make_interval(secs => $2)
order by o.position
limit $3

-- published --
select forget_published($1::bigint[])

-- due_timers --
select service, key, due, kind, subject from timer where service = $1 and due <= $2 order by due, key limit $3

-- next_timer --
select min(due) as due from timer where service = $1

-- acquire --
-- Raising the epoch waits for appends in flight under the old one; until counts from the end of that wait.
insert into lease as held (name, holder, epoch, until)
values ($1, $2, 1, clock_timestamp() + make_interval(secs => $3))
on conflict (name) do update
    set holder = excluded.holder, epoch = held.epoch + 1, until = clock_timestamp() + make_interval(secs => $3)
    where $4::boolean or held.until <= clock_timestamp() or held.holder = excluded.holder
returning name, holder, epoch, until

-- renew --
update lease set until = clock_timestamp() + make_interval(secs => $3) where name = $1 and epoch = $2 returning epoch

-- beat --
-- One statement, and the only one that a service makes while nothing happens: whatever else there is to do is told by it.
with held as (
    update lease set until = clock_timestamp() + make_interval(secs => $3) where name = $1 and epoch = $2 returning epoch
)
select
    coalesce(last.xid, 0) as xid, coalesce(last.position, 0) as position,
    exists (
        select from outbox
        where service = $4 and inserted_at <= clock_timestamp() - make_interval(secs => $5)
    ) as left_behind,
    (select min(due) from timer where service = $4) as due
from held left join lateral (
    select xid, position from events
    where xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
    order by xid desc, position desc limit 1
) as last on true

-- release --
update lease set until = clock_timestamp() where name = $1 and epoch = $2

-- leases --
select name, holder, epoch, until from lease order by name

-- bus_epoch --
select epoch, state, reason from bus_epoch order by epoch desc limit 1

-- conditions --
-- The first epoch begins with the bus as it is: nothing was wrong then.
select 'bus_epoch' as kind, epoch::text as subject, began, reason, ended from bus_epoch
where epoch > 1 and (ended is null or ended > clock_timestamp() - make_interval(secs => $1))
union all
select 'rebuild_failed', projection, began, reason, ended from rebuild_failure
where ended is null or ended > clock_timestamp() - make_interval(secs => $1)
order by began, kind, subject

-- note_rebuild --
with fence as materialized (
    select from lease where name = $1 and epoch = $2 for key share
), mended as (
    update rebuild_failure set ended = clock_timestamp()
    where projection = $3 and ended is null and $4 = '' and exists (select from fence)
), failed as (
    insert into rebuild_failure (projection, reason)
    select $3, $4 from fence where $4 <> ''
    on conflict (projection) where ended is null do nothing
)
select from fence

-- document --
select view, key, data, version, sort from view_document
where view = $1 and key = $2
    and generation = coalesce($3::bigint, (select p.generation from projection p where $1 = any (p.views)), 0)

-- documents --
select view, key, data, version, sort from view_document
where view = $1 and ($2 = '' or sort < $2)
    and generation = coalesce($4::bigint, (select p.generation from projection p where $1 = any (p.views)), 0)
order by sort desc, key desc
limit $3

-- register_projection --
select name, generation, version, views from register_projection($1::jsonb)

-- switch_projection --
select switch_projection($1::jsonb) as refusal

-- generations --
select distinct generation from view_document where view = any ($1::text[]) order by generation

-- discard_documents --
select discard_documents($1::text[], $2, $3) as removed

-- compare_documents --
with keys as (
    (select key from view_document where view = $1 and generation = $2 and key > $4 order by key limit $5)
    union
    (select key from view_document where view = $1 and generation = $3 and key > $4 order by key limit $5)
    order by key limit $5
)
select key, (one.data::jsonb is not distinct from other.data::jsonb and one.sort is not distinct from other.sort) as alike
from keys
    left join (select * from view_document where view = $1 and generation = $2) one using (key)
    left join (select * from view_document where view = $1 and generation = $3) other using (key)
order by key

-- snapshot --
select stream, fingerprint, version, hash, state, digest from snapshot where stream = $1

-- save_snapshot --
insert into snapshot as known (stream, fingerprint, version, hash, state, digest) values ($1, $2, $3, $4, $5, $6)
on conflict (stream) do update
    set fingerprint = excluded.fingerprint, version = excluded.version, hash = excluded.hash,
        state = excluded.state, digest = excluded.digest
    where known.version < excluded.version or known.fingerprint <> excluded.fingerprint

-- announce --
select announce()

-- ping --
select 1
