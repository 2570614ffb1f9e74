-- Events are facts: nobody changes them, the owner of the table included.
create or replace function refuse_change() returns trigger
language plpgsql as $$
begin
    raise exception 'rows of % are never changed or removed (% refused)', tg_table_name, lower(tg_op)
        using errcode = 'insufficient_privilege';
end
$$;

create or replace trigger events_unchangeable
    before update or delete or truncate on events
    for each statement execute function refuse_change();

-- Fires under session_replication_role = replica, too.
alter table events enable always trigger events_unchangeable;
