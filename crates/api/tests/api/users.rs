//! Users: how they prove who they are, what they may do over which DAGs, and what is written of it.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use sqlx::PgPool;
use tower::ServiceExt as _;
use updraft_api::{Access, Account, May, Thing, built_in, routes};
use updraft_broker::Broker;

use crate::access::filled;
use crate::harness::Api;

const OWNER: &str = "correct horse battery";
pub(crate) const PASSWORD: &str = "a password of eve's";

pub(crate) struct Guarded {
    pub(crate) api: Api,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn cookie(&self) -> String {
        let set = self.headers.get("set-cookie").expect("a cookie").to_str().unwrap();
        set.split(';').next().unwrap().to_owned()
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{user}:{password}")))
}

impl Guarded {
    pub(crate) async fn new(pool: PgPool) -> Self {
        let account = Some(Account::new("admin", OWNER).unwrap());
        Self { api: Api::with(pool, Broker::in_process(), Access { account, ..Access::default() }).await }
    }

    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", "updraft.example");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.api.app.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
        Answer { status: parts.status.as_u16(), headers: parts.headers, text }
    }

    pub(crate) async fn with(&self, login: &str, method: &str, path: &str, body: Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(method, path, &[("authorization", login), ("content-type", "application/json"), ("accept", "application/json")], &body)
            .await
    }

    pub(crate) async fn owner(&self, method: &str, path: &str, body: Value) -> Answer {
        self.with(&basic("admin", OWNER), method, path, body).await
    }

