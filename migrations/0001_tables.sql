-- The tables of Updraft. Postgres is the only truth (I10): whatever else exists can be rebuilt from here.
--
-- Hot and cold are apart. `task_instance` has no index that names a changing column, so that its updates stay in the page (HOT);
-- what a queue needs is in the small tables `ready` and `live_attempt`, which hold only what waits or runs now.
--
-- Lock order of every writer: lease_group, pool, dag, run_seq, task_instance, live_attempt, ready. All writers of a run's
-- instances hold its run_seq row. The claim takes live_attempt alone.

create table installation (
    id uuid primary key,
    created_at timestamptz not null default now()
);
insert into installation (id) values (gen_random_uuid());

create table pool (
    name text primary key,
    slots int not null check (slots >= -1), -- -1: without limit
    description text,
    include_deferred boolean not null default false
);
insert into pool (name, slots, description) values ('default_pool', 128, 'Default pool');

create table dag_version (
    id bigint generated always as identity primary key,
    uuid uuid not null default gen_random_uuid(),
    dag_id text not null,
    number int not null,
    hash text not null,
    git_commit text,
    spec text not null,   -- canonical JSON of model::DagSpec
    source text not null, -- the file as it was read
    task_count int not null,
    dagrun_timeout_ms bigint, -- of the spec, where runs_start needs it
    created_at timestamptz not null default now(),
    unique (dag_id, hash),
    unique (dag_id, number)
);

create table dag (
    dag_id text primary key,
    version_id bigint not null references dag_version (id),
    bundle text not null,
    relative_fileloc text not null,
    fileloc text not null,
    is_paused boolean not null,
    is_stale boolean not null default false, -- its file no longer has it
    last_parsed_at timestamptz not null,
    last_parse_ms double precision not null default 0,
    timetable_summary text not null default '',
    timetable_description text not null default '',
    max_active_runs int not null,
    -- The cursor of automated runs: the last slot that was taken, and the next one. Moved in the transaction that inserts the run.
    last_logical_date timestamptz,
    last_interval_start timestamptz,
    last_interval_end timestamptz,
    last_run_after timestamptz,
    next_logical_date timestamptz,
    next_interval_start timestamptz,
    next_interval_end timestamptz,
    next_run_after timestamptz,
    runs_capped boolean not null default false, -- max_active_runs stands in the way of the next slot
    created_at timestamptz not null default now()
);
create index dag_next on dag (next_run_after) where not is_paused and not is_stale and not runs_capped;

create table import_error (
    id bigint generated always as identity primary key,
    bundle text not null,
    relative_fileloc text not null,
    message text not null,
    at timestamptz not null default now(),
    unique (bundle, relative_fileloc)
);

create table run (
    id bigint generated always as identity primary key,
    dag_id text not null,
    run_id text not null,
    version_id bigint not null references dag_version (id),
    run_type text not null check (run_type in ('scheduled', 'manual', 'backfill', 'operator_triggered', 'asset_triggered', 'asset_materialization')),
    state text not null check (state in ('queued', 'running', 'success', 'failed')),
    logical_date timestamptz,
    data_interval_start timestamptz,
    data_interval_end timestamptz,
    run_after timestamptz not null,
    queued_at timestamptz not null default now(),
    start_date timestamptz,
    end_date timestamptz,
    conf jsonb not null default '{}',
    note text,
    triggered_by text not null,
    triggering_user_name text,
    reason text,
    last_scheduling_decision timestamptz,
    attempt_base int not null default 0, -- attempts of an earlier run of this name: numbers are never used twice
    task_count int not null,
    unique (dag_id, run_id),
    unique (dag_id, logical_date) -- I8
);
create index run_active on run (dag_id, run_after) where state in ('queued', 'running');
create index run_recent on run (dag_id, run_after desc);

-- Narrow and hot: one update per batch of events of a run.
create table run_seq (
    run_id bigint primary key references run (id) on delete cascade,
    seq bigint not null default 0,     -- of the last event
    planned bigint not null default 0, -- up to which the planner has looked: seq > planned is the durable mark that it must
    epoch bigint not null default 0    -- bumped by what is not monotone: clear, mark, expansion
) with (fillfactor = 10);
create index run_dirty on run_seq (run_id) where seq > planned;

create table task_instance (
    run_id bigint not null,
    idx int not null,
    map_index int not null default -1,
    state text not null default 'none' check (state in ('none', 'scheduled', 'queued', 'success', 'failed', 'up_for_retry', 'upstream_failed', 'skipped', 'removed')),
    attempt int not null default 0,
    user_failures int not null default 0,
    infra_failures int not null default 0,
    intent text check (intent in ('cancel', 'clear', 'mark_success', 'mark_failed', 'skip')),
    intent_by text,
    not_before timestamptz,
    started_at timestamptz,
    ended_at timestamptz,
    reason text,
    message text,
    note text,
    primary key (run_id, idx, map_index),
    -- I4: a state that says "it ran" comes with the time when it ended.
    check (state not in ('success', 'failed') or ended_at is not null)
) with (fillfactor = 70);

create table ready (
    pool text not null,
    run_id bigint not null,
    idx int not null,
    map_index int not null,
    prio int not null,
    slots int not null,
    since timestamptz not null default now(),
    primary key (run_id, idx, map_index)
);
create index ready_heads on ready (pool, run_id, prio desc, idx, map_index);

