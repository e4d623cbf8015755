//! YAML with places: a checked tree, and the reading of keys from it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Error, Location, MessageFormatter, Options, Spanned, UserMessageFormatter};

use super::problem::{Fault, Place, Placed, Problem, Problems, Source};

/// One YAML node.
#[derive(Debug)]
pub(super) struct Node {
    at: Place,
    value: Value,
}

/// A text and where it is.
pub(super) struct Written<'a> {
    pub(super) text: &'a str,
    pub(super) at: &'a Place,
}

/// Scalars stay text: what they mean is up to the key, not to how YAML guesses (`1:30`, `no`).
#[derive(Debug)]
enum Value {
    Null,
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Placed<String>, Node)>),
}

impl Node {
    /// Parses a file; an empty one is a map without keys.
    ///
    /// # Errors
    /// The first place where it is not YAML, or holds more than [`limits`] allow.
    pub(super) fn parse(source: &Arc<Source>) -> Result<Self, Box<Problem>> {
        match serde_saphyr::from_str_with_options::<Option<Spanned<Raw>>>(&source.text, limits()) {
            Ok(Some(raw)) => Ok(Self::of(raw, source)),
            Ok(None) => Ok(Self { at: Place::new(source, 0, 0), value: Value::Map(Vec::new()) }),
            Err(error) => Err(not_yaml(source, &error)),
        }
    }

    /// The text under a key of this map, before anything else of the map is judged.
    pub(super) fn text_of(&self, key: &str) -> Option<Written<'_>> {
        let Value::Map(entries) = &self.value else { return None };
        let (_, node) = entries.iter().find(|(each, _)| each.value == key)?;
        match &node.value {
            Value::Text(text) => Some(Written { text, at: &node.at }),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    fn is_empty(&self) -> bool {
        match &self.value {
            Value::Null => true,
            Value::List(items) => items.is_empty(),
            Value::Text(_) | Value::Map(_) => false,
        }
    }

    fn of(raw: Spanned<Raw>, source: &Arc<Source>) -> Self {
        let at = place_of(source, raw.referenced);
        let value = match raw.value {
            Raw::Null => Value::Null,
            Raw::Text(text) => Value::Text(text),
            // Where an alias is used, the text is at its anchor.
            Raw::Plain => Value::Text(place_of(source, raw.defined).text().trim().to_owned()),
            Raw::List(items) => {
                Value::List(items.into_iter().map(|item| Self::of(item, source)).collect())
            }
            Raw::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| {
                        let at = place_of(source, key.referenced);
                        (Placed { value: key.value, at }, Self::of(value, source))
                    })
                    .collect(),
            ),
        };
        Self { at, value }
    }
}

/// The keys of one map. Every key that was not asked for by the end is a mistake.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    at: Place,
    noun: &'static str,
    entries: HashMap<String, (Place, Node)>,
    /// In the order of the file, so that unknown keys are reported in that order.
    order: Vec<String>,
    known: Vec<&'static str>,
    problems: &'a mut Problems,
}

impl<'a> Fields<'a> {
    /// `noun` is what a key of this map is called in messages: `key`, `role`.
    pub(super) fn of(node: Node, noun: &'static str, problems: &'a mut Problems) -> Self {
        let mut entries: HashMap<String, (Place, Node)> = HashMap::new();
        let mut order = Vec::new();
        match node.value {
            Value::Map(pairs) => {
                for (key, value) in pairs {
                    if let Some((first, _)) = entries.get(&key.value) {
                        let fault = Fault::new(
                            format!("{noun} {} is written twice", super::quoted(&key.value)),
                            "keep one of them",
                        );
                        problems.push(Problem::at(&key.at, fault).and(first, "first written"));
                        continue;
                    }
                    order.push(key.value.clone());
                    entries.insert(key.value, (key.at, value));
                }
            }
            // `roles:` with nothing behind it, all its lines still commented out.
            Value::Null => {}
            Value::Text(_) | Value::List(_) => {
                let found = node.value.noun();
                let fault = Fault::new(
                    format!("expected `{noun}: value` lines, found {found}"),
                    format!("write one {noun} per line, then a colon, then its value"),
                );
                problems.push(Problem::at(&node.at, fault));
            }
        }
        Self { at: node.at, noun, entries, order, known: Vec::new(), problems }
    }

