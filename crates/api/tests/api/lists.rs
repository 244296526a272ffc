//! Pages by cursor, and the filters that need more than a column.

use serde_json::{Value, json};
use sqlx::PgPool;
use updraft_store::read::{Column, instances, runs};

use crate::harness::Api;

/// Eleven runs: with ties and with nulls in every column that can have them, in each state.
const RUNS: &str = "
    insert into run (dag_id, run_id, version_id, run_type, state, logical_date, run_after, start_date, end_date, conf, triggered_by, triggering_user_name, task_count)
    select 'diamond', 'r' || n, v.id, case when n % 2 = 0 then 'manual' else 'scheduled' end, (array['queued', 'running', 'success', 'failed'])[n % 4 + 1],
           case when n % 3 > 0 then timestamptz '2026-01-01' + n * interval '1 hour' end, timestamptz '2026-01-01' + n / 3 * interval '1.000001 hour',
           case when n % 4 > 0 then timestamptz '2026-02-01' + n % 2 * interval '1 second' end,
           case when n % 4 > 1 then timestamptz '2026-02-01' + (1 + n % 5 / 3.0) * interval '1 second' end,
           jsonb_build_object('n', n % 2), 'rest_api', case when n % 3 = 0 then 'ada' when n % 3 = 1 then 'gräce' end, 4
    from generate_series(0, 10) n, dag_version v where v.dag_id = 'diamond';
    insert into task_instance (run_id, idx, state, attempt, started_at, ended_at)
    select r.id, i, case when r.id % 2 = 0 then 'success' else 'none' end, 0,
           case when (r.id + i) % 3 > 0 or r.id % 2 = 0 then timestamptz '2026-03-01' + i % 2 * interval '1 second' end,
           case when r.id % 2 = 0 then timestamptz '2026-03-01 00:00:02' end
    from run r, generate_series(0, 3) i;";

async fn page(api: &Api, path: &str, key: &str) -> (Vec<String>, Value) {
    let answer = api.get(path).await;
    let id = |row: &Value| row.get("id").unwrap_or_else(|| &row["dag_run_id"]).as_str().unwrap().to_owned();
    (answer[key].as_array().unwrap().iter().map(id).collect(), answer)
}

