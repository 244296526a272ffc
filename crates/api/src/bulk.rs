//! `PATCH` of a whole collection: create, update and delete many, in Airflow's words.
//!
//! Each action is all or nothing as far as what exists goes: with `fail` (the default) one entity too many or too few ends the action before
//! it begins. The answer has a part for each kind of action that was asked for.

use std::collections::BTreeSet;
use std::future::Future;

use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::request::Fields;

/// Most entities of one request.
const MOST: usize = 10_000;

/// A collection that can be changed in bulk.
pub(crate) trait Collection: Sync {
    /// The field that names an entity.
    const KEY: &'static str;
    /// As in "The … already exist.".
    const WORDS: &'static str;
    /// An entity to write.
    type Entity: Send + Sync;

    /// Reads a whole entity.
    fn read(&self, body: Value) -> Result<Self::Entity, Error>;
    /// Its name.
    fn name(entity: &Self::Entity) -> &str;
    /// Whether there is one of that name.
    fn exists(&self, name: &str) -> impl Future<Output = Result<bool, Error>> + Send;
    /// Makes it; false: there is one of that name, and it was kept.
    fn create(&self, entity: &Self::Entity) -> impl Future<Output = Result<bool, Error>> + Send;
    /// Changes it: the fields of `mask`, or those that it has. False: there is none.
    fn update(&self, body: Value, mask: &[String]) -> impl Future<Output = Result<bool, Error>> + Send;
    /// Deletes it; false: there was none.
    fn delete(&self, name: &str) -> impl Future<Output = Result<bool, Error>> + Send;
}

/// One action of a request, read before any is carried out.
pub(crate) struct Action {
    /// `create`, `update` or `delete`.
    pub(crate) kind: &'static str,
    pub(crate) entities: Vec<Value>,
    existing: String,
    /// What is missing is left out, instead of ending the action.
    pub(crate) skip: bool,
    /// Empty: all that an entity has.
    pub(crate) mask: Vec<String>,
    place: [Value; 3],
}

impl Action {
    /// Reads the entities; what is wrong is told with its place.
    pub(crate) fn read<T>(&self, one: impl Fn(&Value) -> Result<T, Error>) -> Result<Vec<T>, Error> {
        let place = |nth: usize| [self.place.as_slice(), &[json!("entities"), json!(nth)]].concat();
        self.entities.iter().enumerate().map(|(nth, entity)| one(entity).map_err(|error| error.within(&place(nth)))).collect()
    }

    /// Whether an update may write the field.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.mask.is_empty() || self.mask.iter().any(|field| field == name)
    }
}

/// The actions of a request.
pub(crate) fn actions(body: Value) -> Result<Vec<Action>, Error> {
    let mut fields = Fields::of(body, &["actions"])?;
    fields.demand("actions", "list_type", "list");
    let asked = fields.list("actions").unwrap_or_default();
    fields.done()?;
    let mut seen = 0;
    let mut actions = Vec::with_capacity(asked.len());
    for (nth, action) in asked.into_iter().enumerate() {
        let place = [json!("body"), json!("actions"), json!(nth)];
        let within = |error: Error| error.within(&place);
        let mut fields =
            Fields::of(action, &["action", "entities", "action_on_existence", "action_on_non_existence", "update_mask"]).map_err(within)?;
        fields.demand("action", "literal_error", "action");
        fields.demand("entities", "list_type", "list");
        let kind = fields.one_of("action", &["create", "update", "delete"]);
        let entities = fields.list("entities").unwrap_or_default();
        let existing = fields.one_of("action_on_existence", &["fail", "skip", "overwrite"]);
        let missing = fields.one_of("action_on_non_existence", &["fail", "skip"]);
        let mask = fields.texts("update_mask").unwrap_or_default();
        seen += entities.len();
        if seen > MOST {
            fields.refuse("entities", &format!("at most {MOST} entities in one request"));
        }
        fields.done().map_err(within)?;
        let kind = match kind.as_deref() {
            Some("create") => "create",
            Some("update") => "update",
            _ => "delete",
        };
        let skip = missing.as_deref() == Some("skip");
        actions.push(Action { kind, entities, existing: existing.unwrap_or_else(|| "fail".to_owned()), skip, mask, place });
    }
    Ok(actions)
}

/// What became of the actions of one kind.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "BulkActionResponse")]
pub(crate) struct Done {
    /// To whom it was done.
    success: Vec<String>,
    errors: Vec<Refusal>,
}

/// What was not done, and why.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "BulkActionError")]
struct Refusal {
    error: String,
    /// That the same request would have got by itself.
    status_code: u16,
}

impl Done {
    /// It was done to this one.
    pub(crate) fn succeed(&mut self, name: String) {
        self.success.push(name);
    }

