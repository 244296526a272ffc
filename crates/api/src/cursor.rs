//! Cursors as clients see them: opaque text, good for the list and the order that it came with.
//!
//! In it, as JSON: the order, and what a row has there. A cursor for the page before has a `~` in front, as in Airflow.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use updraft_store::read::{COUNTED, Column, Cursor, KeyedPage, ListQuery, Paging};

use crate::error::Error;

type Order = [(&'static Column, bool)];

fn signature(order: &Order) -> String {
    order.iter().map(|(column, descending)| format!("{}{}", if *descending { "-" } else { "" }, column.name)).collect::<Vec<_>>().join(",")
}

fn write(order: &Order, values: &[Option<String>]) -> String {
    BASE64.encode(json!([signature(order), values]).to_string())
}

/// Reads a cursor; an empty one is the first page.
pub(crate) fn read(token: &str, order: &Order) -> Result<Paging, Error> {
    if token.is_empty() {
        return Ok(Paging::Cursor(None));
    }
    let invalid = || Error::BadRequest("Invalid cursor token".to_owned());
    let (token, back) = token.strip_prefix('~').map_or((token, false), |rest| (rest, true));
    let bytes = BASE64.decode(token.trim_end_matches('=')).map_err(|_| invalid())?;
    let (of, texts): (String, Vec<Option<String>>) = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
    if of != signature(order) || texts.len() != order.len() {
        return Err(Error::BadRequest("Cursor token does not match current query shape".to_owned()));
    }
    let mut values = Vec::with_capacity(texts.len());
    for ((column, _), text) in order.iter().zip(texts) {
        // Postgres has no NUL in a text, and whoever made up this cursor should hear of it from us.
        values.push(match text {
            None => None,
            Some(text) if text.contains('\0') => return Err(invalid()),
            Some(text) => Some(column.parse(&text).ok_or_else(invalid)?),
        });
    }
    Ok(Paging::Cursor(Some(Cursor { values, back })))
}

/// What a page that can be turned by cursor has beside its rows.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct Ends {
    /// How many there are on all pages; by cursor, at most `total_entries_limit`.
    pub(crate) total_entries: i64,
    /// Where counting ended. Null: all were counted.
    pub(crate) total_entries_limit: Option<i64>,
    /// The cursor of the page after this one.
    pub(crate) next_cursor: Option<String>,
    /// The cursor of the page before this one.
    pub(crate) previous_cursor: Option<String>,
}

/// The ends of a page.
pub(crate) fn ends<T>(page: &KeyedPage<T>, query: &ListQuery, key: &'static [Column]) -> Ends {
    let order = query.total_order(key);
    Ends {
        total_entries: page.total,
        total_entries_limit: (query.paging != Paging::Offset).then_some(COUNTED),
        next_cursor: page.next.as_ref().map(|values| write(&order, values)),
        previous_cursor: page.previous.as_ref().map(|values| format!("~{}", write(&order, values))),
    }
}

#[cfg(test)]
mod tests {
    use updraft_store::read::Key;
    use updraft_store::read::runs::{RUN_COLUMNS, RUN_KEY};

    use super::*;

    fn order(names: &[&str]) -> Vec<(&'static Column, bool)> {
        let mut query = ListQuery::first(1);
        for name in names {
            let (name, descending) = name.strip_prefix('-').map_or((*name, false), |rest| (rest, true));
            query.order.push((RUN_COLUMNS.iter().find(|c| c.name == name).unwrap(), descending));
        }
        query.total_order(RUN_KEY)
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let by = order(&["-run_after", "conf", "duration"]);
        let values = ["1700000000000001", "{\"a\": \"ü\"}", "0.1", "7"].map(|v| Some(v.to_owned()));
        for back in [false, true] {
            let token = format!("{}{}", if back { "~" } else { "" }, write(&by, &values));
            let Paging::Cursor(Some(cursor)) = read(&token, &by).unwrap() else { panic!("no cursor") };
            assert_eq!(cursor.back, back);
            assert_eq!(cursor.values[1..], [Some(Key::Text("{\"a\": \"ü\"}".into())), Some(Key::Real(0.1)), Some(Key::Number(7))]);
            assert!(matches!(&cursor.values[0], Some(Key::Time(at)) if at.timestamp_micros() == 1_700_000_000_000_001));
        }
        let null = write(&by, &[None, None, None, Some("7".to_owned())]);
        assert!(matches!(read(&null, &by).unwrap(), Paging::Cursor(Some(c)) if c.values[0].is_none()));
        assert_eq!(read("", &by).unwrap(), Paging::Cursor(None));
    }

    #[test]
    fn what_is_no_cursor_of_this_order_is_refused() {
        let by = order(&["logical_date"]);
        let forged = |text: &str| BASE64.encode(text);
        for token in ["nonsense", "~", "eA", "after-2", "~~", &forged("[]"), &forged("[\"logical_date,id\",[\"x\",\"1\"]]")] {
            assert!(matches!(read(token, &by), Err(Error::BadRequest(why)) if why == "Invalid cursor token"), "{token}");
        }
        let token = write(&by, &[None, Some("1".to_owned())]);
        for other in [&["-logical_date"][..], &["state", "logical_date"], &["id"], &[]] {
            assert!(matches!(read(&token, &order(other)), Err(Error::BadRequest(why)) if why.starts_with("Cursor token does not match")));
        }
    }
}