/// Walks a list by cursor, there and back, and demands the pages of the list by offset.
async fn walk(api: &Api, path: &str, key: &str, order: &str, size: usize) {
    let path = format!("{path}?order_by={order}");
    let (whole, _) = page(api, &format!("{path}&limit=1000"), key).await;
    let mut pages: Vec<Vec<String>> = Vec::new();
    let (mut cursor, mut back) = (String::new(), Value::Null);
    loop {
        let (ids, answer) = page(api, &format!("{path}&limit={size}&cursor={cursor}"), key).await;
        assert_eq!((&answer["total_entries"], &answer["total_entries_limit"]), (&json!(whole.len()), &json!(50_000)), "{order}");
        pages.push(ids);
        back = std::mem::replace(&mut back, Value::Null);
        if let Some(previous) = answer["previous_cursor"].as_str() {
            back = json!(previous);
        } else {
            assert_eq!(pages.len(), 1, "{order}: only the first page has nothing before it");
        }
        match answer["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(pages.concat(), whole, "{order}");
    assert!(pages.iter().rev().skip(1).all(|ids| ids.len() == size), "{order}: {pages:?}");
    for expected in pages.iter().rev().skip(1) {
        let (ids, answer) = page(api, &format!("{path}&limit={size}&cursor={}", back.as_str().unwrap()), key).await;
        assert_eq!(&ids, expected, "{order}, back");
        assert!(answer["next_cursor"].is_string(), "{order}: there is the page that it came from");
        back = answer["previous_cursor"].clone();
    }
    assert!(back.is_null(), "{order}: before the first page is nothing");
}

async fn walk_all(api: &Api, path: &str, key: &str, columns: &[Column], size: usize) {
    for column in columns {
        for sign in ["", "-"] {
            walk(api, path, key, &format!("{sign}{}", column.name), size).await;
        }
    }
    walk(api, path, key, "", size).await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn cursors_walk_runs_in_every_order_there_and_back(pool: PgPool) {
    let api = Api::new(pool).await;
    api.sql(RUNS).await;
    let path = "/api/v2/dags/~/dagRuns";
    walk_all(&api, path, "dag_runs", runs::RUN_COLUMNS, 3).await;
    for order in
        ["-state&order_by=logical_date", "logical_date&order_by=-end_date", "-triggering_user_name&order_by=-start_date&order_by=conf"]
    {
        for size in [1, 2, 11, 20] {
            walk(&api, path, "dag_runs", order, size).await;
        }
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn cursors_walk_instances_in_every_order_there_and_back(pool: PgPool) {
    let api = Api::new(pool).await;
    api.sql(RUNS).await;
    for path in ["/api/v2/dags/~/dagRuns/~/taskInstances", "/api/v2/dags/diamond/dagRuns/~/taskInstances"] {
        walk_all(&api, path, "task_instances", instances::INSTANCE_COLUMNS, 7).await;
    }
    walk(&api, "/api/v2/dags/diamond/dagRuns/~/taskInstances", "task_instances", "state&order_by=-start_date&order_by=operator", 5).await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn nulls_are_last_and_ties_turn_round_with_the_first_column(pool: PgPool) {
    let api = Api::new(pool).await;
    api.sql(RUNS).await;
    let runs = async |order: &str| page(&api, &format!("/api/v2/dags/~/dagRuns?order_by={order}"), "dag_runs").await.0;
    assert_eq!(runs("logical_date").await, ["r1", "r2", "r4", "r5", "r7", "r8", "r10", "r0", "r3", "r6", "r9"]);
    assert_eq!(runs("-logical_date").await, ["r9", "r6", "r3", "r0", "r10", "r8", "r7", "r5", "r4", "r2", "r1"]);
    assert_eq!(runs("run_type&order_by=-state").await, ["r2", "r6", "r10", "r0", "r4", "r8", "r1", "r5", "r9", "r3", "r7"]);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_cursor_stays_between_its_rows(pool: PgPool) {
    let api = Api::new(pool).await;
    api.sql(RUNS).await;
    let path = "/api/v2/dags/diamond/dagRuns?order_by=-run_after&limit=2";
    let (first, answer) = page(&api, &format!("{path}&cursor=&offset=7"), "dag_runs").await;
    assert_eq!(first, ["r10", "r9"], "the offset counts for nothing");
    let next = answer["next_cursor"].as_str().unwrap().to_owned();
    // One before the page, one that is gone from it, one behind it.
    api.sql("delete from task_instance where run_id in (select id from run where run_id = 'r9'); delete from run where run_id = 'r9'")
        .await;
    api.sql(
        "insert into run (dag_id, run_id, version_id, run_type, state, run_after, triggered_by, task_count)
         select 'diamond', n.id, v.id, 'manual', 'queued', n.at, 'rest_api', 0
         from dag_version v, (values ('new', timestamptz '2027-01-01'), ('between', timestamptz '2026-01-01 02:30')) n (id, at) where v.dag_id = 'diamond'",
    )
    .await;
    let (second, answer) = page(&api, &format!("{path}&cursor={next}"), "dag_runs").await;
    assert_eq!(second, ["between", "r8"]);
    let before = answer["previous_cursor"].as_str().unwrap();
    assert_eq!(page(&api, &format!("{path}&cursor={before}"), "dag_runs").await.0, ["new", "r10"]);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_wrong_cursor_or_order_is_400(pool: PgPool) {
    let api = Api::new(pool).await;
    api.sql(RUNS).await;
    for path in ["/api/v2/dags/~/dagRuns", "/api/v2/dags/~/dagRuns/~/taskInstances"] {
        for cursor in ["nonsense", "~", "eA", "after-2", "WyIiLFtdXQ"] {
            let (status, detail) = api.refused("GET", &format!("{path}?cursor={cursor}"), None).await;
            assert_eq!(status, 400, "{path} {cursor}");
            let known = ["Invalid cursor token", "Cursor token does not match current query shape"];
            assert!(known.contains(&detail.as_str().unwrap()), "{detail}");
        }
        let answer = api.get(&format!("{path}?cursor=&limit=1&order_by=run_after")).await;
        let next = answer["next_cursor"].as_str().unwrap();
        let (status, detail) = api.refused("GET", &format!("{path}?cursor={next}&order_by=-run_after"), None).await;
        assert_eq!((status, detail), (400, json!("Cursor token does not match current query shape")));
        let (status, detail) = api.refused("GET", &format!("{path}?{}", ["order_by=id"; 11].join("&")), None).await;
        let expected = format!("Ordering with more than 10 parameters is not allowed. Provided: [{}]", ["'id'"; 11].join(", "));
        assert_eq!((status, detail), (400, json!(expected)));
        let (status, detail) = api.refused("GET", &format!("{path}?state=success&state=happy"), None).await;
        assert_eq!((status, &detail[0]["loc"]), (422, &json!(["query", "state"])));
        assert!(detail[0]["msg"].as_str().unwrap().starts_with("Invalid value for state. Valid values are "), "{detail}");
        for none in ["none", "null", "no_status"] {
            api.get(&format!("{path}?state={none}")).await;
        }
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn instances_are_counted_without_being_read(pool: PgPool) {
    let api = Api::new(pool).await;
    api.sql(RUNS).await;
    let total = async |path: &str| api.get(&format!("/api/v2/dags/{path}")).await["total_entries"].clone();
    let paths = ["~/dagRuns/~/taskInstances", "diamond/dagRuns/~/taskInstances?run_id_pattern=r1", "diamond/dagRuns/r3/taskInstances"];
    for (path, counts) in paths.iter().zip([[44, 43], [8, 8], [4, 3]]) {
        assert_eq!(total(path).await, counts[0], "{path}");
    }
    api.sql("delete from task_instance where idx = 2 and run_id in (select id from run where run_id = 'r3')").await;
    for (path, counts) in paths.iter().zip([[44, 43], [8, 8], [4, 3]]) {
        assert_eq!(total(path).await, counts[1], "{path}: one was deleted by itself");
    }
    // Whatever the shortcut says, counting says it too.
    let counted: i64 = sqlx::query_scalar("select count(*) from task_instance").fetch_one(&api.pool).await.unwrap();
    assert_eq!(total("~/dagRuns/~/taskInstances?map_index=-1").await, counted);
    api.sql("delete from task_instance where run_id in (select id from run where run_id = 'r3'); delete from run where run_id = 'r3'")
        .await;
    assert_eq!(total("~/dagRuns/~/taskInstances").await, 40);
}

#[sqlx::test(migrations = "../../migrations")]
async fn runs_that_are_over_know_how_their_instances_ended(pool: PgPool) {
    let api = Api::new(pool).await;
    api.sql(RUNS).await;
    let tallied = async || -> i64 {
        sqlx::query_scalar("select count(*) from run where tally_failed is not null").fetch_one(&api.pool).await.unwrap()
    };
    let agree = async |after: &str| {
        for states in [["failed"].as_slice(), &["success", "skipped"], &["upstream_failed"], &["failed", "none"]] {
            for (path, run) in [("~/dagRuns/~", "%"), ("diamond/dagRuns/~", "%"), ("diamond/dagRuns/r3", "r3"), ("~/dagRuns/~", "r1%")] {
                let path = format!(
                    "/api/v2/dags/{path}/taskInstances?run_id_prefix_pattern={}&state={}",
                    run.trim_end_matches('%'),
                    states.join("&state=")
                );
                let there: Vec<(String, String)> = sqlx::query_as(
                    "select r.run_id, t.idx::text from task_instance t join run r on r.id = t.run_id where t.state = any ($1) and r.run_id like $2 order by r.id, t.idx",
                )
                .bind(states)
                .bind(run)
                .fetch_all(&api.pool)
                .await
                .unwrap();
                let answer = api.get(&path).await;
                assert_eq!(answer["total_entries"], there.len(), "{path} after {after}");
                let shown: Vec<&str> =
                    answer["task_instances"].as_array().unwrap().iter().map(|t| t["dag_run_id"].as_str().unwrap()).collect();
                assert_eq!(shown, there.iter().map(|(run, _)| run.as_str()).collect::<Vec<_>>(), "{path} after {after}");
            }
        }
    };
    // What is written of a run begins with the lock on this row.
    api.sql("insert into run_seq (run_id) select id from run").await;
    agree("nothing was counted").await;
    assert_eq!(tallied().await, 0);
    api.sql(
        "update task_instance set state = (array['success', 'failed', 'upstream_failed', 'skipped'])[idx + 1], ended_at = now();
         update task_instance set state = 'none', ended_at = null where idx = 3 and run_id = (select id from run where run_id = 'r6');
         update run set state = 'running'; update run set state = 'failed' where run_id <> 'r9'",
    )
    .await;
    assert_eq!(tallied().await, 9, "one runs, and one has a task that has no end");
    agree("they ended").await;
    assert_eq!(api.get("/api/v2/dags/~/dagRuns/~/taskInstances?state=failed").await["total_entries"], 11);
    let base = "/api/v2/dags/diamond/dagRuns";
    api.send("PATCH", &format!("{base}/r1/taskInstances/b"), json!({"new_state": "success"})).await;
    agree("a mark").await;
    api.send("POST", "/api/v2/dags/diamond/clearTaskInstances", json!({"dag_run_id": "r2", "dry_run": false, "reset_dag_runs": false}))
        .await;
    agree("a clear that leaves the run as it is").await;
    assert!(api.call("DELETE", &format!("{base}/r3/taskInstances/b"), None, "*/*").await.status.is_success());
    agree("a deletion").await;
    api.send("PATCH", &format!("{base}/r4"), json!({"state": "success"})).await;
    agree("a mark of a run").await;
    assert_eq!(tallied().await, 5);
}

#[sqlx::test(migrations = "../../migrations")]
async fn instances_are_filtered_by_what_their_versions_say(pool: PgPool) {
    let api = Api::new(pool).await;
    api.half_done().await;
    let base = "/api/v2/dags/diamond/dagRuns/r1/taskInstances";
    let tasks = async |query: &str| -> Vec<String> {
        let answer = api.get(&format!("{base}?{query}")).await;
        let rows = answer["task_instances"].as_array().unwrap();
        assert_eq!(answer["total_entries"], rows.len(), "{query}");
        rows.iter().map(|t| t["task_id"].as_str().unwrap().to_owned()).collect()
    };
    // `d` has no attempt: its pool and queue are those of its version. The attempt of `c` ran in another pool than its version now says.
    api.sql("update attempt set pool = 'other' where idx = 2").await;
    assert_eq!(tasks("pool=default_pool").await, ["a", "b", "d"]);
    assert_eq!(tasks("pool=other&pool=more").await, ["c"]);
    assert_eq!(tasks("pool_name_pattern=OTH%7Cnothing").await, ["c"]);
    assert_eq!(tasks("pool_name_prefix_pattern=default").await, ["a", "b", "d"]);
    assert_eq!(tasks("pool_name_prefix_pattern=Default").await, [""; 0], "prefixes mind their case");
    assert_eq!(tasks("queue=default").await, ["a", "b", "c", "d"]);
    assert_eq!(tasks("queue_name_pattern=nope").await, [""; 0]);
    assert_eq!(tasks("operator_name_pattern=BASH&task_id_pattern=a%7Cb").await, ["a", "b"]);
    assert_eq!(tasks("operator_name_prefix_pattern=bash").await, [""; 0]);
    assert_eq!(tasks("task_display_name_prefix_pattern=c%7Cd").await, ["c", "d"]);
    assert_eq!(tasks("task_display_name_prefix_pattern=~").await, ["a", "b", "c", "d"]);
    for dag in ["diamond/dagRuns/r1", "diamond/dagRuns/~", "~/dagRuns/~"] {
        let (status, detail) = api.refused("GET", &format!("/api/v2/dags/{dag}/taskInstances?task_group_id=a"), None).await;
        assert_eq!((status, detail), (404, json!("Task group a not found")), "{dag}");
    }
    assert_eq!(tasks("executor=x").await, [""; 0]);
    assert_eq!(tasks("rendered_map_index_prefix_pattern=x").await, [""; 0]);
    // States that small tables know.
    assert_eq!(tasks("state=running").await, ["b"]);
    assert_eq!(tasks("state=queued").await, [""; 0]);
    assert_eq!(tasks("state=queued&state=running&state=scheduled").await, ["b"]);
    api.sql("update task_instance set state = 'scheduled' where idx = 3; insert into ready (pool, run_id, idx, map_index, prio, slots) select 'default_pool', id, 3, -1, 1, 1 from run").await;
    assert_eq!(tasks("state=scheduled").await, ["d"]);
    assert_eq!(tasks("state=scheduled&state=running").await, ["b", "d"]);
    assert_eq!(tasks("state=scheduled&state=failed").await, ["c", "d"]);
    let (status, detail) = api.refused("GET", "/api/v2/dags/~/dagRuns/r1/taskInstances", None).await;
    assert_eq!((status, detail), (400, json!("dag_id is required when dag_run_id is specified")));
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_group_without_a_prefix_is_found_by_its_name(pool: PgPool) {
    let api = Api::new(pool).await;
    api.sql(r#"update dag_version set spec = replace(spec, '"task_id":"b"', '"task_id":"b","groups":["block"]')"#).await;
    api.sql(r#"update dag_version set spec = replace(spec, '"task_id":"c"', '"task_id":"c","groups":["block","inner"]')"#).await;
    api.half_done().await;
    for dag in ["diamond/dagRuns/r1", "diamond/dagRuns/~", "~/dagRuns/~"] {
        for (group, expected) in [("block", ["b", "c"].as_slice()), ("inner", &["c"])] {
            let answer = api.get(&format!("/api/v2/dags/{dag}/taskInstances?task_group_id={group}")).await;
            let tasks: Vec<&str> = answer["task_instances"].as_array().unwrap().iter().map(|t| t["task_id"].as_str().unwrap()).collect();
            assert_eq!(tasks, expected, "{dag} {group}");
        }
        let (status, _) = api.refused("GET", &format!("/api/v2/dags/{dag}/taskInstances?task_group_id=bloc"), None).await;
        assert_eq!(status, 404, "{dag}");
    }
    let patched =
        api.send("PATCH", "/api/v2/dags/diamond/dagRuns/r1/taskGroupInstances/inner/dry_run", json!({"new_state": "success"})).await;
    assert_eq!(patched["task_instances"][0]["task_id"], "c");
}

#[sqlx::test(migrations = "../../migrations")]
async fn of_a_parameter_that_comes_twice_the_last_counts(pool: PgPool) {
    let api = Api::new(pool).await;
    api.sql(RUNS).await;
    let runs = async |query: &str| page(&api, &format!("/api/v2/dags/~/dagRuns?{query}"), "dag_runs").await.0;
    let (one, two) = ("logical_date_gte=2026-01-01T10:00:00Z", "logical_date_gte=2026-01-01T08:00:00Z");
    assert_eq!(runs(&format!("{one}&{two}")).await, ["r8", "r10"]);
    assert_eq!(runs(&format!("{two}&state=success&{one}")).await, ["r10"], "something else between them");
    assert_eq!(runs(&format!("logical_date_gte=soon&{one}")).await, ["r10"], "what counts for nothing may be anything");
    assert_eq!(api.refused("GET", &format!("/api/v2/dags/~/dagRuns?{one}&logical_date_gte=soon"), None).await.0, 422);
    assert_eq!(runs("conf_contains=1").await.len(), 5);
    assert_eq!(runs("conf_contains=%7B").await.len(), 11, "what has none has braces");
    assert_eq!(runs("run_id_pattern=r1&run_id_pattern=r2").await, ["r2"]);
    assert_eq!(runs("run_id_prefix_pattern=r2&run_id_prefix_pattern=r1").await, ["r1", "r10"]);
    assert_eq!(runs("duration_gte=0&duration_gte=1000").await, [""; 0]);
    assert_eq!(runs("state=queued&state=failed").await, ["r0", "r3", "r4", "r7", "r8"], "a list is all of them");
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_task_without_work_was_tried_once(pool: PgPool) {
    let api = Api::new(pool).await;
    let body = json!({"logical_date": null, "dag_run_id": "r1", "conf": {"day": "mon"}});
    api.send("POST", "/api/v2/dags/with_params/dagRuns", body).await;
    let base = "/api/v2/dags/with_params/dagRuns/r1/taskInstances";
    assert_eq!(api.get(&format!("{base}/only")).await["try_number"], 0, "not yet");
    api.sql("update task_instance set state = 'success', started_at = now(), ended_at = now()").await;
    assert_eq!(api.get(&format!("{base}/only")).await["try_number"], 1);
    assert_eq!(api.get(&format!("{base}?try_number=1")).await["total_entries"], 1);
    assert_eq!(api.get(&format!("{base}?try_number=0")).await["total_entries"], 0);
    // A person's word is no try.
    api.sql("update task_instance set reason = 'mark_success'").await;
    assert_eq!(api.get(&format!("{base}/only")).await["try_number"], 0);
    assert_eq!(api.get(&format!("{base}?try_number=0")).await["total_entries"], 1);
}

#[sqlx::test(migrations = "../../migrations")]
async fn dags_are_found_by_their_heads_runs_and_friends(pool: PgPool) {
    let api = Api::new(pool).await;
    api.half_done().await;
    let ids = async |query: &str| -> Vec<String> {
        let answer = api.get(&format!("/api/v2/dags?{query}")).await;
        answer["dags"].as_array().unwrap().iter().map(|d| d["dag_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids("tags=demo&tags=none").await, ["diamond"]);
    assert_eq!(ids("tags=demo&tags=none&tags_match_mode=all").await, [""; 0]);
    assert_eq!(ids("owners=airflow").await, ["diamond", "with_params"]);
    assert_eq!(ids("owners=nobody").await, [""; 0]);
    assert_eq!(ids("timetable_type=airflow.timetables.simple.NullTimetable").await, ["with_params"]);
    assert_eq!(ids("has_asset_schedule=true").await, [""; 0]);
    assert_eq!(ids("has_asset_schedule=false").await, ["diamond", "with_params"]);
    assert_eq!(ids("asset_dependency=x").await, [""; 0]);
    assert_eq!(ids("dag_run_state=running").await, ["diamond"]);
    assert_eq!(ids("dag_run_state=failed").await, [""; 0]);
    assert_eq!(ids("dag_run_start_date_gte=2026-01-01").await, ["diamond"]);
    assert_eq!(ids("dag_run_state=running&dag_run_end_date_gte=2026-01-01").await, [""; 0], "one run, not one for each");
    assert_eq!(api.refused("GET", "/api/v2/dags?dag_run_state=happy", None).await.0, 422);
    // JSON that jsonb cannot hold: the DAG is there, and nothing is known of it.
    let head: Value =
        sqlx::query_scalar("select dag_version_head_of('{\"tags\": [\"\\u0000\"], \"tasks\": []}')").fetch_one(&api.pool).await.unwrap();
    assert_eq!(head, json!({"tags": [], "owners": [], "pools": []}));
}

#[sqlx::test(migrations = "../../migrations")]
async fn favorites_are_the_users_own(pool: PgPool) {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt as _;
    let api = Api::new(pool).await;
    let ask = async |method: &str, path: &str, user: &str| {
        let request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:8080").header("updraft-user", user);
        let answer = api.app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let status = answer.status().as_u16();
        let bytes = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice::<Value>(&bytes).unwrap_or_default())
    };
    assert_eq!(ask("POST", "/api/v2/dags/diamond/favorite", "ada").await.0, 204);
    let twice = ask("POST", "/api/v2/dags/diamond/favorite", "ada").await;
    assert_eq!((twice.0, &twice.1["detail"]["reason"]), (409, &json!("Unique constraint violation")));
    let total = async |user: &str, is: bool| ask("GET", &format!("/api/v2/dags?is_favorite={is}"), user).await.1["total_entries"].clone();
    assert_eq!((total("ada", true).await, total("ada", false).await), (json!(1), json!(1)));
    assert_eq!((total("grace", true).await, total("grace", false).await), (json!(0), json!(2)));
    assert_eq!(ask("GET", "/api/v2/dags/diamond/details", "ada").await.1["is_favorite"], true);
    assert_eq!(ask("GET", "/api/v2/dags/diamond/details", "grace").await.1["is_favorite"], false);
    let none = ask("POST", "/api/v2/dags/diamond/unfavorite", "grace").await;
    assert_eq!((none.0, &none.1["detail"]), (409, &json!("Dag is not marked as favorite")));
    assert_eq!(ask("POST", "/api/v2/dags/diamond/unfavorite", "ada").await.0, 204);
    assert_eq!(total("ada", true).await, 0);
    let nope = ask("POST", "/api/v2/dags/nope/unfavorite", "ada").await;
    assert_eq!((nope.0, &nope.1["detail"]), (404, &json!("Dag with id 'nope' not found")));
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_pool_that_does_not_exist_is_a_warning(pool: PgPool) {
    let api = Api::new(pool).await;
    assert_eq!(api.get("/api/v2/dagWarnings").await, json!({"dag_warnings": [], "total_entries": 0}));
    api.sql("update dag_version set head = jsonb_set(head, '{pools}', '[\"zoo\", \"default_pool\", \"bar\"]') where dag_id = 'diamond'")
        .await;
    let answer = api.get("/api/v2/dagWarnings?order_by=-dag_id").await;
    assert_eq!(answer["total_entries"], 1);
    assert_eq!(answer["dag_warnings"][0]["message"], "Dag 'diamond' references non-existent pools: ['bar', 'zoo']");
    assert_eq!(api.get("/api/v2/dagWarnings?dag_id=with_params").await["total_entries"], 0);
    assert_eq!(api.get("/api/v2/dagWarnings?warning_type=asset%20conflict").await["total_entries"], 0);
    assert_eq!(api.refused("GET", "/api/v2/dagWarnings?order_by=surprise", None).await.0, 400);
    api.send("POST", "/api/v2/pools", json!({"name": "zoo", "slots": 1})).await;
    api.send("POST", "/api/v2/pools", json!({"name": "bar", "slots": 1})).await;
    assert_eq!(api.get("/api/v2/dagWarnings").await["total_entries"], 0);
}
