-- Times in which a read model could not be built anew and old documents were shown; rows are never deleted.
create table rebuild_failure (
    -- Also the name of the service that keeps it.
    projection text        not null collate "C",
    began      timestamptz not null default clock_timestamp(),
    reason     text        not null,
    ended      timestamptz,
    primary key (projection, began)
);
create unique index rebuild_failure_open on rebuild_failure (projection) where ended is null;
alter table rebuild_failure enable row level security;
create policy everybodys on rebuild_failure for select using (true);
create policy own on rebuild_failure using (own_rights() -> 'service' ?| array['*', projection]);
