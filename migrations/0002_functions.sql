-- The writers of a run's state. Each is one function, so that no lock is held while a client thinks, and each step is a statement of
-- its own, because a statement's snapshot is older than the locks that it waits for.
--
-- No other code may write task_instance.state (a test greps for it).

-- Appends events to runs whose run_seq rows the caller has locked, and moves seq. A run that was planned up to its last event stays
-- planned when p_quiet, because the events are the planner's own.
create function events_append(p_run bigint[], p_idx int[], p_map int[], p_attempt int[], p_state text[], p_reason text[], p_quiet boolean)
returns boolean language plpgsql as $$
begin
    with e as (
        select e.*, row_number() over (partition by e.run_id order by e.ord) as n
        from unnest(p_run, p_idx, p_map, p_attempt, p_state, p_reason) with ordinality as e (run_id, idx, map_index, attempt, state, reason, ord)
    ), written as (
        insert into event (run_id, seq, idx, map_index, attempt, state, reason)
        select e.run_id, s.seq + e.n, e.idx, e.map_index, e.attempt, e.state, e.reason
        from e join run_seq s on s.run_id = e.run_id
    ), k as (select run_id, count(*) as n from e group by run_id)
    update run_seq s
    set seq = s.seq + k.n,
        planned = case when p_quiet and s.planned = s.seq then s.seq + k.n else s.planned end
    from k where s.run_id = k.run_id;
    return true;
end $$;

-- Takes runs in which nothing waits any more out of the heads of fair admission. A head without an instance would hold one of the few places
-- that admission looks at. Whoever writes several rows of pool_run locks all of them at once, in order of its key, since an end unparks the
-- heads of other runs, whose run_seq it does not hold.
create function heads_prune(p_run bigint[]) returns void language plpgsql as $$
begin
    perform 1 from pool_run where run_id = any (p_run) order by pool, run_id for no key update;
    -- By the first of the index: `not exists` becomes a join, and a limit without an order a scan. Both read all that waits to find that something does.
    delete from pool_run h where h.run_id = any (p_run)
        and (select true from ready r where r.pool = h.pool and r.run_id = h.run_id order by r.prio desc limit 1) is null;
end $$;

-- Lets the parked heads of DAGs be looked at again.
create function heads_unpark(p_dag text[]) returns void language sql as $$
    with parked as materialized (
        select pool, run_id from pool_run where parked and dag_id = any (p_dag) order by pool, run_id for no key update
    )
    update pool_run h set parked = false from parked where h.pool = parked.pool and h.run_id = parked.run_id;
$$;

