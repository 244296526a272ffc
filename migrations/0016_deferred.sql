-- Tasks that the scheduler waits for itself: sensors of times and of other DAGs, and runs of other DAGs. Such an instance is `deferred`; it takes
-- no slot, and what is known of the wait is a row of a small table, as live_attempt is for what runs.
--
-- Adds only. Programs of the version before run on it: a DAG version that has such a task cannot be read by them, so they leave its runs alone.

-- Not valid: what is there was written under a stricter check, and need not be read.
alter table task_instance drop constraint task_instance_state_check, add constraint task_instance_state_check
    check (state in ('none', 'scheduled', 'queued', 'deferred', 'success', 'failed', 'up_for_retry', 'upstream_failed', 'skipped', 'removed')) not valid;

-- `scheduler` is what proves an end where nothing ran.
alter table attempt drop constraint attempt_success_has_evidence, add constraint attempt_success_has_evidence check (state <> 'success'
    or (evidence ->> 'runner' in ('manual', 'noop', 'scheduler')) is true
    or (evidence ->> 'exit_code' = '0' and evidence ? 'started_at' and evidence ? 'ended_at') is true) not valid;

-- What is deferred now. In the lock order it comes where live_attempt does. Who takes what is due moves `at` on, and so has it to itself for that
-- long: whoever dies with it, another one looks then.
create table deferred (
    run_id bigint not null references run (id) on delete cascade,
    idx int not null,
    map_index int not null,
    attempt int not null,
    queue text not null,
    pool text not null,
    slots int not null,
    since timestamptz not null default now(), -- when this attempt began to wait
    at timestamptz not null, -- when it is looked at again
    memo jsonb, -- what was done for it already: the run that it has made
    primary key (run_id, idx, map_index)
);
create index deferred_at on deferred (at);

drop function plan_commit(bigint[], bigint[], bigint[], bigint[], int[], int[], text[], text[], text[], text[], text[], int[], int[],
    bigint[], text[], text[], bigint[]);

-- plan-commit, as in 0002, and what begins or ends to be deferred by it.
create function plan_commit(
    p_run bigint[], p_epoch bigint[], p_seen bigint[],
    m_run bigint[], m_idx int[], m_map int[], m_from text[], m_to text[], m_reason text[], m_message text[],
    m_pool text[], m_prio int[], m_slots int[],
    e_run bigint[], e_state text[], e_reason text[],
    poke bigint[], m_queue text[] default '{}')
returns table (r_run bigint, r_base bigint, r_seq bigint, r_fresh boolean) language plpgsql as $$
#variable_conflict use_column
declare
    v_fresh bigint[];
    v_base_run bigint[];
    v_base_seq bigint[];
    v_after_run bigint[];
    v_after_seq bigint[];
    v_ended bigint[];
    v_done boolean;
