-- Removes documents of a generation that nobody reads, a chunk at a time: an open transaction holds every reader of the
-- record back. Returns how many were removed.
create or replace function discard_documents(of_views text[], of_generation bigint, most integer) returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    removed integer;
begin
    perform refuse_foreign_views(of_views);
    if exists (select from projection where generation = of_generation and views && of_views) then
        raise exception 'generation % is the one that is read', of_generation using errcode = 'invalid_parameter_value';
    end if;
    perform set_config('synchronous_commit', 'off', true);
    delete from view_document where ctid = any (array(
        select ctid from view_document where view = any (of_views) and generation = of_generation limit most
    ));
    get diagnostics removed = row_count;
    return removed;
end
$$;
