-- Tells whether no role is given a lease by its name.
create or replace function is_unnamed_lease(lease text) returns boolean
language sql stable as $$
    select not exists (select from rights where owned -> 'lease' ? lease)
$$;