begin
    if cardinality(e_run) = 0 then
        perform set_config('synchronous_commit', 'off', true);
    end if;
    perform 1 from run_seq where run_id = any (p_run || poke) order by run_id for no key update;
    select coalesce(array_agg(s.run_id), '{}') into v_fresh
    from run_seq s join unnest(p_run, p_epoch) as p (run_id, epoch) on p.run_id = s.run_id and p.epoch = s.epoch;
    select coalesce(array_agg(run_id), '{}'), coalesce(array_agg(seq), '{}') into v_base_run, v_base_seq from run_seq where run_id = any (v_fresh);

    -- What the planner saw is planned now; events that came since leave the run dirty.
    update run_seq s set planned = greatest(s.planned, p.seen)
    from unnest(p_run, p_seen) as p (run_id, seen) where s.run_id = p.run_id and s.run_id = any (v_fresh) and s.planned < p.seen;

    if cardinality(m_run) > 0 then
        with m as (
            select * from unnest(m_run, m_idx, m_map, m_from, m_to, m_reason, m_message, m_pool, m_prio, m_slots, m_queue)
                as m (run_id, idx, map_index, from_state, to_state, reason, message, pool, prio, slots, queue)
            where m.run_id = any (v_fresh)
        ), moved as (
            update task_instance t
            set state = m.to_state, reason = m.reason, message = m.message, not_before = null,
                -- What the scheduler waits for itself begins an attempt without an admission.
                attempt = case when m.to_state = 'deferred' then t.attempt + 1 else t.attempt end,
                started_at = case when m.to_state = 'deferred' then now()
                    when m.to_state in ('success', 'failed', 'skipped', 'upstream_failed') then coalesce(t.started_at, now()) else t.started_at end,
                ended_at = case when m.to_state in ('success', 'failed', 'skipped', 'upstream_failed') then now() else null end
            from m
            where t.run_id = m.run_id and t.idx = m.idx and t.map_index = m.map_index and t.state = m.from_state and t.intent is null
            returning t.run_id, t.idx, t.map_index, t.attempt, m.from_state, m.to_state, m.reason, m.message, m.pool, m.prio, m.slots, m.queue
        ), queue as (
            insert into ready (pool, run_id, idx, map_index, prio, slots)
            select pool, run_id, idx, map_index, prio, slots from moved where to_state = 'scheduled'
            on conflict (run_id, idx, map_index) do nothing
        ), unqueue as (
            delete from ready r using moved where moved.from_state = 'scheduled' and moved.to_state <> 'scheduled'
                and r.run_id = moved.run_id and r.idx = moved.idx and r.map_index = moved.map_index
        ), deferral as (
            insert into deferred as d (run_id, idx, map_index, attempt, queue, pool, slots, at)
            select run_id, idx, map_index, attempt, coalesce(queue, ''), pool, slots, now() from moved where to_state = 'deferred'
            -- What a program of the version before has cleared left its row.
            on conflict (run_id, idx, map_index) do update
                set attempt = excluded.attempt, queue = excluded.queue, pool = excluded.pool, slots = excluded.slots, since = now(), at = now(), memo = null
        ), cut_off as (
            delete from deferred d using moved where moved.from_state = 'deferred'
                and d.run_id = moved.run_id and d.idx = moved.idx and d.map_index = moved.map_index
            returning d.*, moved.to_state, moved.reason, moved.message
        ), closed as (
            insert into attempt (run_id, idx, map_index, attempt, state, reason, message, evidence, queue, pool, slots, started_at, ended_at)
            select run_id, idx, map_index, attempt, to_state, reason, message, '{"runner": "scheduler"}', queue, pool, slots, since, now() from cut_off
        ), heads as (
            insert into pool_run (pool, run_id, dag_id, vtime)
            select q.pool, q.run_id, run.dag_id, coalesce((select min(vtime) from pool_run h where h.pool = q.pool), 0)
            from (select distinct pool, run_id from moved where to_state = 'scheduled') q join run on run.id = q.run_id
            on conflict (pool, run_id) do nothing
        )
        select events_append(array_agg(run_id), array_agg(idx), array_agg(map_index), array_agg(attempt), array_agg(to_state), array_agg(reason), true) into v_done
        from (select * from moved order by run_id, idx, map_index) moved having count(*) > 0;
        if 'scheduled' = any (m_from) then
            perform heads_prune(v_fresh);
        end if;
    end if;

    if cardinality(e_run) > 0 then
        with ended as (
            update run set state = e.state, reason = e.reason, end_date = now(), last_scheduling_decision = now()
            from unnest(e_run, e_state, e_reason) as e (run_id, state, reason)
            where run.id = e.run_id and run.state = 'running' and run.id = any (v_fresh)
            returning run.id
        )
        select array_agg(id) into v_ended from ended;
        perform events_append(array_agg(e.run_id), array_agg(-1), array_agg(-1), array_agg(0), array_agg(null::text), array_agg('run ' || e.state), true)
        from unnest(e_run, e_state) as e (run_id, state) where e.run_id = any (v_ended) having count(*) > 0;
    end if;

    -- The numbers handed back end before the pokes: a run that is poked by the commit that plans it must find its poke in the next load.
    select coalesce(array_agg(run_id), '{}'), coalesce(array_agg(seq), '{}') into v_after_run, v_after_seq from run_seq where run_id = any (p_run);

    if cardinality(poke) > 0 then
        perform events_append(array_agg(s.run_id), array_agg(-1), array_agg(-1), array_agg(0), array_agg(null::text), array_agg('the run before moved'::text), false)
        from run_seq s where s.run_id = any (poke) having count(*) > 0;
    end if;

    -- A wide run fills tables that were small when the statements of every session were planned. Autovacuum would tell the planner of Postgres
    -- within a minute; until then each of them would read the whole table.
    if cardinality(m_run) >= 1000 then
        analyze ready;
        if to_regclass('event_' || to_char(current_date, 'YYYYMMDD')) is not null then
            execute format('analyze %I', 'event_' || to_char(current_date, 'YYYYMMDD'));
        end if;
    end if;

    return query select p.run_id, coalesce(b.seq, 0), coalesce(s.seq, 0), p.run_id = any (v_fresh)
    from unnest(p_run) as p (run_id) left join unnest(v_base_run, v_base_seq) as b (run_id, seq) on b.run_id = p.run_id
        left join unnest(v_after_run, v_after_seq) as s (run_id, seq) on s.run_id = p.run_id;
