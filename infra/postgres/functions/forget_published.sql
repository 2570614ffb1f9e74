-- Deletes confirmed outbox rows without waiting for the disk: a deletion lost in a crash is a publication
-- repeated, which the bus and the inbox recognise.
create or replace function forget_published(positions bigint[]) returns void
language plpgsql as $$
begin
    perform set_config('synchronous_commit', 'off', true);
    delete from outbox where position = any (positions);
end
$$;
