-- Which generation of a projection's documents is read. Without a row it is generation 0.
create table projection (
    name       text     primary key collate "C",
    generation bigint   not null,
    -- Version that the code declares which wrote this generation.
    version    integer  not null,
    -- Views whose documents belong to it.
    views      text[]   not null,
    -- Makes the generation a key column: a switch waits for appends that hold the row FOR KEY SHARE.
    constraint projection_generation unique (name, generation)
) with (fillfactor = 50);