end $$;

-- As in 0002, and of what is deferred.
create or replace function intent_request(p_run bigint, p_idx int[], p_map int[], p_intent text, p_by text)
returns table (r_idx int, r_map int, r_was text, r_effect text, r_told uuid) language plpgsql as $$
#variable_conflict use_column
declare
    v record;
    v_target text;
    v_idx int[] := '{}';
    v_map int[] := '{}';
    v_attempt int[] := '{}';
begin
    v_target := case p_intent when 'clear' then 'none' when 'cancel' then 'failed' when 'mark_failed' then 'failed'
        when 'mark_success' then 'success' when 'skip' then 'skipped' end;
    perform 1 from run_seq where run_id = p_run for no key update;
    for v in
        select t.idx, t.map_index, t.state, t.attempt
        from task_instance t join unnest(p_idx, p_map) as k (idx, map_index) on t.run_id = p_run and t.idx = k.idx and t.map_index = k.map_index
        order by t.idx, t.map_index
    loop
        r_idx := v.idx; r_map := v.map_index; r_was := v.state; r_told := null;
        if v.state = 'queued' then
            -- The claim does not lock the instance: look at the attempt itself, under its lock.
            perform 1 from live_attempt where run_id = p_run and idx = v.idx and map_index = v.map_index for update;
            if exists (select 1 from live_attempt where run_id = p_run and idx = v.idx and map_index = v.map_index and state = 'running') then
                update task_instance set intent = p_intent, intent_by = p_by where run_id = p_run and idx = v.idx and map_index = v.map_index;
                select g.owner into r_told from live_attempt l join lease_group g on g.id = l.group_id
                where l.run_id = p_run and l.idx = v.idx and l.map_index = v.map_index;
                r_was := 'running'; r_effect := 'asked';
                return next;
                continue;
            end if;
            insert into attempt (run_id, idx, map_index, attempt, state, reason, message, evidence, queue, pool, slots, launch, queued_at, ended_at)
            select run_id, idx, map_index, attempt, 'failed', 'never_started', 'by ' || p_by || ': ' || replace(p_intent, '_', ' '),
                '{"runner": "manual"}', queue, pool, slots, launch, queued_at, now()
            from live_attempt where run_id = p_run and idx = v.idx and map_index = v.map_index;
            delete from live_attempt where run_id = p_run and idx = v.idx and map_index = v.map_index;
        elsif v.state = 'deferred' then
            -- Nobody but the scheduler has it, and what it does for it is done under this run's lock.
            with gone as (
                delete from deferred where run_id = p_run and idx = v.idx and map_index = v.map_index returning *
            )
            insert into attempt (run_id, idx, map_index, attempt, state, reason, message, evidence, queue, pool, slots, started_at, ended_at)
            select run_id, idx, map_index, attempt, case p_intent when 'skip' then 'skipped' else 'failed' end, p_intent,
                'by ' || p_by || ': ' || replace(p_intent, '_', ' '), '{"runner": "scheduler"}', queue, pool, slots, since, now()
            from gone;
        elsif v.state = 'scheduled' then
            delete from ready where run_id = p_run and idx = v.idx and map_index = v.map_index;
        elsif p_intent in ('cancel', 'skip') and v.state not in ('none', 'up_for_retry') then
            r_effect := 'nothing';
            return next;
            continue;
        end if;
        update task_instance set
            state = v_target, intent = null, intent_by = null, not_before = null,
            user_failures = case when p_intent = 'clear' then 0 else user_failures end,
            infra_failures = case when p_intent = 'clear' then 0 else infra_failures end,
            started_at = case when p_intent = 'clear' then null else coalesce(started_at, now()) end,
            ended_at = case when p_intent = 'clear' then null else coalesce(ended_at, now()) end,
            reason = case when p_intent = 'clear' then null else p_intent end,
            message = case when p_intent = 'clear' then null else 'by ' || p_by || ': ' || replace(p_intent, '_', ' ') end
        where run_id = p_run and idx = v.idx and map_index = v.map_index;
        if p_intent = 'clear' then
            delete from xcom where run_id = p_run and idx = v.idx and map_index = v.map_index;
        end if;
        v_idx := v_idx || v.idx; v_map := v_map || v.map_index; v_attempt := v_attempt || v.attempt;
        r_effect := 'done';
        return next;
    end loop;
    if cardinality(v_idx) = 0 then
        -- What was only asked changes nothing that a planner has seen: no new epoch, or a scheduler that stops a run which is out of time
        -- would throw away its own plan each time.
        return;
    end if;
    -- One step of seq for all: a row that is updated once for each of 100,000 instances gets slower with each.
    perform events_append(array_fill(p_run, array[cardinality(v_idx)]), v_idx, v_map, v_attempt, array_fill(v_target, array[cardinality(v_idx)]),
        array_fill(p_intent || ' by ' || p_by, array[cardinality(v_idx)]), false);
    -- Its own heads and the parked ones of its DAG, locked in one go: two steps would each be in order, and both together not.
    with heads as materialized (
        select pool, run_id from pool_run
        where run_id = p_run or (parked and dag_id = (select dag_id from run where id = p_run))
        order by pool, run_id for no key update
    )
    update pool_run h set parked = false from heads where h.pool = heads.pool and h.run_id = heads.run_id and h.parked;
    delete from pool_run h where h.run_id = p_run
        and (select true from ready r where r.pool = h.pool and r.run_id = h.run_id order by r.prio desc limit 1) is null;
    update run_seq set epoch = epoch + 1 where run_id = p_run;
