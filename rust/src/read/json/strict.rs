//! One line by `serde_json`: the fields of any object, or what exactly is wrong with it.
//!
//! ```text
//! for each field of the object
//!     text   → appended to the columns
//!     label  → kept as the piece of the line that denotes it
//!     weight → ditto
//!     other  → skipped; must be well-formed, is never built
//! ```
//!
//! Skipping does not recurse, so depth is harmless.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Wanted, finish};
use crate::read::columns::{Columns, Fault, Reason};

/// Append the row of a line to the columns.
///
/// # Errors
/// If the line is no row; its text may be in the columns then, unfinished.
pub fn take(columns: &mut Columns, at: i64, line: &str, wanted: &Wanted) -> Result<(), Fault> {
    let mut reader = serde_json::Deserializer::from_str(line);
    let fields = Record {
        wanted,
        data: &mut columns.data,
    }
    .deserialize(&mut reader)
    .and_then(|fields| reader.end().map(|()| fields))
    .map_err(|error| fault_of(&error))?;
    match fields.text {
        Text::Missing => return Err((Reason::MissingText, format!("no field {:?}", wanted.text))),
        Text::Null => return Err((Reason::MissingText, format!("{:?} is null", wanted.text))),
        Text::Other(kind) => {
            return Err((
                Reason::WrongType,
                format!("{:?} is {kind}, not a string", wanted.text),
            ));
        }
        Text::Found => {}
    }
    finish(
        columns,
        at,
        fields.label.map(RawValue::get),
        fields.weight.map(RawValue::get),
        wanted,
    )
}

/// What `serde_json` refused, in our words.
pub fn fault_of(error: &serde_json::Error) -> Fault {
    let message = error.to_string();
    let what = message.split(" at line ").next().unwrap_or(&message);
    let reason = if error.is_data() {
        Reason::NotAnObject
    } else {
        Reason::BrokenJson
    };
    (
        reason,
        format!("{what} at byte {} of the line", error.column()),
    )
}

/// The wanted fields of one line; the text is in the columns.
struct Fields<'line> {
    text: Text,
    label: Option<&'line RawValue>,
    weight: Option<&'line RawValue>,
}

enum Text {
    Missing,
    Null,
    Found,
    Other(&'static str),
}

struct Record<'a> {
    wanted: &'a Wanted,
    data: &'a mut Vec<u8>,
}

impl<'line> DeserializeSeed<'line> for Record<'_> {
    type Value = Fields<'line>;
    fn deserialize<D: Deserializer<'line>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'line> Visitor<'line> for Record<'_> {
    type Value = Fields<'line>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'line>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let start = self.data.len();
        let mut fields = Fields {
            text: Text::Missing,
            label: None,
            weight: None,
        };
        while let Some(field) = map.next_key_seed(Key(self.wanted))? {
            match field {
                Field::Text => {
                    self.data.truncate(start);
                    fields.text = map.next_value_seed(TextValue(self.data))?;
                }
                Field::Label => fields.label = Some(map.next_value()?),
                Field::Weight => fields.weight = Some(map.next_value()?),
                Field::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(fields)
    }
}

enum Field {
    Text,
    Label,
    Weight,
    Other,
}

struct Key<'a>(&'a Wanted);

impl<'line> DeserializeSeed<'line> for Key<'_> {
    type Value = Field;
    fn deserialize<D: Deserializer<'line>>(self, reader: D) -> Result<Field, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Field;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a field name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Field, E> {
        let Wanted {
            text,
            label,
            weight,
        } = self.0;
        Ok(if name == text {
            Field::Text
        } else if label.as_deref() == Some(name) {
            Field::Label
        } else if weight.as_deref() == Some(name) {
            Field::Weight
        } else {
            Field::Other
        })
    }
}

/// Appends a string to the columns; tells what it met otherwise.
struct TextValue<'a>(&'a mut Vec<u8>);

impl<'line> DeserializeSeed<'line> for TextValue<'_> {
    type Value = Text;
    fn deserialize<D: Deserializer<'line>>(self, reader: D) -> Result<Text, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'line> Visitor<'line> for TextValue<'_> {
    type Value = Text;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a string")
    }
    fn visit_str<E>(self, text: &str) -> Result<Text, E> {
        self.0.extend_from_slice(text.as_bytes());
        Ok(Text::Found)
    }
    fn visit_unit<E>(self) -> Result<Text, E> {
        Ok(Text::Null)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Text, E> {
        Ok(Text::Other("a boolean"))
    }
    fn visit_i64<E>(self, _: i64) -> Result<Text, E> {
        Ok(Text::Other("a number"))
    }
    fn visit_u64<E>(self, _: u64) -> Result<Text, E> {
        Ok(Text::Other("a number"))
    }
    fn visit_f64<E>(self, _: f64) -> Result<Text, E> {
        Ok(Text::Other("a number"))
    }
    fn visit_seq<A: SeqAccess<'line>>(self, mut items: A) -> Result<Text, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Text::Other("an array"))
    }
    fn visit_map<A: MapAccess<'line>>(self, mut items: A) -> Result<Text, A::Error> {
        while items.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Text::Other("an object"))
    }
}
