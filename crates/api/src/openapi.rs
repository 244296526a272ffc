//! The description of the API as an OpenAPI 3.1 document, made from what serves it.
//!
//! Paths, path parameters, permissions and the answers that every route has (401, 403, …) come from the table of routes; schemas of
//! answers from the types that are serialised; filters and orders of lists from the columns that the store can filter and order by; names
//! in bodies from the keys that their readers take. What nobody can derive is said by hand in [`operations`], an operation per route, and
//! a test fails when a route has none.

mod bodies;
mod operations;
mod parameters;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use self::bodies::Body;
use crate::routes::May;

/// A media type, and the schema of what has it; none: it has none that JSON Schema could tell.
type Content = (&'static str, Option<fn(&mut SchemaGenerator) -> Schema>);

/// An answer that an operation has besides those of its route.
#[derive(Debug, Clone)]
struct Answer {
    status: u16,
    says: &'static str,
    /// Its forms; none: it has no body.
    bodies: Vec<Content>,
}

/// What one route does.
#[derive(Debug)]
struct Operation {
    method: Method,
    path: Cow<'static, str>,
    id: Cow<'static, str>,
    tag: &'static str,
    summary: &'static str,
    description: Option<&'static str>,
    /// Path parameters that are whole numbers.
    numbers: &'static [&'static str],
    /// Query parameters: name, and what the document says of it.
    query: Vec<(String, Value)>,
    headers: Vec<(&'static str, &'static str)>,
    body: Option<Body>,
    answers: Vec<Answer>,
    fails: Vec<u16>,
}

impl Operation {
    fn new(method: Method, path: impl Into<Cow<'static, str>>, id: impl Into<Cow<'static, str>>, summary: &'static str) -> Self {
        Self {
            method,
            path: path.into(),
            id: id.into(),
            tag: "",
            summary,
            description: None,
            numbers: &[],
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
            answers: Vec::new(),
            fails: Vec::new(),
        }
    }

    fn says(mut self, description: &'static str) -> Self {
        self.description = Some(description);
        self
    }

    /// These path parameters are whole numbers.
    const fn numbers(mut self, names: &'static [&'static str]) -> Self {
        self.numbers = names;
        self
    }

    fn answer(mut self, status: u16, says: &'static str, bodies: Vec<Content>) -> Self {
        self.answers.push(Answer { status, says, bodies });
        self
    }

    /// 200 with this.
    fn gives<T: JsonSchema>(self) -> Self {
        self.answer(200, "Here it is", vec![("application/json", Some(|schemas| schemas.subschema_for::<T>()))])
    }

    /// 201 with this.
    fn creates<T: JsonSchema>(self) -> Self {
        self.answer(201, "It was made", vec![("application/json", Some(|schemas| schemas.subschema_for::<T>()))])
    }

    /// 204.
    fn ends(self) -> Self {
        self.answer(204, "It was done, and there is nothing to say", Vec::new())
    }

    /// 200 with bytes of this kind.
    fn streams(self, kind: &'static str) -> Self {
        self.answer(200, "Here it is", vec![(kind, None)])
    }

    /// The first answer may come in this form too.
    fn or(mut self, kind: &'static str) -> Self {
        if let Some(answer) = self.answers.first_mut() {
            answer.bodies.push((kind, None));
        }
        self
    }

    /// What can go wrong beside what can go wrong everywhere.
    fn fails(mut self, statuses: &[u16]) -> Self {
        self.fails.extend(statuses);
        self
    }

    fn body(mut self, body: Body) -> Self {
        self.body = Some(body);
        self
    }

    fn header(mut self, name: &'static str, says: &'static str) -> Self {
        self.headers.push((name, says));
        self
    }

    /// As OpenAPI writes it; `schemas` gathers what it refers to.
    fn written(&self, may: May, schemas: &mut SchemaGenerator) -> Value {
        let mut parameters: Vec<Value> = names_in(&self.path).into_iter().map(|name| self.path_parameter(name)).collect();
        parameters.extend(self.query.iter().map(|(name, parameter)| {
            let mut parameter = parameter.clone();
            parameter["name"] = json!(name);
            parameter["in"] = json!("query");
            parameter
        }));
        let header = |(name, says): &(&str, &str)| json!({"name": name, "in": "header", "description": says, "schema": {"type": "string"}});
        parameters.extend(self.headers.iter().map(header));

        let mut responses = Map::new();
        for answer in &self.answers {
            let mut response = json!({"description": answer.says});
            for (kind, schema) in &answer.bodies {
                response["content"][*kind] = schema.map_or_else(|| json!({}), |schema| json!({"schema": schema(schemas)}));
            }
            responses.insert(answer.status.to_string(), response);
        }
        // Every address is read before its route is known, every page of another site is refused, and every database can be away.
        let mut fails = vec![400, 403, 503];
        if may != May::Anybody {
            // Wrong passwords are counted on every way in.
            fails.extend([401, 429]);
        }
        if self.body.is_some() {
            fails.extend([413, 422]);
        }
        if !self.query.is_empty() || !self.numbers.is_empty() {
            fails.push(422);
        }
        fails.extend(&self.fails);
        for status in fails {
            responses.entry(status.to_string()).or_insert_with(|| json!({"$ref": format!("#/components/responses/{}", failure(status).0)}));
        }

        let security = if may == May::Anybody { json!([]) } else { json!([{"bearer": []}, {"basic": []}]) };
        let mut written = json!({
            "operationId": self.id, "tags": [self.tag], "summary": self.summary, "responses": responses, "security": security,
            "x-permission": permission(may),
        });
        if let Some(description) = self.description {
            written["description"] = json!(description);
        }
        if !parameters.is_empty() {
            written["parameters"] = json!(parameters);
        }
        if let Some(body) = &self.body {
            written["requestBody"] = json!({"required": body.required(), "content": {body.kind(): {"schema": body.schema()}}});
        }
        written
    }

    fn path_parameter(&self, name: &str) -> Value {
        let schema = if self.numbers.contains(&name) {
            json!({"type": "integer", "format": "int32"})
        } else {
            json!({"type": "string", "minLength": 1})
        };
        json!({"name": name, "in": "path", "required": true, "description": parameters::of_path(name), "schema": schema})
    }
}

