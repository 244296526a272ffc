//! The keys that seal variables and connections before Postgres sees them.
//!
//! Envelope encryption: each secret has a data key of its own, sealed by one of the installation's keys, whose id is kept beside it. So a
//! change of the installation's key rewrites a few dozen bytes of each row and needs no secret in clear, and old and new rows are read side
//! by side while it goes on. Everything is AES-256-GCM (NIST SP 800-38D), of `aws-lc-rs`, with random nonces. The place of a secret (which variable,
//! which connection) is authenticated with it: a row copied over another one cannot be opened.
//!
//! ```text
//! byte 0       1, the version of this layout
//! byte 1       length n of the key's id
//! n bytes      the key's id
//! 12 + 48      nonce; data key of 32 bytes and tag
//! 12 + …       nonce; secret and tag
//! ```

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

const VERSION: u8 = 1;
const KEY: usize = 32;
const NONCE: usize = 12;
const TAG: usize = 16;
const ENVELOPE: usize = NONCE + KEY + TAG;

/// The installation's keys. The first one seals, all open.
pub struct Keyring {
    keys: Vec<(String, RandomizedNonceKey)>,
}

// By hand: these are secrets.
impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|(id, _)| id)).finish()
    }
}

/// Why something could not be sealed or opened.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SealError {
    /// The key that it was sealed with is not in the keyring.
    #[error(
        "it was sealed with the key {0:?}, which this process does not have: add it to UPDRAFT_SECRET_KEYS after the first one, or store the value anew"
    )]
    UnknownKey(String),
    /// It was changed, belongs to another place, or the key of this id is another one.
    #[error("it cannot be opened with the key {0:?}: another key has that id now, or the row was changed by hand; store the value anew")]
    Damaged(String),
    /// These bytes are no sealed secret.
    #[error("it is not a sealed secret that this version can read; store the value anew")]
    Unreadable,
    /// The cipher failed.
    #[error("the cipher failed")]
    Cipher,
}

impl Keyring {
    /// Reads keys written as `id:base64`, separated by commas or lines: 32 bytes each. The sentence of an error names no key's bytes.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut keys: Vec<(String, RandomizedNonceKey)> = Vec::new();
        let entries = text.split([',', '\n']).map(str::trim).filter(|entry| !entry.is_empty() && !entry.starts_with('#'));
        for (nth, entry) in (1..).zip(entries) {
            let (id, key) = entry.split_once(':').ok_or_else(|| format!("key {nth} is not written as id:base64"))?;
            if id.is_empty() || id.len() > 64 || !id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
                return Err(format!("key {nth}: an id has 1 to 64 letters, digits, dots, dashes or underscores"));
            }
            if keys.iter().any(|(known, _)| known == id) {
                return Err(format!("two keys have the id {id:?}"));
            }
            let bytes = BASE64.decode(key.trim()).map_err(|_| format!("key {id:?} is not base64"))?;
            let length = bytes.len();
            let key = RandomizedNonceKey::new(&AES_256_GCM, &bytes).map_err(|_| format!("key {id:?} has {length} bytes, not {KEY}"))?;
            keys.push((id.to_owned(), key));
        }
        if keys.is_empty() {
            return Err("there is no key; `updraft secrets new-key` makes one".to_owned());
        }
        Ok(Self { keys })
    }

    /// A new key as `parse` reads it.
    pub fn generate(id: &str) -> Result<String, SealError> {
        let mut key = [0; KEY];
        aws_lc_rs::rand::fill(&mut key).map_err(|_| SealError::Cipher)?;
        Ok(format!("{id}:{}", BASE64.encode(key)))
    }

    /// Seals a secret for one place.
    pub fn seal(&self, place: &str, secret: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut data_key = [0; KEY];
        aws_lc_rs::rand::fill(&mut data_key).map_err(|_| SealError::Cipher)?;
        let mut sealed = self.envelope(place, &data_key)?;
        let data_key = RandomizedNonceKey::new(&AES_256_GCM, &data_key).map_err(|_| SealError::Cipher)?;
        sealed.extend(seal_with(&data_key, place, secret)?);
        Ok(sealed)
    }

    /// Opens what was sealed for the same place.
    pub fn open(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let parts = Parts::of(sealed).ok_or(SealError::Unreadable)?;
        let data_key = self.data_key(place, &parts)?;
        let data_key = RandomizedNonceKey::new(&AES_256_GCM, &data_key).map_err(|_| SealError::Cipher)?;
        open_with(&data_key, place, parts.secret).ok_or_else(|| SealError::Damaged(parts.id.to_owned()))
    }

    /// The same secret under the first key. None: it is already.
    pub fn reseal(&self, place: &str, sealed: &[u8]) -> Result<Option<Vec<u8>>, SealError> {
        let parts = Parts::of(sealed).ok_or(SealError::Unreadable)?;
        if self.keys.first().is_some_and(|(id, _)| id == parts.id) {
            return Ok(None);
        }
        let data_key = self.data_key(place, &parts)?;
        let mut anew = self.envelope(place, &data_key)?;
        anew.extend_from_slice(parts.secret);
        Ok(Some(anew))
    }

    fn envelope(&self, place: &str, data_key: &[u8]) -> Result<Vec<u8>, SealError> {
        let (id, key) = self.keys.first().ok_or(SealError::Cipher)?;
        let mut envelope = vec![VERSION, u8::try_from(id.len()).map_err(|_| SealError::Cipher)?];
        envelope.extend_from_slice(id.as_bytes());
        envelope.extend(seal_with(key, place, data_key)?);
        Ok(envelope)
    }

    fn data_key(&self, place: &str, parts: &Parts<'_>) -> Result<Vec<u8>, SealError> {
        let (_, key) = self.keys.iter().find(|(id, _)| id == parts.id).ok_or_else(|| SealError::UnknownKey(parts.id.to_owned()))?;
        open_with(key, place, parts.envelope).ok_or_else(|| SealError::Damaged(parts.id.to_owned()))
    }
}

