-- Makes a projection known. One that was never heard of reads generation 0: of the version that asks, or, where there
-- are documents already, of version 1, which wrote them before projections were registered.
create or replace function register_projection(request jsonb) returns setof projection
language sql security definer set search_path = public, pg_temp as $$
    select refuse_foreign_views(array(select jsonb_array_elements_text(request -> 'views')));
    insert into projection (name, generation, version, views)
        select
            request ->> 'name', 0,
            case
                when exists (select from view_document where view = any (asked.views)) then 1
                else coalesce((request ->> 'version')::integer, 1)
            end,
            asked.views
        from (select array(select jsonb_array_elements_text(request -> 'views')) as views) as asked
        on conflict (name) do nothing;
    select * from projection where name = request ->> 'name';
$$;
