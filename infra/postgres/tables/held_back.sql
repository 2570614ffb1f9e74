-- Streams of which a follower has handled less than it has read: the event behind this version failed.
create table held_back (
    consumer text   not null collate "C",
    stream   text   not null collate "C",
    -- The last version handled, 0 for none.
    version  bigint not null,
    primary key (consumer, stream)
);
