-- Events that the bus has not confirmed yet. The appender's service publishes and then deletes them.
create table outbox (
    position    bigint      primary key,
    service     text        not null,
    stream      text        not null collate "C",
    version     bigint      not null,
    inserted_at timestamptz not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
