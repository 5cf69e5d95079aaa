//! One page that needs nothing else: no script, no font, no address outside it.

use std::fmt::Write;

pub(crate) use super::svg::escape;
use super::svg::key;

const STYLE: &str = concat!(include_str!("page.css"), include_str!("plots.css"));

/// A page in the making.
pub(crate) struct Page {
    html: String,
}

impl Page {
    /// With a heading and a line of HTML below it.
    pub(crate) fn new(title: &str, about: &str) -> Page {
        let title = escape(title);
        let html = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n<p class=\"soft\">{about}</p>\n"
        );
        Page { html }
    }

    /// Adds HTML as it is.
    pub(crate) fn push(&mut self, html: &str) {
        self.html.push_str(html);
    }

    /// A remark that must not be overlooked.
    pub(crate) fn note(&mut self, text: &str) {
        let _ = writeln!(self.html, "<p class=\"note\">{}</p>", escape(text));
    }

    /// A heading, which is text.
    pub(crate) fn heading(&mut self, text: &str) {
        let _ = writeln!(self.html, "<h2>{}</h2>", escape(text));
    }

    /// A paragraph of text.
    pub(crate) fn paragraph(&mut self, text: &str) {
        let _ = writeln!(self.html, "<p>{}</p>", escape(text));
    }

    /// The systems with their marks: names and what they are.
    pub(crate) fn key<'s>(&mut self, systems: impl IntoIterator<Item = (&'s str, &'s str)>) {
        self.html.push_str("<ul class=\"key\">\n");
        for (index, (name, about)) in systems.into_iter().enumerate() {
            let _ = writeln!(
                self.html,
                "<li>{}<b>{}</b> <span class=\"soft\">{}</span></li>",
                key(index),
                escape(name),
                escape(about)
            );
        }
        self.html.push_str("</ul>\n");
    }

    /// A plot under its heading. `title` and `about` are HTML.
    pub(crate) fn plot(&mut self, title: &str, about: &str, svg: &str) {
        let _ = write!(
            self.html,
            "<h2>{title}</h2>\n<p class=\"soft\">{about}</p>\n<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"{title}\">{svg}</div>\n"
        );
    }

    /// A table. `rows` hold HTML, `caption` and `head` text.
    pub(crate) fn table(&mut self, caption: &str, head: &[&str], rows: &[Vec<String>]) {
        let page = &mut self.html;
        let _ = write!(
            page,
            "<div class=\"scroll\" tabindex=\"0\"><table><caption>{}</caption><thead><tr>",
            escape(caption)
        );
        for cell in head {
            let _ = write!(page, "<th scope=\"col\">{}</th>", escape(cell));
        }
        page.push_str("</tr></thead><tbody>\n");
        for row in rows {
            page.push_str("<tr>");
            for (column, cell) in row.iter().enumerate() {
                let _ = match column {
                    0 => write!(page, "<th scope=\"row\">{cell}</th>"),
                    _ => write!(page, "<td>{cell}</td>"),
                };
            }
            page.push_str("</tr>\n");
        }
        page.push_str("</tbody></table></div>\n");
    }

    /// The page, closed by what it always says.
    pub(crate) fn finish(mut self, last: &str) -> String {
        let _ = write!(
            self.html,
            "<p class=\"soft\">radllama is a research tool, not a medical device. {}</p>\n</main>\n</body>\n</html>\n",
            escape(last)
        );
        self.html
    }
}