-- The heads of fair admission: one row per pool and run that has something ready. vtime is what the run has been given so far.
create table pool_run (
    pool text not null,
    run_id bigint not null,
    dag_id text not null,
    vtime bigint not null,
    parked boolean not null default false, -- a limit of its run or DAG stands in the way; an end of one of its tasks unparks it
    primary key (pool, run_id)
);
create index pool_run_heads on pool_run (pool, vtime) where not parked;
create index pool_run_dag on pool_run (dag_id) where parked;

create table lease_group (
    id uuid primary key,
    owner uuid,          -- the worker that watches it; null: handed over
    epoch bigint not null default 1,
    beat bigint not null default 0,
    host text not null
);
create index lease_group_owner on lease_group (owner);

create table worker (
    id uuid primary key,
    host text not null,
    pid int not null,
    runner text not null,
    queues text[] not null,
    concurrency int not null,
    state text not null default 'running',
    started_at timestamptz not null default now(),
    last_heartbeat timestamptz not null default now()
);

create table scheduler (
    id uuid primary key,
    host text not null,
    pid int not null,
    started_at timestamptz not null default now(),
    last_heartbeat timestamptz not null default now(),
    dags_status jsonb not null default '{}'
);

-- Only what is queued or running now. The key is the instance: two live attempts of one instance cannot exist (I3).
create table live_attempt (
    run_id bigint not null,
    idx int not null,
    map_index int not null,
    attempt int not null,
    state text not null default 'queued' check (state in ('queued', 'running')),
    queue text not null,
    pool text not null,
    slots int not null,
    prio int not null,
    group_id uuid,
    host text,
    handle text, -- write-once per attempt: the pod's uid
    detail text, -- where it stands before its command runs, for people: ImagePullBackOff: …
    user_retries_left int not null,
    user_retry_delay_ms bigint not null,
    infra_retries_left int not null,
    infra_retry_delay_ms bigint not null,
    launch text not null, -- JSON of model::LaunchSpec
    queued_at timestamptz not null default now(),
    started_at timestamptz,
    primary key (run_id, idx, map_index),
    check (state = 'queued' or group_id is not null)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
create index live_queued on live_attempt (queue, prio desc, queued_at) where state = 'queued';
create index live_group on live_attempt (group_id);
create index live_pool on live_attempt (pool) include (slots);

-- Attempts that are over: written once, never changed.
create table attempt (
    run_id bigint not null,
    idx int not null,
    map_index int not null,
    attempt int not null,
    state text not null,
    budget text,
    reason text,
    message text,
    evidence jsonb not null,
    host text,
    queue text not null,
    pool text not null,
    slots int not null,
    launch text,
    queued_at timestamptz,
    started_at timestamptz,
    ended_at timestamptz not null,
    primary key (run_id, idx, map_index, attempt),
    -- I4: a success of the system carries exit code 0 and both times. Said so that what is absent is refused: a CHECK lets null pass.
    constraint attempt_success_has_evidence check (state <> 'success'
        or (evidence ->> 'runner' in ('manual', 'noop')) is true
        or (evidence ->> 'exit_code' = '0' and evidence ? 'started_at' and evidence ? 'ended_at') is true)
);

-- Everything that happened to a run, in order and without gaps: seq is taken under the run_seq lock.
create table event (
    run_id bigint not null,
    seq bigint not null,
    idx int not null, -- -1: the run itself
    map_index int not null,
    attempt int not null,
    state text, -- null: nothing changed, look again
    reason text,
    at timestamptz not null default now(),
    day date not null default current_date,
    primary key (run_id, seq, day)
) partition by range (day);
create table event_default partition of event default;

create table due (
    id bigint generated always as identity primary key,
    kind text not null check (kind in ('retry', 'run_timeout', 'run_start')),
    run_id bigint not null,
    idx int not null default -1,
    map_index int not null default -1,
    at timestamptz not null
);
create index due_at on due (at);

create table xcom (
    run_id bigint not null,
    idx int not null,
    map_index int not null,
    key text not null,
    value jsonb not null,
    attempt int not null,
    at timestamptz not null default now(),
    primary key (run_id, idx, map_index, key)
);

create table log_chunk (
    run_id bigint not null,
    idx int not null,
    map_index int not null,
    attempt int not null,
    start bigint not null, -- offset of its first byte in the attempt's log
    data bytea not null,
    cursor text, -- the runner's own mark of where this chunk ends, where bytes cannot be counted at the source
    at timestamptz not null default now(),
    day date not null default current_date,
    primary key (run_id, idx, map_index, attempt, start, day)
) partition by range (day);
create table log_chunk_default partition of log_chunk default;

-- The numbers of attempts of deleted runs, so that a new run of the same name goes on counting.
create table attempt_tombstone (
    dag_id text not null,
    run_id text not null,
    max_attempt int not null,
    primary key (dag_id, run_id)
);

create table audit_log (
    id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    who text not null,
    event text not null,
    dag_id text,
    run_id text,
    task_id text,
    map_index int,
    try_number int,
    logical_date timestamptz,
    extra jsonb
);
create index audit_log_dag on audit_log (dag_id, at desc);
