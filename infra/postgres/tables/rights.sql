-- What each login role of a service may touch, by kind: {"service": ["gate"], "category": ["review"], "consumer": [...],
-- "view": [...], "lease": [...]}. Written from the services' declarations whenever these change. '*' stands for every
-- name of its kind; the lease '' stands for names that no role is given.
create table rights (
    -- A type that session_user compares with as it is.
    role  name  primary key,
    owned jsonb not null
);
-- Policies read it as whoever asks; there is nothing in it to hide.
grant select on rights to public;

-- Makes own_rights(), the row of the role that is logged in, a constant of each query: looking it up would cost every
-- append a tenth. Whoever changes the table calls this.
create function compile_rights() returns void
language plpgsql as $$
begin
    execute format(
        'create or replace function own_rights() returns jsonb language sql stable as %L',
        'select case session_user when null then null::jsonb '
            || (select coalesce(string_agg(format('when %L then %L::jsonb ', role, owned), ''), '') from rights)
            || 'end'
    );
end
$$;
revoke execute on function compile_rights() from public;
