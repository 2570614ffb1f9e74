-- Nobody calls it as it was before 0005 any more.
drop function append_events(jsonb);
drop function not_owned_before(jsonb, jsonb);