    /// The map under `key`, empty if the key is absent.
    pub(super) fn open(&mut self, key: &'static str, noun: &'static str) -> Option<Fields<'_>> {
        let (_, node) = self.take(key)?;
        Some(Fields::of(node, noun, self.problems))
    }

    /// The single value under `key`, if it is there and `parse` takes it.
    pub(super) fn value<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, Fault>,
    ) -> Option<Placed<T>> {
        let (key_at, node) = self.take(key)?;
        if matches!(node.value, Value::Null) {
            let fault = Fault::new(
                format!("`{key}` has no value"),
                "write a value, or remove the key to use its default",
            );
            self.problems.push(Problem::at(&key_at, fault));
            return None;
        }
        self.scalar(node, &parse)
    }

    /// The values listed under `key`, without those that `parse` refuses; `None` if it is absent.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, Fault>,
    ) -> Option<Vec<Placed<T>>> {
        let (_, node) = self.take(key)?;
        match node.value {
            Value::List(items) => {
                Some(items.into_iter().filter_map(|item| self.scalar(item, &parse)).collect())
            }
            Value::Null => Some(Vec::new()),
            Value::Text(_) | Value::Map(_) => {
                let fault = Fault::new(
                    format!("`{key}` must be a list, found {}", node.value.noun()),
                    "write one entry per line behind a dash, or [a, b]",
                );
                self.problems.push(Problem::at(&node.at, fault));
                None
            }
        }
    }

    /// The single value under `key`, which must be there.
    pub(super) fn must<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, Fault>,
    ) -> Option<Placed<T>> {
        if !self.entries.contains_key(key) {
            let fault = Fault::new(format!("`{key}` is missing"), format!("add `{key}:`"));
            self.problems.push(Problem::at(&self.at, fault));
        }
        self.value(key, parse)
    }

    /// Reads each of the maps that are listed under `key`.
    pub(super) fn each<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(Fields<'_>) -> Option<T>,
    ) -> Vec<T> {
        let Some((_, node)) = self.take(key) else { return Vec::new() };
        match node.value {
            Value::List(items) => items
                .into_iter()
                .filter_map(|item| read(Fields::of(item, "key", self.problems)))
                .collect(),
            Value::Null => Vec::new(),
            Value::Text(_) | Value::Map(_) => {
                let fault = Fault::new(
                    format!("`{key}` must be a list, found {}", node.value.noun()),
                    "begin each entry with a dash",
                );
                self.problems.push(Problem::at(&node.at, fault));
                Vec::new()
            }
        }
    }

    /// The values listed under `key`, of which there must be one if the key is there: an emptied list is
    /// not meant to stand for everybody.
    pub(super) fn some<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, Fault>,
    ) -> Vec<Placed<T>> {
        if let Some((at, node)) = self.entries.get(key)
            && node.is_empty()
        {
            let fault =
                Fault::new(format!("`{key}` is empty"), "write an entry, or remove the key");
            self.problems.push(Problem::at(at, fault));
        }
        self.list(key, parse).unwrap_or_default()
    }

    /// Was the key written, whatever its value is worth?
    pub(super) fn has(&self, key: &str) -> bool {
        self.order.iter().any(|each| each == key)
    }

    /// Something that is wrong with the map as a whole.
    pub(super) fn refuse(&mut self, fault: Fault) {
        self.problems.push(Problem::at(&self.at, fault));
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn finish(self) {
        for key in &self.order {
            if let Some((at, _)) = self.entries.get(key) {
                let fault = Fault::unknown(self.noun, key, &self.known);
                self.problems.push(Problem::at(at, fault));
            }
        }
    }

    fn take(&mut self, key: &'static str) -> Option<(Place, Node)> {
        self.known.push(key);
        self.entries.remove(key)
    }

    fn scalar<T>(
        &mut self,
        node: Node,
        parse: impl Fn(&str) -> Result<T, Fault>,
    ) -> Option<Placed<T>> {
        let parsed = match &node.value {
            Value::Text(text) => parse(text),
            Value::Null | Value::List(_) | Value::Map(_) => Err(Fault::new(
                format!("expected a single value, found {}", node.value.noun()),
                "write one value here, in quotes if it has a colon and a space in it",
            )),
        };
        match parsed {
            Ok(value) => Some(Placed { value, at: node.at }),
            Err(fault) => {
                self.problems.push(Problem::at(&node.at, fault));
                None
            }
        }
    }
}

