//! What all resources of FHIR's share: the XHTML of their narratives, and JSON without empty values.

use serde_json::{Map, Value, json};

/// XHTML of headings with paragraphs or lists; a narrative must not be empty (txt-2).
pub(super) fn narrative(parts: &[(Option<&str>, &[String], bool)]) -> Value {
    let mut div = "<div xmlns=\"http://www.w3.org/1999/xhtml\">".to_owned();
    for (heading, items, list) in parts {
        if let Some(heading) = heading {
            div.push_str(&format!("<h3>{}</h3>", xhtml(heading)));
        }
        let tag = if *list { "li" } else { "p" };
        div.push_str(if *list { "<ol>" } else { "" });
        for item in *items {
            div.push_str(&format!("<{tag}>{}</{tag}>", xhtml(item)));
        }
        div.push_str(if *list { "</ol>" } else { "" });
    }
    div.push_str("</div>");
    json!({ "status": "generated", "div": div })
}

fn xhtml(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\n', "<br/>")
}

/// Takes out what is null or empty, which FHIR's JSON does not allow.
pub(super) fn compact(value: &mut Value) {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    match value {
        Value::Array(list) => {
            list.iter_mut().for_each(compact);
            list.retain(|value| !empty(value));
        }
        Value::Object(map) => {
            let all: Map<String, Value> = std::mem::take(map);
            for (name, mut value) in all {
                compact(&mut value);
                if !empty(&value) {
                    map.insert(name, value);
                }
            }
        }
        _ => {}
    }
}
