//! Event streams of people who log in: what each of them is told, when a stream ends, and what many of them cost.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::Request;
use futures::StreamExt as _;
use futures::future::join_all;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::time::{Instant, timeout};
use tower::ServiceExt as _;

use crate::harness::Api;
use crate::users::{Guarded, PASSWORD};

/// So long a stream may outlive what let it in.
const OUTLIVES: Duration = Duration::from_secs(30);

/// An open stream, and all that it has told.
struct Stream {
    body: BodyDataStream,
    told: String,
}

impl Stream {
    async fn open(api: &Api, headers: &[(&str, &str)]) -> Self {
        let mut request = Request::builder().uri("/ui/events").header("host", "127.0.0.1:8080");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = api.app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        Self { body: answer.into_body().into_data_stream(), told: String::new() }
    }

    /// Reads what comes next; false at the end.
    async fn read(&mut self) -> bool {
        let Some(bytes) = self.body.next().await else { return false };
        self.told.push_str(std::str::from_utf8(&bytes.unwrap()).unwrap());
        true
    }

    async fn until(&mut self, words: &str) {
        let found = async {
            while !self.told.contains(words) {
                assert!(self.read().await, "it ended before {words:?}: {}", self.told);
            }
        };
        timeout(OUTLIVES, found).await.unwrap_or_else(|_| panic!("{words:?} was not told: {}", self.told));
    }

    /// Reads to the end, which comes soon enough.
    async fn end(mut self) -> String {
        timeout(OUTLIVES, async { while self.read().await {} }).await.unwrap_or_else(|_| panic!("it does not end: {}", self.told));
        self.told
    }

    fn last_id(&self) -> String {
        let line = self.told.lines().rev().find_map(|line| line.strip_prefix("id: "));
        line.expect("a message").to_owned()
    }
}

