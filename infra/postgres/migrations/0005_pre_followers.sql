-- Consumers that follow the record instead of the bus have one cursor each, and no inbox. Numbered before 0006,
-- which belongs to the same release and comes last.
\ir ../tables/follower.sql
\ir ../tables/held_back.sql
alter table follower enable row level security;
create policy own on follower using (own_rights() -> 'consumer' ?| array['*', consumer]);
alter table held_back enable row level security;
create policy own on held_back using (own_rights() -> 'consumer' ?| array['*', consumer]);
