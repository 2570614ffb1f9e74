-- Messages that come back when they are due.
create table timer (
    service text        not null collate "C",
    key     text        not null collate "C",
    due     timestamptz not null,
    kind    text        not null,
    subject text        not null,
    primary key (service, key)
);
