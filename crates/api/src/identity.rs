//! Who sends a request, and what proves it: a password, a token of a login, a personal token, or the session of a browser.
//!
//! Nothing that is given out is kept: the database has an Argon2id hash of each password and SHA-256 hashes of tokens and sessions. A token
//! of a login is a JWT (RFC 7519, HS256) that names its user's generation: a new password, or being shut out, voids it at once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use argon2::password_hash::PasswordHasher as _;
use argon2::{Argon2, PasswordHash, PasswordVerifier as _};
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD};
use chrono::Utc;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OnceCell, Semaphore};
use updraft_store::users::UserRow;
use updraft_store::{Error as StoreError, Store};

use crate::access::Principal;
use crate::guard::{Account, same, sign};

/// Whom a token of a login is for: this API, and no other program that trusts the same key.
const AUDIENCE: &str = "updraft-api";
/// How long a token of a login is good: Airflow's default.
pub(crate) const TOKEN_LIFE: Duration = Duration::from_secs(24 * 3600);
/// The same for what the CLI asks for.
pub(crate) const CLI_TOKEN_LIFE: Duration = Duration::from_secs(3600);
/// How long a session is good.
pub(crate) const SESSION_LIFE: Duration = Duration::from_secs(12 * 3600);
/// How a personal token begins, so that scanners of repositories know one.
pub(crate) const PERSONAL: &str = "updraft_pat_";
/// The cookie of a session.
pub(crate) const COOKIE: &str = "updraft_session";
/// A password that was right is not hashed again for so long.
const REMEMBERED: Duration = Duration::from_secs(60);
/// Passwords that are remembered at most.
const MOST_REMEMBERED: usize = 1000;
/// Passwords that are hashed at once: each takes 19 MiB and tens of milliseconds of a core.
const AT_ONCE: usize = 2;
/// Wrong passwords of one user from one address, or of all users from one address, before it must wait.
const WRONG_OF_USER: u32 = 10;
const WRONG_OF_ADDRESS: u32 = 50;
/// In which time.
const WINDOW: Duration = Duration::from_secs(300);

/// Why nobody was found.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Nothing was shown that could prove anything.
    Nobody,
    /// A user's name with a wrong password, or of nobody.
    WrongPassword,
    /// A token that is none of ours, expired, for somebody else, or void.
    WrongToken,
    /// Too many were wrong: wait so long.
    Wait(Duration),
    /// The database.
    Store(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    sub: String,
    aud: String,
    iss: String,
    iat: i64,
    exp: i64,
    /// The generation of the user; the deployment's own account has none.
    generation: Option<i64>,
}

/// An address, with the user whose password is guessed, or with none for all that it guesses.
type Guesser = (Option<IpAddr>, Option<String>);

/// What tokens are signed with, and whose they are. Read once: neither changes while this process runs.
struct Seal {
    key: [u8; 32],
    issuer: String,
}

/// What stands between a password and its hash.
pub(crate) struct Identity {
    account: Option<Account>,
    /// Of this process: what it makes is worth nothing elsewhere.
    salt: [u8; 32],
    remembered: Mutex<HashMap<[u8; 32], Instant>>,
    wrong: Mutex<HashMap<Guesser, (u32, Instant)>>,
    hashing: Semaphore,
    seal: OnceCell<Seal>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("account", &self.account).finish_non_exhaustive()
    }
}

/// So many random bytes.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // The operating system's own; where it has none there is no safe way on.
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives no random bytes");
    bytes
}

/// A secret for somebody to keep, and the hash that is kept here.
pub(crate) fn secret(prefix: &str) -> (String, [u8; 32]) {
    let text = format!("{prefix}{}", URL_SAFE_NO_PAD.encode(random::<32>()));
    let hash = hash(&text);
    (text, hash)
}

/// SHA-256. What is hashed has 256 random bits: there is nothing to guess.
pub(crate) fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// Argon2id with the crate's parameters, which are OWASP's (19 MiB, 2 passes, 1 lane), as a PHC string.
pub(crate) async fn hash_password(password: &str) -> Result<String, String> {
    let password = password.to_owned();
    let done = tokio::task::spawn_blocking(move || {
        Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string()).map_err(|error| error.to_string())
    });
    done.await.map_err(|error| error.to_string())?
}

