create or replace trigger checkpoint_unchangeable
    before update or delete or truncate on checkpoint
    for each statement execute function refuse_change();

-- Fires under session_replication_role = replica, too.
alter table checkpoint enable always trigger checkpoint_unchangeable;
