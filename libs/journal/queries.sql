-- drawn --
-- The highest position that any transaction has drawn. Read before `mark`, in a statement of its own.
select case when is_called then last_value else 0 end as upto from events_position_seq

-- mark --
-- An append moves its streams' heads before it draws positions, so it had its transaction id by then, and that is below
-- this one. Not `pg_snapshot_xmax`: that is one past the last transaction that has ended, and others run beyond it.
select pg_current_xact_id()::text::bigint as mark

-- sealable --
-- One row with `closed` false until all below the mark have ended; then the range is final, and its events follow.
with look as materialized (
    select pg_snapshot_xmin(pg_current_snapshot())::text::bigint >= $3::bigint as closed, clock_timestamp() as at
)
select look.closed, look.at, e.position, e.hash
from look left join lateral (
    select position, hash from events
    where look.closed and position > $1::bigint and position <= $2::bigint
    order by position
    limit $4::bigint
) e on true
order by e.position

-- last --
select number, line from checkpoint order by number desc limit 1

-- seal --
-- The number is the fence: of two that would write it, one is refused. The lease keeps a second from trying.
insert into checkpoint (number, line)
select $1::bigint, $2 from lease where name = $3 and epoch = $4::bigint for key share
returning number

-- checkpoints --
select number, line from checkpoint order by number

-- events --
-- A time that no writer could have given is told as one that none has given.
select
    id, stream, category, version, type, schema_version, data, meta, prev_hash, hash, position, xid,
    case
        when recorded_at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00' then recorded_at
        else '0001-01-01 00:00:00+00'
    end as recorded_at
from events order by position

-- streams --
select stream, category, version, hash, ended from streams order by stream

-- schema --
select name from schema_file where name ~ '^[0-9]' order by name
