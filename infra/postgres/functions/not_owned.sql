-- Names what an append asks for and its role does not own; null if all of it is its own. One expression that Postgres
-- puts in place of the call: with queries in it, it would cost every append a tenth.
-- That a stream is of the category given with it is a constraint of the table.
create or replace function not_owned(request jsonb, mine jsonb) returns text
language sql stable as $$
    select case
        when mine is null then 'anything'
        when (mine -> 'service' ?| array['*', request ->> 'service']) is not true
            then 'service ' || coalesce(request ->> 'service', '')
        when request ? 'lease' and (mine -> 'lease' ?| array['*', request -> 'lease' ->> 'name']) is not true
            and not (mine -> 'lease' ? '' and is_unnamed_lease(request -> 'lease' ->> 'name'))
            then 'lease ' || coalesce(request -> 'lease' ->> 'name', '')
        when request ? 'inbox' and not mine -> 'consumer' ? '*'
            and not mine -> 'consumer' @> jsonb_path_query_array(request, '$.inbox[*].consumer')
            then 'consumers ' || jsonb_path_query_array(request, '$.inbox[*].consumer')::text
        when request ? 'streams' and not mine -> 'category' ? '*'
            and not mine -> 'category' @> jsonb_path_query_array(request, '$.streams[*].category')
            then 'categories ' || jsonb_path_query_array(request, '$.streams[*].category')::text
        when request ? 'events' and not jsonb_path_query_array(request, '$.streams[*].stream')
            @> jsonb_path_query_array(request, '$.events[*].stream')
            then 'streams whose heads it does not move'
        when request ?| array['timers', 'clear_timers'] and not mine -> 'service' ? '*'
            and not mine -> 'service' @> (
                jsonb_path_query_array(request, '$.timers[*].service')
                || jsonb_path_query_array(request, '$.clear_timers[*].service')
            )
            then 'timers of another service'
        when request ? 'documents' and not mine -> 'view' ? '*'
            and not mine -> 'view' @> jsonb_path_query_array(request, '$.documents[*].view')
            then 'views ' || jsonb_path_query_array(request, '$.documents[*].view')::text
    end
$$;