    /// It was not done, and why.
    pub(crate) fn fail(&mut self, error: impl Into<String>, status: StatusCode) {
        self.errors.push(Refusal { error: error.into(), status_code: status.as_u16() });
    }
}

/// The answer: a part for each kind of action that was asked for.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "BulkResponse")]
pub(crate) struct Answers {
    create: Option<Done>,
    update: Option<Done>,
    delete: Option<Done>,
}

impl Answers {
    /// Two actions of a kind have one answer.
    pub(crate) fn add(&mut self, kind: &str, done: Done) {
        let part = match kind {
            "create" => &mut self.create,
            "update" => &mut self.update,
            _ => &mut self.delete,
        };
        let all = part.get_or_insert_default();
        all.success.extend(done.success);
        all.errors.extend(done.errors);
    }
}

/// Carries out a bulk request.
pub(crate) async fn run<C: Collection>(collection: &C, body: Value) -> Result<Answers, Error> {
    let mut answers = Answers::default();
    for action in actions(body)? {
        let within = |error: Error| error.within(&action.place);
        let Action { kind, entities, existing, skip, mask, .. } = &action;
        let done = match *kind {
            "create" => create(collection, entities.clone(), existing).await.map_err(within)?,
            "update" => update(collection, entities.clone(), mask, *skip).await.map_err(within)?,
            _ => delete(collection, entities.clone(), *skip).await.map_err(within)?,
        };
        answers.add(kind, done);
    }
    Ok(answers)
}

fn done(success: Vec<String>) -> Done {
    Done { success, errors: Vec::new() }
}

fn failed<C: Collection>(names: &BTreeSet<String>, what: &str, status: StatusCode) -> Done {
    let names = names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    let mut done = Done::default();
    done.fail(format!("The {} {{{names}}} {what}.", C::WORDS), status);
    done
}

async fn create<C: Collection>(collection: &C, entities: Vec<Value>, existing: &str) -> Result<Done, Error> {
    let mut read = Vec::with_capacity(entities.len());
    for (nth, body) in entities.into_iter().enumerate() {
        let place = [json!("body"), json!("entities"), json!(nth)];
        read.push((collection.read(body.clone()).map_err(|error| error.within(&place))?, body));
    }
    if existing == "fail" {
        let mut there = BTreeSet::new();
        for (entity, _) in &read {
            if collection.exists(C::name(entity)).await? {
                there.insert(C::name(entity).to_owned());
            }
        }
        if !there.is_empty() {
            return Ok(failed::<C>(&there, "already exist", StatusCode::CONFLICT));
        }
    }
    let mut success = Vec::new();
    for (entity, body) in read {
        // What is written over keeps what the body does not say.
        if collection.create(&entity).await? || (existing == "overwrite" && collection.update(body, &[]).await?) {
            success.push(C::name(&entity).to_owned());
        }
    }
    Ok(done(success))
}

async fn update<C: Collection>(collection: &C, entities: Vec<Value>, mask: &[String], skip: bool) -> Result<Done, Error> {
    let mut named = Vec::new();
    for entity in entities {
        named.push((name_of::<C>(&entity)?, entity));
    }
    if !skip && let Some(refusal) = all_there(collection, named.iter().map(|(name, _)| name.as_str())).await? {
        return Ok(refusal);
    }
    let mut success = Vec::new();
    for (name, entity) in named {
        if collection.update(entity, mask).await? {
            success.push(name);
        }
    }
    Ok(done(success))
}

async fn delete<C: Collection>(collection: &C, entities: Vec<Value>, skip: bool) -> Result<Done, Error> {
    let names = entities.iter().map(name_of::<C>).collect::<Result<Vec<_>, _>>()?;
    if !skip && let Some(refusal) = all_there(collection, names.iter().map(String::as_str)).await? {
        return Ok(refusal);
    }
    let mut success = Vec::new();
    for name in names {
        if collection.delete(&name).await? {
            success.push(name);
        }
    }
    Ok(done(success))
}

/// What to answer when one of these is not there.
async fn all_there<C: Collection>(collection: &C, names: impl Iterator<Item = &str> + Send) -> Result<Option<Done>, Error> {
    let mut missing = BTreeSet::new();
    for name in names.map(str::to_owned).collect::<Vec<_>>() {
        if !collection.exists(&name).await? {
            missing.insert(name);
        }
    }
    Ok((!missing.is_empty()).then(|| failed::<C>(&missing, "were not found", StatusCode::NOT_FOUND)))
}

/// Entities are named by a text, or by an object with the text in it.
fn name_of<C: Collection>(entity: &Value) -> Result<String, Error> {
    let name = entity.as_str().or_else(|| entity.as_object().and_then(|fields: &Map<String, Value>| fields.get(C::KEY)?.as_str()));
    name.map(str::to_owned)
        .ok_or_else(|| Error::invalid("missing", json!(["body", "actions", "entities", C::KEY]), "Field required", entity.clone()))
}
