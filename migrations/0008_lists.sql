-- What lists of a long history need: to find, to order and to count without reading all of it.
--
-- Adds only. Programs of the version before run on it: what they write is completed by triggers.
--
-- task_instance gets no index. One on its state would end the updates in place of the only hot table (see 0001), four for each instance.

-- What lists show and filter by of a version, without reading its spec: a spec of some hundred tasks is read in milliseconds, a list of a
-- thousand DAGs would take seconds.
create function dag_version_head_of(p_spec text) returns jsonb language plpgsql immutable as $$
declare
    v jsonb;
begin
    v := p_spec::jsonb;
    return jsonb_strip_nulls(jsonb_build_object(
        'display_name', v -> 'display_name',
        'tags', coalesce(v -> 'tags', '[]'),
        'owners', (select coalesce(jsonb_agg(distinct coalesce(k ->> 'owner', 'airflow')), '[]') from jsonb_array_elements(v -> 'tasks') k),
        'pools', (select coalesce(jsonb_agg(distinct coalesce(k ->> 'pool', 'default_pool')), '[]') from jsonb_array_elements(v -> 'tasks') k),
        -- As Airflow names the class.
        'timetable_type', case v -> 'schedule' ->> 'kind'
            when 'none' then 'airflow.timetables.simple.NullTimetable'
            when 'once' then 'airflow.timetables.simple.OnceTimetable'
            when 'continuous' then 'airflow.timetables.simple.ContinuousTimetable'
            when 'cron' then case when coalesce((v -> 'schedule' ->> 'data_intervals')::boolean, false)
                then 'airflow.timetables.interval.CronDataIntervalTimetable' else 'airflow.timetables.trigger.CronTriggerTimetable' end
            when 'delta' then case when coalesce((v -> 'schedule' ->> 'data_intervals')::boolean, false)
                then 'airflow.timetables.interval.DeltaDataIntervalTimetable' else 'airflow.timetables.trigger.DeltaTriggerTimetable' end
        end));
exception when others then
    -- JSON may hold what jsonb cannot (a NUL). Such a DAG runs, and no filter finds it.
    return '{"tags": [], "owners": [], "pools": []}';
end $$;

alter table dag_version add column head jsonb;
update dag_version set head = dag_version_head_of(spec);

create function dag_version_head() returns trigger language plpgsql as $$
begin
    new.head := dag_version_head_of(new.spec);
    return new;
end $$;
create trigger dag_version_head before insert on dag_version for each row execute function dag_version_head();

-- How many instances of a run were deleted one by one: task_count less these is how many it has, and nobody counts them. It costs nothing
-- but where instances are deleted.
alter table run add column instances_gone int not null default 0;

create function task_instance_gone() returns trigger language plpgsql as $$
begin
    update run r set instances_gone = r.instances_gone + g.n
    from (select run_id, count(*) as n from gone group by run_id) g where r.id = g.run_id;
    return null;
end $$;
create trigger task_instance_gone after delete on task_instance referencing old table as gone
    for each statement execute function task_instance_gone();

-- Runs of all DAGs by time, and how many of a DAG are in which state. A run is written some four times in its life, and what both cost in all
-- of it is some ten microseconds.
-- The counts of instances are in the first, so that a sum over a long history reads it alone.
create index run_by_time on run (run_after, id) include (task_count, instances_gone);
create index run_by_state on run (dag_id, state);
-- The newest entries of all. The other index begins with the DAG.
create index audit_log_time on audit_log (at, id);
