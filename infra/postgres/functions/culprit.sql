-- Names what an append was refused for, the first by name, once it has been undone: nothing in the record is its own then.
create or replace function culprit(request jsonb, refusal text, out subject text, out expected bigint)
language sql stable as $$
    select * from (
        (
            select i.stream, i.before
            from jsonb_to_recordset(request -> 'inbox') as i (consumer text, stream text, before bigint)
            where refusal = 'duplicate' and i.before <> coalesce(
                (select x.version from inbox x where x.consumer = i.consumer and x.stream = i.stream), 0
            )
            order by i.consumer collate "C", i.stream collate "C" limit 1
        )
        union all
        (
            select s.stream, s.before
            from jsonb_to_recordset(request -> 'streams') as s (stream text, before bigint, before_hash text)
                left join lateral (select x.version, x.hash from streams x where x.stream = s.stream) as now on true
            where refusal = 'conflict' and (
                s.before <> coalesce(now.version, 0) or s.before_hash <> encode(coalesce(now.hash, ''), 'hex')
            )
            order by s.stream collate "C" limit 1
        )
        union all
        (
            select d.view || '/' || d.key, d.before
            from jsonb_to_recordset(request -> 'documents') as d (view text, key text, before bigint)
            where refusal = 'conflict' and d.before <> coalesce((
                select x.version from view_document x
                where x.view = d.view and x.key = d.key
                    and x.generation = coalesce((request -> 'generation' ->> 'number')::bigint, 0)
            ), 0)
            order by d.view collate "C", d.key collate "C" limit 1
        )
        union all
        -- What was in the way is gone meanwhile.
        select
            coalesce(
                request -> 'streams' -> 0 ->> 'stream', request -> 'inbox' -> 0 ->> 'stream',
                request -> 'documents' -> 0 ->> 'view'
            ),
            (request -> 'streams' -> 0 ->> 'before')::bigint
    ) as found (subject, expected)
    limit 1
$$;
