-- Writes the documents of an append and returns how many of them could be: it is refused where one could not.
-- Their data are those of `documents` from place `documents_from` on; null removes one.
create or replace function write_documents(request jsonb, documents json[]) returns bigint
-- Called by append_events, as the owner of the tables.
language plpgsql as $$
#variable_conflict use_column
declare
    wanted constant jsonb := request -> 'documents';
    from_ constant integer := (request ->> 'documents_from')::integer;
    datas constant json[] := documents[from_:from_ + jsonb_array_length(wanted) - 1];
    generation_ constant bigint := coalesce((request -> 'generation' ->> 'number')::bigint, 0);
    written bigint := 0;
    more bigint;
begin
    if wanted @? '$[*].before ? (@ == 0)' then
        insert into view_document (view, generation, key, data, version, sort)
            select view, generation_, key, data, 1, sort
            from rows from (
                jsonb_to_recordset(wanted) as (view text, key text, before bigint, sort text), unnest(datas)
            ) as d (view, key, before, sort, data)
            where before = 0 and data is not null
            order by view collate "C", key collate "C"
            on conflict do nothing;
        get diagnostics written = row_count;
    end if;
    if written = jsonb_array_length(wanted) then
        return written;
    end if;

    -- By name, before some are changed and others removed.
    perform from (
            select * from jsonb_to_recordset(wanted) as d (view text, key text, before bigint)
            where before > 0
            order by view collate "C", key collate "C" offset 0
        ) as d
        cross join lateral (
            select from view_document x
            where x.view = d.view and x.generation = generation_ and x.key = d.key and x.version = d.before
            offset 0 for update
        ) as held;

    update view_document set data = d.data, version = d.before + 1, sort = d.sort
        from rows from (
            jsonb_to_recordset(wanted) as (view text, key text, before bigint, sort text), unnest(datas)
        ) as d (view, key, before, sort, data)
        cross join lateral (
            select x.ctid as place from view_document x
            where x.view = d.view and x.generation = generation_ and x.key = d.key and x.version = d.before
            offset 0
        ) as held
        where view_document.ctid = held.place and d.before > 0 and d.data is not null;
    get diagnostics more = row_count;
    written := written + more;
    if written = jsonb_array_length(wanted) then
        return written;
    end if;

    delete from view_document
        using rows from (
            jsonb_to_recordset(wanted) as (view text, key text, before bigint), unnest(datas)
        ) as d (view, key, before, data)
        cross join lateral (
            select x.ctid as place from view_document x
            where x.view = d.view and x.generation = generation_ and x.key = d.key and x.version = d.before
            offset 0
        ) as held
        where view_document.ctid = held.place and d.before > 0 and d.data is null;
    get diagnostics more = row_count;

    -- What was not there and is to go.
    return written + more + (
        select count(*)
        from rows from (
            jsonb_to_recordset(wanted) as (view text, key text, before bigint), unnest(datas)
        ) as d (view, key, before, data)
        where d.before = 0 and d.data is null and not exists (
            select from view_document x where x.view = d.view and x.generation = generation_ and x.key = d.key
        )
    );
end
$$;
