-- How many instances of a run that is over ended in which state: so that "all that failed, ever" is counted without reading every instance of a
-- long history.
--
-- Adds only. Programs of the version before run on it: triggers write what is added.
--
-- Still task_instance gets no index and no trigger: not even a partial one on a rare state, since a column in the predicate of an index ends
-- the updates in place as one in its key does. A run is counted once, when it ends, by its key; what changes instances of a run that is over
-- (clear, mark, deletion) moves its epoch, and the tally goes. A run without one is counted instance by instance: those that are not over, and
-- those in which something waits or runs all the same. So no tally is ever wrong, only missing.

alter table run
    add column tally_success int,
    add column tally_failed int, -- null: there is no tally
    add column tally_upstream_failed int,
    add column tally_skipped int;

create function run_tally() returns trigger language plpgsql as $$
declare
    v_others int;
begin
    new.tally_failed := null;
    if new.state in ('success', 'failed') then
        select count(*) filter (where state = 'success'), count(*) filter (where state = 'failed'), count(*) filter (where state = 'upstream_failed'),
               count(*) filter (where state = 'skipped'), count(*) filter (where state not in ('success', 'failed', 'upstream_failed', 'skipped'))
        into new.tally_success, new.tally_failed, new.tally_upstream_failed, new.tally_skipped, v_others
        from task_instance where run_id = new.id;
        if v_others > 0 then
            new.tally_failed := null;
        end if;
    end if;
    return new;
end $$;
create trigger run_tally before update of state on run for each row when (old.state is distinct from new.state) execute function run_tally();

-- The caller has locked the run_seq row, as every writer of a run does first.
create function run_tally_gone() returns trigger language plpgsql as $$
begin
    update run set tally_failed = null where id = new.run_id and tally_failed is not null;
    return null;
end $$;
create trigger run_tally_gone after update of epoch on run_seq for each row execute function run_tally_gone();

-- Counts what is over and has no tally: what was there before, and what somebody writes as it stands.
create function runs_tally() returns void language sql as $$
    update run r set tally_success = t.success, tally_failed = t.failed, tally_upstream_failed = t.upstream_failed, tally_skipped = t.skipped
    from (select run_id, count(*) filter (where state = 'success') as success, count(*) filter (where state = 'failed') as failed,
                 count(*) filter (where state = 'upstream_failed') as upstream_failed, count(*) filter (where state = 'skipped') as skipped, count(*) as all_of_them
          from task_instance group by run_id) t
    where t.run_id = r.id and r.tally_failed is null and r.state in ('success', 'failed') and t.success + t.failed + t.upstream_failed + t.skipped = t.all_of_them;
$$;
select runs_tally();

-- A sum over a long history reads the first alone; the second finds the few that are counted one by one.
create index run_tallied on run (dag_id, run_after) include (tally_success, tally_failed, tally_upstream_failed, tally_skipped)
    where tally_failed is not null;
create index run_untallied on run (id) where tally_failed is null;
-- Most runs have no conf: what is looked for in one is looked for in the others alone.
create index run_conf on run (id) where conf <> '{}';