-- plan-commit. Moves of a run whose epoch has changed are dropped (`fresh` false: load it again); a move whose instance is no longer in
-- `m_from`, or has an intent, is dropped alone. May be lost in a crash, since it can be derived again: asynchronous unless a run ends.
create function plan_commit(
    p_run bigint[], p_epoch bigint[], p_seen bigint[],
    m_run bigint[], m_idx int[], m_map int[], m_from text[], m_to text[], m_reason text[], m_message text[],
    m_pool text[], m_prio int[], m_slots int[],
    e_run bigint[], e_state text[], e_reason text[],
    poke bigint[])
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
            select * from unnest(m_run, m_idx, m_map, m_from, m_to, m_reason, m_message, m_pool, m_prio, m_slots)
                as m (run_id, idx, map_index, from_state, to_state, reason, message, pool, prio, slots)
            where m.run_id = any (v_fresh)
        ), moved as (
            update task_instance t
            set state = m.to_state, reason = m.reason, message = m.message, not_before = null,
                started_at = case when m.to_state in ('success', 'failed', 'skipped', 'upstream_failed') then coalesce(t.started_at, now()) else t.started_at end,
                ended_at = case when m.to_state in ('success', 'failed', 'skipped', 'upstream_failed') then now() else null end
            from m
            where t.run_id = m.run_id and t.idx = m.idx and t.map_index = m.map_index and t.state = m.from_state and t.intent is null
            returning t.run_id, t.idx, t.map_index, t.attempt, m.from_state, m.to_state, m.reason, m.pool, m.prio, m.slots
        ), queue as (
            insert into ready (pool, run_id, idx, map_index, prio, slots)
            select pool, run_id, idx, map_index, prio, slots from moved where to_state = 'scheduled'
            on conflict (run_id, idx, map_index) do nothing
        ), unqueue as (
            delete from ready r using moved where moved.from_state = 'scheduled' and moved.to_state <> 'scheduled'
                and r.run_id = moved.run_id and r.idx = moved.idx and r.map_index = moved.map_index
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

-- admit: takes candidates in the given order while the pool has slots and no limit of their run, DAG or task stands in the way (I9).
-- The limits are counted here, under the locks of their owners; the order was decided by planner::admit.
create function admit_commit(
    p_pool text, p_now timestamptz,
    c_run bigint[], c_idx int[], c_map int[], c_attempt int[], c_queue text[], c_launch text[],
    c_user_left int[], c_user_delay bigint[], c_infra_left int[], c_infra_delay bigint[],
    c_run_limit int[], c_dag text[], c_dag_limit int[], c_task_limit int[])
returns table (r_run bigint, r_idx int, r_map int, r_attempt int, r_queue text, r_base bigint, r_seq bigint) language plpgsql as $$
#variable_conflict use_column
declare
    v_slots int;
    v_free bigint;
    v_base_run bigint[];
    v_base_seq bigint[];
begin
    perform set_config('synchronous_commit', 'off', true);
    select slots into v_slots from pool where name = p_pool for no key update;
    if v_slots is null then
        return;
    end if;
    perform 1 from dag where dag_id = any (select d from unnest(c_dag, c_dag_limit, c_task_limit) as l (d, a, b) where a is not null or b is not null)
        order by dag_id for no key update;
    perform 1 from run_seq where run_id = any (c_run) order by run_id for no key update;
    if v_slots < 0 then
        v_free := 2147483647;
    else
        select v_slots - coalesce(sum(slots), 0) into v_free from live_attempt where pool = p_pool;
    end if;

    select array_agg(run_id), array_agg(seq) into v_base_run, v_base_seq from run_seq where run_id = any (c_run);
    perform 1 from pool_run where pool = p_pool and run_id = any (c_run) order by run_id for no key update;

    return query
    with c as (
        select c.*, r.slots, r.prio
        from unnest(c_run, c_idx, c_map, c_attempt, c_queue, c_launch, c_user_left, c_user_delay, c_infra_left, c_infra_delay,
                    c_run_limit, c_dag, c_dag_limit, c_task_limit)
            with ordinality as c (run_id, idx, map_index, attempt, queue, launch, user_left, user_delay, infra_left, infra_delay,
                                  run_limit, dag_id, dag_limit, task_limit, ord)
        -- What is larger than the whole pool never fits: it waits for a larger pool and stands in nobody's way.
        join ready r on r.run_id = c.run_id and r.idx = c.idx and r.map_index = c.map_index and r.pool = p_pool and (v_slots < 0 or r.slots <= v_slots)
        join task_instance t on t.run_id = c.run_id and t.idx = c.idx and t.map_index = c.map_index
            and t.state = 'scheduled' and t.attempt = c.attempt - 1 and t.intent is null
    ), live_run as (
        select run_id, count(*) as n from live_attempt where run_id = any (c_run) group by run_id
    ), live_dag as (
        select run.dag_id, count(*) as n from live_attempt l join run on run.id = l.run_id
        where run.dag_id in (select dag_id from c where dag_limit is not null) group by run.dag_id
    ), live_task as (
        select run.dag_id, l.idx, count(*) as n from live_attempt l join run on run.id = l.run_id
        where run.dag_id in (select dag_id from c where task_limit is not null) group by run.dag_id, l.idx
    ), within as (
        select c.*,
            coalesce(lr.n, 0) + row_number() over (partition by c.run_id order by c.ord) as in_run,
            coalesce(ld.n, 0) + row_number() over (partition by c.dag_id order by c.ord) as in_dag,
            coalesce(lt.n, 0) + row_number() over (partition by c.dag_id, c.idx order by c.ord) as in_task
        from c left join live_run lr on lr.run_id = c.run_id
            left join live_dag ld on ld.dag_id = c.dag_id
            left join live_task lt on lt.dag_id = c.dag_id and lt.idx = c.idx
    ), open as (
        select *, sum(slots) over (order by ord) as used from within
        where (run_limit is null or in_run <= run_limit) and (dag_limit is null or in_dag <= dag_limit)
            and (task_limit is null or in_task <= task_limit)
    ), chosen as (
        select * from open where used <= v_free
    ), parked as (
        -- Whoever met a limit of its own is left out of the heads until one of its DAG's tasks ends.
        update pool_run h set parked = true
        where h.pool = p_pool and h.run_id in (
            select w.run_id from within w group by w.run_id
            having bool_and((w.run_limit is not null and w.in_run > w.run_limit) or (w.dag_limit is not null and w.in_dag > w.dag_limit)
                            or (w.task_limit is not null and w.in_task > w.task_limit)))
    ), moved as (
        update task_instance t set state = 'queued', attempt = chosen.attempt, reason = null, message = null, started_at = null, ended_at = null
        from chosen where t.run_id = chosen.run_id and t.idx = chosen.idx and t.map_index = chosen.map_index
    ), taken as (
        delete from ready r using chosen where r.run_id = chosen.run_id and r.idx = chosen.idx and r.map_index = chosen.map_index
    ), live as (
        insert into live_attempt (run_id, idx, map_index, attempt, queue, pool, slots, prio,
                                  user_retries_left, user_retry_delay_ms, infra_retries_left, infra_retry_delay_ms, launch)
        select run_id, idx, map_index, attempt, queue, p_pool, slots, prio, user_left, user_delay, infra_left, infra_delay, launch from chosen
    ), charged as (
        update pool_run h set vtime = h.vtime + n.n
        from (select run_id, sum(slots) as n from chosen group by run_id) n
        where h.pool = p_pool and h.run_id = n.run_id
    ), logged as (
        select events_append(array_agg(run_id), array_agg(idx), array_agg(map_index), array_agg(attempt), array_agg('queued'::text), array_agg(null::text), true)
        from (select * from chosen order by run_id, idx, map_index) x having count(*) > 0
    )
    select x.run_id, x.idx, x.map_index, x.attempt, x.queue, b.seq,
        b.seq + count(*) over (partition by x.run_id)
    from chosen x join unnest(v_base_run, v_base_seq) as b (run_id, seq) on b.run_id = x.run_id left join logged on true
    order by x.ord;

    delete from pool_run h where h.pool = p_pool and h.run_id = any (c_run)
        and (select true from ready r where r.pool = h.pool and r.run_id = h.run_id order by r.prio desc limit 1) is null;
end $$;

-- An instance that cannot be rendered fails without an attempt.
create function admit_reject(p_run bigint, p_idx int, p_map int, p_reason text, p_message text) returns boolean language plpgsql as $$
declare
    v_attempt int;
begin
    perform 1 from run_seq where run_id = p_run for no key update;
    update task_instance set state = 'failed', reason = p_reason, message = p_message, started_at = now(), ended_at = now()
    where run_id = p_run and idx = p_idx and map_index = p_map and state = 'scheduled' returning attempt into v_attempt;
    if v_attempt is null then
        return false;
    end if;
    delete from ready where run_id = p_run and idx = p_idx and map_index = p_map;
    perform heads_prune(array[p_run]);
    perform events_append(array[p_run], array[p_idx], array[p_map], array[v_attempt], array['failed'], array[p_reason], false);
    return true;
end $$;

create type finish_row as (
    run_id bigint, idx int, map_index int, attempt int, verdict text, budget text, reason text, message text, evidence jsonb,
    started timestamptz, ended timestamptz, xcom jsonb, live boolean, state text, not_before timestamptz, intent text);

-- finish: the end of attempts, by their evidence. Idempotent: an attempt that is already closed is 'already', one that never was is
-- 'unknown', one that is bound to another object is 'refused'. The state follows from the intent, if there is one, else from the verdict and what is left of its budget.
create function attempt_finish(
    f_run bigint[], f_idx int[], f_map int[], f_attempt int[],
    f_verdict text[], -- success | skipped | failed
    f_budget text[], f_reason text[], f_message text[], f_evidence jsonb[],
    f_started timestamptz[], f_ended timestamptz[], f_xcom jsonb[])
returns table (r_run bigint, r_idx int, r_map int, r_attempt int, r_result text, r_state text, r_not_before timestamptz) language plpgsql as $$
#variable_conflict use_column
declare
    v_batch finish_row[];
begin
    perform 1 from run_seq where run_id = any (f_run) order by run_id for no key update;
    -- Against a bind, which takes no lock on the run: what an end without an object closes must not get one meanwhile.
    perform 1 from live_attempt l join unnest(f_run, f_idx, f_map) as f (run_id, idx, map_index)
        on l.run_id = f.run_id and l.idx = f.idx and l.map_index = f.map_index
    order by l.run_id, l.idx, l.map_index for no key update of l;
    select array_agg(row (f.run_id, f.idx, f.map_index, f.attempt, f.verdict, f.budget, f.reason, f.message, f.evidence, f.started, f.ended, f.xcom,
        l.attempt is not null and f.nth = 1
            -- A pod's end counts only for the pod that is bound (I2, I4); an attempt without one may end without one.
            and (f.evidence ->> 'runner' is distinct from 'kubernetes' or f.evidence ->> 'handle' is not distinct from l.handle),
        case when l.attempt is null then t.state else case t.intent
            when 'clear' then 'none' when 'cancel' then 'failed' when 'mark_failed' then 'failed'
            when 'mark_success' then 'success' when 'skip' then 'skipped'
            else case
                when f.verdict = 'success' then 'success'
                when f.verdict = 'skipped' then 'skipped'
                when f.budget = 'user' and l.user_retries_left > 0 then 'up_for_retry'
                when f.budget = 'infra' and l.infra_retries_left > 0 then 'up_for_retry'
                else 'failed' end
        end end,
        case when f.verdict = 'failed' and t.intent is null and f.budget = 'user' and l.user_retries_left > 0
                then now() + l.user_retry_delay_ms * interval '1 millisecond'
             when f.verdict = 'failed' and t.intent is null and f.budget = 'infra' and l.infra_retries_left > 0
                then now() + l.infra_retry_delay_ms * interval '1 millisecond' end,
        t.intent)::finish_row order by f.ord) into v_batch
    from (
        -- An attempt that is in the batch twice (claimed, and seen again by an adoption) ends once.
        select f.*, row_number() over (partition by f.run_id, f.idx, f.map_index, f.attempt order by f.ord) as nth
        from unnest(f_run, f_idx, f_map, f_attempt, f_verdict, f_budget, f_reason, f_message, f_evidence, f_started, f_ended, f_xcom)
            with ordinality as f (run_id, idx, map_index, attempt, verdict, budget, reason, message, evidence, started, ended, xcom, ord)
    ) f
    left join live_attempt l on l.run_id = f.run_id and l.idx = f.idx and l.map_index = f.map_index and l.attempt = f.attempt
    left join task_instance t on t.run_id = f.run_id and t.idx = f.idx and t.map_index = f.map_index;

    insert into attempt (run_id, idx, map_index, attempt, state, budget, reason, message, evidence, host, queue, pool, slots, launch, queued_at, started_at, ended_at)
    select b.run_id, b.idx, b.map_index, b.attempt,
        -- A mark by hand changes the instance, not what the attempt did.
        case when b.verdict = 'failed' and b.state = 'up_for_retry' then 'up_for_retry' else b.verdict end,
        b.budget, b.reason, b.message, b.evidence, l.host, l.queue, l.pool, l.slots, l.launch, l.queued_at,
        coalesce(b.started, l.started_at), coalesce(b.ended, now())
    from unnest(v_batch) b join live_attempt l on l.run_id = b.run_id and l.idx = b.idx and l.map_index = b.map_index and l.attempt = b.attempt
    where b.live;

    update task_instance t set
        state = b.state, intent = null, intent_by = null, not_before = b.not_before,
        user_failures = case when b.intent = 'clear' then 0 when b.verdict = 'failed' and b.budget = 'user' and b.intent is null then t.user_failures + 1 else t.user_failures end,
        infra_failures = case when b.intent = 'clear' then 0 when b.verdict = 'failed' and b.budget = 'infra' and b.intent is null then t.infra_failures + 1 else t.infra_failures end,
        started_at = case when b.state <> 'none' then b.started end, ended_at = case when b.state <> 'none' then coalesce(b.ended, now()) end,
        reason = case when b.intent is null then b.reason when b.intent = 'clear' then null else b.intent end,
        message = case when b.intent is null then b.message when b.intent = 'clear' then null
                       else 'by ' || coalesce(t.intent_by, 'hand') || ': ' || replace(b.intent, '_', ' ') end
    from unnest(v_batch) b
    where b.live and t.run_id = b.run_id and t.idx = b.idx and t.map_index = b.map_index;

    delete from live_attempt l using unnest(v_batch) b
    where b.live and l.run_id = b.run_id and l.idx = b.idx and l.map_index = b.map_index and l.attempt = b.attempt;

    insert into xcom (run_id, idx, map_index, key, value, attempt)
    select run_id, idx, map_index, 'return_value', xcom, attempt from unnest(v_batch)
    where live and state = 'success' and verdict = 'success' and xcom is not null
    on conflict (run_id, idx, map_index, key) do update set value = excluded.value, attempt = excluded.attempt, at = now();

    insert into due (kind, run_id, idx, map_index, at)
    select 'retry', run_id, idx, map_index, not_before from unnest(v_batch) where live and not_before is not null;

    perform heads_unpark(array(select distinct run.dag_id from unnest(v_batch) b join run on run.id = b.run_id where b.live));

    update run_seq s set epoch = s.epoch + 1
    where s.run_id in (select run_id from unnest(v_batch) where live and intent = 'clear');

    perform events_append(array_agg(run_id), array_agg(idx), array_agg(map_index), array_agg(attempt), array_agg(state), array_agg(reason), false)
    from (select * from unnest(v_batch) where live order by run_id, idx, map_index) b having count(*) > 0;

    return query select b.run_id, b.idx, b.map_index, b.attempt,
        case when b.live then 'finished'
             when exists (select 1 from attempt a where a.run_id = b.run_id and a.idx = b.idx and a.map_index = b.map_index and a.attempt = b.attempt) then 'already'
             when exists (select 1 from live_attempt l where l.run_id = b.run_id and l.idx = b.idx and l.map_index = b.map_index and l.attempt = b.attempt) then 'refused'
             else 'unknown' end,
        b.state, b.not_before
    from unnest(v_batch) b;
end $$;

-- bind: which of the objects that were made for an attempt may start. Write-once, so `refused` is true for ever: the attempt is over, or
-- another object is bound. An owner that was silent for too long and finds nothing bound knows nothing (`not_mine`): the adopter may be about
-- to bind the same object. Takes lease_group before live_attempt, as the lock order says.
create function attempt_bind(p_owner uuid, b_run bigint[], b_idx int[], b_map int[], b_attempt int[], b_handle text[])
returns table (r_result text) language plpgsql as $$
#variable_conflict use_column
begin
    perform 1 from lease_group where owner = p_owner order by id for share;
    perform 1 from live_attempt l join unnest(b_run, b_idx, b_map) as b (run_id, idx, map_index)
        on l.run_id = b.run_id and l.idx = b.idx and l.map_index = b.map_index
    order by l.run_id, l.idx, l.map_index for no key update of l;
    update live_attempt l set handle = b.handle
    from unnest(b_run, b_idx, b_map, b_attempt, b_handle) as b (run_id, idx, map_index, attempt, handle), lease_group g, task_instance t
    where l.run_id = b.run_id and l.idx = b.idx and l.map_index = b.map_index and l.attempt = b.attempt and l.state = 'running'
      and l.handle is null and g.id = l.group_id and g.owner = p_owner
      and t.run_id = l.run_id and t.idx = l.idx and t.map_index = l.map_index and t.intent is null;
    return query
    select case
        when l.attempt is null or l.handle <> b.handle then 'refused'
        when g.owner is distinct from p_owner then 'not_mine'
        when l.handle = b.handle then 'bound'
        else 'unwanted' end
    from unnest(b_run, b_idx, b_map, b_attempt, b_handle) with ordinality as b (run_id, idx, map_index, attempt, handle, ord)
    left join live_attempt l on l.run_id = b.run_id and l.idx = b.idx and l.map_index = b.map_index and l.attempt = b.attempt
    left join lease_group g on g.id = l.group_id
    order by b.ord;
end $$;

-- What people ask for: clear, cancel, mark. A live attempt gets the intent and its worker is told (`told`: who watches it); an attempt that
-- nobody has claimed is closed here; everything else changes at once.
create function intent_request(p_run bigint, p_idx int[], p_map int[], p_intent text, p_by text)
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

-- A run that was over and is wanted again: it waits for its turn like any other.
create function run_reopen(p_run bigint) returns void language plpgsql as $$
begin
    perform 1 from run_seq where run_id = p_run for no key update;
    update run set state = 'queued', queued_at = now(), start_date = null, end_date = null, reason = null where id = p_run and state in ('success', 'failed');
    update run_seq set epoch = epoch + 1 where run_id = p_run;
    perform events_append(array[p_run], array[-1], array[-1], array[0], array[null::text], array['run reopened'], false);
end $$;

-- Creates a run with its instances. A run of the same name or logical date: nothing is written and no row returned.
create function run_create(
    p_dag text, p_run_id text, p_type text, p_logical timestamptz, p_start timestamptz, p_end timestamptz, p_run_after timestamptz,
    p_conf jsonb, p_note text, p_by text, p_user text, p_version bigint)
returns bigint language plpgsql as $$
declare
    v_id bigint;
    v_count int;
begin
    select task_count into v_count from dag_version where id = p_version;
    insert into run (dag_id, run_id, version_id, run_type, state, logical_date, data_interval_start, data_interval_end, run_after, conf, note,
                     triggered_by, triggering_user_name, task_count, attempt_base)
    values (p_dag, p_run_id, p_version, p_type, 'queued', p_logical, p_start, p_end, p_run_after, p_conf, p_note, p_by, p_user, v_count,
            coalesce((select max_attempt from attempt_tombstone where dag_id = p_dag and run_id = p_run_id), 0))
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

-- Starts queued runs of a DAG, oldest first, while max_active_runs allows. Returns the runs that started.
create function runs_start(p_dag text) returns table (r_run bigint, r_run_id text) language plpgsql as $$
#variable_conflict use_column
declare
    v_max int;
    v_paused boolean;
    v_active int;
    v_next bigint[];
    v_started bigint[];
begin
    select max_active_runs, is_paused into v_max, v_paused from dag where dag_id = p_dag for no key update;
    if v_max is null then
        return;
    end if;
    select count(*) into v_active from run where dag_id = p_dag and state = 'running';
    if not v_paused and v_active < v_max then
        v_next := array(select id from run where dag_id = p_dag and state = 'queued' and run_after <= now() order by run_after, id limit v_max - v_active);
        perform 1 from run_seq where run_id = any (v_next) order by run_id for no key update;
        with started as (update run set state = 'running', start_date = now() where id = any (v_next) and state = 'queued' returning id)
        select array_agg(id) into v_started from started;
        perform events_append(array_agg(id), array_agg(-1), array_agg(-1), array_agg(0), array_agg(null::text), array_agg('run started'::text), false)
        from unnest(v_started) id having count(*) > 0;
        insert into due (kind, run_id, at)
        select 'run_timeout', run.id, run.start_date + v.dagrun_timeout_ms * interval '1 millisecond'
        from run join dag_version v on v.id = run.version_id where run.id = any (v_started) and v.dagrun_timeout_ms is not null;
        return query select run.id, run.run_id from run where run.id = any (v_started) order by run.run_after, run.id;
    end if;
    update dag set runs_capped = false
    where dag_id = p_dag and runs_capped and (select count(*) from run where dag_id = p_dag and state in ('queued', 'running')) < max_active_runs;
end $$;

-- Takes what is due and marks its runs for planning. A retry that was overtaken (its instance was cleared or marked, and waits for another
-- time or not at all) is taken in silence.
create function due_take(p_limit int) returns table (r_kind text, r_run bigint) language plpgsql as $$
#variable_conflict use_column
declare
    v_ids bigint[];
    v_batch due[];
begin
    v_ids := array(select id from due where at <= now() order by at limit p_limit);
    -- The runs before their due rows: who deletes a run holds its run_seq row and then waits for the rows below it.
    perform 1 from run_seq where run_id in (select run_id from due where id = any (v_ids)) order by run_id for no key update;
    with taken as (
        delete from due where id in (select id from due where id = any (v_ids) for update skip locked) returning *
    )
    select array_agg(row (taken.*)::due order by taken.at) into v_batch from taken;
    perform events_append(array_agg(run_id), array_agg(idx), array_agg(map_index), array_agg(0), array_agg(null::text), array_agg(kind || ' due'), false)
    from (select b.* from unnest(v_batch) b join run_seq s on s.run_id = b.run_id
          where b.kind <> 'retry' or exists (
              select 1 from task_instance t where t.run_id = b.run_id and t.idx = b.idx and t.map_index = b.map_index
                  and t.state = 'up_for_retry' and t.not_before <= now())
          order by run_id, idx) b having count(*) > 0;
    return query select kind, run_id from unnest(v_batch);
end $$;

-- Removes lease groups that nobody owns any more and that hold nothing. Two steps: a claim holds its group's row in share mode while it puts
-- attempts in, and its attempts are visible only to a statement that began after this one had waited for it.
create function groups_prune() returns void language plpgsql as $$
declare
    v_ids uuid[];
begin
    v_ids := array(
        select g.id from lease_group g
        where not exists (select 1 from live_attempt l where l.group_id = g.id)
            and (g.owner is null or not exists (select 1 from worker w where w.id = g.owner and w.state = 'running'
                                                and w.last_heartbeat > now() - interval '1 hour'))
        order by g.id for update skip locked);
    delete from lease_group g where g.id = any (v_ids) and not exists (select 1 from live_attempt l where l.group_id = g.id);
end $$;

-- One day of partitions, ahead of time. A day of which the default partition has rows already (nobody was there to make its own in time)
-- stays there: an error here would stop every scheduler.
create function partitions_ensure(p_day date) returns void language plpgsql as $$
declare
    v_table text;
    v_name text;
begin
    foreach v_table in array array['event', 'log_chunk'] loop
        v_name := v_table || '_' || to_char(p_day, 'YYYYMMDD');
        continue when to_regclass(v_name) is not null;
        -- `if not exists` looks before it takes a lock, so two that make the same table at once need a queue.
        perform pg_advisory_xact_lock(hashtext('updraft partitions'));
        begin
            execute format('create table if not exists %I partition of %I for values from (%L) to (%L)', v_name, v_table, p_day, p_day + 1);
        exception when check_violation then
            null;
        end;
    end loop;
end $$;
select partitions_ensure(current_date + i) from generate_series(0, 7) i;
