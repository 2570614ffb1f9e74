-- Wakes those who follow the record. Sent apart from appends: a transaction that notifies takes a lock of the whole
-- cluster until its commit is on disk, so appends of different processes could not be flushed together.
create or replace function announce() returns void
language plpgsql as $$
begin
    -- A notification takes a transaction id but is not worth a wait for the disk.
    perform set_config('synchronous_commit', 'off', true);
    perform pg_notify('autopilot_events', '');
end
$$;
