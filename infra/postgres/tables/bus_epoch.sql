-- Lives of the bus. A new one begins when the bus was found not to hold what the record says; rows are never deleted.
create table bus_epoch (
    epoch  bigint      primary key,
    state  text        not null check (state in ('rebuilding', 'rebuilt', 'republishing', 'sound')),
    -- What was found; empty for the first one.
    reason text        not null,
    began  timestamptz not null default clock_timestamp(),
    -- Outbox rows written before this moment must be gone before the bus is sound again.
    requeued timestamptz,
    ended  timestamptz
);
-- What the auditor has seen, one row: JSON, because only the auditor reads it.
create table bus_audit (
    only_one boolean primary key default true check (only_one),
    seen     json not null
) with (fillfactor = 50);
