-- Who acts. Rows are never deleted, so an epoch is never used twice.
create table lease (
    name   text        primary key collate "C",
    holder text        not null,
    epoch  bigint      not null,
    until  timestamptz not null,
    -- Makes epoch a key column: changing it waits for appends that hold the row FOR KEY SHARE, changing until does not.
    constraint lease_epoch unique (name, epoch)
) with (fillfactor = 50);
