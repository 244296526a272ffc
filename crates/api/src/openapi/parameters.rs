//! Query parameters: those of lists from the columns that the store filters and orders by, the others by hand.

use serde_json::{Value, json};
use updraft_store::read::{Column, Kind};

use super::Operation;
use crate::listing::Field;
use crate::request::{MOST_LIMIT, MOST_ORDERS, NO_STATE};

/// What a name in a path stands for.
pub(super) fn of_path(name: &str) -> &'static str {
    match name {
        "dag_id" => "A DAG; in lists, `~` is any",
        "run_id" => "A run of the DAG; `latest` is its newest, and in lists `~` is any",
        "task_id" => "A task of the run",
        "map_index" => "Which instance of a mapped task; -1 is the one of a task that is not mapped",
        "try_number" => "Which try, from 1",
        "group" => "A group of tasks: the beginning of their ids",
        "number" => "The number of a version, from 1",
        "id" => "Its id",
        "key" => "Its key; slashes in it may stay as they are",
        "name" => "Its name",
        "section" | "option" => "Of the configuration that Airflow has",
        _ => "Whatever was asked for",
    }
}

/// A value of a parameter.
#[derive(Debug, Clone, Copy)]
pub(super) enum Of {
    Text,
    Texts,
    Flag,
    Whole,
    Index,
    Number,
    Time,
    /// One of these.
    Word(&'static [&'static str]),
    /// Several of these, or none of them: no state.
    Words(&'static [&'static str]),
}

impl Of {
    fn schema(self) -> Value {
        match self {
            Self::Text => json!({"type": "string"}),
            Self::Texts => json!({"type": "array", "items": {"type": "string"}}),
            Self::Flag => json!({"type": "boolean"}),
            Self::Whole => json!({"type": "integer", "format": "int64", "minimum": i64::MIN, "maximum": i64::MAX}),
            Self::Index => json!({"type": "integer", "format": "int32", "minimum": i32::MIN, "maximum": i32::MAX}),
            Self::Number => json!({"type": "number"}),
            Self::Time => json!({"type": "string", "format": "date-time"}),
            Self::Word(words) => json!({"type": "string", "enum": words}),
            Self::Words(words) => {
                let words = [words, &NO_STATE[..]].concat();
                json!({"type": "array", "items": {"type": "string", "enum": words}})
            }
        }
    }
}

fn parameter(of: Of, says: &str) -> Value {
    let mut parameter = json!({"schema": of.schema()});
    if !says.is_empty() {
        parameter["description"] = json!(says);
    }
    parameter
}

fn at_least_zero(says: &str) -> Value {
    json!({"description": says, "schema": {"type": "integer", "format": "int64", "minimum": 0, "maximum": i64::MAX}})
}

fn order_by<'a>(names: impl Iterator<Item = &'a str>) -> Value {
    let words: Vec<String> = names.flat_map(|name| [name.to_owned(), format!("-{name}")]).collect();
    json!({
        "description": "By what, in this order; with a `-` before it, the other way round",
        "schema": {"type": "array", "maxItems": MOST_ORDERS, "items": {"type": "string", "enum": words}},
    })
}

impl Operation {
    pub(super) fn query(mut self, name: &str, of: Of, says: &str) -> Self {
        self.query.retain(|(given, _)| given != name);
        self.query.push((name.to_owned(), parameter(of, says)));
        self
    }

    pub(super) fn required(mut self, name: &str, of: Of, says: &str) -> Self {
        let mut parameter = parameter(of, says);
        parameter["required"] = json!(true);
        self.query.retain(|(given, _)| given != name);
        self.query.push((name.to_owned(), parameter));
        self
    }

    /// The page of a list: how many rows, from where on.
    pub(super) fn page(mut self) -> Self {
        let most = format!("Rows of a page, at most {MOST_LIMIT}; 50 if nothing is said");
        self.query.push(("limit".to_owned(), at_least_zero(&most)));
        self.query.push(("offset".to_owned(), at_least_zero("How many rows to pass over")));
        self
    }

    /// Pages by cursor too.
    pub(super) fn cursor(self) -> Self {
        let says = "Empty: the first page. Then `next_cursor` or `previous_cursor` of the answer before, with the same filters and order";
        self.query("cursor", Of::Text, says).fails(&[400])
    }

    /// The filters of these columns.
    pub(super) fn filters(mut self, columns: &[Column]) -> Self {
        for column in columns.iter().filter(|column| column.filters) {
            let name = column.name;
            let ranges = |of: Of| ["gte", "gt", "lte", "lt"].map(|bound| (format!("{name}_{bound}"), parameter(of, "")));
            match column.kind {
                Kind::Text => {
                    self = self.query(name, Of::Texts, "Any of these");
                    for (suffix, says) in [
                        ("contains", "Has this in it"),
                        ("pattern", "`%` is any text, `_` any character, `|` is \"or\""),
                        ("prefix_pattern", "Begins with this; `|` is \"or\""),
                    ] {
                        self = self.query(&format!("{name}_{suffix}"), Of::Text, says);
                    }
                }
                Kind::Bool => self = self.query(name, Of::Flag, ""),
                Kind::Time => {
                    self = self.query(name, Of::Time, "");
                    self.query.extend(ranges(Of::Time));
                }
                Kind::Number | Kind::Real => {
                    self = self.query(name, Of::Whole, "");
                    self.query.extend(ranges(Of::Number));
                }
            }
        }
        self
    }

    /// A list from the database.
    pub(super) fn list(self, columns: &[Column]) -> Self {
        let mut listed = self.page().filters(columns).fails(&[400]);
        listed.query.push(("order_by".to_owned(), order_by(columns.iter().map(|column| column.name))));
        listed
    }

    /// A list that is in memory.
    pub(super) fn fields(self, fields: &[Field]) -> Self {
        let mut listed = self.page().fails(&[400]);
        for field in fields.iter().filter(|field| field.ranges) {
            for bound in ["gte", "gt", "lte", "lt"] {
                listed = listed.query(&format!("{}_{bound}", field.name), Of::Time, "");
            }
        }
        listed.query.push(("order_by".to_owned(), order_by(fields.iter().map(|field| field.name))));
        listed
    }

    /// Which fields of the body count.
    pub(super) fn mask(self) -> Self {
        self.query("update_mask", Of::Texts, "The fields of the body that count; all, if nothing is said")
    }

    /// Which instance of a mapped task.
    pub(super) fn map_index(self) -> Self {
        self.query("map_index", Of::Index, "Which instance of a mapped task; -1, if nothing is said")
    }
}
