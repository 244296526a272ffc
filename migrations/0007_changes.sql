-- What the event streams of the API ask: what happened lately, whichever run it happened to.
--
-- Adds only.

-- By blocks, not by rows: rows are written in the order of their times, and an index of one entry per row would be paid for by every move.
create index event_at on event using brin (at) with (pages_per_range = 16, autosummarize = on);

-- The runs of which anything was written since, with the number of their last event. A transaction's rows carry the time of its beginning and
-- are seen at its end: whoever asks goes back a few seconds and knows what it has seen by the numbers, which a run gives out in order.
-- The index has to be used even where the statistics are from when the table was small.
create function changed_since(p_at timestamptz)
returns table (r_run bigint, r_seq bigint) language sql stable set enable_seqscan = off as $$
    select run_id, max(seq) from event where day >= p_at::date and at >= p_at group by run_id
    union all
    -- A run that waits has no event yet. Numbers are given out in order and seen nearly so.
    select id, 0 from run where id > (select coalesce(max(id), 0) - 1000 from run) and queued_at >= p_at
        and not exists (select from event where event.run_id = run.id);
$$;