impl Value {
    fn noun(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Text(_) => "a single value",
            Self::List(_) => "a list",
            Self::Map(_) => "`key: value` lines",
        }
    }
}

/// What the parser tells about a node, before its places are known.
enum Raw {
    Null,
    Text(String),
    /// A number or a truth value: its text is fetched from the file.
    Plain,
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, a list or `key: value` lines")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}

/// What a rule file may hold at most: plain data a few levels deep, and no bombs of aliases.
fn limits() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 16,
            flow_nesting_limit: 16,
            max_documents: 1,
            max_anchors: 100,
            max_aliases: 1000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 100_000,
        },
        // Repeated keys are reported by us, with both their places.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        emit_comments: false,
        with_snippet: false,
    }
}

fn not_yaml(source: &Arc<Source>, error: &Error) -> Box<Problem> {
    let error = error.without_snippet();
    let at = error.location().map_or_else(
        || Place::new(source, source.text.len(), source.text.len()),
        |location| place_of(source, location),
    );
    if let Some(tab) = at.tab_in_indentation() {
        let remedy = "YAML wants spaces: replace each tab by two of them";
        return Box::new(Problem::at(&tab, Fault::new("tab in the indentation", remedy)));
    }
    let fault = if let Error::Budget { breach: BudgetBreach::Documents { .. }, .. } = error {
        Fault::new("second document in one file", "put it into a file of its own")
    } else if is_too_large(error) {
        Fault::new("too deep or too large", "rule files are plain lists, a few levels deep")
    } else {
        let message = UserMessageFormatter.format_message(error);
        Fault::new(
            format!("not readable as YAML: {}", super::escaped(message.trim_end_matches('.'))),
            "check indentation, colons and quotes from this place upwards",
        )
    };
    Box::new(Problem::at(&at, fault))
}

/// `AliasError` wraps what goes wrong inside an alias: only limits, as [`Raw`] takes every value.
fn is_too_large(error: &Error) -> bool {
    matches!(
        error,
        Error::Budget { .. }
            | Error::AliasError { .. }
            | Error::AliasReplayCounterOverflow { .. }
            | Error::AliasReplayLimitExceeded { .. }
            | Error::AliasExpansionLimitExceeded { .. }
            | Error::AliasReplayStackDepthExceeded { .. }
    )
}

fn place_of(source: &Arc<Source>, location: Location) -> Place {
    let span = location.span();
    if let (Some(start), Some(len)) = (span.byte_offset(), span.byte_len()) {
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        return Place::new(source, start, start.saturating_add(len));
    }
    // Errors of the scanner know only their line and column.
    let line = usize::try_from(location.line()).unwrap_or(0).saturating_sub(1);
    let column = usize::try_from(location.column()).unwrap_or(0).saturating_sub(1);
    let line_start: usize = source.text.split_inclusive('\n').take(line).map(str::len).sum();
    let before: usize = source.text[line_start..].chars().take(column).map(char::len_utf8).sum();
    Place::new(source, line_start + before, line_start + before)
}
