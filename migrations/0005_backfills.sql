-- Backfills: runs for a stretch of the past, made at once and started under a limit of their own.
--
-- Adds only: to programs of the version before, the runs of a backfill are runs like others, which count to the DAG's max_active_runs.
--
-- Lock order: whoever writes a backfill, or gives runs to one, holds the row of its DAG first; nobody else locks rows of this table.

create table backfill (
    id bigint generated always as identity primary key,
    dag_id text not null,
    from_date timestamptz not null,
    to_date timestamptz not null,
    run_backwards boolean not null,
    dag_run_conf jsonb, -- null: none was given, and runs that are done again keep theirs
    is_paused boolean not null default false,
    reprocess_behavior text not null check (reprocess_behavior in ('none', 'failed', 'completed')),
    max_active_runs int not null check (max_active_runs > 0),
    triggering_user_name text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    completed_at timestamptz -- null: it still has runs that are queued or running
);
create unique index backfill_active on backfill (dag_id) where completed_at is null; -- one at a time
create index backfill_dag on backfill (dag_id, id);

alter table run
    add column backfill_id bigint references backfill (id) on delete set null, -- null: it counts to the DAG's own max_active_runs
    add column backfill_ordinal int; -- its place in the order of the backfill
create index run_backfill on run (backfill_id, backfill_ordinal) where state in ('queued', 'running');

-- A backfill is complete when none of its runs is queued or running. The caller holds the DAG's row: no run becomes queued meanwhile.
create function backfills_complete(p_dag text) returns void language sql as $$
    update backfill b set completed_at = now(), updated_at = now()
    where b.dag_id = p_dag and b.completed_at is null
        and not exists (select 1 from run r where r.backfill_id = b.id and r.state in ('queued', 'running'));
$$;

-- Starts queued runs of a DAG: its own, oldest first, while its max_active_runs allows, and those of its backfill, in the order of that,
-- while the limit of that allows. Returns the runs that started, and completes the backfill of which the last run has ended.
create or replace function runs_start(p_dag text) returns table (r_run bigint, r_run_id text) language plpgsql as $$
#variable_conflict use_column
declare
    v_max int;
    v_paused boolean;
    v_active int;
    v_next bigint[];
    v_started bigint[];
    v_backfill record;
begin
    select max_active_runs, is_paused into v_max, v_paused from dag where dag_id = p_dag for no key update;
    if v_max is null then
        return;
    end if;
    if not v_paused then
        select count(*) into v_active from run where dag_id = p_dag and state = 'running' and backfill_id is null;
        v_next := array(select id from run where dag_id = p_dag and state = 'queued' and backfill_id is null and run_after <= now()
                        order by run_after, id limit greatest(v_max - v_active, 0));
        for v_backfill in select id, max_active_runs from backfill where dag_id = p_dag and completed_at is null and not is_paused loop
            select count(*) into v_active from run where backfill_id = v_backfill.id and state = 'running';
            v_next := v_next || array(select id from run where backfill_id = v_backfill.id and state = 'queued' and run_after <= now()
                                      order by backfill_ordinal, id limit greatest(v_backfill.max_active_runs - v_active, 0));
        end loop;
    end if;
    if cardinality(v_next) > 0 then
        perform 1 from run_seq where run_id = any (v_next) order by run_id for no key update;
        with started as (update run set state = 'running', start_date = now() where id = any (v_next) and state = 'queued' returning id)
        select array_agg(id) into v_started from started;
        perform events_append(array_agg(id), array_agg(-1), array_agg(-1), array_agg(0), array_agg(null::text),
                              array_agg('run started'::text), false)
        from unnest(v_started) id having count(*) > 0;
        insert into due (kind, run_id, at)
        select 'run_timeout', run.id, run.start_date + v.dagrun_timeout_ms * interval '1 millisecond'
        from run join dag_version v on v.id = run.version_id where run.id = any (v_started) and v.dagrun_timeout_ms is not null;
        return query select run.id, run.run_id from run where run.id = any (v_started)
                     order by run.backfill_ordinal nulls first, run.run_after, run.id;
    end if;
    perform backfills_complete(p_dag);
    update dag set runs_capped = false
    where dag_id = p_dag and runs_capped
        and (select count(*) from run where dag_id = p_dag and backfill_id is null and state in ('queued', 'running')) < max_active_runs;
end $$;