impl Identity {
    pub(crate) fn new(account: Option<Account>) -> Self {
        Self {
            account,
            salt: random(),
            remembered: Mutex::default(),
            wrong: Mutex::default(),
            hashing: Semaphore::new(AT_ONCE),
            seal: OnceCell::new(),
        }
    }

    /// The name of the deployment's own account.
    pub(crate) fn owner(&self) -> Option<&str> {
        self.account.as_ref().map(Account::user)
    }

    /// What is kept of a session. It is signed as tokens are: it ends with the deployment's password.
    pub(crate) async fn session_hash(&self, store: &Store, session: &str) -> Result<[u8; 32], StoreError> {
        self.sign(store, &format!("session {session}")).await
    }

    /// A signature that the APIs of this installation alone can make.
    pub(crate) async fn sign(&self, store: &Store, text: &str) -> Result<[u8; 32], StoreError> {
        Ok(sign(&self.seal(store).await?.key, text.as_bytes()))
    }

    /// Whether anybody must prove anything at all.
    pub(crate) const fn asks(&self) -> bool {
        self.account.is_some()
    }

    /// Who sends a request with these headers.
    pub(crate) async fn of(&self, store: &Store, headers: &HeaderMap, address: Option<IpAddr>) -> Result<Principal, Refusal> {
        if let Some(given) = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()) {
            let (scheme, rest) = given.split_once(' ').unwrap_or((given, ""));
            if scheme.eq_ignore_ascii_case("basic") {
                let decoded = BASE64.decode(rest.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                let Some((user, password)) = decoded.as_deref().and_then(|text| text.split_once(':')) else {
                    return Err(Refusal::WrongPassword);
                };
                return Ok(self.by_password(store, user, password, address).await?.0);
            }
            if scheme.eq_ignore_ascii_case("bearer") {
                return self.by_token(store, rest.trim()).await;
            }
        }
        match cookie(headers) {
            Some(session) => match store.user_of_session(&self.session_hash(store, session).await?).await? {
                Some(row) => Ok(Principal::user(&row).by_cookie()),
                None => Err(Refusal::Nobody),
            },
            None => Err(Refusal::Nobody),
        }
    }

    /// Who has this password, with their row if they have one.
    pub(crate) async fn by_password(
        &self,
        store: &Store,
        name: &str,
        password: &str,
        address: Option<IpAddr>,
    ) -> Result<(Principal, Option<UserRow>), Refusal> {
        // A right password that was right before costs nothing, and nobody can lock its owner out.
        if let Some(account) = &self.account
            && account.is(name, password)
        {
            return Ok((Principal::owner(name), None));
        }
        let row = store.user_get(name).await?.filter(|row| row.active);
        let memory =
            row.as_ref().and_then(|row| row.password_hash.as_ref()).map(|hash| sign(&self.salt, format!("{hash}\0{password}").as_bytes()));
        if let (Some(row), Some(memory)) = (&row, &memory)
            && self.remembers(memory)
        {
            return Ok((Principal::user(row), Some(row.clone())));
        }
        self.patience(name, address)?;
        let known = row.as_ref().and_then(|row| row.password_hash.clone());
        // As long for a name that is nobody's: time tells no names.
        let (expected, real) = match known {
            Some(hash) => (hash, true),
            None => (NOBODYS.to_owned(), false),
        };
        let right = {
            let _turn = self.hashing.acquire().await;
            let password = password.to_owned();
            let check = tokio::task::spawn_blocking(move || {
                PasswordHash::new(&expected).is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
            });
            check.await.unwrap_or(false)
        };
        match (row, memory) {
            (Some(row), Some(memory)) if right && real => {
                self.remember(memory);
                self.forgive(name, address);
                Ok((Principal::user(&row), Some(row)))
            }
            _ => {
                self.count(name, address);
                Err(Refusal::WrongPassword)
            }
        }
    }

