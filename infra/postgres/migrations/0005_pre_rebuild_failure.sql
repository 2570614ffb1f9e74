-- Failed rebuilds, for alerting. Numbered before 0006, which belongs to the same release and comes last.
\ir ../tables/rebuild_failure.sql
