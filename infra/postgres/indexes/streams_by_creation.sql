create index streams_by_creation on streams (category, created);
