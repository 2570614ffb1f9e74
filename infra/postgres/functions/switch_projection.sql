-- Lets readers see another generation of a projection's documents, and its consumer go on behind what is in there.
-- Refuses in its result, having written nothing: `behind` means that the consumer has handled what is not in there yet.
--
-- request: {lease: {name, epoch}, name, generation, to, version, views, consumer, streams, xid, position}
create or replace function switch_projection(request jsonb, out refusal text)
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform refuse_foreign_views(array(select jsonb_array_elements_text(request -> 'views')));
    perform from lease
        where name = request -> 'lease' ->> 'name' and epoch = (request -> 'lease' ->> 'epoch')::bigint
        for key share;
    if not found then
        refusal := 'stale_lease';
        return;
    end if;

    begin
        -- From here on no append to the old generation is under way, and none will be made.
        update projection
            set generation = (request ->> 'to')::bigint, version = (request ->> 'version')::integer,
                views = array(select jsonb_array_elements_text(request -> 'views'))
            where name = request ->> 'name' and generation = (request ->> 'generation')::bigint;
        if not found then
            refusal := 'conflict';
            raise exception using errcode = 'AP001';
        end if;

        perform from events e
            join inbox i on i.consumer = request ->> 'consumer' and i.stream = e.stream and i.version >= e.version
            where (e.xid, e.position) > ((request ->> 'xid')::bigint, (request ->> 'position')::bigint)
            limit 1;
        if found then
            refusal := 'behind';
            raise exception using errcode = 'AP001';
        end if;

        -- What is in there and was not handled yet must not be folded a second time.
        insert into inbox as handled (consumer, stream, version)
            select request ->> 'consumer', s.stream, last.version
            from jsonb_array_elements_text(request -> 'streams') as s (stream)
            cross join lateral (
                select version from events e
                where e.stream = s.stream
                    and (e.xid, e.position) <= ((request ->> 'xid')::bigint, (request ->> 'position')::bigint)
                order by version desc
                limit 1
            ) as last
            order by s.stream collate "C"
        on conflict (consumer, stream) do update set version = excluded.version
            where handled.version < excluded.version;
    exception
        when sqlstate 'AP001' then
            null;
    end;
end
$$;
