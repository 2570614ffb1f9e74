-- Each service gets a role of its own. Until 0006 the role that all of them shared goes on, with the rights of all.
\ir ../tables/rights.sql
insert into rights values (
    'autopilot_service', '{"service": ["*"], "category": ["*"], "consumer": ["*"], "view": ["*"], "lease": ["*"]}'
);
select compile_rights();
-- In the order in which appends take them: services may be at work.
lock table lease, inbox, streams, outbox, timer, view_document in access exclusive mode;
\ir ../policies.sql
-- What a role may write goes by category, so it must not be possible to give a stream another one.
alter table streams add constraint streams_category check (split_part(stream, '-', 1) = category);
