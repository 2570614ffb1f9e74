-- stage --
-- Rows are taken in as they come; where they belong is known when all are there.
create temporary table staged_checkpoint (like checkpoint);
create temporary table staged_events (like events);
create temporary table staged_streams (like streams);
create temporary table staged_inbox (like inbox);
create temporary table staged_follower (like follower);
create temporary table staged_held_back (like held_back);
create temporary table staged_timer (like timer);
create temporary table staged_lease (like lease);
create temporary table staged_projection (like projection);
create temporary table staged_view_document (like view_document);

-- arrange --
-- Readers go by (xid, position). The same order with few ids: another id only where a position is lower than the one
-- read before it. 
create temporary table run as
select position, 1 + count(*) filter (where descends) over (order by xid, position) as xid
from (
    select xid, position, position < lag(position) over (order by xid, position) as descends from staged_events
) in_reading_order;
analyze run

-- burn --
-- They must be below that of every transaction to come, so as many are used up. None of these transactions writes, so
-- none waits for the disk.
do $$
declare
    enough bigint := (select max(xid) from run);
begin
    while pg_current_xact_id()::text::bigint <= enough loop
        commit;
    end loop;
end
$$;

-- fill --
insert into events overriding system value
select
    e.position, run.xid, e.stream, e.category, e.version, e.id, e.type, e.schema_version, e.data, e.meta, e.prev_hash,
    e.hash, e.recorded_at
from staged_events e join run using (position) order by e.position;
insert into streams overriding system value select * from staged_streams order by created;
insert into checkpoint select * from staged_checkpoint order by number;
insert into inbox select * from staged_inbox;
-- A cursor is the place of an event, whose transaction has another number now; or the beginning.
insert into follower
    select consumer, coalesce(run.xid, 0), position from staged_follower left join run using (position);
insert into held_back select * from staged_held_back;
insert into timer select * from staged_timer;
insert into projection select * from staged_projection;
insert into view_document select * from staged_view_document;
-- Nobody holds them any more; their epochs go on.
insert into lease select name, holder, epoch, clock_timestamp() from staged_lease;
-- Positions that were sealed as empty stay empty, too.
select setval('events_position_seq', greatest(
    (select max(position) from events),
    (select max((line::json -> 'checkpoint' ->> 'upto')::bigint) from checkpoint)
)) where exists (select from events);
select setval(pg_get_serial_sequence('streams', 'created'), max(created)) from streams having count(*) > 0;

-- deliver --
insert into outbox (position, service, stream, version, inserted_at)
select e.position, e.meta ->> 'service', e.stream, e.version, clock_timestamp()
from events e left join inbox i on i.consumer = $1 and i.stream = e.stream
where (cardinality($2::text[]) = 0 or e.type = any ($2)) and e.version > coalesce(i.version, 0)
on conflict do nothing
