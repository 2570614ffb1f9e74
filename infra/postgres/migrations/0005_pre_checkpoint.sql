-- Signed checkpoints over the record.
\ir ../tables/checkpoint.sql
