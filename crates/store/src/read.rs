//! What the API reads, and the small writes that are nobody's protocol: pools, notes, the audit log.
//!
//! Lists take a [`ListQuery`]: filters and orders by [`Column`]s that each list declares, so that a name from a request never becomes SQL
//! by itself. A live attempt decides between `queued` and `running` here and nowhere else: see [`instances`].

pub mod audit;
pub mod backfills;
pub mod changes;
pub mod dag_pages;
pub mod dags;
pub mod doctor;
pub mod fleet;
pub mod history;
pub mod instances;
mod keyset;
pub mod logs;
pub mod pools;
pub mod retention;
pub mod runs;
pub mod secrets;
pub mod traces;
pub mod why;
pub mod xcoms;

use chrono::{DateTime, Utc};
use sqlx::{Postgres, QueryBuilder};

use keyset::direction;
pub use keyset::{COUNTED, Cursor, Key, KeyedPage, Paging};

/// What a column holds, and so which tests make sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text: equality, `_pattern`, `_prefix_pattern`.
    Text,
    /// A time: equality and the four comparisons.
    Time,
    /// A whole number: equality and the four comparisons.
    Number,
    /// A number with a fraction: the four comparisons.
    Real,
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
    /// Whether it may be null. Where it cannot, a cursor is a plain bound, which an index can serve.
    pub nullable: bool,
    /// Whether it filters by itself; else it only orders.
    pub filters: bool,
}

pub(crate) const fn column(name: &'static str, sql: &'static str, kind: Kind) -> Column {
    Column { name, sql, kind, nullable: true, filters: true }
}

impl Column {
    /// It is never null.
    const fn sure(self) -> Self {
        Self { nullable: false, ..self }
    }

    /// Orders, and does not filter: either Airflow has no such parameter, or rows alone cannot answer it.
    const fn order_only(self) -> Self {
        Self { filters: false, ..self }
    }

    /// The value of a cursor, as [`keyset`] wrote it; none: it never did.
    pub fn parse(&self, text: &str) -> Option<Key> {
        match self.kind {
            Kind::Text => Some(Key::Text(text.to_owned())),
            Kind::Number => text.parse().ok().map(Key::Number),
            Kind::Real => text.parse().ok().filter(|n: &f64| n.is_finite()).map(Key::Real),
            Kind::Time => text.parse().ok().and_then(DateTime::from_timestamp_micros).map(Key::Time),
            Kind::Bool => text.parse().ok().map(Key::Bool),
        }
    }
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
    /// None of these texts.
    NoneOf(Vec<String>),
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
    /// How its pages are told apart.
    pub paging: Paging,
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
        Self { paging: Paging::Offset, filters: Vec::new(), order: Vec::new(), limit, offset: 0 }
    }

    /// Pushes ` and …` for each filter.
    pub(crate) fn push_filters(&self, sql: &mut QueryBuilder<Postgres>) {
        for Filter { column, test } in &self.filters {
            sql.push(" and ");
            test.push(column.sql, sql);
        }
    }

    /// Pushes order, limit and offset. `default` orders when the caller names nothing, and `tie` makes every order total, so that pages
    /// neither repeat nor lose a row. As in Airflow the tie-break turns round with the first column.
    pub(crate) fn push_tail(&self, sql: &mut QueryBuilder<Postgres>, default: &str, tie: &str) {
        sql.push(" order by ");
        if let Some((_, reversed)) = self.order.first() {
            for (column, descending) in &self.order {
                sql.push(column.sql).push(direction(*descending)).push(", ");
            }
            let turned = if *reversed { tie.replace(',', " desc,") + " desc" } else { tie.to_owned() };
            sql.push(turned);
        } else {
            sql.push(default);
        }
        sql.push(" limit ").push_bind(self.limit).push(" offset ").push_bind(self.offset);
    }

    /// The columns of the order with those of `key` behind them, which make it total; as in Airflow they turn round with the first one.
    pub fn total_order(&self, key: &'static [Column]) -> Vec<(&'static Column, bool)> {
        let reversed = self.order.first().is_some_and(|(_, descending)| *descending);
        let mut order = self.order.clone();
        for column in key {
            if order.iter().all(|(other, _)| other.sql != column.sql) {
                order.push((column, reversed));
            }
        }
        order
    }
}

impl Test {
    /// Pushes the test of an expression.
    pub(crate) fn push(&self, of: &str, sql: &mut QueryBuilder<Postgres>) {
        sql.push(of);
        match self {
            Self::AnyOf(values) => {
                sql.push(" = any(").push_bind(values.clone()).push(")");
            }
            Self::NoneOf(values) => {
                sql.push(" <> all(").push_bind(values.clone()).push(")");
            }
            Self::AnyNumber(values) => {
                sql.push(" = any(").push_bind(values.clone()).push(")");
            }
            Self::Is(value) => {
                sql.push(" is ").push(if *value { "true" } else { "not true" });
            }
            Self::Like(patterns) => {
                sql.push(" ilike any(").push_bind(patterns.clone()).push(")");
            }
            Self::Prefix(prefixes) => {
                let patterns: Vec<String> = prefixes.iter().map(|prefix| format!("{}%", escape_like(prefix))).collect();
                sql.push(" like any(").push_bind(patterns).push(")");
            }
            Self::Time(compare, at) => {
                sql.push(compare.sql()).push_bind(*at);
            }
            Self::At(at) => {
                sql.push(" = ").push_bind(*at);
            }
            Self::Number(compare, value) => {
                sql.push(compare.sql()).push_bind(*value);
            }
        }
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
