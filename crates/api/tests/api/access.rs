//! An API with a password, webhooks of git servers, the maintenance, and the probes of every role.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use sqlx::PgPool;
use tower::ServiceExt as _;
use updraft_api::health::{self, Health};
use updraft_api::{Access, Account, May, routes};
use updraft_broker::Broker;
use updraft_store::Store;
use updraft_telemetry::Pulse;
use uuid::Uuid;

use crate::harness::Api;

const PASSWORD: &str = "correct horse battery";

async fn guarded(pool: PgPool, broker: Broker) -> Api {
    let account = Some(Account::new("admin", PASSWORD).unwrap());
    Api::with(pool, broker, Access { account, webhook_secret: Some("a secret of the server".to_owned()), ..Access::default() }).await
}

async fn send(api: &Api, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let mut request = Request::builder().method(method).uri(path).header("host", "updraft.example").header("accept", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::from(body.to_owned())).unwrap();
    // From somewhere else each time: who guesses a lot from one place must wait.
    static FROM: AtomicU32 = AtomicU32::new(0);
    let address = Ipv4Addr::from(0x0a00_0000 + FROM.fetch_add(1, Ordering::Relaxed));
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from((address, 1))));
    let response = api.app.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    (parts.status.as_u16(), String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap())
}

/// A path in which every name stands for something.
pub(crate) fn filled(path: &str) -> String {
    let names = [("{dag_id}", "diamond"), ("{map_index}", "-1"), ("{number}", "1"), ("{try_number}", "1"), ("{id}", "1")];
    let path = names.iter().fold(path.to_owned(), |path, (name, value)| path.replace(name, value));
    path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect::<Vec<_>>().join("/")
}

