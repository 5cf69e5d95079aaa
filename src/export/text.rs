//! Plain text: headings in capitals, as dictated reports have them. UTF-8 with `\n`.

use super::document::{Document, Kind, Section};

/// The report without what it says of itself: FHIR's `presentedForm` and the page's clipboard.
pub(super) fn body(document: &Document) -> String {
    let sections = document.sections.iter().filter(|section| section.kind != Kind::Provenance);
    sections.map(section).collect::<Vec<_>>().join("\n")
}

/// The whole.
pub(super) fn write(document: &Document) -> String {
    document.sections.iter().map(section).collect::<Vec<_>>().join("\n")
}

fn section(section: &Section) -> String {
    let mut text = format!("{}:\n", section.kind.title().to_ascii_uppercase());
    let numbered = section.kind == Kind::Impression;
    for (number, item) in section.items.iter().enumerate() {
        if section.is_prose() {
            text.push_str(item);
        } else {
            // What belongs to an item stands further in.
            let item = item.replace('\n', "\n   ");
            match numbered {
                true => text.push_str(&format!("{}. {item}", number + 1)),
                false => text.push_str(&format!("- {item}")),
            }
        }
        text.push('\n');
    }
    text
}