    async fn by_token(&self, store: &Store, token: &str) -> Result<Principal, Refusal> {
        if token.starts_with(PERSONAL) {
            let found = store.user_of_token(&hash(token)).await?;
            let (row, limit) = found.ok_or(Refusal::WrongToken)?;
            return Ok(Principal::user(&row).limited(limit));
        }
        let seal = self.seal(store).await?;
        let key = DecodingKey::from_secret(&seal.key);
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[&seal.issuer]);
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        validation.leeway = 0;
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &validation).map_err(|_| Refusal::WrongToken)?.claims;
        match (claims.generation, &self.account) {
            (None, Some(account)) if account.user() == claims.sub => Ok(Principal::owner(&claims.sub)),
            (None, _) => Err(Refusal::WrongToken),
            (Some(generation), _) => {
                let row = store.user_get(&claims.sub).await?.filter(|row| row.active && row.generation == generation);
                row.map(|row| Principal::user(&row)).ok_or(Refusal::WrongToken)
            }
        }
    }

    /// A token of a login.
    pub(crate) async fn token(&self, store: &Store, name: &str, row: Option<&UserRow>, life: Duration) -> Result<String, StoreError> {
        let seal = self.seal(store).await?;
        let now = Utc::now().timestamp();
        let claims = Claims {
            sub: name.to_owned(),
            aud: AUDIENCE.to_owned(),
            iss: seal.issuer.clone(),
            iat: now,
            exp: now + i64::try_from(life.as_secs()).unwrap_or(0),
            generation: row.map(|row| row.generation),
        };
        let key = EncodingKey::from_secret(&seal.key);
        // It fails for keys of other algorithms only.
        Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).expect("HS256 signs with any key"))
    }

    /// The installation's key, mixed with the deployment's password: who has a dump of the database alone signs nothing, and tokens end with
    /// the password.
    async fn seal(&self, store: &Store) -> Result<&Seal, StoreError> {
        self.seal
            .get_or_try_init(|| async {
                let kept = store.token_key(&random::<32>()).await?;
                let key = self.account.as_ref().map_or_else(|| sign(&kept, b"tokens 1"), |account| account.token_key(&kept));
                Ok(Seal { key, issuer: store.installation_id().await?.to_string() })
            })
            .await
    }

    fn remembers(&self, memory: &[u8; 32]) -> bool {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.iter().any(|(known, at)| same(known, memory) && at.elapsed() < REMEMBERED)
    }

    fn remember(&self, memory: [u8; 32]) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= MOST_REMEMBERED {
            remembered.retain(|_, at| at.elapsed() < REMEMBERED);
        }
        if remembered.len() < MOST_REMEMBERED {
            remembered.insert(memory, Instant::now());
        }
    }

    fn patience(&self, name: &str, address: Option<IpAddr>) -> Result<(), Refusal> {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.retain(|_, (_, since)| since.elapsed() < WINDOW);
        for (key, most) in [((address, Some(name.to_owned())), WRONG_OF_USER), ((address, None), WRONG_OF_ADDRESS)] {
            if let Some((count, since)) = wrong.get(&key)
                && *count >= most
            {
                return Err(Refusal::Wait(WINDOW.saturating_sub(since.elapsed())));
            }
        }
        Ok(())
    }

    fn count(&self, name: &str, address: Option<IpAddr>) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        for key in [(address, Some(name.to_owned())), (address, None)] {
            wrong.entry(key).or_insert_with(|| (0, Instant::now())).0 += 1;
        }
    }

    fn forgive(&self, name: &str, address: Option<IpAddr>) {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).remove(&(address, Some(name.to_owned())));
    }
}

/// A hash that no password has: of 32 random bytes that were thrown away.
const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGhhcyBpdCEhIQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The session that a browser shows.
pub(crate) fn cookie(headers: &HeaderMap) -> Option<&str> {
    cookie_named(headers, COOKIE)
}

/// A cookie.
pub(crate) fn cookie_named<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == wanted)
        .map(|(_, value)| value)
}