#[sqlx::test(migrations = "../../migrations")]
async fn every_way_in_asks_who_comes(pool: PgPool) {
    let api = guarded(pool, Broker::in_process()).await;
    let routes = routes();
    assert!(routes.len() > 100, "{}", routes.len());
    let basic = |text: &str| format!("Basic {}", BASE64.encode(text));
    let right = basic(&format!("admin:{PASSWORD}"));
    let (mut open, mut nobody) = (Vec::new(), routes.iter().map(|r| (r.method.to_string(), filled(&r.path), r.may)).collect::<Vec<_>>());
    nobody.extend(
        ["/nonsense", "/api/v2/nonsense", "/ui/nonsense", "/api/v2/assets"].map(|path| ("GET".to_owned(), path.to_owned(), May::LoggedIn)),
    );
    for (method, path, may) in nobody {
        let body = if method == "GET" { "" } else { "{}" };
        let json = ("content-type", "application/json");
        let wrong = [
            String::new(),
            basic("admin:admin"),
            basic("root:"),
            "Bearer updraft-loopback-needs-no-token".to_owned(),
            "Bearer ".to_owned(),
        ];
        if may == May::Anybody {
            let (_, answer) = send(&api, &method, &path, &[json], body).await;
            assert!(!answer.contains("Not authenticated"), "{method} {path}: {answer}");
            open.push(path);
            continue;
        }
        for wrong in wrong {
            let (status, answer) = send(&api, &method, &path, &[json, ("authorization", &wrong)], body).await;
            let (expected, detail) = if wrong.starts_with("Bearer") { (403, "Invalid JWT token") } else { (401, "Not authenticated") };
            assert_eq!(
                (status, answer.as_str()),
                (expected, json!({"detail": detail}).to_string().as_str()),
                "{method} {path} with {wrong:?}"
            );
        }
        // A stream has no end.
        if path != "/ui/events" {
            let (status, answer) = send(&api, &method, &path, &[json, ("authorization", &right)], body).await;
            assert!(status != 401 && !answer.contains("Invalid JWT"), "{method} {path}: {status} {answer}");
            assert!(status < 500 || status == 501, "{method} {path}: {status} {answer}");
        }
        let foreign = [json, ("authorization", right.as_str()), ("origin", "https://evil.example")];
        assert_eq!(
            send(&api, &method, &path, &foreign, body).await.0,
            403,
            "{method} {path}: the browser sends the password for whoever asks"
        );
    }
    open.sort();
    open.dedup();
    let expected = [
        "/api/v1",
        "/api/v1/x",
        "/api/v2/monitor/health",
        "/api/v2/version",
        "/auth/login",
        "/auth/login.css",
        "/auth/logout",
        "/auth/oidc/callback",
        "/auth/oidc/login",
        "/auth/token",
        "/auth/token/cli",
        "/git/webhook",
    ];
    assert_eq!(open, expected, "what is open is said here, one by one");
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_browser_is_told_what_an_answer_is(pool: PgPool) {
    let api = guarded(pool, Broker::in_process()).await;
    let basic = format!("Basic {}", BASE64.encode(format!("admin:{PASSWORD}")));
    for (path, kept) in [("/api/v2/dags", "no-store"), ("/api/v2/nonsense", "no-store"), ("/ui/overview", "no-store"), ("/", "no-cache")] {
        for login in [basic.as_str(), ""] {
            let request = Request::get(path).header("host", "updraft.example").header("authorization", login).body(Body::empty()).unwrap();
            let headers = api.app.clone().oneshot(request).await.unwrap().headers().clone();
            let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
            assert_eq!((text("x-content-type-options").as_str(), text("referrer-policy").as_str()), ("nosniff", "no-referrer"), "{path}");
            assert_eq!(text("cache-control"), if login.is_empty() { "no-store" } else { kept }, "{path}");
            let policy = text("content-security-policy");
            assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
            assert!(!headers.contains_key("access-control-allow-origin"), "{path}: other sites read nothing");
        }
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_client_of_airflow_logs_in_and_the_audit_log_names_it(pool: PgPool) {
    let api = guarded(pool, Broker::in_process()).await;
    let json_body = [("content-type", "application/json")];
    let (status, _) = send(&api, "POST", "/auth/token", &json_body, "{\"username\": \"admin\", \"password\": \"guess\"}").await;
    assert_eq!(status, 401);
    let login = json!({"username": "admin", "password": PASSWORD}).to_string();
    let (status, body) = send(&api, "POST", "/auth/token", &json_body, &login).await;
    assert_eq!(status, 201);
    let body: Value = serde_json::from_str(&body).unwrap();
    let bearer = format!("Bearer {}", body["access_token"].as_str().unwrap());
    // Whoever the client says that it is, the account is the truth.
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json"), ("updraft-user", "somebody-else")];
    let (status, body) = send(&api, "POST", "/api/v2/pools", &headers, "{\"name\": \"p\", \"slots\": 1}").await;
    assert_eq!(status, 201, "{body}");
    let (_, log) = send(&api, "GET", "/api/v2/eventLogs", &[("authorization", &bearer)], "").await;
    assert!(log.contains("\"owner\":\"admin\"") && !log.contains("somebody-else"), "{log}");
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_signed_push_reaches_every_live_scheduler(pool: PgPool) {
    let broker = Broker::in_process();
    let api = guarded(pool.clone(), broker.clone()).await;
    let (alive, silent) = (Uuid::now_v7(), Uuid::now_v7());
    for (id, age) in [(alive, 0), (silent, 3600)] {
        sqlx::query("insert into scheduler (id, host, pid, last_heartbeat) values ($1, 'h', 1, now() - make_interval(secs => $2))")
            .bind(id)
            .bind(f64::from(age))
            .execute(&pool)
            .await
            .unwrap();
    }
    let mut told = broker.notices(alive);
    let (status, body) = send(&api, "POST", "/git/webhook", &[("x-gitlab-token", "wrong")], "{}").await;
    assert_eq!(status, 401, "{body}");
    assert!(tokio::time::timeout(Duration::from_millis(50), told.take()).await.is_err(), "an unsigned push was believed");
    let (status, body) = send(&api, "POST", "/git/webhook", &[("x-gitlab-token", "a secret of the server")], "{}").await;
    assert_eq!((status, body.as_str()), (202, "{\"schedulers\":1}"));
    tokio::time::timeout(Duration::from_secs(5), told.take()).await.expect("the scheduler was not told");
    let without = Api::new(pool).await;
    let (status, detail) = without.refused("POST", "/git/webhook", None).await;
    assert_eq!(status, 403, "{detail}");
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_maintenance_is_said_everywhere(pool: PgPool) {
    let api = Api::new(pool).await;
    assert_eq!(api.get("/ui/maintenance").await["maintenance"], false);
    api.send("POST", "/api/v2/dags/diamond/dagRuns", json!({"logical_date": null, "dag_run_id": "r1"})).await;
    api.sql(
        "update task_instance set state = 'scheduled' where idx = 0;
         insert into ready (pool, run_id, idx, map_index, prio, slots) select 'default_pool', id, 0, -1, 1, 1 from run",
    )
    .await;
    let begun = api.send("PUT", "/ui/maintenance", json!({"reason": "node upgrade"})).await;
    assert_eq!((&begun["maintenance"], &begun["reason"]), (&json!(true), &json!("node upgrade")));
    let why = api.get("/ui/why/diamond/r1/a").await;
    assert_eq!(why["waiting"][0]["kind"], "maintenance", "{why}");
    assert!(why["waiting"][0]["detail"].as_str().unwrap().contains("node upgrade"), "{why}");
    let doctor = api.get("/ui/doctor").await;
    let finding = doctor["findings"].as_array().unwrap().iter().find(|f| f["id"] == "maintenance").unwrap();
    assert_eq!((&finding["status"], &finding["remedy"]), (&json!("warn"), &json!("updraft maintenance off")));
    let ended = api.call("DELETE", "/ui/maintenance", None, "application/json").await.json();
    assert_eq!(ended["maintenance"], false);
    assert_ne!(api.get("/ui/why/diamond/r1/a").await["waiting"][0]["kind"], "maintenance");
}

async fn probe(health: &Health, path: &str) -> (u16, String) {
    let response = health::router(health.clone()).oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    (parts.status.as_u16(), String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap())
}

#[sqlx::test(migrations = "../../migrations")]
async fn probes_and_metrics(pool: PgPool) {
    let api = Api::new(pool.clone()).await;
    api.half_done().await;
    let pulse = Pulse::default();
    pulse.beat();
    let health = Health {
        role: "api",
        version: "0.1.0",
        store: Some(Store::from_pool(pool.clone())),
        broker: Some(Broker::in_process()),
        pulse: Some(pulse),
        whole: true,
    };
    assert_eq!(probe(&health, "/livez").await.0, 200);
    assert_eq!(probe(&health, "/readyz").await.0, 200);
    let (status, text) = probe(&health, "/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "updraft_build_info{version=\"0.1.0\",role=\"api\"} 1.0",
        "updraft_database_up 1.0",
        "updraft_broker_connected 1.0",
        "updraft_task_instances{state=\"running\"} 1.0",
        "updraft_task_instances{state=\"queued\"} 0.0",
        "updraft_queue_depth{queue=\"default\"} 0.0",
        "updraft_workers 1.0",
        "updraft_attempts_watched{host=\"h1\"} 1.0",
        "updraft_maintenance 0.0",
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
    let load: (String, i64) = sqlx::query_as("select queue, attempts from keda_worker_load").fetch_one(&pool).await.unwrap();
    assert_eq!(load, ("default".to_owned(), 1));
    // A lost database makes a role unready and leaves it alive: a restart would help nobody.
    pool.close().await;
    assert_eq!(probe(&health, "/livez").await.0, 200);
    assert_eq!(probe(&health, "/readyz").await.0, 503);
    let (status, text) = probe(&health, "/metrics").await;
    assert!(status == 200 && text.lines().any(|line| line == "updraft_database_up 0.0"), "{text}");
}

/// A server that takes the call and says nothing is worse than none: who scrapes gives up after ten seconds, and then nothing is known.
#[tokio::test]
async fn metrics_answer_while_the_database_is_silent() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://nobody@{}/none?sslmode=disable", silent.local_addr().unwrap());
    let store = Store::open(&updraft_store::Options::new(url, "test")).unwrap();
    let health = Health { role: "api", version: "0.1.0", store: Some(store), broker: None, pulse: None, whole: true };
    let (status, text) = tokio::time::timeout(Duration::from_secs(8), probe(&health, "/metrics")).await.unwrap();
    assert!(status == 200 && text.lines().any(|line| line == "updraft_database_up 0.0"), "{text}");
    assert!(text.contains("process_resident_memory_bytes "), "what is of the process alone is told:\n{text}");
}