end $$;

-- As in 0005, and of what is deferred.
create or replace function runs_clear(p_run bigint[], p_by text) returns void language plpgsql as $$
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
    delete from deferred where run_id = any (p_run);
    perform heads_prune(p_run);
    update run_seq set epoch = epoch + 1 where run_id = any (p_run);
end $$;

-- Takes what is due and gives it to the caller for a while.
create function deferred_take(p_limit int, p_lease interval)
returns table (r_run bigint, r_idx int, r_map int, r_attempt int, r_since timestamptz, r_memo jsonb, r_failures int, r_now timestamptz)
language plpgsql as $$
begin
    return query
    with k as materialized (
        select run_id, idx, map_index from deferred where at <= now() order by at limit p_limit for update skip locked
    ), taken as (
        update deferred d set at = now() + p_lease from k
        where d.run_id = k.run_id and d.idx = k.idx and d.map_index = k.map_index
        returning d.*
    )
    select d.run_id, d.idx, d.map_index, d.attempt, d.since, d.memo, coalesce(t.user_failures, 0), now()
    from taken d left join task_instance t on t.run_id = d.run_id and t.idx = d.idx and t.map_index = d.map_index
    order by d.run_id, d.idx, d.map_index;
end $$;

create type deferred_look as (
    run_id bigint, idx int, map_index int, attempt int, state text, reason text, message text, at timestamptz, live boolean);

