//! What a pod is called: a name that follows from the attempt, so that whoever creates it twice meets the first one (I2), and labels as
//! Airflow writes them. Pure.

use md5::Md5;
use sha2::{Digest, Sha256};
use updraft_model::AttemptKey;
use uuid::Uuid;

/// Longest name that is a DNS label, which hostnames and labels are made of.
const MAX_NAME: usize = 63;
/// Characters of the hash in a name: 130 bits.
const HASH: usize = 26;
/// Longest value of a label.
const MAX_LABEL: usize = 63;

/// The name of the pod of an attempt. Its readable half is for people. The other half is a hash of what users know the attempt by, never of
/// numbers that the database drew: those come again after a restore, for something else (H7).
pub(crate) fn pod_name(readable: &str, installation: Uuid, ids: Ids<'_>) -> String {
    let Ids { dag_id, run_id, task_id, key } = ids;
    let mut hash = Sha256::new();
    hash.update(installation.as_bytes());
    for text in [dag_id, run_id, task_id] {
        // The length first: `a` + `bc` is not `ab` + `c`.
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    hash.update(key.instance.map_index.to_be_bytes());
    hash.update(key.attempt.to_be_bytes());
    let hash = base32(&hash.finalize(), HASH);
    format!("{}-{hash}", slug(readable, MAX_NAME - HASH - 1))
}

/// What users know an attempt by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ids<'a> {
    pub(crate) dag_id: &'a str,
    pub(crate) run_id: &'a str,
    pub(crate) task_id: &'a str,
    pub(crate) key: AttemptKey,
}

/// A text as part of a DNS label: lower case, dashes for everything else, at most `max` characters, never empty.
fn slug(text: &str, max: usize) -> String {
    let mut slug = String::with_capacity(max);
    for c in text.chars() {
        if slug.len() == max {
            break;
        }
        match c.to_ascii_lowercase() {
            c if c.is_ascii_alphanumeric() => slug.push(c),
            _ if slug.is_empty() || slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "task".to_owned() } else { slug.to_owned() }
}

fn base32(bytes: &[u8], length: usize) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    (0..length)
        .map(|i| {
            let five = (0..5).fold(0u8, |five, bit| {
                let at = i * 5 + bit;
                (five << 1) | ((bytes[at / 8] >> (7 - at % 8)) & 1)
            });
            char::from(ALPHABET[usize::from(five)])
        })
        .collect()
}

/// A text as the value of a label, the way Airflow does it, so that selectors written for Airflow's pods go on working: what labels cannot
/// hold is dropped, and a text that this changes, or that is too long, ends in nine digits of its MD5.
pub(crate) fn label_value(text: &str) -> String {
    let kept: String = text.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')).collect();
    // Airflow drops what is no letter or digit at both ends before it looks at the rest; the result is the same.
    let kept = kept.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    if kept.len() <= MAX_LABEL && kept == text {
        return kept.to_owned();
    }
    let hash: String = Md5::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let hash = &hash[..9];
    format!("{}-{hash}", &kept[..kept.len().min(MAX_LABEL - hash.len() - 1)]).trim_start_matches('-').to_owned()
}

/// The attempt in clear, for the annotation: `run/task/map index/attempt`.
pub(crate) fn attempt_text(key: AttemptKey) -> String {
    format!("{}/{}/{}/{}", key.instance.run, key.instance.idx, key.instance.map_index, key.attempt)
}

/// The same as the value of a label, so that a pod can be found by it.
pub(crate) fn attempt_label(key: AttemptKey) -> String {
    attempt_text(key).replace('/', ".")
}

/// Reads [`attempt_text`].
pub(crate) fn parse_attempt(text: &str) -> Option<AttemptKey> {
    let mut parts = text.split('/');
    let run = updraft_model::RunKey(parts.next()?.parse().ok()?);
    let idx = parts.next()?.parse().ok()?;
    let map_index = parts.next()?.parse().ok()?;
    let attempt = parts.next()?.parse().ok()?;
    parts.next().is_none().then_some(AttemptKey { instance: updraft_model::InstanceKey { run, idx, map_index }, attempt })
}

