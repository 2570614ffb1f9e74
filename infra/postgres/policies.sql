-- Beside the record, which all services read, a row belongs to one service; to the others it does not exist. The owner of
-- the tables, and with it append_events, is not bound by policies.
alter table inbox enable row level security;
create policy own on inbox using (own_rights() -> 'consumer' ?| array['*', consumer]);

alter table outbox enable row level security;
create policy own on outbox using (own_rights() -> 'service' ?| array['*', service]);

alter table timer enable row level security;
create policy own on timer using (own_rights() -> 'service' ?| array['*', service]);

alter table view_document enable row level security;
create policy own on view_document using (own_rights() -> 'view' ?| array['*', view]);

alter table lease enable row level security;
create policy own on lease using (
    own_rights() -> 'lease' ?| array['*', name]
    or own_rights() -> 'lease' ? '' and not exists (select from rights where owned -> 'lease' ? name)
);
