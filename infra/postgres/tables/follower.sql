-- Up to where each consumer that follows the record has read, moved in the transaction of the effect.
create table follower (
    consumer text   primary key collate "C",
    xid      bigint not null,
    position bigint not null
) with (fillfactor = 50);
