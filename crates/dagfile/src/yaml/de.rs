//! serde over [`Node`]: every error gets the place of the innermost node that it concerns.

use std::fmt::{self, Display};

use serde::de::{self, DeserializeSeed, Deserializer, EnumAccess, Expected, MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor};
use serde::forward_to_deserialize_any;

use crate::diagnostic::{Kind, did_you_mean};
use crate::yaml::node::{Node, Place, Value};

/// A newtype of this name is read as text in its own spelling where it is a scalar, and as what it is otherwise.
pub(crate) const RAW: &str = "updraft raw";

#[derive(Debug)]
pub(crate) struct Error {
    pub(crate) at: Option<Place>,
    pub(crate) kind: Kind,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Error {
    pub(crate) fn new(at: Place, message: impl Into<String>) -> Self {
        Self { at: Some(at), kind: Kind::Invalid, message: message.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn or_at(mut self, at: Place) -> Self {
        self.at.get_or_insert(at);
        self
    }
}

impl std::error::Error for Error {}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

fn found(unexpected: &Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(value) => format!("`{value}`"),
        Unexpected::Signed(value) => format!("`{value}`"),
        Unexpected::Float(value) => format!("`{value}`"),
        Unexpected::Str(text) => format!("the text {:?}", text.chars().take(60).collect::<String>()),
        Unexpected::Unit => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a map".to_owned(),
        other => other.to_string(),
    }
}

impl de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self { at: None, kind: Kind::Invalid, message: message.to_string(), hint: None }
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = expected.to_string();
        let expected = match expected.as_str() {
            "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number of at least 0",
            "i8" | "i16" | "i32" | "i64" => "a whole number",
            "f32" | "f64" => "a number",
            "a boolean" => "true or false",
            "a string" => "text",
            _ if expected.starts_with("struct ") => "a map",
            other => other,
        };
        Self::custom(format_args!("expected {expected}, found {}", found(&unexpected)))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let hint = match did_you_mean(field, expected.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                let mut known = expected.to_vec();
                known.sort_unstable();
                format!("known keys: {}", known.join(", "))
            }
        };
        Self { at: None, kind: Kind::UnknownKey, message: format!("unknown key `{field}`"), hint: Some(hint) }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let hint = match did_you_mean(variant, expected.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("one of {}", expected.join(", ")),
        };
        Self { hint: Some(hint), ..Self::custom(format_args!("`{variant}` is not a known word here")) }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::custom(format_args!("`{field}` is missing"))
    }
}

/// What a plain scalar means under the core schema of YAML 1.2. Digits with a leading zero stay text: they are ids more often than numbers.
pub(crate) enum Plain<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(&'a str),
}

pub(crate) fn resolve(text: &str) -> Plain<'_> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "true" | "True" | "TRUE" => return Plain::Bool(true),
        "false" | "False" | "FALSE" => return Plain::Bool(false),
        _ => {}
    }
    let bare = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !bare.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Plain::Text(text);
    }
    if bare.bytes().all(|b| b.is_ascii_digit()) {
        if bare.len() > 1 && bare.starts_with('0') {
            return Plain::Text(text);
        }
        if let Ok(number) = text.trim_start_matches('+').parse::<i64>() {
            return if number >= 0 { Plain::Unsigned(number as u64) } else { Plain::Signed(number) };
        }
        return text.parse().map_or(Plain::Text(text), Plain::Unsigned);
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            return u64::from_str_radix(digits, radix).map_or(Plain::Text(text), Plain::Unsigned);
        }
    }
    let float = bare.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'))
        && bare.bytes().any(|b| b.is_ascii_digit());
    match text.parse::<f64>() {
        Ok(number) if float && number.is_finite() => Plain::Float(number),
        _ => Plain::Text(text),
    }
}

impl<'de> Deserializer<'de> for &'de Node<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value() {
            Value::Scalar { text, plain: false } => visitor.visit_borrowed_str(text),
            Value::Scalar { text, plain: true } => match resolve(text) {
                Plain::Null => visitor.visit_unit(),
                Plain::Bool(value) => visitor.visit_bool(value),
                Plain::Unsigned(value) => visitor.visit_u64(value),
                Plain::Signed(value) => visitor.visit_i64(value),
                Plain::Float(value) => visitor.visit_f64(value),
                Plain::Text(text) => visitor.visit_borrowed_str(text),
            },
            Value::List(items) => visitor.visit_seq(List(items.iter())),
            Value::Map(entries) => visitor.visit_map(Map { entries: entries.iter(), value: None }),
            Value::Shared(_) => Err(de::Error::custom("an alias was not followed")),
        }
        .map_err(|error: Error| error.or_at(self.at))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        // YAML 1.1 words too: PyYAML takes them, and so do the people who come from it.
        match self.value() {
            Value::Scalar { text, plain: true } => match text.to_ascii_lowercase().as_str() {
                "yes" | "on" => visitor.visit_bool(true),
                "no" | "off" => visitor.visit_bool(false),
                _ => self.deserialize_any(visitor),
            },
            _ => self.deserialize_any(visitor),
        }
        .map_err(|error: Error| error.or_at(self.at))
    }

    /// Text keeps its spelling: `1.10` stays `1.10`, and `no` stays `no`.
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value() {
            Value::Scalar { text, .. } if !self.is_null() => visitor.visit_borrowed_str(text).map_err(|error: Error| error.or_at(self.at)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        if name == RAW {
            return match self.value() {
                Value::Scalar { .. } => self.deserialize_str(visitor),
                _ => self.deserialize_any(visitor),
            };
        }
        visitor.visit_newtype_struct(self).map_err(|error: Error| error.or_at(self.at))
    }

    fn deserialize_enum<V: Visitor<'de>>(self, _: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        match self.value() {
            Value::Scalar { .. } if !self.is_null() => visitor.visit_enum(Word(self)),
            _ => Err(de::Error::custom("expected one word")),
        }
        .map_err(|error: Error| error.or_at(self.at))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
    }
}

struct List<'a, 's>(std::slice::Iter<'a, Node<'s>>);

impl<'de> SeqAccess<'de> for List<'de, '_> {
    type Error = Error;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.0.next().map(|node| seed.deserialize(node)).transpose()
    }
    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

struct Map<'a, 's> {
    entries: std::slice::Iter<'a, (Node<'s>, Node<'s>)>,
    value: Option<&'a Node<'s>>,
}

impl<'de> MapAccess<'de> for Map<'de, '_> {
    type Error = Error;
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((key, value)) = self.entries.next() else { return Ok(None) };
        self.value = Some(value);
        seed.deserialize(key).map(Some).map_err(|error| error.or_at(key.at))
    }
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let value = self.value.take().ok_or_else(|| <Error as de::Error>::custom("a key has no value"))?;
        seed.deserialize(value).map_err(|error| error.or_at(value.at))
    }
}

struct Word<'a, 's>(&'a Node<'s>);

impl<'de> EnumAccess<'de> for Word<'de, '_> {
    type Error = Error;
    type Variant = Self;
    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        Ok((seed.deserialize(self.0)?, self))
    }
}

impl<'de> VariantAccess<'de> for Word<'de, '_> {
    type Error = Error;
    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Error> {
        Err(de::Error::custom("expected one word"))
    }
    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Error> {
        Err(de::Error::custom("expected one word"))
    }
    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Error> {
        Err(de::Error::custom("expected one word"))
    }
}
