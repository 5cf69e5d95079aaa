//! Markdown (CommonMark 0.31): any renderer shows the very characters of the report.

use super::document::{Document, Kind};

/// The whole, with a heading a section.
pub(super) fn write(document: &Document) -> String {
    let mut text = "# Radiology report\n".to_owned();
    for section in &document.sections {
        text.push_str(&format!("\n## {}\n\n", section.kind.title()));
        for (number, item) in section.items.iter().enumerate() {
            if section.is_prose() {
                text.push_str(&paragraphs(item, ""));
            } else if section.kind == Kind::Impression {
                let mark = format!("{}. ", number + 1);
                text.push_str(&mark);
                text.push_str(&paragraphs(item, &" ".repeat(mark.len())));
            } else {
                text.push_str("- ");
                text.push_str(&paragraphs(item, "  "));
            }
            text.push('\n');
        }
    }
    text
}

/// Escaped lines with hard breaks between them, and a paragraph for each block between empty lines.
/// Lines but the first begin with `indent`.
fn paragraphs(text: &str, indent: &str) -> String {
    let mut out = String::new();
    let mut lines = text.split('\n').peekable();
    while let Some(line) = lines.next() {
        escape(line, &mut out);
        let Some(next) = lines.peek() else { break };
        match line.is_empty() || next.is_empty() {
            true => out.push('\n'),
            false => out.push_str("\\\n"), // section 6.7, hard line breaks
        }
        if !next.is_empty() {
            out.push_str(indent);
        }
    }
    out
}

/// Section 2.4: a backslash before ASCII punctuation makes it literal. Inside a line, what could open or
/// close something; at its begin, also what could be a heading, a list, a rule or a fence; blanks there as
/// entities (section 2.5), or they would be dropped.
fn escape(line: &str, out: &mut String) {
    let blanks = line.len() - line.trim_start_matches(' ').len();
    out.push_str(&"&#32;".repeat(blanks));
    let line = &line[blanks..];
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    for (at, c) in line.char_indices() {
        let inside =
            matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '&' | '~' | '|' | '$');
        let first = at == 0 && matches!(c, '#' | '+' | '-' | '=' | ':' | '!' | '"');
        let list = digits > 0 && at == digits && matches!(c, '.' | ')');
        if inside || first || list {
            out.push('\\');
        }
        out.push(c);
    }
}
