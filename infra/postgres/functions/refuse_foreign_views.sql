-- Keeps what a service may do to read models to its own.
create or replace function refuse_foreign_views(views text[]) returns void
language plpgsql stable as $$
begin
    if not coalesce(own_rights() -> 'view' ? '*' or own_rights() -> 'view' ?& views, false) then
        raise insufficient_privilege using message = format('%I has no view %s', session_user, views);
    end if;
end
$$;
