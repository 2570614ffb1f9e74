create index events_reading_order on events (xid, position);
