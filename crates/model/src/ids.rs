//! Names and numbers that identify things.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest id that Airflow accepts for a DAG or a task, in characters.
pub const MAX_ID_LENGTH: usize = 250;

/// Why a text cannot be an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// The text has no characters.
    #[error("an id must not be empty")]
    Empty,
    /// The text is longer than [`MAX_ID_LENGTH`].
    #[error("an id has at most {MAX_ID_LENGTH} characters, this one has {0}")]
    TooLong(usize),
    /// The text holds a character that Airflow refuses too.
    #[error("{id:?} holds {found:?}: an id is made of letters, digits, dashes, dots and underscores")]
    Character {
        /// The text that was offered.
        id: String,
        /// The first character that is not allowed.
        found: char,
    },
}

fn check(id: &str) -> Result<(), InvalidId> {
    if id.is_empty() {
        return Err(InvalidId::Empty);
    }
    let length = id.chars().count();
    if length > MAX_ID_LENGTH {
        return Err(InvalidId::TooLong(length));
    }
    match id.chars().find(|c| !(c.is_alphanumeric() || matches!(c, '-' | '.' | '_'))) {
        Some(found) => Err(InvalidId::Character { id: id.to_owned(), found }),
        None => Ok(()),
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks the text and takes it as an id.
            pub fn new(id: impl Into<String>) -> Result<Self, InvalidId> {
                let id = id.into();
                check(&id)?;
                Ok(Self(id))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(id: String) -> Result<Self, InvalidId> {
                Self::new(id)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id!(
    /// The id of a DAG, unique in an installation.
    DagId
);
text_id!(
    /// The id of a task, unique in its DAG.
    TaskId
);

/// The number that the database gave to a run. Users know a run by its DAG and its run id; this is the short key of rows and hints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunKey(pub i64);

impl fmt::Display for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_what_airflow_accepts() {
        for good in ["a", "group.task", "A-1_b.c", "täsk", &"x".repeat(250)] {
            assert!(DagId::new(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a/b", "a:b", &"x".repeat(251)] {
            assert!(TaskId::new(bad).is_err(), "{bad}");
        }
    }
}
