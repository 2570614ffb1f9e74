-- Makes one append true, or refuses it in its result having written nothing. A refusal is not an error, so that
-- the appends of several writers can share a transaction.
--
-- request: {service, streams: [{stream, category, before, before_hash, version, hash, ended}], events: [...],
--           lease?: {name, epoch}, inbox?: [{consumer, stream, before, version}],
--           cursors?: [{consumer, before_xid, before_position, xid, position}],
--           holds?: [{consumer, stream, before, version}], clear_timers?, timers?,
--           generation?: {projection, number, building}, documents?: [{view, key, before, sort}], documents_from?}
-- documents: the data of the documents, of all appends that are made in one statement; see write_documents.
--
-- Each part is written in one or two statements, whatever it holds; where these wrote fewer rows than there were to
-- write, the append is refused. What exists is looked up row by row (`lateral`, `offset 0`) and changed by its place:
-- joined in another way, a table that was small when the statement was planned would be read as a whole once it has grown.
create or replace function append_events(
    request jsonb,
    documents json[],
    -- null, or one of stale_lease, duplicate, conflict, deadlock
    out refusal text,
    -- What a conflict or a duplicate is about.
    out subject text,
    out expected bigint,
    out positions bigint[],
    out xid bigint
)
-- Only this function writes the record: it acts as the owner of the tables for whoever may call it.
language plpgsql security definer set search_path = public, pg_temp set enable_seqscan = off as $$
#variable_conflict use_column
declare
    generation_ constant bigint := coalesce((request -> 'generation' ->> 'number')::bigint, 0);
    mine constant jsonb := own_rights();
    item record;
    wanted jsonb;
    written bigint;
    more bigint;
begin
    -- The owner of the tables is not bound: a restore, and what prepares one.
    subject := case when session_user <> current_user then not_owned(request, mine) end;
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

    -- Everything in this block is undone together. Rows are written in the order of their names, so that two appends to
    -- the same ones do not wait for each other. One that is changed meanwhile is not at its place any more.
    begin
        if request ? 'inbox' then
            wanted := request -> 'inbox';
            written := 0;
            if wanted @? '$[*].before ? (@ == 0)' then
                insert into inbox (consumer, stream, version)
                    select consumer, stream, version
                    from jsonb_to_recordset(wanted) as i (consumer text, stream text, before bigint, version bigint)
                    where before = 0
                    order by consumer collate "C", stream collate "C"
                    on conflict do nothing;
                get diagnostics written = row_count;
            end if;
            if written < jsonb_array_length(wanted) then
                update inbox set version = i.version
                    from (
                        select *
                        from jsonb_to_recordset(wanted) as i (consumer text, stream text, before bigint, version bigint)
                        where before > 0
                        order by consumer collate "C", stream collate "C" offset 0
                    ) as i
                    cross join lateral (
                        select x.ctid as place from inbox x
                        where x.consumer = i.consumer and x.stream = i.stream and x.version = i.before
                        offset 0
                    ) as held
                    where inbox.ctid = held.place;
                get diagnostics more = row_count;
                written := written + more;
            end if;
            if written <> jsonb_array_length(wanted) then
                refusal := 'duplicate';
                raise exception using errcode = 'AP001';
            end if;
        end if;

        if request ? 'cursors' then
            for item in
                select * from jsonb_to_recordset(request -> 'cursors') as c (
                    consumer text, before_xid bigint, before_position bigint, xid bigint, position bigint
                ) order by consumer collate "C"
            loop
                insert into follower as held (consumer, xid, position)
                    values (item.consumer, item.xid, item.position)
                    on conflict (consumer) do update set xid = item.xid, position = item.position
                    where (held.xid, held.position) = (item.before_xid, item.before_position);
                if not found then
                    refusal := 'duplicate';
                    subject := item.consumer;
                    raise exception using errcode = 'AP001';
                end if;
            end loop;
        end if;

        if request ? 'holds' then
            for item in
                -- before: null where nothing is held back; version: null where nothing is any more.
                select * from jsonb_to_recordset(request -> 'holds')
                    as h (consumer text, stream text, before bigint, version bigint)
                    order by consumer collate "C", stream collate "C"
            loop
                if item.before is null then
                    insert into held_back values (item.consumer, item.stream, item.version) on conflict do nothing;
                elsif item.version is null then
                    delete from held_back
                        where consumer = item.consumer and stream = item.stream and version = item.before;
                else
                    update held_back set version = item.version
                        where consumer = item.consumer and stream = item.stream and version = item.before;
                end if;
                if not found then
                    refusal := 'duplicate';
                    subject := item.consumer;
                    raise exception using errcode = 'AP001';
                end if;
            end loop;
        end if;

        if request ? 'streams' then
            wanted := request -> 'streams';
            written := 0;
            if wanted @? '$[*].before ? (@ == 0)' then
                insert into streams (stream, category, version, hash, ended)
                    select stream, category, version, decode(hash, 'hex'), ended
                    from jsonb_to_recordset(wanted)
                        as s (stream text, category text, before bigint, version bigint, hash text, ended boolean)
                    where before = 0
                    order by stream collate "C"
                    on conflict do nothing;
                get diagnostics written = row_count;
            end if;
            if written < jsonb_array_length(wanted) then
                update streams set version = s.version, hash = decode(s.hash, 'hex'), ended = s.ended
                    from (
                        select * from jsonb_to_recordset(wanted) as s (
                            stream text, category text, before bigint, before_hash text, version bigint, hash text,
                            ended boolean
                        )
                        where before > 0
                        order by stream collate "C" offset 0
                    ) as s
                    cross join lateral (
                        select x.ctid as place from streams x
                        where x.stream = s.stream and x.version = s.before and x.hash = decode(s.before_hash, 'hex')
                            -- The one that the rights were asked for.
                            and x.category = s.category
                        offset 0
                    ) as held
                    where streams.ctid = held.place;
                get diagnostics more = row_count;
                written := written + more;
            end if;
            if written <> jsonb_array_length(wanted) then
                refusal := 'conflict';
                raise exception using errcode = 'AP001';
            end if;
        end if;

        if request ? 'events' then
            with inserted as (
                insert into events (
                    xid, stream, category, version, id, type, schema_version, data, meta, prev_hash, hash, recorded_at
                )
                -- In the order of the request: nothing is joined that could change it.
                select
                    pg_current_xact_id()::text::bigint, stream, split_part(stream, '-', 1), version, id, type,
                    schema_version, data, meta, decode(prev_hash, 'hex'), decode(hash, 'hex'), recorded_at
                from jsonb_to_recordset(request -> 'events') as e (
                    stream text, version bigint, id uuid, type text, schema_version integer, data jsonb, meta jsonb,
                    prev_hash text, hash text, recorded_at timestamptz
                )
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

        if request ? 'documents' and write_documents(request, documents) <> jsonb_array_length(request -> 'documents')
        then
            refusal := 'conflict';
            raise exception using errcode = 'AP001';
        end if;
    exception
        when sqlstate 'AP001' then
            if subject is null then
                select c.subject, c.expected into subject, expected from culprit(request, refusal) as c;
            end if;
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
