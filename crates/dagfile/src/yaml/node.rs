//! YAML text → a tree in which every node knows its place.
//!
//! Aliases share their target instead of copying it, and what they would expand to is counted: a bomb is one clear error long before it
//! costs memory. Nothing here recurses over the input.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use granit_parser::{Event, Marker, Options, Parser, ScalarStyle, Span, Tag};

use crate::diagnostic::Kind;

/// Deepest nesting of maps and lists.
pub(crate) const MAX_DEPTH: usize = 64;
/// Most nodes of one file, aliases counted with all that they stand for.
pub(crate) const MAX_NODES: usize = 4_000_000;
/// Most nodes that aliases may add.
const MAX_ALIASED: usize = 500_000;

/// Where a node stands: line and column from 1, and how many characters its first line has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) length: u32,
}

#[derive(Debug, Clone)]
pub(crate) struct Node<'s> {
    pub(crate) at: Place,
    value: Value<'s>,
}

#[derive(Debug, Clone)]
pub(crate) enum Value<'s> {
    Scalar {
        text: Cow<'s, str>,
        /// Whether it may be a number, a boolean or null: not quoted, not a block, not tagged `!!str`.
        plain: bool,
    },
    List(Vec<Node<'s>>),
    Map(Vec<(Node<'s>, Node<'s>)>),
    /// An anchor's target, or an alias to it.
    Shared(Rc<Node<'s>>),
}

/// Why a text has no tree.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) at: Place,
    pub(crate) kind: Kind,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Broken {
    fn new(at: Place, kind: Kind, message: impl Into<String>) -> Self {
        Self { at, kind, message: message.into(), hint: None }
    }
}

impl<'s> Node<'s> {
    pub(crate) fn value(&self) -> &Value<'s> {
        let mut at = self;
        while let Value::Shared(inner) = &at.value {
            at = inner;
        }
        &at.value
    }

    /// A text that may be a number or a boolean, where another stands.
    pub(crate) fn text_at(at: Place, text: &str) -> Self {
        Self { at, value: Value::Scalar { text: Cow::Owned(text.to_owned()), plain: true } }
    }

    /// A map, where something else stands.
    pub(crate) fn map_at(at: Place, entries: Vec<(Node<'s>, Node<'s>)>) -> Self {
        Self { at, value: Value::Map(entries) }
    }

    /// A list, where something else stands.
    pub(crate) fn list_at(at: Place, items: Vec<Node<'s>>) -> Self {
        Self { at, value: Value::List(items) }
    }

    pub(crate) fn entries(&self) -> Option<&[(Node<'s>, Node<'s>)]> {
        match self.value() {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// A map of those entries whose key `keep` takes, at the same place.
    pub(crate) fn filtered(&self, keep: impl Fn(&str) -> bool) -> Self {
        let entries = self.entries().unwrap_or_default().iter().filter(|(key, _)| key.text().is_none_or(&keep)).cloned().collect();
        Self { at: self.at, value: Value::Map(entries) }
    }

    pub(crate) fn items(&self) -> Option<&[Node<'s>]> {
        match self.value() {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self.value() {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Node<'s>> {
        self.entries()?.iter().find(|(k, _)| k.text() == Some(key)).map(|(_, value)| value)
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.value(), Value::Scalar { text, plain: true } if matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL"))
    }
}

/// A map or list that is not closed yet.
struct Open<'s> {
    at: Place,
    anchor: usize,
    list: Vec<Node<'s>>,
    is_map: bool,
    weight: usize,
    height: usize,
}

/// An anchor's node, with how many nodes it stands for and how deep it is.
struct Target<'s> {
    node: Rc<Node<'s>>,
    weight: usize,
    height: usize,
}

fn place(span: &Span) -> Place {
    let (start, end) = (span.start, span.end);
    let length = if end.line() == start.line() { end.col().saturating_sub(start.col()) } else { 1 };
    Place { line: start.line() as u32, column: start.col() as u32 + 1, length: length.max(1) as u32 }
}

fn mark(marker: &Marker) -> Place {
    Place { line: marker.line() as u32, column: marker.col() as u32 + 1, length: 1 }
}

/// The documents of `text`, empty ones left out, up to the first error.
pub(crate) fn documents(text: &str) -> (Vec<Node<'_>>, Option<Broken>) {
    let mut builder = Builder { documents: Vec::new(), open: Vec::new(), anchors: HashMap::new(), nodes: 0, aliased: 0 };
    let options = {
        let mut options = Options::default();
        options.flow_nesting_limit = MAX_DEPTH;
        options.block_nesting_limit = MAX_DEPTH;
        options
    };
    for next in Parser::new_from_str_with_options(text, options) {
        let result = match next {
            Ok((event, span)) => builder.take(event, &span),
            Err(error) => {
                let at = mark(error.marker());
                let deep = matches!(error.kind(), granit_parser::ErrorKind::RecursionLimitExceeded);
                Err(match deep {
                    true => Broken::new(at, Kind::TooLarge, format!("maps and lists are nested deeper than {MAX_DEPTH} levels")),
                    false => Broken::new(at, Kind::Syntax, format!("this is not YAML: {}", lower(&error.info()))),
                })
            }
        };
        if let Err(broken) = result {
            return (builder.documents, Some(broken));
        }
    }
    (builder.documents, None)
}

fn lower(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

struct Builder<'s> {
    documents: Vec<Node<'s>>,
    open: Vec<Open<'s>>,
    anchors: HashMap<usize, Target<'s>>,
    nodes: usize,
    aliased: usize,
}

impl<'s> Builder<'s> {
    fn take(&mut self, event: Event<'s>, span: &Span) -> Result<(), Broken> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let at = place(span);
                let plain = match tag.as_deref() {
                    None => style == ScalarStyle::Plain,
                    Some(tag) => self.tag(at, tag)? && style == ScalarStyle::Plain,
                };
                self.done(Node { at, value: Value::Scalar { text, plain } }, anchor, 1, 1)
            }
            Event::SequenceStart(_, anchor, tag) => self.start(span, anchor, tag.as_deref(), false),
            Event::MappingStart(_, anchor, tag) => self.start(span, anchor, tag.as_deref(), true),
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(id) => {
                let at = place(span);
                let Some(target) = self.anchors.get(&id) else {
                    return Err(Broken::new(at, Kind::Invalid, "an alias stands inside its own anchor"));
                };
                let (node, weight, height) = (target.node.clone(), target.weight, target.height);
                self.aliased += weight;
                if self.aliased > MAX_ALIASED {
                    let message = format!("the aliases of this file expand to more than {MAX_ALIASED} nodes");
                    return Err(Broken::new(at, Kind::TooLarge, message));
                }
                self.done(Node { at, value: Value::Shared(node) }, 0, weight, height)
            }
            Event::DocumentEnd => {
                self.anchors.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether a scalar with this tag is still subject to the rules for plain ones.
    fn tag(&self, at: Place, tag: &Tag) -> Result<bool, Broken> {
        match tag.core_suffix() {
            Some("str") => Ok(false),
            Some(_) => Ok(true),
            None => {
                let mut broken = Broken::new(at, Kind::Invalid, format!("the tag `{}{}` has no meaning here", tag.handle(), tag.suffix()));
                broken.hint = Some("tags never make objects in Updraft: write the plain value".to_owned());
                Err(broken)
            }
        }
    }

    fn start(&mut self, span: &Span, anchor: usize, tag: Option<&Tag>, is_map: bool) -> Result<(), Broken> {
        let at = place(span);
        if let Some(tag) = tag {
            self.tag(at, tag)?;
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(Broken::new(at, Kind::TooLarge, format!("maps and lists are nested deeper than {MAX_DEPTH} levels")));
        }
        self.open.push(Open { at, anchor, list: Vec::new(), is_map, weight: 1, height: 1 });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Broken> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let value = if open.is_map { Value::Map(pairs(open.list)?) } else { Value::List(open.list) };
        self.done(Node { at: open.at, value }, open.anchor, open.weight, open.height)
    }

    fn done(&mut self, mut node: Node<'s>, anchor: usize, weight: usize, height: usize) -> Result<(), Broken> {
        self.nodes += 1;
        if self.nodes + self.aliased > MAX_NODES {
            return Err(Broken::new(node.at, Kind::TooLarge, format!("this file has more than {MAX_NODES} nodes")));
        }
        if anchor != 0 {
            let shared = Rc::new(node);
            node = Node { at: shared.at, value: Value::Shared(shared.clone()) };
            self.anchors.insert(anchor, Target { node: shared, weight, height });
        }
        if self.open.len() + height > MAX_DEPTH {
            return Err(Broken::new(node.at, Kind::TooLarge, format!("aliases nest maps and lists deeper than {MAX_DEPTH} levels")));
        }
        match self.open.last_mut() {
            Some(open) => {
                open.weight = open.weight.saturating_add(weight);
                open.height = open.height.max(height + 1);
                open.list.push(node);
            }
            None if node.is_null() => {}
            None => self.documents.push(node),
        }
        Ok(())
    }
}

/// Keys and values of a flat list; `<<` is merged in, and a key that comes twice is refused.
fn pairs(flat: Vec<Node<'_>>) -> Result<Vec<(Node<'_>, Node<'_>)>, Broken> {
    let mut entries = Vec::with_capacity(flat.len() / 2);
    let mut merged = Vec::new();
    let mut flat = flat.into_iter();
    while let (Some(key), Some(value)) = (flat.next(), flat.next()) {
        match key.value() {
            Value::Scalar { text, plain: true } if text == "<<" => merged.push(value),
            Value::Scalar { .. } => entries.push((key, value)),
            _ => return Err(Broken::new(key.at, Kind::Invalid, "a key must be text")),
        }
    }
    if entries.len() > 16 {
        let mut seen = HashSet::with_capacity(entries.len());
        if let Some(twice) = entries.iter().position(|(key, _)| !seen.insert(key.text())) {
            return Err(given_twice(&entries, twice));
        }
    } else if let Some(twice) = (1..entries.len()).find(|i| entries[..*i].iter().any(|(key, _)| key.text() == entries[*i].0.text())) {
        return Err(given_twice(&entries, twice));
    }
    let mut have: HashSet<String> =
        if merged.is_empty() { HashSet::new() } else { entries.iter().filter_map(|(key, _)| key.text().map(str::to_owned)).collect() };
    for source in &merged {
        let list = source.items().unwrap_or_else(|| std::slice::from_ref(source));
        for map in list {
            let Some(more) = map.entries() else {
                return Err(Broken::new(source.at, Kind::Invalid, "`<<` takes a map or a list of maps"));
            };
            for (key, value) in more {
                if key.text().is_some_and(|text| have.insert(text.to_owned())) {
                    entries.push((key.clone(), value.clone()));
                }
            }
        }
    }
    Ok(entries)
}

fn given_twice(entries: &[(Node<'_>, Node<'_>)], twice: usize) -> Broken {
    let (key, _) = &entries[twice];
    let mut broken = Broken::new(key.at, Kind::Invalid, format!("`{}` is given twice", key.text().unwrap_or_default()));
    broken.hint = entries.iter().find(|(k, _)| k.text() == key.text()).map(|(first, _)| format!("the first is on line {}", first.at.line));
    broken
}
