-- Folded states of long streams: disposable, made again from events.
create table snapshot (
    stream      text   primary key collate "C",
    -- The code that folded it; another one's is of no use.
    fingerprint text   not null,
    -- Version and hash of the last event in it.
    version     bigint not null,
    hash        text   not null,
    -- JSON as it was written, and the SHA-256 of it and of everything above.
    state       text   not null,
    digest      text   not null
);
