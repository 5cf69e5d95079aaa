//! The object on a line of JSON Lines.

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};

/// An object whose every field stands once; serde_json's own map keeps the last of two and forgets
/// the other.
struct Fields(Map<String, Value>);

const TWICE: &str = "a field stands twice";

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Fields, A::Error> {
                let mut fields = Map::new();
                while let Some((name, value)) = access.next_entry::<String, Value>()? {
                    if fields.insert(name, value).is_some() {
                        return Err(A::Error::custom(TWICE));
                    }
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

/// The object on a line of JSON Lines.
///
/// # Errors
/// What is wrong, without a word of the line.
pub fn object(line: &str) -> Result<Map<String, Value>, String> {
    use serde_json::error::Category;
    serde_json::from_str::<Fields>(line).map(|fields| fields.0).map_err(|error| {
        // serde_json's own message may quote the text.
        match error.classify() {
            Category::Data if error.to_string().starts_with(TWICE) => {
                "a field stands twice in the object".into()
            }
            Category::Data => "is not a JSON object; one object a line is expected".into(),
            Category::Eof => "the JSON ends too soon; the file may have been cut short".into(),
            _ => format!("is not JSON at column {}; one object a line is expected", error.column()),
        }
    })
}
