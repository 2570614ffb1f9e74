-- What the services' role may do. Applied again whenever this file changes.
grant usage on schema public to :"service_role";
grant select, insert on events to :"service_role";
grant select, insert, update on streams, inbox, lease to :"service_role";
grant select, insert, update, delete on timer, view_document to :"service_role";
grant select, insert, delete on outbox to :"service_role";
grant execute on function append_events(jsonb), forget_published(bigint[]), announce() to :"service_role";
grant select on bus_epoch to :"service_role";
