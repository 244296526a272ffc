-- A long history, straight into a database that has the migrations: what lists are measured on (tools/bench_lists.py).
--
--   psql "$DATABASE_URL" -v dags=1000 -v runs=100 -v tasks=20 -f tools/history.sql
--
-- `dags` DAGs of `tasks` tasks with `runs` runs each: by default 100,000 runs and 2,000,000 task instances, in some two minutes. The same
-- arguments give the same rows, dates included. It is for a database of its own: rows of the history are not meant to be run.
\set ON_ERROR_STOP on
\if :{?dags} \else \set dags 1000 \endif
\if :{?runs} \else \set runs 100 \endif
\if :{?tasks} \else \set tasks 20 \endif
\timing off
-- Nothing here is worth waiting for the disk.
set synchronous_commit = off;
set maintenance_work_mem = '256MB';

begin;

insert into pool (name, slots, description) select 'pool_' || n, 32, 'of the history' from generate_series(0, 4) n;

-- One in ten DAGs is paused, one in ten has no schedule, one in fifty names a pool that does not exist.
insert into dag_version (dag_id, number, hash, spec, source, task_count, created_at)
select format('team_%s_dag_%s', lpad((n % 20)::text, 2, '0'), lpad(n::text, 4, '0')), 1, md5(n::text),
       jsonb_build_object(
           'dag_id', format('team_%s_dag_%s', lpad((n % 20)::text, 2, '0'), lpad(n::text, 4, '0')),
           'display_name', case when n % 3 = 0 then format('The job %s of team %s', n, n % 20) else format('Job %s', n) end,
           'description', 'A DAG of the history',
           'tags', jsonb_build_array('team_' || n % 20, 'tier_' || n % 3),
           'schedule', case when n % 10 = 9 then '{"kind": "none"}'::jsonb else '{"kind": "cron", "expressions": ["0 * * * *"]}'::jsonb end,
           'start_date', '2026-01-01T00:00:00Z',
           'tasks', (select jsonb_agg(jsonb_build_object(
                        'task_id', format('step_%s', lpad(t::text, 3, '0')),
                        'operator', case when t = :tasks - 1 then 'EmptyOperator' else 'BashOperator' end,
                        'run', case when t = :tasks - 1 then '{"kind": "empty"}'::jsonb
                               else jsonb_build_object('kind', 'bash', 'bash_command', format('echo step %s of {{ ds }} && ./work --shard %s', t, t)) end,
                        'owner', 'owner_' || (n + t) % 30, 'pool', case when n % 50 = 7 then 'pool_gone' when t % 7 = 0 then 'pool_' || n % 5 else 'default_pool' end,
                        'upstream', case when t = 0 then '[]'::jsonb else jsonb_build_array(format('step_%s', lpad((t - 1)::text, 3, '0'))) end) order by t)
                     from generate_series(0, :tasks - 1) t))::text,
       repeat(format(E'# DAG %s of the history\n', n), 100), :tasks, '2026-01-01T00:00:00Z'
from generate_series(0, :dags - 1) n;

insert into dag (dag_id, version_id, bundle, relative_fileloc, fileloc, is_paused, last_parsed_at, last_parse_ms, timetable_summary,
                 timetable_description, max_active_runs, created_at)
select v.dag_id, v.id, 'dags-folder', v.dag_id || '.py', '/dags/' || v.dag_id || '.py', v.id % 10 = 3, '2026-06-01T00:00:00Z', 12,
       case when v.spec like '%"kind": "none"%' then 'None' else '0 * * * *' end, '', 16, '2026-01-01T00:00:00Z'
from dag_version v;

insert into import_error (bundle, relative_fileloc, message, at)
select 'dags-folder', 'broken_' || n || '.py', 'NameError: name ''x'' is not defined', '2026-06-01T00:00:00Z' from generate_series(1, 20) n;

-- Runs come hour by hour over all DAGs, as they do. Of a hundred, ten failed; every fortieth of the last hour is still running.
insert into run (dag_id, run_id, version_id, run_type, state, logical_date, data_interval_start, data_interval_end, run_after, queued_at,
                 start_date, end_date, conf, triggered_by, triggering_user_name, task_count)
