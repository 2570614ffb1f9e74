-- not_owned for the append of the release before, by a name of its own: that of this release comes after the migrations.
create or replace function not_owned_before(request jsonb, mine jsonb) returns text
language sql stable as $$
    select case
        when (mine -> 'service' ?| array['*', request ->> 'service']) is not true
            then 'service ' || coalesce(request ->> 'service', '')
        when request ? 'lease' and (
                mine -> 'lease' ?| array['*', request -> 'lease' ->> 'name']
                or mine -> 'lease' ? ''
                and not exists (select from rights where owned -> 'lease' ? (request -> 'lease' ->> 'name'))
            ) is not true
            then 'lease ' || coalesce(request -> 'lease' ->> 'name', '')
        when request ? 'inbox' and (
                mine -> 'consumer' ? '*'
                or mine -> 'consumer' @> jsonb_path_query_array(request, '$.inbox[*].consumer')
            ) is not true
            then 'consumers ' || jsonb_path_query_array(request, '$.inbox[*].consumer')::text
        when request ? 'streams' and (
                mine -> 'category' ? '*'
                or mine -> 'category' @> jsonb_path_query_array(request, '$.streams[*].category')
            ) is not true
            then 'categories ' || jsonb_path_query_array(request, '$.streams[*].category')::text
        when request ? 'events' and (
                jsonb_path_query_array(request, '$.streams[*].stream')
                @> jsonb_path_query_array(request, '$.events[*].stream')
            ) is not true
            then 'streams whose heads it does not move'
        when request ?| array['timers', 'clear_timers'] and (
                mine -> 'service' ? '*'
                or mine -> 'service' @> (
                    jsonb_path_query_array(request, '$.timers[*].service')
                    || jsonb_path_query_array(request, '$.clear_timers[*].service')
                )
            ) is not true
            then 'timers of another service'
        when request ? 'documents' and (
                mine -> 'view' ? '*'
                or mine -> 'view' @> jsonb_path_query_array(request, '$.documents[*].view')
            ) is not true
            then 'views ' || jsonb_path_query_array(request, '$.documents[*].view')::text
    end
$$;
