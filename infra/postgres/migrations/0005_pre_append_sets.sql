-- append_events takes the documents' data apart from its request. As the release before calls it, it goes on until 0007.
\ir ../released/not_owned.sql
\ir ../released/append_events.sql
revoke execute on function append_events(jsonb) from public;
