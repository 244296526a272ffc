//! Pages by cursor: a page begins behind a row, not behind a number of rows, so it stays where it is while rows are added and taken away.
//!
//! A cursor is the values that the order has at the first or the last row of a page, down to the key that makes the order total. Nulls are
//! where Postgres puts them by itself, last ascending and first descending, so that indexes serve the order.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Postgres, QueryBuilder, Row as _};

use super::{Column, Kind, ListQuery};
use crate::pool::Pool;

/// Rows that a list counts at most when it is paged by cursor, as Airflow. Pages by offset are counted to the end.
pub const COUNTED: i64 = 50_000;

/// How the pages of a list are told apart.
#[derive(Debug, Clone, PartialEq)]
pub enum Paging {
    /// By how many rows come before.
    Offset,
    /// By the row before; none: the first page.
    Cursor(Option<Cursor>),
}

/// A place between two rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Cursor {
    /// One for each column of [`ListQuery::total_order`]; none: null.
    pub values: Vec<Option<Key>>,
    /// The page is the one before the place, not the one after it.
    pub back: bool,
}

/// A value in a cursor.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Key {
    Text(String),
    Number(i64),
    Real(f64),
    Time(DateTime<Utc>),
    Bool(bool),
}

/// A page of a list that can be paged by cursor.
#[derive(Debug, Clone)]
pub struct KeyedPage<T> {
    /// Its rows.
    pub rows: Vec<T>,
    /// How many there are on all pages; by cursor, at most [`COUNTED`].
    pub total: i64,
    /// Where the page before this one ends: the values of the first row. None: there is none, or the pages are by offset.
    pub previous: Option<Vec<Option<String>>>,
    /// Where the next page begins: the values of the last row.
    pub next: Option<Vec<Option<String>>>,
}

pub(super) const fn direction(descending: bool) -> &'static str {
    if descending { " desc" } else { " asc" }
}

/// The order of a query, and how far it reads.
#[derive(Debug)]
pub(super) struct Keyset<'a> {
    query: &'a ListQuery,
    order: Vec<(&'static Column, bool)>,
}

impl<'a> Keyset<'a> {
    pub(super) fn of(query: &'a ListQuery, key: &'static [Column]) -> Self {
        Self { query, order: query.total_order(key) }
    }

    const fn cursor(&self) -> Option<&Cursor> {
        match &self.query.paging {
            Paging::Cursor(cursor) => cursor.as_ref(),
            Paging::Offset => None,
        }
    }

    fn back(&self) -> bool {
        self.cursor().is_some_and(|cursor| cursor.back)
    }

    fn by_cursor(&self) -> bool {
        self.query.paging != Paging::Offset
    }

    /// Pushes `, … as sort_key`: what the next cursor is made of.
    pub(super) fn push_key(&self, sql: &mut QueryBuilder<Postgres>) {
        if !self.by_cursor() {
            sql.push(", null::text[] as sort_key");
            return;
        }
        for (n, (column, _)) in self.order.iter().enumerate() {
            sql.push(if n == 0 { ", array[" } else { ", " });
            match column.kind {
                // Text of a time would depend on the session.
                Kind::Time => sql.push("(extract(epoch from ").push(column.sql).push(") * 1000000)::int8::text"),
                _ => sql.push("(").push(column.sql).push(")::text"),
            };
        }
        sql.push("]::text[] as sort_key");
    }

    /// Pushes ` and …`: only what comes after the cursor, or before it.
    ///
    /// `a >= x and (a > x or (b >= y and (…)))` says the same as comparing rows, with nulls and directions of each column's own, and keeps
    /// a bound on the first column that an index can start at.
    pub(super) fn push_place(&self, sql: &mut QueryBuilder<Postgres>) {
        let Some(cursor) = self.cursor() else { return };
        sql.push(" and (");
        let last = self.order.len().saturating_sub(1);
        for (n, ((column, descending), value)) in self.order.iter().zip(&cursor.values).enumerate() {
            let descending = *descending != cursor.back;
            if n < last {
                push_bound(sql, column, value.as_ref(), descending, false);
                sql.push(" and (");
            }
            push_bound(sql, column, value.as_ref(), descending, true);
            if n < last {
                sql.push(" or (");
            }
        }
        for _ in 0..last {
            sql.push("))");
        }
        sql.push(")");
    }

