//! Values of the contract in the spelling of [`crate::invoke`]: kebab-case names, `{"case": payload}`, bytes as text where
//! they are printable and in base64 elsewhere. Texts stay texts, so that nothing is lost.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{
    Error as _, Impossible, Serialize, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    Serializer,
};
use serde_json::{Map, Number, Value, json};

/// The JSON of a value of the contract.
#[must_use]
pub fn spelled(value: &(impl Serialize + ?Sized)) -> Value {
    match value.serialize(Spelling) {
        Ok(spelled) => spelled.into_value(),
        Err(error) => json!({ "unspeakable": error.to_string() }),
    }
}

/// Bytes in the spelling of the contract.
#[must_use]
pub fn spelled_bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) => json!(text),
        _ => json!({ "base64": STANDARD.encode(bytes) }),
    }
}

/// A byte is told apart from other numbers, because a list of them is written differently.
enum Spelled {
    Byte(u8),
    /// A payload that is not there.
    Unit,
    Value(Value),
}

impl Spelled {
    fn into_value(self) -> Value {
        match self {
            Self::Byte(byte) => json!(byte),
            Self::Unit => Value::Null,
            Self::Value(value) => value,
        }
    }
}

/// `ProviderCallId`, `provider_call_id`: `provider-call-id`.
fn kebab(name: &str) -> String {
    let mut kebab = String::with_capacity(name.len() + 4);
    for (at, c) in name.trim_end_matches('_').char_indices() {
        if c == '_' {
            kebab.push('-');
        } else if c.is_ascii_uppercase() {
            if at > 0 {
                kebab.push('-');
            }
            kebab.push(c.to_ascii_lowercase());
        } else {
            kebab.push(c);
        }
    }
    kebab
}

fn case(name: &str, payload: Value) -> Spelled {
    let mut object = Map::new();
    object.insert(kebab(name), payload);
    Spelled::Value(Value::Object(object))
}

struct Spelling;

type Spoken = Result<Spelled, serde_json::Error>;
type Never = Impossible<Spelled, serde_json::Error>;

fn unknown<T>(what: &str) -> Result<T, serde_json::Error> {
    Err(serde_json::Error::custom(format!("the contract has no {what}")))
}

macro_rules! plain {
    ($($method:ident($ty:ty)),+ $(,)?) => {
        $(fn $method(self, value: $ty) -> Spoken {
            Ok(Spelled::Value(json!(value)))
        })+
    };
}

impl Serializer for Spelling {
    type Ok = Spelled;
    type Error = serde_json::Error;
    type SerializeSeq = Sequence;
    type SerializeTuple = Sequence;
    type SerializeTupleStruct = Never;
    type SerializeTupleVariant = Never;
    type SerializeMap = Never;
    type SerializeStruct = Record;
    type SerializeStructVariant = Record;

    plain! {
        serialize_bool(bool),
        serialize_i8(i8),
        serialize_i16(i16),
        serialize_i32(i32),
        serialize_i64(i64),
        serialize_u16(u16),
        serialize_u32(u32),
        serialize_u64(u64),
        serialize_str(&str),
    }

    fn serialize_u8(self, value: u8) -> Spoken {
        Ok(Spelled::Byte(value))
    }

    fn serialize_f32(self, value: f32) -> Spoken {
        self.serialize_f64(f64::from(value))
    }

    fn serialize_f64(self, value: f64) -> Spoken {
        Ok(Spelled::Value(
            Number::from_f64(value).map_or(Value::Null, Value::Number),
        ))
    }