struct Parts<'a> {
    id: &'a str,
    envelope: &'a [u8],
    secret: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(sealed: &'a [u8]) -> Option<Self> {
        let [VERSION, length, rest @ ..] = sealed else { return None };
        let (id, rest) = rest.split_at_checked(usize::from(*length))?;
        let (envelope, secret) = rest.split_at_checked(ENVELOPE)?;
        Some(Self { id: std::str::from_utf8(id).ok()?, envelope, secret })
    }
}

fn seal_with(key: &RandomizedNonceKey, place: &str, secret: &[u8]) -> Result<Vec<u8>, SealError> {
    let mut sealed = secret.to_vec();
    let nonce = key.seal_in_place_append_tag(Aad::from(place.as_bytes()), &mut sealed).map_err(|_| SealError::Cipher)?;
    Ok([nonce.as_ref().as_slice(), &sealed].concat())
}

fn open_with(key: &RandomizedNonceKey, place: &str, sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_at_checked(NONCE)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut secret = sealed.to_vec();
    let length = key.open_in_place(nonce, Aad::from(place.as_bytes()), &mut secret).ok()?.len();
    secret.truncate(length);
    Some(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(ids: &[&str]) -> (Vec<String>, Keyring) {
        let keys: Vec<String> = ids.iter().map(|id| Keyring::generate(id).unwrap()).collect();
        let ring = Keyring::parse(&keys.join(",")).unwrap();
        (keys, ring)
    }

    #[test]
    fn what_is_sealed_opens_at_its_place_only() {
        let (_, ring) = ring(&["2026"]);
        for secret in [&b""[..], b"x", &[7; 100_000]] {
            let sealed = ring.seal("variable/a", secret).unwrap();
            assert_eq!(ring.open("variable/a", &sealed).unwrap(), secret);
            assert_eq!(ring.open("variable/b", &sealed), Err(SealError::Damaged("2026".into())));
            assert_ne!(sealed, ring.seal("variable/a", secret).unwrap(), "a nonce was used twice");
        }
        let sealed = ring.seal("p", b"canary").unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"canary"));
        for at in 0..sealed.len() {
            let mut bent = sealed.clone();
            bent[at] ^= 1;
            assert!(ring.open("p", &bent).is_err(), "byte {at} may be changed");
            assert!(ring.open("p", &sealed[..at]).is_err(), "it may be cut to {at} bytes");
        }
    }

    #[test]
    fn a_key_is_replaced_while_the_old_one_is_still_there() {
        let (keys, old) = ring(&["old"]);
        let sealed = old.seal("p", b"secret").unwrap();
        assert_eq!(old.reseal("p", &sealed), Ok(None));
        let new = Keyring::generate("new").unwrap();
        let both = Keyring::parse(&format!("# the first one seals\n{new}\n{}\n", keys[0])).unwrap();
        assert_eq!(both.open("p", &sealed).unwrap(), b"secret");
        let anew = both.reseal("p", &sealed).unwrap().unwrap();
        let alone = Keyring::parse(&new).unwrap();
        assert_eq!(alone.open("p", &anew).unwrap(), b"secret");
        assert_eq!(alone.open("p", &sealed), Err(SealError::UnknownKey("old".into())));
        assert_eq!(both.reseal("q", &sealed), Err(SealError::Damaged("old".into())));
    }

    #[test]
    fn mistakes_in_a_list_of_keys_are_named_without_the_keys() {
        let short = BASE64.encode([1; 31]);
        for (text, words) in [
            ("", "there is no key"),
            ("canary", "key 1 is not written as id:base64"),
            ("a b:canary", "key 1: an id has"),
            ("a:canary!", "key \"a\" is not base64"),
            (&format!("a:{short}"), "key \"a\" has 31 bytes"),
            (&format!("{0},{0}", Keyring::generate("a").unwrap()), "two keys have the id \"a\""),
        ] {
            let error = Keyring::parse(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
            assert!(!error.contains("canary"), "{error}");
        }
    }
}
