-- How many lines end in each chunk of a log: so that lines 900,000 to 900,500 of a long log are found without reading what comes before them.
--
-- Adds only. A worker of the version before stores chunks without it; they are counted when they are read.

alter table log_chunk add column lines int; -- line feeds in it; null: nobody counted

-- The line feeds of a chunk that nobody counted. `escape` leaves a line feed as it is and writes everything that it changes without one.
create function log_lines(p_data bytea) returns int language sql immutable parallel safe as $$
    select length(t) - length(replace(t, e'\n', '')) from (select encode(p_data, 'escape') as t) escaped
$$;
