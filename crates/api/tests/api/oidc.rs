//! A login by OpenID Connect, against a provider of the test's own.

use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sqlx::PgPool;
use updraft_api::{Access, Account, Oidc, RoleMap};
use updraft_broker::Broker;

use crate::harness::Api;
use crate::users::{Answer, Guarded};

/// What the provider says and does next.
#[derive(Clone)]
struct Plan {
    issuer: String,
    key: Vec<u8>,
    jwk: Value,
    /// Laid over the claims of the token.
    claims: Value,
    /// What the browser was sent with.
    asked: Vec<(String, String)>,
    exchanges: usize,
}

type Provider = Arc<Mutex<Plan>>;

fn pairs(query: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(query.as_bytes()).map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

fn value(pairs: &[(String, String)], name: &str) -> String {
    pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap_or_default()
}

fn new_key(kid: &str) -> (Vec<u8>, Value) {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
    let public = pair.public_key().as_ref();
    let (x, y) = (URL_SAFE_NO_PAD.encode(&public[1..33]), URL_SAFE_NO_PAD.encode(&public[33..65]));
    (pkcs8.as_ref().to_vec(), json!({"kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "alg": "ES256", "x": x, "y": y}))
}

async fn exchange(State(provider): State<Provider>, headers: HeaderMap, body: String) -> Json<Value> {
    let form = pairs(&body);
    let mut plan = provider.lock().unwrap();
    plan.exchanges += 1;
    assert_eq!(value(&form, "grant_type"), "authorization_code");
    assert_eq!(value(&form, "code"), "the-code");
    assert!(headers["authorization"].to_str().unwrap().starts_with("Basic "));
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(value(&form, "code_verifier").as_bytes()));
    assert_eq!(challenge, value(&plan.asked, "code_challenge"), "the verifier is another login's");
    let now = chrono::Utc::now().timestamp();
    let mut claims = json!({
        "iss": plan.issuer, "aud": "updraft", "sub": "1234", "iat": now, "exp": now + 300, "nonce": value(&plan.asked, "nonce"),
        "preferred_username": "ann", "name": "Ann Onym", "email": "ann@example.com", "groups": ["team-a", "everyone"],
    });
    for (key, value) in plan.claims.as_object().cloned().unwrap_or_default() {
        claims[key] = value;
    }
    let header = Header { kid: plan.jwk["kid"].as_str().map(str::to_owned), ..Header::new(Algorithm::ES256) };
    Json(
        json!({"access_token": "x", "token_type": "Bearer", "id_token": encode(&header, &claims, &EncodingKey::from_ec_der(&plan.key)).unwrap()}),
    )
}

struct World {
    g: Guarded,
    provider: Provider,
}

impl World {
    async fn new(pool: PgPool) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let (key, jwk) = new_key("first");
        let plan = Plan { issuer: issuer.clone(), key, jwk, claims: json!({}), asked: Vec::new(), exchanges: 0 };
        let provider: Provider = Arc::new(Mutex::new(plan));
        let described = json!({
            "issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize"), "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/keys"),
        });
        let app = Router::new()
            .route("/.well-known/openid-configuration", get(move || async move { Json(described) }))
            .route("/keys", get(|State(p): State<Provider>| async move { Json(json!({"keys": [p.lock().unwrap().jwk.clone()]})) }))
            .route("/token", post(exchange))
            .with_state(Arc::clone(&provider));
        tokio::spawn(async move { axum::serve(listener, app).await });
        let oidc = Oidc {
            issuer,
            client_id: "updraft".to_owned(),
            client_secret: Some("a secret".to_owned()),
            external_url: "https://updraft.example".to_owned(),
            scopes: "openid".to_owned(),
            name_claim: "preferred_username".to_owned(),
            groups_claim: "groups".to_owned(),
            roles: RoleMap::parse("team-a => op=dag:diamond, admins => admin").unwrap(),
        };
        let account = Some(Account::new("admin", "correct horse battery").unwrap());
        let access = Access { account, oidc: Some(oidc), ..Access::default() };
        Self { g: Guarded { api: Api::with(pool, Broker::in_process(), access).await }, provider }
    }

    fn says(&self, claims: Value) {
        self.provider.lock().unwrap().claims = claims;
    }

    /// To the provider: the cookie that waits, and what the browser was sent with.
    async fn begin(&self) -> (String, Vec<(String, String)>) {
        let sent = self.g.send("GET", "/auth/oidc/login?next=/dags", &[], "").await;
        assert_eq!(sent.status, 303, "{}", sent.text);
        let there = sent.headers["location"].to_str().unwrap().to_owned();
        let asked = pairs(there.split_once('?').unwrap().1);
        self.provider.lock().unwrap().asked.clone_from(&asked);
        (sent.cookie(), asked)
    }

    async fn back(&self, cookie: &str, query: &str) -> Answer {
        let navigation = [("cookie", cookie), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
        self.g.send("GET", &format!("/auth/oidc/callback?{query}"), &navigation, "").await
    }

    async fn login(&self) -> Answer {
        let (cookie, asked) = self.begin().await;
        self.back(&cookie, &format!("code=the-code&state={}", value(&asked, "state"))).await
    }
}

fn session(answer: &Answer) -> String {
    let set = answer.headers.get_all("set-cookie").iter().map(|set| set.to_str().unwrap());
    set.map(|set| set.split(';').next().unwrap().to_owned()).find(|set| set.starts_with("updraft_session=")).expect("a session")
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_login_with_a_provider_gives_the_roles_of_its_groups(pool: PgPool) {
    let w = World::new(pool).await;
    let (_, asked) = w.begin().await;
    for (name, expected) in [("response_type", "code"), ("client_id", "updraft"), ("code_challenge_method", "S256"), ("scope", "openid")] {
        assert_eq!(value(&asked, name), expected);
    }
    assert_eq!(value(&asked, "redirect_uri"), "https://updraft.example/auth/oidc/callback");
    let done = w.login().await;
    assert_eq!((done.status, done.headers["location"].to_str().unwrap()), (303, "/dags"), "{}", done.text);
    let cookie = session(&done);
    let me = w.g.send("GET", "/ui/me", &[("cookie", &cookie)], "").await.json();
    assert_eq!((&me["name"], &me["permissions"]["runs.create"]), (&json!("ann"), &json!(["dag:diamond"])));
    // Her groups change at the provider: so do her roles, at the next login, and her sessions have them at once.
    w.says(json!({"groups": ["admins"], "email": "new@example.com"}));
    assert_eq!(w.login().await.status, 303);
    let me = w.g.send("GET", "/ui/me", &[("cookie", &cookie)], "").await.json();
    assert_eq!(me["permissions"]["users.create"], json!(["*"]));
    let ann = w.g.owner("GET", "/ui/users/ann", Value::Null).await.json();
    assert_eq!((&ann["email"], &ann["has_password"]), (&json!("new@example.com"), &json!(false)));
    // A new key of the provider would be asked for, but not at every guess.
    let (key, jwk) = new_key("second");
    {
        let mut plan = w.provider.lock().unwrap();
        (plan.key, plan.jwk) = (key, jwk);
    }
    assert_eq!(w.login().await.status, 503);
}

#[sqlx::test(migrations = "../../migrations")]
async fn nobody_comes_in_by_the_provider_who_should_not(pool: PgPool) {
    let w = World::new(pool).await;
    let now = chrono::Utc::now().timestamp();
    for (claims, status, says) in [
        (json!({"nonce": "another"}), 503, "checking its token"),
        (json!({"aud": "another"}), 503, "checking its token"),
        (json!({"aud": ["updraft", "another"], "azp": "another"}), 503, "checking its token"),
        (json!({"iss": "https://evil.example"}), 503, "checking its token"),
        (json!({"exp": now - 300}), 503, "checking its token"),
        (json!({"groups": ["strangers"]}), 403, "in no group"),
        (json!({"groups": null}), 403, "in no group"),
        (json!({"preferred_username": "admin"}), 403, "own account"),
        (json!({"preferred_username": "<script>"}), 403, "letters, digits"),
        (json!({"preferred_username": null}), 403, "in no claim"),
    ] {
        w.says(claims.clone());
        let answer = w.login().await;
        assert!(answer.status == status && answer.text.contains(says), "{claims}: {} {}", answer.status, answer.text);
        assert!(answer.headers.get("set-cookie").is_none() && !answer.text.contains("<script>"), "{claims}: {}", answer.text);
    }
    // The name of a user with a password is not to be had by a claim.
    w.says(json!({}));
    let made = w.g.owner("POST", "/ui/users", json!({"name": "ann", "password": "a password of ann's", "roles": ["admin"]})).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let answer = w.login().await;
    assert!(answer.status == 403 && answer.text.contains("already"), "{}", answer.text);
    assert_eq!(w.g.owner("DELETE", "/ui/users/ann", Value::Null).await.status, 204);
    // Who is disabled stays out, and does not become another user by another name.
    assert_eq!(w.login().await.status, 303);
    assert_eq!(w.g.owner("PATCH", "/ui/users/ann", json!({"active": false})).await.status, 200);
    w.says(json!({"preferred_username": "ann2"}));
    let answer = w.login().await;
    assert!(answer.status == 403 && answer.text.contains("disabled"), "{}", answer.text);
    // A login that another browser began, a changed cookie, and a refusal.
    let before = w.provider.lock().unwrap().exchanges;
    let (mine, asked) = w.begin().await;
    let (theirs, _) = w.begin().await;
    let state = value(&asked, "state");
    for (cookie, query) in [
        (theirs.as_str(), format!("code=the-code&state={state}")),
        ("", format!("code=the-code&state={state}")),
        (&mine[..mine.len() - 2], format!("code=the-code&state={state}")),
        (mine.as_str(), "code=the-code&state=guess".to_owned()),
        (mine.as_str(), format!("error=access_denied&error_description=%3Cb%3Eno&state={state}")),
    ] {
        let answer = w.back(cookie, &query).await;
        assert_eq!(answer.status, 403, "{query}: {}", answer.text);
        assert!(!answer.text.contains("<b>"), "{}", answer.text);
    }
    assert_eq!(w.provider.lock().unwrap().exchanges, before, "no code was exchanged");
}
