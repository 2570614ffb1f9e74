-- The record's tables and indexes.
\ir ../tables/events.sql
\ir ../tables/streams.sql
\ir ../tables/outbox.sql
\ir ../tables/inbox.sql
\ir ../tables/timer.sql
\ir ../tables/lease.sql
\ir ../tables/view_document.sql
\ir ../indexes/events_reading_order.sql
\ir ../indexes/streams_by_creation.sql
\ir ../indexes/streams_open.sql
\ir ../indexes/timer_due.sql
\ir ../indexes/view_document_sort.sql