-- A run that was over and is wanted again: it waits for its turn like any other. One of a backfill that is complete leaves it: nobody would
-- start it there. Under the DAG's row, so that the backfill does not become complete meanwhile.
create or replace function run_reopen(p_run bigint) returns void language plpgsql as $$
begin
    perform 1 from dag where dag_id = (select dag_id from run where id = p_run) for no key update;
    perform 1 from run_seq where run_id = p_run for no key update;
    update run set state = 'queued', queued_at = now(), start_date = null, end_date = null, reason = null,
        backfill_id = (select b.id from backfill b where b.id = run.backfill_id and b.completed_at is null)
    where id = p_run and state in ('success', 'failed');
    update run_seq set epoch = epoch + 1 where run_id = p_run;
    perform events_append(array[p_run], array[-1], array[-1], array[0], array[null::text], array['run reopened'], false);
end $$;

-- Clears all instances of runs that are over and of which no attempt lives; the caller has locked their run_seq rows and says what else
-- becomes of the runs. Many runs in a statement: an intent for each would lock heads of other runs again and again, in no order.
create function runs_clear(p_run bigint[], p_by text) returns void language plpgsql as $$
declare
    v_done boolean;
begin
    with cleared as (
        update task_instance set state = 'none', intent = null, intent_by = null, not_before = null, user_failures = 0, infra_failures = 0,
            started_at = null, ended_at = null, reason = null, message = null
        where run_id = any (p_run) and state <> 'none'
        returning run_id, idx, map_index, attempt
    )
    select events_append(array_agg(run_id), array_agg(idx), array_agg(map_index), array_agg(attempt), array_agg('none'::text),
                         array_agg('clear by ' || p_by), false)
    into v_done
    from (select * from cleared order by run_id, idx, map_index) cleared having count(*) > 0;
    delete from xcom where run_id = any (p_run);
    delete from ready where run_id = any (p_run);
    perform heads_prune(p_run);
    update run_seq set epoch = epoch + 1 where run_id = any (p_run);
end $$;

-- Creates a backfill with all its runs, in the order of the slots: all of it or nothing. A slot that has a run already is passed over,
-- unless that run is over and to be done again: then it is cleared, keeps its name, and belongs to the backfill from now on.
--
-- Results: `created`; `active` (the DAG has one already); `changed` (the DAG has another version by now, or is gone: look again).
create function backfill_create(
    p_dag text, p_version bigint, p_from timestamptz, p_to timestamptz, p_backwards boolean, p_conf jsonb, p_behavior text, p_max int,
    p_user text,
    p_movable bigint[], -- versions whose runs can go on with p_version when they are done again
    s_run_id text[], s_logical timestamptz[], s_start timestamptz[], s_end timestamptz[], s_after timestamptz[])
returns table (r_result text, r_id bigint, r_made int, r_again bigint[]) language plpgsql as $$
declare
    v_version bigint;
    v_count int;
    v_states text[];
