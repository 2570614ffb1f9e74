-- The record's seal: signed statements of which events each closed range of positions holds. The same lines are kept
-- in a file of the data directory. No service writes or reads them.
create table checkpoint (
    number bigint primary key check (number > 0),
    line   text   not null
);
