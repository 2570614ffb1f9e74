-- Read models: disposable, rebuilt from events.
create table view_document (
    view    text   not null collate "C",
    key     text   not null collate "C",
    -- json, not jsonb: given back byte for byte.
    data    json   not null,
    version bigint not null,
    sort    text   not null collate "C",
    primary key (view, key)
) with (fillfactor = 70);