-- What looks at deferred instances came to: each waits on, or its attempt ends. An instance that is no longer deferred, or is so in another
-- attempt, is left alone (`moved` false): of two that looked, and of a look and a person, the first wins.
create function deferred_commit(
    f_run bigint[], f_idx int[], f_map int[], f_attempt int[],
    f_state text[], -- deferred | success | skipped | failed | up_for_retry
    f_reason text[], f_message text[],
    f_at timestamptz[]) -- of deferred: the next look; of up_for_retry: the next attempt
returns table (r_run bigint, r_idx int, r_map int, r_moved boolean) language plpgsql as $$
#variable_conflict use_column
declare
    v_batch deferred_look[];
begin
    perform 1 from run_seq where run_id = any (f_run) order by run_id for no key update;
    perform 1 from deferred d join unnest(f_run, f_idx, f_map) as f (run_id, idx, map_index)
        on d.run_id = f.run_id and d.idx = f.idx and d.map_index = f.map_index
    order by d.run_id, d.idx, d.map_index for no key update of d;
    select array_agg(row (f.run_id, f.idx, f.map_index, f.attempt, f.state, f.reason, f.message, f.at,
        d.attempt is not null and t.state is not distinct from 'deferred' and t.attempt is not distinct from f.attempt)::deferred_look order by f.ord) into v_batch
    from unnest(f_run, f_idx, f_map, f_attempt, f_state, f_reason, f_message, f_at) with ordinality
        as f (run_id, idx, map_index, attempt, state, reason, message, at, ord)
    left join deferred d on d.run_id = f.run_id and d.idx = f.idx and d.map_index = f.map_index and d.attempt = f.attempt
    left join task_instance t on t.run_id = f.run_id and t.idx = f.idx and t.map_index = f.map_index;

    update deferred d set at = b.at from unnest(v_batch) b
    where b.live and b.state = 'deferred' and d.run_id = b.run_id and d.idx = b.idx and d.map_index = b.map_index;

    insert into attempt (run_id, idx, map_index, attempt, state, budget, reason, message, evidence, queue, pool, slots, started_at, ended_at)
    select b.run_id, b.idx, b.map_index, b.attempt, b.state, case when b.state in ('failed', 'up_for_retry') then 'user' end, b.reason, b.message,
        '{"runner": "scheduler"}', d.queue, d.pool, d.slots, d.since, now()
    from unnest(v_batch) b join deferred d on d.run_id = b.run_id and d.idx = b.idx and d.map_index = b.map_index
    where b.live and b.state <> 'deferred';

    update task_instance t set state = b.state, reason = b.reason, message = b.message,
        not_before = case when b.state in ('deferred', 'up_for_retry') then b.at end,
        user_failures = t.user_failures + case when b.state in ('failed', 'up_for_retry') then 1 else 0 end,
        ended_at = case when b.state <> 'deferred' then now() end
    from unnest(v_batch) b
    where b.live and t.run_id = b.run_id and t.idx = b.idx and t.map_index = b.map_index;

    -- Also of what is over: a row without its instance is nobody's.
    delete from deferred d using unnest(v_batch) b
    where (b.state <> 'deferred' or not b.live) and d.run_id = b.run_id and d.idx = b.idx and d.map_index = b.map_index and d.attempt = b.attempt;

    insert into due (kind, run_id, idx, map_index, at)
    select 'retry', run_id, idx, map_index, at from unnest(v_batch) where live and state = 'up_for_retry';

    perform events_append(array_agg(run_id), array_agg(idx), array_agg(map_index), array_agg(attempt), array_agg(state), array_agg(reason), false)
    from (select * from unnest(v_batch) where live and state <> 'deferred' order by run_id, idx, map_index) b having count(*) > 0;

    return query select b.run_id, b.idx, b.map_index, b.live from unnest(v_batch) b;
