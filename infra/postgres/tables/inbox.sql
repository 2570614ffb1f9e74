-- The last version of each stream that a consumer has handled, moved in the transaction of the effect.
create table inbox (
    consumer text   not null collate "C",
    stream   text   not null collate "C",
    version  bigint not null,
    primary key (consumer, stream)
) with (fillfactor = 70);
