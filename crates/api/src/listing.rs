//! Lists that are in memory anyway, with the parameters that lists from the database have: ranges of times, order, page.

use std::cmp::Ordering;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::error::Error;
use crate::request::{Params, parse_time, read_time, unorderable};

/// What such a list can be ordered by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    /// As in `order_by`.
    pub(crate) name: &'static str,
    /// As in the rows.
    key: &'static str,
    /// Whether it is a time with `_gte`, `_gt`, `_lte`, `_lt`.
    pub(crate) ranges: bool,
}

/// The end of a parameter's name, and what must be true of a row beside its value.
type Range = (&'static str, fn(Ordering) -> bool);

impl Field {
    pub(crate) const fn order(name: &'static str, key: &'static str) -> Self {
        Self { name, key, ranges: false }
    }

    pub(crate) const fn range(name: &'static str, key: &'static str) -> Self {
        Self { name, key, ranges: true }
    }
}

/// A page of a list, with how many rows there are on all pages.
macro_rules! collection {
    ($name:ident, $called:literal, $key:ident: $row:ty) => {
        #[doc = concat!("A page of ", stringify!($key), ", and how many there are on all pages.")]
        #[derive(Debug, serde::Serialize, schemars::JsonSchema)]
        #[schemars(rename = $called)]
        pub(crate) struct $name {
            pub(crate) $key: Vec<$row>,
            pub(crate) total_entries: i64,
        }
    };
}
pub(crate) use collection;

/// How many rows there are, where they are all in memory.
pub(crate) fn count(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// Cuts a page, and says how many rows there are on all of them. Without an order the rows stay as they came.
pub(crate) fn page<T: Serialize>(params: &Params, rows: Vec<T>, fields: &'static [Field]) -> Result<(Vec<T>, i64), Error> {
    // What is compared is what is shown.
    let mut rows: Vec<(Value, T)> = rows.into_iter().map(|row| (serde_json::to_value(&row).unwrap_or_default(), row)).collect();
    for field in fields.iter().filter(|field| field.ranges) {
        let ranges: [Range; 4] = [("gte", Ordering::is_ge), ("gt", Ordering::is_gt), ("lte", Ordering::is_le), ("lt", Ordering::is_lt)];
        for (suffix, holds) in ranges {
            let name = format!("{}_{suffix}", field.name);
            if let Some(text) = params.one(&name) {
                let bound = parse_time("query", &name, text)?;
                rows.retain(|(row, _)| time_of(&row[field.key]).is_some_and(|at| holds(at.cmp(&bound))));
            }
        }
    }
    let mut order = Vec::new();
    for (name, descending) in params.order_by()? {
        let field = fields.iter().find(|field| field.name == name);
        order.push((field.ok_or_else(|| unorderable(&name, fields.iter().map(|field| field.name)))?, descending));
    }
    rows.sort_by(|(a, _), (b, _)| {
        let each = order.iter().map(|(field, descending)| {
            let found = compare(&a[field.key], &b[field.key]);
            if *descending { found.reverse() } else { found }
        });
        each.fold(Ordering::Equal, Ordering::then)
    });
    let total = count(rows.len());
    let skip = usize::try_from(params.offset()?).unwrap_or(usize::MAX);
    let take = usize::try_from(params.limit()?).unwrap_or(0);
    Ok((rows.into_iter().map(|(_, row)| row).skip(skip).take(take).collect(), total))
}

fn time_of(value: &Value) -> Option<DateTime<Utc>> {
    value.as_str().and_then(read_time)
}

/// Nulls last, as in the database. Times are texts of one form but for their microseconds.
fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Greater,
        (_, Value::Null) => Ordering::Less,
        (Value::Number(a), Value::Number(b)) => a.as_f64().unwrap_or(0.0).total_cmp(&b.as_f64().unwrap_or(0.0)),
        _ => match (time_of(a), time_of(b)) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a.as_str().unwrap_or_default().cmp(b.as_str().unwrap_or_default()),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FIELDS: &[Field] = &[Field::order("id", "id"), Field::range("at", "at")];

    fn ids(query: &[(&str, &str)]) -> Result<Vec<i64>, Error> {
        let rows = vec![
            json!({"id": 1, "at": "2026-01-01T00:00:00Z"}),
            json!({"id": 2, "at": null}),
            json!({"id": 10, "at": "2026-01-01T00:00:00.500000Z"}),
        ];
        let params = Params(query.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(), crate::access::Scope::ALL);
        page(&params, rows, FIELDS).map(|(rows, _)| rows.iter().map(|row| row["id"].as_i64().unwrap()).collect())
    }

    #[test]
    fn rows_are_ordered_and_cut_as_by_the_database() {
        assert_eq!(ids(&[]).unwrap(), [1, 2, 10]);
        assert_eq!(ids(&[("order_by", "-id")]).unwrap(), [10, 2, 1], "by number, not by text");
        assert_eq!(ids(&[("order_by", "at")]).unwrap(), [1, 10, 2], "by time, nulls last");
        assert_eq!(ids(&[("order_by", "-at"), ("limit", "2")]).unwrap(), [2, 10], "and first the other way round");
        assert_eq!(ids(&[("at_gt", "2026-01-01")]).unwrap(), [10]);
        assert_eq!(ids(&[("at_lte", "2026-01-01T00:00:00+0000")]).unwrap(), [1]);
        assert!(matches!(ids(&[("order_by", "color")]), Err(Error::BadRequest(why)) if why.contains("'color'")));
    }
}
