-- Lets readers see another generation of a projection's documents, and its follower go on behind what is in there.
-- Refuses in its result, having written nothing: `stale_lease`, or `conflict` where another generation is read than the
-- one to be left or the follower has read on.
--
-- request: {lease: {name, epoch}, name, generation, to, version, views, consumer, xid, position}
create or replace function switch_projection(request jsonb, out refusal text)
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    follower_ constant text := request ->> 'consumer';
begin
    perform refuse_foreign_views(array(select jsonb_array_elements_text(request -> 'views')));
    if session_user <> current_user and (own_rights() -> 'consumer' ?| array['*', follower_]) is not true then
        raise insufficient_privilege using message = format('%I may not move %s', session_user, follower_);
    end if;
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

        -- Everything up to here is in there, what was held back included.
        insert into follower as held (consumer, xid, position)
            values (follower_, (request ->> 'xid')::bigint, (request ->> 'position')::bigint)
            on conflict (consumer) do update set xid = excluded.xid, position = excluded.position
            where (held.xid, held.position) <= (excluded.xid, excluded.position);
        if not found then
            refusal := 'conflict';
            raise exception using errcode = 'AP001';
        end if;
        delete from held_back where consumer = follower_;
    exception
        when sqlstate 'AP001' then
            null;
    end;
end
$$;
