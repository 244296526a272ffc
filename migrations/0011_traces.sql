-- The trace that a run belongs to: the `traceparent` of what triggered it, and after a space its `tracestate`, if there was one. Null: its trace
-- begins with it, under ids that follow from its key (docs/traces.md), so that runs of timetables and backfills are written as before.
--
-- Adds only. Programs of the version before leave the column empty: they call run_create with one argument less, which has a default.

alter table run add column trace text;

drop function run_create(text, text, text, timestamptz, timestamptz, timestamptz, timestamptz, jsonb, text, text, text, bigint);

-- Creates a run with its instances. A run of the same name or logical date: nothing is written and no row returned.
create function run_create(
    p_dag text, p_run_id text, p_type text, p_logical timestamptz, p_start timestamptz, p_end timestamptz, p_run_after timestamptz,
    p_conf jsonb, p_note text, p_by text, p_user text, p_version bigint, p_trace text default null)
returns bigint language plpgsql as $$
declare
    v_id bigint;
    v_count int;
begin
    select task_count into v_count from dag_version where id = p_version;
    insert into run (dag_id, run_id, version_id, run_type, state, logical_date, data_interval_start, data_interval_end, run_after, conf, note,
                     triggered_by, triggering_user_name, task_count, attempt_base, trace)
    values (p_dag, p_run_id, p_version, p_type, 'queued', p_logical, p_start, p_end, p_run_after, p_conf, p_note, p_by, p_user, v_count,
            coalesce((select max_attempt from attempt_tombstone where dag_id = p_dag and run_id = p_run_id), 0), p_trace)
    on conflict do nothing returning id into v_id;
    if v_id is null then
        return null;
    end if;
    insert into task_instance (run_id, idx, attempt)
    select v_id, i, run.attempt_base from generate_series(0, v_count - 1) i, run where run.id = v_id;
    insert into run_seq (run_id) values (v_id);
    if v_count >= 1000 then
        analyze task_instance; -- see plan_commit
    end if;
    return v_id;
end $$;