    fn serialize_char(self, value: char) -> Spoken {
        Ok(Spelled::Value(json!(value.to_string())))
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Spoken {
        Ok(Spelled::Value(spelled_bytes(bytes)))
    }

    fn serialize_none(self) -> Spoken {
        Ok(Spelled::Value(Value::Null))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Spoken {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Spoken {
        Ok(Spelled::Unit)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Spoken {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Spoken {
        Ok(Spelled::Value(json!(kebab(variant))))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Spoken {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Spoken {
        match value.serialize(Self)? {
            Spelled::Unit => self.serialize_unit_variant(name, index, variant),
            payload => Ok(case(variant, payload.into_value())),
        }
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Sequence, serde_json::Error> {
        Ok(Sequence(Vec::with_capacity(length.unwrap_or(0))))
    }

    fn serialize_tuple(self, length: usize) -> Result<Sequence, serde_json::Error> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Never, serde_json::Error> {
        unknown("tuple structs")
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Never, serde_json::Error> {
        unknown("tuple variants")
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Never, serde_json::Error> {
        unknown("maps")
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Record, serde_json::Error> {
        Ok(Record {
            variant: None,
            fields: Map::new(),
        })
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Record, serde_json::Error> {
        Ok(Record {
            variant: Some(variant),
            fields: Map::new(),
        })
    }
}

struct Sequence(Vec<Spelled>);

impl Sequence {
    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), serde_json::Error> {
        self.0.push(value.serialize(Spelling)?);
        Ok(())
    }

    fn spelled(self) -> Spelled {
        let bytes: Option<Vec<u8>> = self
            .0
            .iter()
            .map(|item| {
                if let Spelled::Byte(byte) = item {
                    Some(*byte)
                } else {
                    None
                }
            })
            .collect();
        Spelled::Value(match bytes {
            // An empty list may be one of bytes or of anything else; both are read back from an empty array.
            Some(bytes) if !bytes.is_empty() => spelled_bytes(&bytes),
            _ => Value::Array(self.0.into_iter().map(Spelled::into_value).collect()),
        })
    }
}

impl SerializeSeq for Sequence {
    type Ok = Spelled;
    type Error = serde_json::Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), serde_json::Error> {
        self.push(value)
    }

    fn end(self) -> Spoken {
        Ok(self.spelled())
    }
}

impl SerializeTuple for Sequence {
    type Ok = Spelled;
    type Error = serde_json::Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), serde_json::Error> {
        self.push(value)
    }

    fn end(self) -> Spoken {
        Ok(Spelled::Value(Value::Array(
            self.0.into_iter().map(Spelled::into_value).collect(),
        )))
    }
}

struct Record {
    variant: Option<&'static str>,
    fields: Map<String, Value>,
}

impl Record {
    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), serde_json::Error> {
        self.fields.insert(kebab(name), value.serialize(Spelling)?.into_value());
        Ok(())
    }

    fn spelled(self) -> Spelled {
        let fields = Value::Object(self.fields);
        match self.variant {
            Some(variant) => case(variant, fields),
            None => Spelled::Value(fields),
        }
    }
}

impl SerializeStruct for Record {
    type Ok = Spelled;
    type Error = serde_json::Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), serde_json::Error> {
        self.field(name, value)
    }

    fn end(self) -> Spoken {
        Ok(self.spelled())
    }
}

impl SerializeStructVariant for Record {
    type Ok = Spelled;
    type Error = serde_json::Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), serde_json::Error> {
        self.field(name, value)
    }

    fn end(self) -> Spoken {
        Ok(self.spelled())
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;
    use serde_json::json;

    use super::spelled;

    #[derive(Serialize)]
    enum Verdict {
        NotOffered,
        LeftAlone(String),
    }

    #[derive(Serialize)]
    struct Everything {
        provider_call_id: Option<String>,
        body: Vec<u8>,
        binary: Vec<u8>,
        verdicts: Vec<Verdict>,
        pairs: Vec<(String, u8)>,
        outcome: Result<u32, Verdict>,
        done: Result<(), Verdict>,
        document: String,
    }

    #[test]
    fn names_cases_and_bytes_are_those_of_the_contract() {
        let everything = Everything {
            provider_call_id: None,
            body: b"a=1".to_vec(),
            binary: vec![0, 255],
            verdicts: vec![Verdict::NotOffered, Verdict::LeftAlone("why".to_owned())],
            pairs: vec![("a".to_owned(), 7)],
            outcome: Err(Verdict::NotOffered),
            done: Ok(()),
            document: "{\"a\": 1}".to_owned(),
        };
        assert_eq!(
            spelled(&everything),
            json!({
                "provider-call-id": null,
                "body": "a=1",
                "binary": {"base64": "AP8="},
                "verdicts": ["not-offered", {"left-alone": "why"}],
                "pairs": [["a", 7]],
                "outcome": {"err": "not-offered"},
                "done": "ok",
                "document": "{\"a\": 1}",
            })
        );
    }
}
