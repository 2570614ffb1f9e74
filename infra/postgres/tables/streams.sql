-- Where each stream stands. Derived from events: an append compares and moves one row instead of searching.
create table streams (
    stream   text    primary key collate "C",
    category text    not null collate "C",
    version  bigint  not null,
    hash     bytea   not null,
    -- Whether the class of the last event ends the stream.
    ended    boolean not null,
    -- Order of creation.
    created  bigint generated always as identity
) with (fillfactor = 70);
