-- The record. Rows are inserted by append_events and never changed.
create table events (
    position    bigint generated always as identity primary key,
    -- Transaction that wrote the row; (xid, position) is the reading order. Bookkeeping: rewritten by a restore.
    xid         bigint      not null,
    stream      text        not null collate "C",
    category    text        not null collate "C",
    version     bigint      not null check (version > 0),
    id          uuid        not null,
    type        text        not null,
    schema_version integer  not null,
    data        jsonb       not null,
    meta        jsonb       not null,
    -- Empty for the first event of a stream.
    prev_hash   bytea       not null,
    hash        bytea       not null,
    -- Supplied by the writer.
    recorded_at timestamptz not null,
    constraint events_stream_version unique (stream, version),
    constraint events_id unique (id)
);