/// The names in braces of a path. A name may stand for several segments: that is the router's business.
fn names_in(path: &str) -> Vec<&str> {
    path.split('{').skip(1).filter_map(|rest| rest.split('}').next()).map(|name| name.trim_start_matches('*')).collect()
}

/// A path as OpenAPI writes it.
fn plain(path: &str) -> String {
    path.replace("{*", "{")
}

/// What a caller must be allowed to do, in words.
fn permission(may: May) -> String {
    may.to_string()
}

/// The name of a failure among the components, and what it means.
const fn failure(status: u16) -> (&'static str, &'static str) {
    match status {
        400 => ("BadRequest", "It cannot be done like this, or the address has bytes that are no text"),
        401 => ("Unauthorized", "Nobody says who asks: log in"),
        403 => ("Forbidden", "Who asks may not, or it is the page of another site that asks"),
        404 => ("NotFound", "There is no such thing"),
        406 => ("NotAcceptable", "It cannot be shown in any form that `Accept` names"),
        409 => ("Conflict", "What is there stands against it"),
        410 => ("Gone", "It was Airflow 2's"),
        413 => ("TooLarge", "The body is larger than 4 MiB"),
        429 => ("TooMany", "Too many wrong passwords: `Retry-After` says how long to wait"),
        422 => ("Unprocessable", "Values are not valid: each is named with its place"),
        501 => ("NotImplemented", "Airflow has it and Updraft has not: `detail` says why, and the way round"),
        _ => ("Unavailable", "The database does not answer, or this API has too much to do: try again, or another replica"),
    }
}

const FAILURES: [u16; 12] = [400, 401, 403, 404, 406, 409, 410, 413, 422, 429, 501, 503];

fn failures() -> Map<String, Value> {
    let written = FAILURES.iter().map(|status| {
        let (name, says) = failure(*status);
        let content = match status {
            413 => json!({"text/plain": {"schema": {"type": "string"}}}),
            422 => json!({"application/json": {"schema": {"$ref": "#/components/schemas/HTTPValidationError"}}}),
            _ => json!({"application/json": {"schema": {"$ref": "#/components/schemas/HTTPExceptionResponse"}}}),
        };
        (name.to_owned(), json!({"description": says, "content": content}))
    });
    written.collect()
}

