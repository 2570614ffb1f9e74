-- What every service may do, on rows that are its own; policies.sql says which those are. Nothing is granted for writing
-- the record: append_events does that. Applied again whenever this file changes; what was granted once is taken away by a migration
-- of the phase `post`.
revoke execute on function append_events(jsonb, json[]), write_documents(jsonb, json[]),
    culprit(jsonb, text), forget_published(bigint[]), switch_projection(jsonb),
    register_projection(jsonb), discard_documents(text[], bigint, integer) from public;
grant usage on schema public to :"service_role";
grant select on events, streams, inbox, follower, held_back, outbox, timer, lease, view_document, projection, snapshot, bus_epoch,
    rebuild_failure to :"service_role";
grant insert, update on lease to :"service_role";
grant insert (projection, reason), update (ended) on rebuild_failure to :"service_role";
grant delete on outbox to :"service_role";
grant insert, update, delete on snapshot to :"service_role";
grant execute on function switch_projection(jsonb), register_projection(jsonb),
    discard_documents(text[], bigint, integer) to :"service_role";
grant execute on function append_events(jsonb, json[]), forget_published(bigint[]), announce() to :"service_role";
