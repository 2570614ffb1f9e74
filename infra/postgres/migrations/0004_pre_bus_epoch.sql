-- The auditor's tables.
\ir ../tables/bus_epoch.sql