fn failure_schemas() -> [(&'static str, Value); 3] {
    let place = json!({"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}});
    [
        (
            "HTTPExceptionResponse",
            json!({
                "type": "object", "required": ["detail"], "description": "Why not.",
                "properties": {"detail": {"anyOf": [{"type": "string"}, {"type": "object"}]}},
            }),
        ),
        (
            "HTTPValidationError",
            json!({
                "type": "object", "required": ["detail"], "description": "All that is wrong with the values of a request.",
                "properties": {"detail": {"type": "array", "items": {"$ref": "#/components/schemas/ValidationError"}}},
            }),
        ),
        (
            "ValidationError",
            json!({
                "type": "object", "required": ["type", "loc", "msg", "input"], "description": "A value that is not valid.",
                "properties": {
                    "type": {"type": "string"}, "loc": place, "msg": {"type": "string"}, "input": {"description": "The value."},
                    "ctx": {"type": "object"},
                },
            }),
        ),
    ]
}

const ABOUT: &str = "The REST API of Updraft. `/api/v2` has the paths, names and shapes of Airflow's, so that its clients work unchanged; \
    `/ui` is what the page and the command line need beyond it.\n\nWhat Airflow has and Updraft has not (assets, plugins, providers, \
    human input, the state store) answers 501 with the reason and the way round, on every path under its name; those paths are not listed \
    here. A method that a path has not answers 405.\n\nPath parameters have the names that the routes give them.";

const TAGS: [(&str, &str); 20] = [
    ("DAG", "DAGs, their pause, their favorites"),
    ("DagRun", "Runs of DAGs: triggered, marked, cleared, deleted"),
    ("TaskInstance", "Tasks of runs, their tries and logs"),
    ("Task", "Tasks as the file of their DAG says them"),
    ("XCom", "What tasks leave for others"),
    ("DagVersion", "What the file of a DAG said, and when"),
    ("DagSource", "The file itself"),
    ("DagStats", "How runs stand"),
    ("Import Error", "Files that could not be read"),
    ("DagWarning", "What is odd and no error"),
    ("Backfill", "Runs for a stretch of the past"),
    ("Pool", "Slots that tasks share"),
    ("Variable", "Values that tasks read"),
    ("Connection", "Where tasks connect to, and as whom"),
    ("Event Log", "Who asked for what"),
    ("Monitor", "Version, health, processes, settings"),
    ("Login", "Tokens and sessions"),
    ("User", "Users, their roles and tokens"),
    ("Updraft", "What the page and the command line need beyond Airflow's API"),
    ("Refused", "What Airflow had or has, and Updraft has not"),
];

/// The document.
pub fn document() -> Value {
    let routes: BTreeMap<(String, String), May> = crate::routes().into_iter().map(|r| ((r.path, r.method.to_string()), r.may)).collect();
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut schemas = settings.for_serialize().into_generator();
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for operation in operations::all() {
        let key = (operation.path.to_string(), operation.method.to_string());
        // One without a route is for the test to find.
        let Some(may) = routes.get(&key) else { continue };
        let written = operation.written(*may, &mut schemas);
        paths.entry(plain(&operation.path)).or_default().insert(operation.method.as_str().to_ascii_lowercase(), written);
    }
    let mut components = schemas.take_definitions(true);
    components.extend(failure_schemas().map(|(name, schema)| (name.to_owned(), schema)));
    let tags: Vec<Value> = TAGS.iter().map(|(name, says)| json!({"name": name, "description": says})).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Updraft", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": failures(),
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic", "description": "Name and password. On loopback nobody is asked."},
                "bearer": {"type": "http", "scheme": "bearer", "description": "The token that `POST /auth/token` gives for them."},
            },
        },
    })
}

static TEXT: LazyLock<String> = LazyLock::new(|| document().to_string());

/// `GET /openapi.json`.
pub(crate) async fn serve() -> Response {
    (StatusCode::OK, [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-cache")], TEXT.as_str()).into_response()
}

#[cfg(test)]
mod tests;
