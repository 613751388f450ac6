//! JSON that can be read in one way only.
//!
//! Of a name that an object has twice, readers take the first, the last, or both; who checks one and acts on the other can be
//! led past the check. So it is refused, at every depth.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Reads one JSON value. Depth is bounded by the parser (128).
///
/// # Errors
/// What is wrong and where, without the text itself, which may hold a secret.
pub(super) fn parse(text: &[u8]) -> Result<Value, String> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let read = Once
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value));
    read.map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Data => "has a name twice in one object",
            _ if error.to_string().starts_with("recursion limit") => "is nested too deeply",
            _ => "stops being JSON",
        };
        format!("it {what} at line {}, column {}", error.line(), error.column())
    })
}

/// A value in which every name is there once.
struct Once;

impl<'de> DeserializeSeed<'de> for Once {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Once {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(Self)?;
            if map.insert(name, value).is_some() {
                return Err(A::Error::custom("a name is there twice"));
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::parse;

    #[test]
    fn a_document_is_read_as_it_is() {
        let text = r#"{"a": [1, -2, 1.5, 18446744073709551615, true, null, "\u00e9\ud83d\ude00"], "b": {"a": {}}}"#;
        let expected = json!({ "a": [1, -2, 1.5, u64::MAX, true, null, "é😀"], "b": { "a": {} } });
        assert_eq!(parse(text.as_bytes()), Ok(expected));
    }

    #[test]
    fn what_readers_would_disagree_about_is_refused() {
        for (text, problem) in [
            (r#"{"a": 1, "a": 1}"#.to_owned(), "a name twice"),
            (r#"{"b": [{"a": 1, "\u0061": 2}]}"#.to_owned(), "a name twice"),
            ("[".repeat(200), "nested too deeply"),
            (r#"{"a": "\ud800"}"#.to_owned(), "stops being JSON"),
            (r#"{"a": 1e999}"#.to_owned(), "stops being JSON"),
            (r#"{"a": NaN}"#.to_owned(), "stops being JSON"),
            (r#"{"a": 1} {}"#.to_owned(), "stops being JSON"),
            ("{\"a\": \"\u{0}\"}".to_owned(), "stops being JSON"),
            (String::new(), "stops being JSON"),
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(error.contains(problem), "{text}: {error}");
        }
        assert!(parse(b"{\"a\": \"\xff\"}").is_err());
    }
}
