//! What the API reads, and the small writes that are nobody's protocol: pools, notes, the audit log.
//!
//! Lists take a [`ListQuery`]: filters and orders by [`Column`]s that each list declares, so that a name from a request never becomes SQL
//! by itself. A live attempt decides between `queued` and `running` here and nowhere else: see [`instances`].

pub mod audit;
pub mod backfills;
pub mod changes;
pub mod dags;
pub mod doctor;
pub mod fleet;
pub mod instances;
pub mod logs;
pub mod pools;
pub mod retention;
pub mod runs;
pub mod secrets;
pub mod why;
pub mod xcoms;

use chrono::{DateTime, Utc};
use sqlx::{Postgres, QueryBuilder};

/// What a column holds, and so which tests make sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text: equality, `_pattern`, `_prefix_pattern`.
    Text,
    /// A time: equality and the four comparisons.
    Time,
    /// A number: equality and the four comparisons.
    Number,
    /// True or false.
    Bool,
}

/// A name of a list's API, and the expression that it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// As in query parameters and `order_by`.
    pub name: &'static str,
    /// As in SQL.
    pub sql: &'static str,
    /// What it holds.
    pub kind: Kind,
}

pub(crate) const fn column(name: &'static str, sql: &'static str, kind: Kind) -> Column {
    Column { name, sql, kind }
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Compare {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Compare {
    const fn sql(self) -> &'static str {
        match self {
            Self::Less => " < ",
            Self::LessOrEqual => " <= ",
            Self::Greater => " > ",
            Self::GreaterOrEqual => " >= ",
        }
    }
}

/// What must be true of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// One of these texts.
    AnyOf(Vec<String>),
    /// One of these numbers.
    AnyNumber(Vec<i64>),
    /// True, or not true.
    Is(bool),
    /// `ILIKE` one of these, with `%` and `_`.
    Like(Vec<String>),
    /// Starts with one of these.
    Prefix(Vec<String>),
    /// Compared with a time.
    Time(Compare, DateTime<Utc>),
    /// At this time.
    At(DateTime<Utc>),
    /// Compared with a number.
    Number(Compare, f64),
}

/// One condition of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// On what.
    pub column: &'static Column,
    /// Which.
    pub test: Test,
}

/// Which part of a list, in which order.
#[derive(Debug, Clone, PartialEq)]
pub struct ListQuery {
    /// All must hold.
    pub filters: Vec<Filter>,
    /// Column, and whether the order is descending.
    pub order: Vec<(&'static Column, bool)>,
    /// At most so many rows.
    pub limit: i64,
    /// After so many.
    pub offset: i64,
}

impl ListQuery {
    /// The first `limit` rows in the list's own order.
    pub const fn first(limit: i64) -> Self {
        Self { filters: Vec::new(), order: Vec::new(), limit, offset: 0 }
    }

    /// Pushes ` and …` for each filter.
    pub(crate) fn push_filters(&self, sql: &mut QueryBuilder<Postgres>) {
        for Filter { column, test } in &self.filters {
            sql.push(" and ").push(column.sql);
            match test {
                Test::AnyOf(values) => {
                    sql.push(" = any(").push_bind(values.clone()).push(")");
                }
                Test::AnyNumber(values) => {
                    sql.push(" = any(").push_bind(values.clone()).push(")");
                }
                Test::Is(value) => {
                    sql.push(" is ").push(if *value { "true" } else { "not true" });
                }
                Test::Like(patterns) => {
                    sql.push(" ilike any(").push_bind(patterns.clone()).push(")");
                }
                Test::Prefix(prefixes) => {
                    let patterns: Vec<String> = prefixes.iter().map(|prefix| format!("{}%", escape_like(prefix))).collect();
                    sql.push(" like any(").push_bind(patterns).push(")");
                }
                Test::Time(compare, at) => {
                    sql.push(compare.sql()).push_bind(*at);
                }
                Test::At(at) => {
                    sql.push(" = ").push_bind(*at);
                }
                Test::Number(compare, value) => {
                    sql.push(compare.sql()).push_bind(*value);
                }
            }
        }
    }

    /// Pushes order, limit and offset. `default` orders when the caller names nothing, and `tie` makes every order total, so that pages
    /// neither repeat nor lose a row.
    pub(crate) fn push_tail(&self, sql: &mut QueryBuilder<Postgres>, default: &str, tie: &str) {
        sql.push(" order by ");
        if self.order.is_empty() {
            sql.push(default);
        } else {
            for (n, (column, descending)) in self.order.iter().enumerate() {
                sql.push(if n == 0 { "" } else { ", " }).push(column.sql).push(if *descending {
                    " desc nulls last"
                } else {
                    " asc nulls first"
                });
            }
            sql.push(", ").push(tie);
        }
        sql.push(" limit ").push_bind(self.limit).push(" offset ").push_bind(self.offset);
    }
}

/// One page of a list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// Its rows.
    pub rows: Vec<T>,
    /// How many there are on all pages.
    pub total: i64,
}

/// Makes the wildcards of `LIKE` literal.
pub fn escape_like(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}