select v.dag_id, case when m.manual then 'manual__' else 'scheduled__' end || to_char(m.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') || '+00:00', v.id,
       case when m.manual then 'manual' else 'scheduled' end,
       case when m.live then 'running' when m.bad then 'failed' else 'success' end,
       m.at, m.at, m.at + interval '1 hour', m.at, m.at, m.at + interval '1 second',
       case when not m.live then m.at + interval '1 second' + (60 + v.id % 240) * interval '1 second' end,
       case when m.manual then jsonb_build_object('n', h) else '{}' end, case when m.manual then 'rest_api' else 'timetable' end,
       case when m.manual then 'user_' || v.id % 50 end, :tasks
from generate_series(0, :runs - 1) h, dag_version v,
     lateral (select timestamptz '2026-01-01T00:00:00Z' + h * interval '1 hour' + v.id % 600 * interval '1 second' as at, (v.id + h) % 20 = 0 as manual,
                     (v.id * 7 + h * 3) % 10 = 0 as bad, h = :runs - 1 and v.id % 40 = 0 as live) m
order by h, v.id;

insert into run_seq (run_id, seq, planned) select id, :tasks * 3, :tasks * 3 from run;

-- A run that failed failed at one task, and those after it are upstream_failed; a running one has come half its way; here and there a task is
-- skipped. The last task has no work, and so no attempt.
insert into task_instance (run_id, idx, state, attempt, user_failures, started_at, ended_at, reason)
select r.id, t, s.state, s.attempt, case when s.state = 'failed' then 1 else 0 end,
       case when s.state in ('success', 'failed', 'skipped', 'upstream_failed') then r.start_date + t * interval '3 seconds' end,
       case when s.state in ('success', 'failed', 'skipped', 'upstream_failed') then r.start_date + (t + 1) * interval '3 seconds' end,
       case when s.state = 'failed' then 'exit_code' end
from run r, generate_series(0, :tasks - 1) t,
     lateral (select r.id % (:tasks - 1) as at, :tasks / 2 as half) b,
     lateral (select case when r.state = 'running' then case when t < b.half then 'success' when t = b.half then 'queued' else 'none' end
                          when r.state = 'failed' then case when t < b.at then 'success' when t = b.at then 'failed' else 'upstream_failed' end
                          when (r.id + t) % 97 = 0 and t < :tasks - 1 then 'skipped' else 'success' end as state) c,
     lateral (select c.state, case when t = :tasks - 1 or c.state in ('none', 'upstream_failed', 'skipped') then 0 else 1 end as attempt) s
order by r.id, t;

select runs_tally();

insert into attempt (run_id, idx, map_index, attempt, state, budget, reason, evidence, host, queue, pool, slots, launch, queued_at, started_at, ended_at)
select t.run_id, t.idx, -1, 1, t.state, case when t.state = 'failed' then 'user' end, t.reason,
       jsonb_build_object('runner', 'process', 'exit_code', case when t.state = 'failed' then 1 else 0 end, 'started_at', t.started_at, 'ended_at', t.ended_at),
       'host-' || t.run_id % 8, 'default', 'default_pool', 1, '{"kind": "bash", "command": "echo step && ./work", "env": {"AIRFLOW_CTX_TRY_NUMBER": "1"}}',
       t.started_at - interval '100 milliseconds', t.started_at, t.ended_at
from task_instance t where t.attempt = 1 and t.state in ('success', 'failed');

insert into lease_group (id, owner, host) values ('00000000-0000-0000-0000-000000000001', null, 'host-0');
insert into live_attempt (run_id, idx, map_index, attempt, state, queue, pool, slots, prio, group_id, host, user_retries_left, user_retry_delay_ms,
                          infra_retries_left, infra_retry_delay_ms, launch, queued_at, started_at)
select t.run_id, t.idx, -1, 1, 'running', 'default', 'default_pool', 1, 1, '00000000-0000-0000-0000-000000000001', 'host-0', 0, 0, 0, 0, '{}',
       r.start_date, r.start_date + interval '1 second'
from task_instance t join run r on r.id = t.run_id where r.state = 'running' and t.state = 'queued';

insert into xcom (run_id, idx, map_index, key, value, attempt, at)
select t.run_id, t.idx, -1, 'return_value', jsonb_build_object('rows', t.run_id % 1000), 1, t.ended_at
from task_instance t where t.idx in (0, 5) and t.state = 'success';

insert into audit_log (at, who, event, dag_id, run_id, logical_date)
select r.queued_at, coalesce(r.triggering_user_name, 'anonymous'), case when r.run_type = 'manual' then 'trigger_dag_run' else 'patch_dag_run' end,
       r.dag_id, r.run_id, r.logical_date
from run r order by r.id;

commit;
vacuum analyze;
select (select count(*) from dag) as dags, (select count(*) from run) as runs, (select count(*) from task_instance) as task_instances,
       (select count(*) from attempt) as attempts, pg_size_pretty(pg_database_size(current_database())) as size;