begin
    r_made := 0;
    r_again := '{}';
    select version_id into v_version from dag where dag_id = p_dag for no key update;
    if v_version is distinct from p_version then
        r_result := 'changed';
        return next;
        return;
    end if;
    perform backfills_complete(p_dag);
    if exists (select 1 from backfill where dag_id = p_dag and completed_at is null) then
        r_result := 'active';
        return next;
        return;
    end if;
    insert into backfill (dag_id, from_date, to_date, run_backwards, dag_run_conf, reprocess_behavior, max_active_runs,
                          triggering_user_name)
    values (p_dag, p_from, p_to, p_backwards, p_conf, p_behavior, p_max, p_user) returning id into r_id;
    select task_count into v_count from dag_version where id = p_version;

    -- Looked at again under their locks: a run may be deleted meanwhile, and one that was ended by hand may still have an attempt that
    -- stops. None is reopened, since that takes the DAG's row.
    v_states := (case p_behavior when 'failed' then '{failed}' when 'completed' then '{success,failed}' else '{}' end)::text[];
    r_again := array(select id from run where dag_id = p_dag and logical_date = any (s_logical) and state = any (v_states));
    perform 1 from run_seq where run_id = any (r_again) order by run_id for no key update;
    r_again := array(
        select id from run where id = any (r_again) and state = any (v_states)
            and not exists (select 1 from live_attempt l where l.run_id = run.id) order by id);
    if cardinality(r_again) > 0 then
        perform runs_clear(r_again, 'backfill ' || r_id);
        update run set version_id = p_version, task_count = v_count where id = any (r_again) and version_id = any (p_movable);
        -- What its version has and it has not: tasks that came since, and instances that were deleted, whose attempt numbers are used up.
        insert into task_instance (run_id, idx, attempt)
        select run.id, i, greatest(run.attempt_base, coalesce(t.max_attempt, 0))
        from run left join attempt_tombstone t on t.dag_id = run.dag_id and t.run_id = run.run_id, generate_series(0, v_count - 1) i
        where run.id = any (r_again) and run.version_id = p_version
        on conflict do nothing;
        update run set state = 'queued', queued_at = now(), start_date = null, end_date = null, reason = null, run_type = 'backfill',
            triggered_by = 'backfill', conf = coalesce(p_conf, conf), backfill_id = r_id, backfill_ordinal = s.ord,
            instances_gone = case when version_id = p_version then 0 else instances_gone end -- see 0008
        from unnest(s_logical) with ordinality as s (logical, ord)
        where run.id = any (r_again) and run.logical_date = s.logical;
        perform events_append(array_agg(id), array_agg(-1), array_agg(-1), array_agg(0), array_agg(null::text),
                              array_agg('run taken by backfill ' || r_id), false)
        from unnest(r_again) id;
    end if;

    with made as (
        insert into run (dag_id, run_id, version_id, run_type, state, logical_date, data_interval_start, data_interval_end, run_after,
                         conf, triggered_by, triggering_user_name, task_count, attempt_base, backfill_id, backfill_ordinal)
        select p_dag, s.run_id, p_version, 'backfill', 'queued', s.logical, s.interval_start, s.interval_end, s.run_after,
               coalesce(p_conf, '{}'), 'backfill', p_user, v_count,
               coalesce((select max_attempt from attempt_tombstone t where t.dag_id = p_dag and t.run_id = s.run_id), 0), r_id, s.ord
        from unnest(s_run_id, s_logical, s_start, s_end, s_after) with ordinality
            as s (run_id, logical, interval_start, interval_end, run_after, ord)
        where not exists (select 1 from run r where r.dag_id = p_dag and r.logical_date = s.logical)
        order by s.ord
        on conflict do nothing -- somebody triggers a run for the same date right now
        returning id, attempt_base
    ), instances as (
        insert into task_instance (run_id, idx, attempt) select made.id, i, made.attempt_base from made, generate_series(0, v_count - 1) i
    ), marks as (
        insert into run_seq (run_id) select id from made
    )
    select count(*) into r_made from made;
    if r_made::bigint * v_count >= 1000 then
        analyze task_instance; -- see plan_commit
    end if;
    r_result := 'created';
    return next;
end $$;

-- Pauses a backfill, or lets it go on. Results: `done`, `completed`; none when there is no such backfill.
create function backfill_pause(p_id bigint, p_paused boolean) returns text language plpgsql as $$
begin
    perform 1 from dag where dag_id = (select dag_id from backfill where id = p_id) for no key update;
    update backfill set is_paused = p_paused, updated_at = now() where id = p_id and completed_at is null and is_paused <> p_paused;
    return (select case when completed_at is null then 'done' else 'completed' end from backfill where id = p_id);
end $$;

-- Ends a backfill: what is queued of it fails without a task having run, what runs goes on. Results as above.
create function backfill_cancel(p_id bigint, p_by text) returns text language plpgsql as $$
declare
    v_runs bigint[];
begin
    perform 1 from dag where dag_id = (select dag_id from backfill where id = p_id) for no key update;
    update backfill set is_paused = true, completed_at = now(), updated_at = now() where id = p_id and completed_at is null;
    if not found then
        return (select 'completed' from backfill where id = p_id);
    end if;
    v_runs := array(select id from run where backfill_id = p_id and state = 'queued');
    perform 1 from run_seq where run_id = any (v_runs) order by run_id for no key update;
    with failed as (
        update run set state = 'failed', reason = 'backfill cancelled by ' || p_by, start_date = coalesce(start_date, now()),
            end_date = now(), last_scheduling_decision = now()
        where id = any (v_runs) and state = 'queued' returning id
    )
    select coalesce(array_agg(id), '{}') into v_runs from failed;
    update run_seq set epoch = epoch + 1 where run_id = any (v_runs);
    perform events_append(array_agg(id), array_agg(-1), array_agg(-1), array_agg(0), array_agg(null::text),
                          array_agg('backfill cancelled by ' || p_by), false)
    from unnest(v_runs) id having count(*) > 0;
    return 'done';
end $$;
