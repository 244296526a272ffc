-- What the pages about the fleet and about git show, and what would be gone with a process: a row for each minute, the commits that were taken,
-- where a mistake in a file is, and which version a process is of.
--
-- Adds only. Programs of the version before run on it: what they do not write is null, and is shown as unknown.

alter table worker add column version text;
alter table scheduler add column version text;

-- The mistakes of a file one by one, each with the lines around it, as JSON. Null: a program of the version before wrote it.
alter table import_error add column details jsonb;

-- What each minute came to. One row is written after the minute, by one scheduler: what ends pays nothing for it. Kept for eight days, which
-- is 11,520 rows.
create table fleet_minute (
    at timestamptz primary key, -- its beginning
    success int not null default 0, -- task instances that ended so within it
    failed int not null default 0,
    retried int not null default 0, -- tries that failed, and are followed by another
    skipped int not null default 0,
    -- How long tries that ended within it had waited in their queues. Entry i counts those of at most 2^((i-1)/2) milliseconds and more than
    -- the entry before it: percentiles of several minutes come from a sum of these, which a mean of percentiles would not be.
    waits int[] not null default '{}',
    -- By queue what waits and what runs, [2, 5], at the end of the minute. Null: it was counted later, when nobody knew any more.
    queues jsonb,
    workers int,
    slots int
);

-- Counts the minutes that are over and not counted yet, an hour back at most. Returns in how many seconds there is another one. Of two that
-- call it at once the second waits for the first and finds nothing to do.
create function fleet_minutes_take() returns double precision language plpgsql set enable_seqscan = off as $$
declare
    -- A transaction's events carry the time of its beginning and are seen at its end.
    v_end constant timestamptz := date_trunc('minute', now() - interval '10 s');
    v_at timestamptz;
begin
    select greatest(coalesce(max(at) + interval '1 minute', v_end - interval '1 minute'), v_end - interval '1 hour') into v_at from fleet_minute;
    while v_at < v_end loop
        insert into fleet_minute (at) values (v_at) on conflict do nothing;
        if found then
            with e as materialized (
                select run_id, idx, map_index, attempt, state from event
                where day between (v_at - interval '1 day')::date and (v_at + interval '1 day')::date and at >= v_at and at < v_at + interval '1 minute'
                    and idx >= 0 and state in ('success', 'failed', 'up_for_retry', 'upstream_failed', 'skipped')),
            n as (
                select count(*) filter (where state = 'success') as success, count(*) filter (where state = 'failed') as failed,
                       count(*) filter (where state = 'up_for_retry') as retried, count(*) filter (where state in ('upstream_failed', 'skipped')) as skipped,
                       -- Some two thousand tries are enough to know how long they waited, whatever the load.
                       greatest(1, count(*) filter (where attempt > 0) / 2000) as each_of
                from e),
            w as (
                select least(48, greatest(1, 1 + ceil(2 * log(2, greatest(1, extract(epoch from a.started_at - a.queued_at) * 1000)::numeric))))::int as i
                from n, e join attempt a using (run_id, idx, map_index, attempt)
                where e.attempt > 0 and (e.run_id + e.idx + e.map_index) % n.each_of = 0 and a.started_at >= a.queued_at),
            h as (select array_agg(coalesce(c.n, 0) order by i) as waits from generate_series(1, 48) i left join (select i, count(*)::int as n from w group by i) c using (i))
            update fleet_minute f set success = n.success, failed = n.failed, retried = n.retried, skipped = n.skipped, waits = h.waits from n, h where f.at = v_at;
            if v_at + interval '1 minute' = v_end then
                update fleet_minute set
                    queues = (select coalesce(jsonb_object_agg(queue, jsonb_build_array(waiting, running)), '{}')
                              from (select queue, count(*) filter (where state = 'queued') as waiting, count(*) filter (where state = 'running') as running
                                    from live_attempt group by queue) q),
                    workers = (select count(*) from worker where state <> 'stopped' and last_heartbeat > now() - interval '30 s'),
                    slots = (select coalesce(sum(concurrency), 0) from worker
                             where state <> 'stopped' and draining_since is null and last_heartbeat > now() - interval '30 s')
                where at = v_at;
            end if;
        end if;
        v_at := v_at + interval '1 minute';
    end loop;
    delete from fleet_minute where at < v_end - interval '8 days';
    return extract(epoch from v_end + interval '70 s' - now());
end $$;

-- The commits that were taken, newest last, two hundred of each source.
create table source_commit (
    id bigint generated always as identity primary key,
    bundle text not null,
    commit text not null,
    author text, -- null: only the id is known, as of a git-sync folder
    subject text,
    committed_at timestamptz,
    taken_at timestamptz not null default now(),
    changed text[] not null default '{}', -- DAGs that got another version by it
    removed text[] not null default '{}', -- DAGs that no file has any more
    errors int not null default 0, -- files of it that cannot be read
    unique (bundle, commit)
);