#[cfg(test)]
mod tests {
    use updraft_model::{InstanceKey, RunKey};

    use super::*;

    fn key(map_index: i32, attempt: i32) -> AttemptKey {
        AttemptKey { instance: InstanceKey { run: RunKey(7), idx: 3, map_index }, attempt }
    }

    fn name(dag_id: &str, run_id: &str, task_id: &str, key: AttemptKey) -> String {
        pod_name(&format!("{dag_id}-{task_id}"), Uuid::nil(), Ids { dag_id, run_id, task_id, key })
    }

    /// The half of the name that counts.
    fn hash(dag_id: &str, run_id: &str, task_id: &str, key: AttemptKey) -> String {
        pod_name("x", Uuid::nil(), Ids { dag_id, run_id, task_id, key })
    }

    #[test]
    fn names_are_dns_labels() {
        for (dag, task, start) in [
            ("etl", "load", "etl-load-"),
            ("ETL__x", ".Load", "etl-x-load-"),
            ("日本", "日本", "task-"),
            ("9", "9", "9-9-"),
            (&"x".repeat(250), &"y".repeat(250), "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-"),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-"),
        ] {
            let name = name(dag, "r", task, key(-1, 1));
            assert!(name.starts_with(start), "{name}");
            assert!(name.len() <= 63, "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{name}");
            assert!(!name.starts_with('-') && !name.contains("--"), "{name}");
        }
    }

    #[test]
    fn each_attempt_has_a_name_of_its_own_and_keeps_it() {
        let one = hash("a", "bc", "d", key(-1, 1));
        assert_eq!(one, hash("a", "bc", "d", key(-1, 1)));
        // Surrogate numbers do not count: they are drawn again after a restore.
        let redrawn = AttemptKey { instance: InstanceKey { run: RunKey(8), idx: 4, map_index: -1 }, attempt: 1 };
        assert_eq!(one, hash("a", "bc", "d", redrawn));
        let others = [
            hash("ab", "c", "d", key(-1, 1)),
            hash("a", "bcd", "", key(-1, 1)),
            hash("a", "bc", "d", key(0, 1)),
            hash("a", "bc", "d", key(-1, 2)),
            pod_name("x", Uuid::max(), Ids { dag_id: "a", run_id: "bc", task_id: "d", key: key(-1, 1) }),
        ];
        for other in others {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn base32_is_the_one_of_the_rfc() {
        assert_eq!(base32(b"foobar", 9), "mzxw6ytbo");
    }

    #[test]
    fn labels_are_those_of_airflow() {
        // Made with airflow.providers.cncf.kubernetes' make_safe_label_value.
        for (text, label) in [
            ("load", "load"),
            ("a.b_c-d", "a.b_c-d"),
            ("scheduled__2026-01-01T00:00:00+00:00", "scheduled__2026-01-01T0000000000-"),
            ("_x", "x-"),
        ] {
            let made = label_value(text);
            assert!(made.starts_with(label), "{made}");
            assert_eq!(made == text, !label.ends_with('-'), "{made}");
        }
        let long = label_value(&"x".repeat(64));
        assert_eq!(long.len(), 63);
        assert_eq!(long, format!("{}-{}", "x".repeat(53), "c1bb4f81d"));
        assert_eq!(label_value("日本").len(), 9);
    }

    #[test]
    fn attempts_are_read_back() {
        for key in [key(-1, 1), key(0, 12)] {
            assert_eq!(parse_attempt(&attempt_text(key)), Some(key));
        }
        assert_eq!(attempt_label(key(-1, 1)), "7.3.-1.1");
        for bad in ["", "1/2/3", "1/2/3/4/5", "a/2/3/4"] {
            assert_eq!(parse_attempt(bad), None, "{bad}");
        }
    }
}
