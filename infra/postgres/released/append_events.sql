-- The append as the release before calls it, for as long as it is connected: 0007_post_append_rows drops it.
--
-- Makes one append true, or refuses it in its result having written nothing. A refusal is not an error, so that
-- the appends of several writers can share a transaction.
--
-- request: {service, streams: [{stream, before, before_hash, version, hash, ended}], events: [...],
--           lease?: {name, epoch}, inbox?: [{consumer, stream, before, version}], clear_timers?, timers?, documents?,
--           generation?: {projection, number, building}}
create or replace function append_events(
    request jsonb,
    -- null, or one of stale_lease, duplicate, conflict, deadlock
    out refusal text,
    -- What a conflict or a duplicate is about.
    out subject text,
    out expected bigint,
    out positions bigint[],
    out xid bigint
)
-- Only this function writes the record: it acts as the owner of the tables for whoever may call it.
language plpgsql security definer set search_path = public, pg_temp as $$
#variable_conflict use_column
declare
    item record;
    generation_ constant bigint := coalesce((request -> 'generation' ->> 'number')::bigint, 0);
    mine constant jsonb := own_rights();
begin
    -- The owner of the tables is not bound: a restore, and what prepares one.
    subject := case when session_user <> current_user then not_owned_before(request, mine) end;
    if subject is not null then
        raise insufficient_privilege using message = format('%I may not append for %s', session_user, subject);
    end if;

    -- Held until commit: a takeover waits for us, or we see its epoch.
    if request ? 'lease' then
        perform from lease
            where name = request -> 'lease' ->> 'name' and epoch = (request -> 'lease' ->> 'epoch')::bigint
            for key share;
        if not found then
            refusal := 'stale_lease';
            return;
        end if;
    end if;

    -- Held until commit: a switch of the projection waits for us, or we see its generation.
    if request ? 'generation' and not (request -> 'generation' ->> 'building')::boolean then
        perform from projection
            where name = request -> 'generation' ->> 'projection' and generation = generation_
            for key share;
        if not found then
            refusal := 'conflict';
            subject := 'projection ' || (request -> 'generation' ->> 'projection');
            expected := generation_;
            return;
        end if;
    end if;

    -- Everything in this block is undone together.
    begin
        -- Asked before each loop: to begin one that finds nothing costs an append of one event a tenth of its time.
        if request ? 'inbox' then
            for item in
                -- The release before sends one mark by itself.
                select * from jsonb_to_recordset(jsonb_path_query_array(request, '$.inbox[*]'))
                    as i (consumer text, stream text, before bigint, version bigint)
                    order by consumer collate "C", stream collate "C"
            loop
                if item.before = 0 then
                    insert into inbox values (item.consumer, item.stream, item.version) on conflict do nothing;
                else
                    update inbox set version = item.version
                        where consumer = item.consumer and stream = item.stream and version = item.before;
                end if;
                if not found then
                    refusal := 'duplicate';
                    subject := item.stream;
                    raise exception using errcode = 'AP001';
                end if;
            end loop;
        end if;

        -- In the order of names, so that two appends to the same streams do not wait for each other.
        for item in
            select * from jsonb_to_recordset(request -> 'streams') as s (
                stream text, category text, before bigint, before_hash text, version bigint, hash text, ended boolean
            ) order by stream collate "C"
        loop
            if item.before = 0 then
                insert into streams (stream, category, version, hash, ended)
                    values (item.stream, item.category, item.version, decode(item.hash, 'hex'), item.ended)
                    on conflict do nothing;
            else
                update streams set version = item.version, hash = decode(item.hash, 'hex'), ended = item.ended
                    where stream = item.stream and version = item.before and hash = decode(item.before_hash, 'hex')
                    and category = item.category;
            end if;
            if not found then
                refusal := 'conflict';
                subject := item.stream;
                expected := item.before;
                raise exception using errcode = 'AP001';
            end if;
        end loop;

        if request ? 'events' then
            with inserted as (
                insert into events (
                    xid, stream, category, version, id, type, schema_version, data, meta, prev_hash, hash, recorded_at
                )
                select
                    pg_current_xact_id()::text::bigint, e.stream, split_part(e.stream, '-', 1), e.version, e.id, e.type,
                    e.schema_version, e.data, e.meta, decode(e.prev_hash, 'hex'), decode(e.hash, 'hex'), e.recorded_at
                from rows from (jsonb_to_recordset(request -> 'events') as (
                    stream text, version bigint, id uuid, type text, schema_version integer, data jsonb, meta jsonb,
                    prev_hash text, hash text, recorded_at timestamptz
                )) with ordinality as e (
                    stream, version, id, type, schema_version, data, meta, prev_hash, hash, recorded_at, place
                )
                order by e.place
                returning position, stream, version
            ), waiting as (
                insert into outbox (position, service, stream, version, inserted_at)
                select position, request ->> 'service', stream, version, clock_timestamp() from inserted
            )
            select array_agg(position order by position) into positions from inserted;
            xid := pg_current_xact_id()::text::bigint;
        end if;

        if request ? 'clear_timers' then
            delete from timer using jsonb_to_recordset(request -> 'clear_timers') as c (service text, key text)
                where timer.service = c.service and timer.key = c.key;
        end if;
        if request ? 'timers' then
            insert into timer (service, key, due, kind, subject)
                select * from jsonb_to_recordset(request -> 'timers')
                    as t (service text, key text, due timestamptz, kind text, subject text)
                    order by service collate "C", key collate "C"
                on conflict (service, key) do update
                    set due = excluded.due, kind = excluded.kind, subject = excluded.subject;
        end if;

        if request ? 'documents' then
            for item in
                select * from jsonb_to_recordset(request -> 'documents')
                    as d (view text, key text, before bigint, data text, sort text)
                    order by view collate "C", key collate "C"
            loop
                if item.before = 0 and item.data is null then
                    perform from view_document
                        where view = item.view and generation = generation_ and key = item.key;
                    continue when not found;
                    -- It exists after all.
                    perform where false;
                elsif item.before = 0 then
                    insert into view_document (view, generation, key, data, version, sort)
                        values (item.view, generation_, item.key, item.data::json, 1, item.sort) on conflict do nothing;
                elsif item.data is null then
                    delete from view_document
                        where view = item.view and generation = generation_ and key = item.key
                        and version = item.before;
                else
                    update view_document set data = item.data::json, version = item.before + 1, sort = item.sort
                        where view = item.view and generation = generation_ and key = item.key
                        and version = item.before;
                end if;
                if not found then
                    refusal := 'conflict';
                    subject := item.view || '/' || item.key;
                    expected := item.before;
                    raise exception using errcode = 'AP001';
                end if;
            end loop;
        end if;
    exception
        when sqlstate 'AP001' then
            null;
        when unique_violation then
            -- An event id that is taken.
            refusal := 'conflict';
            subject := request -> 'streams' -> 0 ->> 'stream';
            expected := (request -> 'streams' -> 0 ->> 'before')::bigint;
        when deadlock_detected then
            refusal := 'deadlock';
    end;
    if refusal is not null then
        positions := null;
        xid := null;
    end if;
end
$$;
