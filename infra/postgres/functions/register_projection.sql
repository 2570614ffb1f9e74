-- Makes a projection known. One that was never heard of reads generation 0, which code of version 1 has written, if any.
create or replace function register_projection(request jsonb) returns setof projection
language sql security definer set search_path = public, pg_temp as $$
    select refuse_foreign_views(array(select jsonb_array_elements_text(request -> 'views')));
    insert into projection (name, generation, version, views)
        values (request ->> 'name', 0, 1, array(select jsonb_array_elements_text(request -> 'views')))
        on conflict (name) do nothing;
    select * from projection where name = request ->> 'name';
$$;
