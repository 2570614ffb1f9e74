-- Nobody logs in as the role that the services shared: it stays as the group that carries what all of them are granted.
delete from rights where role = 'autopilot_service';
select compile_rights();
do $$
begin
    if exists (select from pg_roles where rolname = 'autopilot_service') then
        execute format('revoke connect on database %I from autopilot_service', current_database());
        -- Not before: an append of the older code that is under way writes the tables itself.
        revoke insert on events, outbox from autopilot_service;
        revoke insert, update on streams, inbox from autopilot_service;
        revoke insert, update, delete on timer, view_document from autopilot_service;
    end if;
end
$$;
