//! One page that needs nothing else: no script, no font, no address outside it.

use std::fmt::Write;

use super::TITLES;
use super::markdown::{capital, outputs};
use super::plots;
use super::svg::escape;
use crate::eval::compare::{Evaluation, Gain, Mean};

const STYLE: &str = include_str!("page.css");

/// A report whose text is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Text {
    /// Its id.
    pub id: String,
    /// Its findings.
    pub findings: String,
    /// The radiologist's impression.
    pub reference: String,
    /// The first system's.
    pub output: String,
    /// ROUGE-L F1 of that.
    pub score: f64,
}

/// All figures and plots. Only `texts` bring report text into it.
pub fn html(evaluation: &Evaluation, title: &str, texts: &[Text]) -> String {
    let mut page = String::new();
    let options = evaluation.options;
    let title = escape(title);
    // Writing to a String cannot fail.
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n<p class=\"soft\">F1 of ROUGE {} the stemmer: mean over reports with its 95 % bootstrap interval ({} resamples, seed {}).</p>\n",
        if options.stemmer { "with" } else { "without" },
        options.resamples,
        options.seed
    );
    for note in &evaluation.notes {
        let _ = writeln!(page, "<p class=\"note\">{}</p>", escape(note));
    }
    page.push_str("<ul class=\"key\">\n");
    for (index, system) in evaluation.systems.iter().enumerate() {
        let _ = writeln!(
            page,
            "<li>{}<b>{}</b> <span class=\"soft\">{}</span></li>",
            plots::key(index),
            escape(&system.name),
            escape(&system.about)
        );
    }
    page.push_str("</ul>\n");
    let first = evaluation.systems.first().map(|first| escape(&first.name)).unwrap_or_default();
    section(
        &mut page,
        "Every system on every subset",
        "Points are means, lines 95 % intervals.",
        &plots::intervals(evaluation),
    );
    section(
        &mut page,
        "How long the impressions are",
        &format!("Grey: the references. Coloured: {first}."),
        &plots::lengths(evaluation),
    );
    section(
        &mut page,
        "Score by length of the findings",
        &format!(
            "Small dots: the reports of {first}. Lines: means of eight equally full groups of reports."
        ),
        &plots::by_length(evaluation),
    );
    page.push_str("<h2>Figures</h2>\n");
    for (at, subset) in evaluation.subsets.iter().enumerate() {
        let rows: Vec<Vec<String>> = evaluation
            .systems
            .iter()
            .map(|system| {
                let cells = system.means[at].map(mean);
                std::iter::once(escape(&system.name)).chain(cells).collect()
            })
            .collect();
        let caption = format!("{}: {} reports; {}", subset.name, subset.rows.len(), subset.about);
        table(&mut page, &capital(&caption), &[&["system"], &TITLES[..]].concat(), &rows);
    }
    if evaluation.systems.len() > 1 {
        let _ = writeln!(
            page,
            "<h2>{first} against the others</h2>\n<p>Difference of the means, its 95 % interval over paired resamples, and the share of resamples in which it is below zero.</p>"
        );
        for other in evaluation.systems.iter().skip(1) {
            let rows: Vec<Vec<String>> = evaluation
                .differences
                .iter()
                .filter(|difference| difference.against == other.name)
                .map(|difference| {
                    let cells = difference.gains.map(gain);
                    std::iter::once(difference.subset.to_owned()).chain(cells).collect()
                })
                .collect();
            let caption = format!("Against {}", other.name);
            table(&mut page, &caption, &[&["reports"], &TITLES[..]].concat(), &rows);
        }
    }
    let rows = outputs(evaluation);
    if let Some((head, rows)) = rows.split_first() {
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|cell| escape(cell)).collect()).collect();
        page.push_str("<h2>The outputs themselves</h2>\n");
        let caption = "Length ratio: words of the outputs by words of the references. The rest: outputs that are no impression.";
        table(&mut page, caption, &head, &rows);
    }
    if !texts.is_empty() {
        page.push_str("<h2>Lowest scores</h2>\n<p class=\"note\">This page holds text of reports: treat it as you treat them.</p>\n<div class=\"scroll\"><table class=\"text\"><thead><tr><th>id, ROUGE-L</th><th>findings</th><th>reference</th><th>output</th></tr></thead><tbody>\n");
        for text in texts {
            let _ = writeln!(
                page,
                "<tr><td>{}\n{:.3}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                escape(&text.id),
                text.score,
                escape(&text.findings),
                escape(&text.reference),
                escape(&text.output)
            );
        }
        page.push_str("</tbody></table></div>\n");
    }
    page.push_str("<p class=\"soft\">radllama is a research tool, not a medical device. Overlap of words is not correctness: read outputs too.</p>\n</main>\n</body>\n</html>\n");
    page
}

fn section(page: &mut String, title: &str, about: &str, svg: &str) {
    let _ = write!(
        page,
        "<h2>{title}</h2>\n<p class=\"soft\">{about}</p>\n<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"{title}\">{svg}</div>\n"
    );
}

/// `rows` hold HTML, `caption` and `head` text.
fn table(page: &mut String, caption: &str, head: &[&str], rows: &[Vec<String>]) {
    let _ = write!(
        page,
        "<div class=\"scroll\" tabindex=\"0\"><table><caption>{}</caption><thead><tr>",
        escape(caption)
    );
    for cell in head {
        let _ = write!(page, "<th scope=\"col\">{cell}</th>");
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

fn mean(mean: Mean) -> String {
    format!("{:.3} <span>[{:.3}, {:.3}]</span>", mean.f1, mean.low, mean.high)
}

fn gain(gain: Gain) -> String {
    format!(
        "{:+.3} <span>[{:+.3}, {:+.3}]<br>{:.1} % below</span>",
        gain.difference,
        gain.low,
        gain.high,
        gain.below_zero * 100.0
    )
}