async fn pause(g: &Guarded, dag: &str, paused: bool) {
    let answer = g.owner("PATCH", &format!("/api/v2/dags/{dag}"), json!({"is_paused": paused})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

async fn run(g: &Guarded, dag: &str, run: &str, conf: Value) {
    let made =
        g.owner("POST", &format!("/api/v2/dags/{dag}/dagRuns"), json!({"logical_date": null, "dag_run_id": run, "conf": conf})).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let ended = g.owner("PATCH", &format!("/api/v2/dags/{dag}/dagRuns/{run}"), json!({"state": "success"})).await;
    assert_eq!(ended.status, 200, "{}", ended.text);
}

#[sqlx::test(migrations = "../../migrations")]
async fn whoever_has_a_role_over_some_dags_hears_of_them_alone(pool: PgPool) {
    let g = Guarded::new(pool).await;
    let own = g.user("own", json!([{"role": "viewer", "scope": "dag:diamond"}])).await;
    let foreign = g.user("foreign", json!([{"role": "viewer", "scope": "dag:with_params"}])).await;
    let (own, foreign) = ([("authorization", own.as_str())], [("authorization", foreign.as_str())]);
    let mut streams = [Stream::open(&g.api, &own).await, Stream::open(&g.api, &foreign).await];
    for stream in &mut streams {
        stream.until("event: open").await;
    }
    let begin = streams[0].last_id();
    // The look that compares DAGs has them from before.
    pause(&g, "diamond", true).await;
    pause(&g, "with_params", true).await;
    run(&g, "diamond", "hers", json!({})).await;
    run(&g, "with_params", "his", json!({"day": "mon"})).await;
    let [hers, his] = &mut streams;
    hers.until("\"hers\"").await;
    his.until("\"his\"").await;
    // What comes after what the other was told.
    run(&g, "diamond", "hers-too", json!({})).await;
    run(&g, "with_params", "his-too", json!({"day": "mon"})).await;
    hers.until("\"hers-too\"").await;
    his.until("\"his-too\"").await;
    assert!(!hers.told.contains("with_params") && !his.told.contains("diamond"), "{}\n{}", hers.told, his.told);
    // Nor afterwards, by the way back.
    let mut back = Stream::open(&g.api, &[foreign[0], ("last-event-id", &begin)]).await;
    back.until("\"his-too\"").await;
    assert!(!back.told.contains("diamond"), "{}", back.told);
}

#[sqlx::test(migrations = "../../migrations")]
async fn silence_is_told_and_so_is_what_looks_otherwise(pool: PgPool) {
    let api = Api::new(pool.clone()).await;
    api.sql(
        "insert into worker (id, host, pid, runner, queues, concurrency) values ('00000000-0000-4000-8000-000000000001', 'n', 7, 'process', '{default}', 4);
         insert into scheduler (id, host, pid, last_heartbeat) values (gen_random_uuid(), 'n', 9, now() + interval '1 hour')",
    )
    .await;
    let mut stream = Stream::open(&api, &[]).await;
    stream.until("event: open").await;
    let begin = stream.last_id();
    // Something that is told only after a first look at everything.
    while !stream.told.contains("\"pools\"") {
        api.sql("update pool set slots = slots + 1").await;
        stream.read().await;
    }
    assert!(!stream.told.contains("\"health\""), "nothing has changed: {}", stream.told);
    // Nobody says so: a heartbeat stays away.
    api.sql("update worker set last_heartbeat = now() - interval '31 s'").await;
    stream.until("no worker is alive").await;
    stream.until("\"lists\":[\"workers\"").await;
    api.send("POST", "/api/v2/pools", json!({"name": "x", "slots": 1})).await;
    stream.until("\"audit\"").await;
    let mut back = Stream::open(&api, &[("last-event-id", &begin)]).await;
    back.until("no worker is alive").await;
    back.until("\"lists\"").await;
    pool.close().await;
    stream.until("\"database\"").await;
    stream.until("does not answer").await;
}

/// A page reads the health once, and then only hears of it: what it read between two looks must not stay.
#[sqlx::test(migrations = "../../migrations")]
async fn what_was_so_for_a_moment_does_not_stay_on_a_page(pool: PgPool) {
    let api = Api::new(pool).await;
    let mut stream = Stream::open(&api, &[]).await;
    stream.until("open").await;
    for turn in 0..3 {
        let reason = format!("moment {turn}");
        api.send("PUT", "/ui/maintenance", json!({"reason": reason})).await;
        let read = api.get("/ui/health").await;
        api.send("DELETE", "/ui/maintenance", json!({})).await;
        assert!(read["maintenance"].as_str().is_some_and(|said| said.ends_with(&reason)), "{read}");
        stream.told.clear();
        stream.until("\"maintenance\":null").await;
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_stream_ends_with_what_let_it_in(pool: PgPool) {
    let g = Guarded::new(pool).await;
    let json_body = ("content-type", "application/json");
    let eve = g.user("eve", json!(["viewer"])).await;
    let personal = g.with(&eve, "POST", "/ui/tokens", json!({"name": "ci"})).await.json();
    let of_program = format!("Bearer {}", personal["token"].as_str().unwrap());
    let login = json!({"username": "eve", "password": PASSWORD}).to_string();
    let cookie = g.send("POST", "/auth/login", &[json_body], &login).await.cookie();
    let (shut_out, stripped) = (g.user("shut-out", json!(["viewer"])).await, g.user("stripped", json!(["viewer"])).await);
    let moved = g.user("moved", json!([{"role": "viewer", "scope": "dag:diamond"}])).await;

    let mut streams = Vec::new();
    for header in [("cookie", &cookie), ("authorization", &of_program), ("authorization", &shut_out), ("authorization", &stripped)] {
        streams.push(Stream::open(&g.api, &[(header.0, header.1.as_str())]).await);
    }
    let mut stays = Stream::open(&g.api, &[("authorization", eve.as_str())]).await;
    let mut elsewhere = Stream::open(&g.api, &[("authorization", moved.as_str())]).await;
    for stream in streams.iter_mut().chain([&mut stays, &mut elsewhere]) {
        stream.until("event: open").await;
    }
    assert!(g.send("POST", "/auth/logout", &[("cookie", &cookie)], "").await.status < 400);
    let id = personal["id"].as_str().map_or_else(|| personal["id"].to_string(), str::to_owned);
    assert_eq!(g.with(&eve, "DELETE", &format!("/ui/tokens/{id}"), Value::Null).await.status, 204);
    assert_eq!(g.owner("PATCH", "/ui/users/shut-out", json!({"active": false})).await.status, 200);
    for (name, roles) in [("stripped", json!([])), ("moved", json!([{"role": "viewer", "scope": "dag:with_params"}]))] {
        let answer = g.owner("PATCH", &format!("/ui/users/{name}"), json!({"roles": roles})).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    join_all(streams.into_iter().map(Stream::end)).await;
    // By now the others have proved themselves, too: with what they may see now.
    run(&g, "diamond", "one", json!({})).await;
    run(&g, "with_params", "two", json!({"day": "mon"})).await;
    stays.until("\"two\"").await;
    elsewhere.until("\"two\"").await;
    assert!(stays.told.contains("\"one\"") && !elsewhere.told.contains("\"one\""), "{}\n{}", stays.told, elsewhere.told);
}

/// Transactions of this database so far.
async fn transactions(pool: &PgPool) -> i64 {
    let count = "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()";
    sqlx::query_scalar(count).fetch_one(pool).await.unwrap()
}

#[sqlx::test(migrations = "../../migrations")]
async fn fifty_streams_cost_as_much_as_one(pool: PgPool) {
    let api = Api::new(pool.clone()).await;
    let mut streams = Vec::new();
    for _ in 0..50 {
        let mut stream = Stream::open(&api, &[]).await;
        stream.until("event: open").await;
        streams.push(stream);
    }
    // Four looks a second of at most four statements each. Fifty that look would ask two hundred times a second at least.
    let (began, before) = (Instant::now(), transactions(&pool).await);
    let window = Duration::from_secs(5);
    let mut reads = join_all(streams.iter_mut().map(|stream| timeout(window, async { while stream.read().await {} }))).await.into_iter();
    assert!(reads.all(|read| read.is_err()), "none ends by itself");
    let asked = transactions(&pool).await - before;
    let seconds = began.elapsed().as_secs_f64();
    assert!(asked > 0, "somebody looks");
    #[expect(clippy::cast_precision_loss, reason = "a few hundred at most")]
    let each_second = asked as f64 / seconds;
    assert!(each_second < 40.0, "{asked} statements in {seconds:.1} s");
}