    pub(crate) async fn user(&self, name: &str, roles: Value) -> String {
        let made = self.owner("POST", "/ui/users", json!({"name": name, "password": PASSWORD, "roles": roles})).await;
        assert_eq!(made.status, 201, "{}", made.text);
        // Hashing for each request would make this test slow; the token is as good.
        let body = json!({"username": name, "password": PASSWORD}).to_string();
        let login = self.send("POST", "/auth/token", &[("content-type", "application/json")], &body).await;
        format!("Bearer {}", login.json()["access_token"].as_str().unwrap())
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn every_way_in_is_open_to_those_who_have_a_role_for_it_and_to_nobody_else(pool: PgPool) {
    let g = Guarded::new(pool).await;
    let (mut logins, mut covered) = (Vec::new(), 0);
    for role in ["viewer", "user", "op", "admin"] {
        logins.push((role, "*", g.user(&format!("all-{role}"), json!([role])).await));
        // `foreign` is over a DAG that is not the one in the paths.
        logins.push((role, "own", g.user(&format!("own-{role}"), json!([{"role": role, "scope": "dag:diamond"}])).await));
        logins.push((role, "foreign", g.user(&format!("foreign-{role}"), json!([{"role": role, "scope": "dag:with_params"}])).await));
    }
    logins.push(("none", "*", g.user("none", json!([])).await));
    for route in routes() {
        // A stream has no end; what changes oneself is tested below.
        if route.may == May::Anybody || route.path == "/ui/events" || (route.may == May::LoggedIn && route.method != "GET") {
            continue;
        }
        let path = filled(&route.path);
        let body = if route.method == "GET" { Value::Null } else { json!({}) };
        for (role, over, login) in &logins {
            // Nobody is deleted on the way.
            let answer = g.with(login, route.method.as_str(), &path, body.clone()).await;
            let permitted = route.may == May::LoggedIn || built_in(role, route.may) == Some(true);
            let of_a_dag = matches!(
                route.may,
                May::Read(t) | May::Create(t) | May::Edit(t) | May::Delete(t) if t.of_a_dag()
            );
            let expected = match *over {
                _ if !permitted => false,
                "*" => true,
                _ if route.may == May::LoggedIn || route.may == May::Read(Thing::Page) => true,
                _ if !of_a_dag => false,
                "own" if route.path.contains("{dag_id}") => true,
                "foreign" if route.path.contains("{dag_id}") => false,
                // Without a DAG in the path: shown in part, or not at all.
                _ => continue,
            };
            // Some are refused to everybody, in other words.
            let refused = answer.status == 403 && ["lacks the permission", "your roles"].iter().any(|words| answer.text.contains(words));
            assert_eq!(!refused, expected, "{} {} as {role} over {over}: {} {}", route.method, route.path, answer.status, answer.text);
            assert!(answer.status < 500 || answer.status == 501, "{} {}: {} {}", route.method, path, answer.status, answer.text);
            covered += 1;
        }
    }
    assert!(covered > 1000, "{covered}");
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_role_over_some_dags_shows_no_other_one(pool: PgPool) {
    let g = Guarded::new(pool).await;
    for dag in ["diamond", "with_params"] {
        let body = json!({"logical_date": null, "dag_run_id": format!("run-of-{dag}"), "conf": {"day": "2026-01-01"}});
        let made = g.owner("POST", &format!("/api/v2/dags/{dag}/dagRuns"), body).await;
        assert_eq!(made.status, 200, "{}", made.text);
    }
    let eve = g.user("eve", json!([{"role": "admin", "scope": "dag:diam*"}])).await;
    let lists = [
        "/api/v2/dags",
        "/api/v2/dags/~/dagRuns",
        "/api/v2/dags/~/dagRuns/~/taskInstances",
        "/api/v2/dagStats",
        "/api/v2/dagStats?dag_ids=with_params",
        "/api/v2/eventLogs",
        "/api/v2/eventLogs?dag_id=with_params",
        "/api/v2/dags?dag_id=with_params",
        "/api/v2/dags/~/dagRuns?dag_id=with_params&dag_id=diamond",
        "/ui/overview",
    ];
    for path in lists {
        let whole = g.owner("GET", path, Value::Null).await;
        let answer = g.with(&eve, "GET", path, Value::Null).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        let at = answer
            .text
            .find("with_params")
            .map(|at| answer.text[..at + 11].chars().rev().take(300).collect::<String>().chars().rev().collect::<String>());
        assert_eq!(at, None, "{path}");
        assert!(whole.text.contains("with_params"), "{path} would show it: {}", whole.text);
        if !path.contains('?') {
            assert!(answer.text.contains("diamond"), "{path}: {}", answer.text);
        }
    }
    // An entry by its number is as little there.
    let log = g.owner("GET", "/api/v2/eventLogs?dag_id=with_params", Value::Null).await.json();
    let id = log["event_logs"][0]["event_log_id"].as_i64().unwrap();
    assert_eq!(g.with(&eve, "GET", &format!("/api/v2/eventLogs/{id}"), Value::Null).await.status, 404);
    // What says `~` and changes, what is about all of them, and what names another DAG in its body.
    let delete = |run: &str| json!({"actions": [{"action": "delete", "entities": [{"dag_id": "with_params", "dag_run_id": run}]}]});
    for (method, path, body) in [
        ("PATCH", "/api/v2/dags/~/dagRuns", delete("run-of-with_params")),
        ("PATCH", "/api/v2/dags/diamond/dagRuns", delete("run-of-with_params")),
        ("POST", "/api/v2/dags/~/dagRuns/list", json!({})),
        ("POST", "/api/v2/dags/~/dagRuns/~/taskInstances/list", json!({})),
        ("PATCH", "/api/v2/dags?dag_id_pattern=~", json!({"is_paused": true})),
        ("GET", "/api/v2/dags/with_params", Value::Null),
        ("GET", "/api/v2/dagTags", Value::Null),
        ("GET", "/api/v2/importErrors", Value::Null),
        ("GET", "/api/v2/backfills?dag_id=~", Value::Null),
        (
            "POST",
            "/api/v2/backfills",
            json!({"dag_id": "with_params", "from_date": "2026-01-01T00:00:00Z", "to_date": "2026-01-02T00:00:00Z"}),
        ),
        ("GET", "/api/v2/pools", Value::Null),
        ("GET", "/ui/users", Value::Null),
        ("GET", "/api/v2/dags/%7E/dagRuns/~/taskInstances/~/xcomEntries", Value::Null),
    ] {
        let answer = g.with(&eve, method, path, body).await;
        let nothing = answer.status == 200 && answer.json()["total_entries"] == 0;
        assert!(answer.status == 403 || nothing, "{method} {path}: {} {}", answer.status, answer.text);
    }
    assert_eq!(g.owner("GET", "/api/v2/dags/with_params/dagRuns/run-of-with_params", Value::Null).await.status, 200, "it is still there");
}

#[sqlx::test(migrations = "../../migrations")]
async fn logs_take_a_permission_of_their_own(pool: PgPool) {
    let g = Guarded::new(pool).await;
    g.api.sql("insert into role (name, permissions) values ('watcher', '{dags.read,runs.read,task_instances.read}')").await;
    let (watcher, viewer) = (g.user("watcher", json!(["watcher"])).await, g.user("viewer", json!(["viewer"])).await);
    let run = json!({"logical_date": null, "dag_run_id": "r"});
    assert_eq!(g.owner("POST", "/api/v2/dags/diamond/dagRuns", run).await.status, 200);
    let task = "/api/v2/dags/diamond/dagRuns/r/taskInstances/a";
    assert_eq!(g.with(&watcher, "GET", task, Value::Null).await.status, 200);
    for path in [format!("{task}/logs/1"), format!("{task}/externalLogUrl/1"), "/ui/logs/diamond/r/a/1".to_owned()] {
        assert_eq!(g.with(&watcher, "GET", &path, Value::Null).await.status, 403, "{path}");
        assert_ne!(g.with(&viewer, "GET", &path, Value::Null).await.status, 403, "{path}");
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_was_given_out_ends_with_the_password_and_with_the_user(pool: PgPool) {
    let g = Guarded::new(pool.clone()).await;
    let bearer = g.user("eve", json!(["user"])).await;
    let me = "/ui/me";
    let ok = |answer: Answer| answer.status == 200;
    let personal = g.with(&bearer, "POST", "/ui/tokens", json!({"name": "ci", "days": 1, "permissions": ["dags.read"]})).await;
    assert_eq!(personal.status, 201, "{}", personal.text);
    let personal = format!("Bearer {}", personal.json()["token"].as_str().unwrap());
    assert_eq!(g.with(&bearer, "POST", "/ui/tokens", json!({"name": "ci"})).await.status, 409);
    assert!(ok(g.with(&personal, "GET", "/api/v2/dags", Value::Null).await));
    assert_eq!(g.with(&personal, "GET", "/api/v2/pools", Value::Null).await.status, 403, "it is limited");
    assert_eq!(g.with(&personal, "POST", "/ui/tokens", json!({"name": "more"})).await.status, 403, "it makes no wider one");
    let login = json!({"username": "eve", "password": PASSWORD}).to_string();
    let session = g.send("POST", "/auth/login", &[("content-type", "application/json")], &login).await;
    assert_eq!(session.status, 201, "{}", session.text);
    let set = session.headers["set-cookie"].to_str().unwrap();
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Lax"), "{set}");
    let cookie = session.cookie();
    let by_cookie = [("cookie", cookie.as_str())];
    assert!(ok(g.send("GET", me, &by_cookie, "").await));
    // A new password ends the tokens of logins and the sessions; what was made for a program stays.
    let changed = g.with(&bearer, "PUT", "/ui/me/password", json!({"old": "a wrong password", "new": "another password of hers"})).await;
    assert_eq!(changed.status, 401, "{}", changed.text);
    let changed = g.with(&bearer, "PUT", "/ui/me/password", json!({"old": PASSWORD, "new": "another password of hers"})).await;
    assert_eq!(changed.status, 204, "{}", changed.text);
    assert_eq!(g.with(&bearer, "GET", me, Value::Null).await.status, 403);
    assert_eq!(g.send("GET", me, &by_cookie, "").await.status, 401);
    assert!(ok(g.with(&personal, "GET", "/api/v2/dags", Value::Null).await));
    // Shut out: nothing is left.
    assert!(ok(g.owner("PATCH", "/ui/users/eve", json!({"active": false})).await));
    assert_eq!(g.with(&personal, "GET", "/api/v2/dags", Value::Null).await.status, 403);
    assert_eq!(g.with(&basic("eve", "another password of hers"), "GET", me, Value::Null).await.status, 401);
    assert!(ok(g.owner("PATCH", "/ui/users/eve", json!({"active": true})).await));
    assert!(ok(g.with(&basic("eve", "another password of hers"), "GET", me, Value::Null).await));
    // A token that is over, one for another program, and one of another installation.
    sqlx::query("update access_token set expires_at = now() - interval '1 second'").execute(&pool).await.unwrap();
    assert_eq!(g.with(&personal, "GET", "/api/v2/dags", Value::Null).await.status, 403);
    let dump: Vec<(Vec<u8>,)> = sqlx::query_as("select hash from access_token").fetch_all(&pool).await.unwrap();
    assert!(dump.iter().all(|(hash,)| hash.len() == 32), "only hashes are kept");
}

#[sqlx::test(migrations = "../../migrations")]
async fn tokens_that_are_not_ours(pool: PgPool) {
    use jsonwebtoken::{EncodingKey, Header, encode};
    let g = Guarded::new(pool.clone()).await;
    let bearer = g.user("eve", json!(["admin"])).await;
    let good = bearer.strip_prefix("Bearer ").unwrap();
    let (issuer, kept): (uuid::Uuid, Vec<u8>) = sqlx::query_as("select id, token_key from installation").fetch_one(&pool).await.unwrap();
    let now = chrono::Utc::now().timestamp();
    let claims =
        |aud: &str, iss: &str, exp: i64, sub: &str| json!({"sub": sub, "aud": aud, "iss": iss, "iat": now, "exp": exp, "generation": 0});
    let issuer = issuer.to_string();
    // What is in the database alone signs nothing.
    let with_kept = encode(&Header::default(), &claims("updraft-api", &issuer, now + 60, "eve"), &EncodingKey::from_secret(&kept)).unwrap();
    let mut parts: Vec<&str> = good.split('.').collect();
    let none = BASE64.encode("{\"alg\":\"none\",\"typ\":\"JWT\"}").replace('=', "");
    parts[0] = &none;
    let unsigned = parts.join(".");
    let stripped = format!("{}.{}.", none, good.split('.').nth(1).unwrap());
    for token in [with_kept, unsigned, stripped, good[..good.len() - 2].to_owned(), "updraft_pat_".to_owned(), "x.y.z".to_owned()] {
        let answer = g.with(&format!("Bearer {token}"), "GET", "/ui/me", Value::Null).await;
        assert_eq!((answer.status, answer.json()["detail"].as_str()), (403, Some("Invalid JWT token")), "{token}");
    }
    // The right key, and a wrong word in it each time. The key is made as the API makes it.
    let key = Account::new("admin", OWNER).unwrap().token_key(&kept);
    let sign = |claims: &Value| encode(&Header::default(), claims, &EncodingKey::from_secret(&key)).unwrap();
    let cases = [
        (claims("updraft-api", &issuer, now + 60, "eve"), 200),
        (claims("another-api", &issuer, now + 60, "eve"), 403),
        (claims("updraft-api", "another-installation", now + 60, "eve"), 403),
        (claims("updraft-api", &issuer, now - 1, "eve"), 403),
        (claims("updraft-api", &issuer, now + 60, "mallory"), 403),
        (json!({"sub": "eve", "aud": "updraft-api", "iss": issuer, "iat": now, "generation": 0}), 403),
        (json!({"sub": "eve", "aud": "updraft-api", "iss": issuer, "iat": now, "exp": now + 60, "generation": 1}), 403),
        // A token of the deployment's own account has no generation: a user's without one is no token of that account.
        (json!({"sub": "eve", "aud": "updraft-api", "iss": issuer, "iat": now, "exp": now + 60, "generation": null}), 403),
    ];
    for (claims, expected) in cases {
        let answer = g.with(&format!("Bearer {}", sign(&claims)), "GET", "/ui/me", Value::Null).await;
        assert_eq!(answer.status, expected, "{claims}: {}", answer.text);
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_session_is_fresh_is_the_pages_own_and_ends(pool: PgPool) {
    let g = Guarded::new(pool).await;
    g.user("eve", json!(["admin"])).await;
    let page = g.send("GET", "/dags", &[("accept", "text/html,*/*")], "").await;
    let page = if page.status == 404 { g.send("GET", "/", &[("accept", "text/html,*/*")], "").await } else { page };
    assert_eq!(page.status, 303, "{}", page.text);
    assert!(page.headers["location"].to_str().unwrap().starts_with("/auth/login?next=%2F"));
    let form = g.send("GET", "/auth/login?next=%22%3E%3Cscript%3E", &[], "").await;
    assert_eq!(form.headers["referrer-policy"], "same-origin", "or browsers send the form with an origin of null, which is refused");
    assert!(form.status == 200 && !form.text.contains("<script>"), "{}", form.text);
    let login = format!("username=eve&password={}&next=/dags", PASSWORD.replace(' ', "+").replace('\'', "%27"));
    let kind = ("content-type", "application/x-www-form-urlencoded");
    // A session that somebody else put into the browser is not the one that the login opens.
    let planted = [kind, ("cookie", "updraft_session=planted"), ("origin", "https://updraft.example")];
    let opened = g.send("POST", "/auth/login", &planted, &login).await;
    assert_eq!((opened.status, opened.headers["location"].to_str().unwrap()), (303, "/dags"), "{}", opened.text);
    assert!(opened.headers["set-cookie"].to_str().unwrap().contains("; Secure"), "the page is on https");
    let cookie = opened.cookie();
    assert_ne!(cookie, "updraft_session=planted");
    assert_eq!(g.send("GET", "/ui/me", &[("cookie", "updraft_session=planted")], "").await.status, 401);
    let again = g.send("POST", "/auth/login", &[kind, ("cookie", &cookie)], &login).await.cookie();
    assert_eq!(g.send("GET", "/ui/me", &[("cookie", &cookie)], "").await.status, 401, "a new login ends the session before it");
    // The browser sends it whoever asks: what changes something must say that it comes from here.
    let json = ("content-type", "application/json");
    let pool_body = "{\"name\": \"p\", \"slots\": 1}";
    let post = |headers: Vec<(&'static str, String)>| {
        let g = &g;
        async move {
            let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            g.send("POST", "/api/v2/pools", &headers, pool_body).await.status
        }
    };
    let mine = || vec![("cookie", again.clone()), (json.0, json.1.to_owned())];
    let and = |name: &'static str, value: &str| [mine(), vec![(name, value.to_owned())]].concat();
    assert_eq!(post(mine()).await, 403);
    assert_eq!(post(and("sec-fetch-site", "cross-site")).await, 403);
    assert_eq!(post(and("sec-fetch-site", "none")).await, 403);
    assert_eq!(post(and("origin", "https://evil.example")).await, 403);
    assert_eq!(post(and("sec-fetch-site", "same-origin")).await, 201);
    let out = g.send("POST", "/auth/logout", &[("cookie", &again)], "").await;
    assert_eq!(out.status, 303);
    assert_eq!(g.send("GET", "/ui/me", &[("cookie", &again)], "").await.status, 401, "it is over on the server, too");
    let wrong = g.send("POST", "/auth/login", &[kind], "username=eve&password=guessed+wrong").await;
    assert!(wrong.status == 401 && wrong.text.contains("do not belong together"), "{}", wrong.text);
}

#[sqlx::test(migrations = "../../migrations")]
async fn guessing_is_slowed_down_and_the_owner_is_not_locked_out(pool: PgPool) {
    let g = Guarded::new(pool).await;
    g.user("eve", json!(["viewer"])).await;
    let guess = |n: usize| json!({"username": "eve", "password": format!("guess number {n}")}).to_string();
    let json = [("content-type", "application/json")];
    let mut seen = Vec::new();
    for n in 0..12 {
        seen.push(g.send("POST", "/auth/token", &json, &guess(n)).await.status);
    }
    assert_eq!(seen[..10], [401; 10]);
    assert_eq!(seen[10..], [429, 429]);
    let right = json!({"username": "eve", "password": PASSWORD}).to_string();
    let refused = g.send("POST", "/auth/token", &json, &right).await;
    // Her password was right a moment ago, and is remembered: who guesses does not lock her out for that long.
    assert!(refused.status == 201 || refused.headers.contains_key("retry-after"), "{} {}", refused.status, refused.text);
    assert_eq!(g.owner("GET", "/ui/me", Value::Null).await.status, 200);
    let other = g.send("POST", "/auth/token", &json, &json!({"username": "nobody", "password": "guess of another"}).to_string()).await;
    assert_eq!(other.status, 401, "one name's guesses do not block another's");
}

#[sqlx::test(migrations = "../../migrations")]
async fn bad_words_about_users_are_said_plainly(pool: PgPool) {
    let g = Guarded::new(pool).await;
    for (method, path, body, status, says) in [
        ("POST", "/ui/users", json!({"name": "eve", "password": "short"}), 400, "at least 12"),
        ("POST", "/ui/users", json!({"name": "a b", "password": PASSWORD}), 400, "letters, digits"),
        ("POST", "/ui/users", json!({"name": "admin", "password": PASSWORD}), 409, "the deployment's own account"),
        ("POST", "/ui/users", json!({"name": "eve", "password": PASSWORD, "roles": ["king"]}), 400, "viewer, user, op, admin"),
        ("POST", "/ui/users", json!({"name": "eve", "password": PASSWORD, "roles": [{"role": "op", "scope": "etl"}]}), 400, "dag:GLOB"),
        ("PATCH", "/ui/users/nobody", json!({"active": false}), 404, "nobody"),
        ("POST", "/ui/roles", json!({"name": "op", "permissions": []}), 409, "built in"),
        ("POST", "/ui/roles", json!({"name": "x", "permissions": ["dags.fly"]}), 400, "dags.fly"),
        ("DELETE", "/ui/roles/x", Value::Null, 404, "x"),
        ("POST", "/ui/tokens", json!({"name": "t"}), 409, "updraft users create"),
    ] {
        let answer = g.owner(method, path, body).await;
        assert!(answer.status == status && answer.text.contains(says), "{method} {path}: {} {}", answer.status, answer.text);
    }
    let eve = g.user("eve", json!([])).await;
    let answer = g.with(&eve, "GET", "/api/v2/dags", Value::Null).await;
    assert!(answer.status == 403 && answer.text.contains("eve lacks the permission dags.read"), "{}", answer.text);
    assert_eq!(g.owner("POST", "/ui/roles", json!({"name": "reader", "permissions": ["dags.read"]})).await.status, 201);
    assert_eq!(g.owner("PUT", "/ui/users/eve/roles/reader", Value::Null).await.status, 200);
    assert_eq!(g.with(&eve, "GET", "/api/v2/dags", Value::Null).await.status, 200, "at once");
    assert_eq!(g.owner("DELETE", "/ui/roles/reader", Value::Null).await.status, 204);
    assert_eq!(g.with(&eve, "GET", "/api/v2/dags", Value::Null).await.status, 403);
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_audit_log_says_who_what_from_where_before_and_after_and_forgets_nothing(pool: PgPool) {
    let g = Guarded::new(pool.clone()).await;
    g.user("eve", json!(["viewer"])).await;
    assert_eq!(g.owner("PATCH", "/ui/users/eve", json!({"email": "eve@example.com"})).await.status, 200);
    let (who, extra): (String, Value) =
        sqlx::query_as("select who, extra from audit_log where event = 'patch_user'").fetch_one(&pool).await.unwrap();
    assert_eq!((who.as_str(), &extra["before"]["email"], &extra["after"]["email"]), ("admin", &Value::Null, &json!("eve@example.com")));
    let all: Vec<(String,)> = sqlx::query_as("select coalesce(extra::text, '') from audit_log").fetch_all(&pool).await.unwrap();
    assert!(all.iter().all(|(text,)| !text.contains("argon2") && !text.contains(PASSWORD)), "{all:?}");
    for sql in ["update audit_log set who = 'x'", "delete from audit_log", "truncate audit_log"] {
        let error = sqlx::query(sql).execute(&pool).await.expect_err(sql).to_string();
        assert!(error.contains("append-only"), "{error}");
    }
}
