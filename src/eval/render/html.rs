//! An evaluation as one page.

use super::TITLES;
use super::markdown::outputs;
use super::plots;
use crate::eval::compare::{Evaluation, Gain, Mean};
use crate::render::html::{Page, escape};
use crate::render::markdown::capital;

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
    let options = evaluation.options;
    let about = format!(
        "F1 of ROUGE {} the stemmer: mean over reports with its 95 % bootstrap interval ({} resamples, seed {}).",
        if options.stemmer { "with" } else { "without" },
        options.resamples,
        options.seed
    );
    let mut page = Page::new(title, &about);
    evaluation.notes.iter().for_each(|note| page.note(note));
    page.key(evaluation.systems.iter().map(|system| (&*system.name, &*system.about)));
    let first = evaluation.systems.first().map_or("", |first| first.name.as_str());
    let escaped = escape(first);
    page.plot(
        "Every system on every subset",
        "Points are means, lines 95 % intervals.",
        &plots::intervals(evaluation),
    );
    page.plot(
        "How long the impressions are",
        &format!("Grey: the references. Coloured: {escaped}."),
        &plots::lengths(evaluation),
    );
    page.plot(
        "Score by length of the findings",
        &format!(
            "Small dots: the reports of {escaped}. Lines: means of eight equally full groups of reports."
        ),
        &plots::by_length(evaluation),
    );
    page.heading("Figures");
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
        page.table(&capital(&caption), &[&["system"], &TITLES[..]].concat(), &rows);
    }
    if evaluation.systems.len() > 1 {
        page.heading(&format!("{first} against the others"));
        page.paragraph("Difference of the means, its 95 % interval over paired resamples, and the share of resamples in which it is below zero.");
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
            page.table(&caption, &[&["reports"], &TITLES[..]].concat(), &rows);
        }
    }
    let rows = outputs(evaluation);
    if let Some((head, rows)) = rows.split_first() {
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|cell| escape(cell)).collect()).collect();
        page.heading("The outputs themselves");
        let caption = "Length ratio: words of the outputs by words of the references. The rest: outputs that are no impression.";
        page.table(caption, &head, &rows);
    }
    if !texts.is_empty() {
        page.heading("Lowest scores");
        page.note("This page holds text of reports: treat it as you treat them.");
        page.push("<div class=\"scroll\"><table class=\"text\"><thead><tr><th>id, ROUGE-L</th><th>findings</th><th>reference</th><th>output</th></tr></thead><tbody>\n");
        for text in texts {
            page.push(&format!(
                "<tr><td>{}\n{:.3}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                escape(&text.id),
                text.score,
                escape(&text.findings),
                escape(&text.reference),
                escape(&text.output)
            ));
        }
        page.push("</tbody></table></div>\n");
    }
    page.finish("Overlap of words is not correctness: read outputs too.")
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
