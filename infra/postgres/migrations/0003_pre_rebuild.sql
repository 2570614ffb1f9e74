-- Documents come in generations, so that a view can be built beside the one that is read; snapshots of long streams.
alter table view_document
    add column generation bigint not null default 0,
    drop constraint view_document_pkey,
    add primary key (view, generation, key);
drop index view_document_sort;
\ir ../indexes/view_document_order.sql
\ir ../tables/projection.sql
\ir ../tables/snapshot.sql
alter table snapshot enable row level security;
create policy own on snapshot using (own_rights() -> 'category' ?| array['*', split_part(stream, '-', 1)]);