    /// Pushes the order, read backwards when the cursor is.
    pub(super) fn push_order(&self, sql: &mut QueryBuilder<Postgres>) {
        for (n, (column, descending)) in self.order.iter().enumerate() {
            sql.push(if n == 0 { " order by " } else { ", " }).push(column.sql).push(direction(*descending != self.back()));
        }
    }

    /// Pushes how much is read: by cursor one row more than the page has, which tells whether there is another page.
    ///
    /// The limit is in the text: a plan that does not know it is made for a tenth of the table.
    pub(super) fn push_limit(&self, sql: &mut QueryBuilder<Postgres>) {
        if self.by_cursor() {
            sql.push(" limit ").push(self.query.limit.saturating_add(1));
        } else {
            sql.push(" limit ").push(self.query.limit).push(" offset ").push_bind(self.query.offset);
        }
    }

    /// Reads the page.
    pub(super) async fn fetch<T>(&self, pool: &Pool, sql: &mut QueryBuilder<Postgres>) -> Result<KeyedPage<T>, sqlx::Error>
    where
        T: for<'r> FromRow<'r, PgRow>,
    {
        let mut found: Vec<PgRow> = sql.build().fetch_all(pool).await?;
        let limit = usize::try_from(self.query.limit).unwrap_or(0);
        let more = self.by_cursor() && found.len() > limit;
        if more {
            found.truncate(limit);
        }
        if self.back() {
            found.reverse();
        }
        let rows = found.iter().map(T::from_row).collect::<Result<Vec<T>, _>>()?;
        let (mut previous, mut next) = (None, None);
        if self.by_cursor()
            && let (Some(first), Some(last)) = (found.first(), found.last())
        {
            // Where one came from there is a page.
            let (before, after) = if self.back() { (more, true) } else { (self.cursor().is_some(), more) };
            if before {
                previous = Some(first.try_get("sort_key")?);
            }
            if after {
                next = Some(last.try_get("sort_key")?);
            }
        }
        Ok(KeyedPage { rows, total: 0, previous, next })
    }

    /// Wraps a count: by cursor it ends at [`COUNTED`]. `rest` is all that follows `select …`.
    pub(super) fn push_count(&self, sql: &mut QueryBuilder<Postgres>, rest: impl FnOnce(&mut QueryBuilder<Postgres>)) {
        if self.by_cursor() {
            sql.push("select count(*) from (select 1");
            rest(sql);
            sql.push(" limit ").push(COUNTED).push(") counted");
        } else {
            sql.push("select count(*)");
            rest(sql);
        }
    }

    /// A count that came in another way, as this paging tells it.
    pub(super) fn counted(&self, total: i64) -> i64 {
        if self.by_cursor() { total.min(COUNTED) } else { total }
    }
}

/// Pushes that a column is at or behind a value (`strict`: behind it) in its direction.
fn push_bound(sql: &mut QueryBuilder<Postgres>, column: &Column, value: Option<&Key>, descending: bool, strict: bool) {
    match (value, descending, strict) {
        // Nulls come last: behind them is nothing.
        (None, false, true) => {
            sql.push("false");
        }
        (None, false, false) => {
            sql.push(column.sql).push(" is null");
        }
        // Nulls come first: behind them is all the rest.
        (None, true, true) => {
            sql.push(column.sql).push(" is not null");
        }
        (None, true, false) => {
            sql.push("true");
        }
        (Some(value), _, _) => {
            let or_null = !descending && column.nullable;
            sql.push(if or_null { "(" } else { "" }).push(column.sql);
            sql.push(match (descending, strict) {
                (false, true) => " > ",
                (false, false) => " >= ",
                (true, true) => " < ",
                (true, false) => " <= ",
            });
            match value {
                Key::Text(text) => sql.push_bind(text.clone()),
                Key::Number(number) => sql.push_bind(*number),
                Key::Real(number) => sql.push_bind(*number),
                Key::Time(at) => sql.push_bind(*at),
                Key::Bool(value) => sql.push_bind(*value),
            };
            if or_null {
                sql.push(" or ").push(column.sql).push(" is null)");
            }
        }
    }
}
