create index streams_open on streams (category, created) where not ended;