end $$;

-- Makes the run that a deferred instance asks for, once: that it was made is written with it. Results: `created`, now or before; `reset`, a run
-- of that name or date was cleared; `exists`, there is one; `gone`, the instance is no longer deferred in this attempt.
create function deferred_trigger(
    p_run bigint, p_idx int, p_map int, p_attempt int, p_dag text, p_run_id text, p_logical timestamptz, p_start timestamptz, p_end timestamptz,
    p_run_after timestamptz, p_conf jsonb, p_note text, p_user text, p_version bigint, p_reset boolean)
returns table (r_result text, r_made bigint, r_made_id text, r_told uuid[]) language plpgsql as $$
declare
    v_memo jsonb;
    v_there bigint;
    v_there_id text;
    v_over boolean;
begin
    r_told := '{}';
    select id, run_id into v_there, v_there_id from run
    where dag_id = p_dag and (run_id = p_run_id or logical_date = p_logical) order by (run_id = p_run_id) desc limit 1;
    if p_reset and v_there is not null then
        -- As run_reopen locks them: first the DAG.
        perform 1 from dag where dag_id = p_dag for no key update;
    end if;
    perform 1 from run_seq where run_id = p_run or (p_reset and run_id = v_there) order by run_id for no key update;
    select d.memo into v_memo from deferred d join task_instance t on t.run_id = d.run_id and t.idx = d.idx and t.map_index = d.map_index
    where d.run_id = p_run and d.idx = p_idx and d.map_index = p_map and d.attempt = p_attempt and t.state = 'deferred' and t.attempt = p_attempt
    for no key update of d;
    if not found then
        r_result := 'gone';
        return next;
        return;
    end if;
    if v_memo ? 'run' then
        r_result := 'created';
        r_made := (v_memo ->> 'run')::bigint;
        r_made_id := v_memo ->> 'run_id';
        return next;
        return;
    end if;
    if v_there is null then
        r_made := run_create(p_dag, p_run_id, 'operator_triggered', p_logical, p_start, p_end, p_run_after, p_conf, p_note, 'operator', p_user, p_version);
        r_made_id := p_run_id;
        r_result := 'created';
    elsif p_reset and v_there <> p_run then
        select array_agg(i.r_told) filter (where i.r_told is not null) into r_told
        from intent_request(v_there, (select array_agg(idx order by idx, map_index) from task_instance where run_id = v_there),
            (select array_agg(map_index order by idx, map_index) from task_instance where run_id = v_there), 'clear', 'TriggerDagRunOperator') i;
        r_told := coalesce(r_told, '{}');
        select state in ('success', 'failed') into v_over from run where id = v_there;
        if v_over then
            perform run_reopen(v_there);
        end if;
        r_made := v_there;
        r_made_id := v_there_id;
        r_result := 'reset';
    end if;
    if r_made is null then
        r_result := 'exists';
        r_made_id := coalesce(v_there_id, (select run_id from run where dag_id = p_dag and (run_id = p_run_id or logical_date = p_logical) limit 1));
        return next;
        return;
    end if;
    if r_result = 'created' and p_run_after > now() then
        insert into due (kind, run_id, at) values ('run_start', r_made, p_run_after);
    end if;
    update deferred set memo = jsonb_build_object('run', r_made, 'run_id', r_made_id)
    where run_id = p_run and idx = p_idx and map_index = p_map;
    insert into xcom (run_id, idx, map_index, key, value, attempt) values (p_run, p_idx, p_map, 'trigger_run_id', to_jsonb(r_made_id), p_attempt)
    on conflict (run_id, idx, map_index, key) do update set value = excluded.value, attempt = excluded.attempt, at = now();
    return next;
end $$;
