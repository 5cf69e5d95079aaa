//! An [`Analysis`] for people and for programs: Markdown, a page, a CSV table, JSON.

use serde_json::{Value, json};

use super::analysis::{Analysis, Gain, Mean};
use super::{CRITERIA, letter, plots};
use crate::render::csv;
use crate::render::html::{Page, escape};
use crate::render::markdown::table;
use crate::stats::alpha::Agreement;
use crate::{Error, Result};

/// What is measured, as people write it.
pub(super) const MEASURES: [&str; super::analysis::MEASURES] =
    [CRITERIA[0].1, CRITERIA[1].1, CRITERIA[2].1, CRITERIA[3].1, CRITERIA[4].1, "Mean of the five"];

/// The pictures by name, as SVG that takes its colours from the page around it.
pub fn plots(analysis: &Analysis) -> [(&'static str, String); 4] {
    [
        ("means", plots::means(analysis)),
        ("marks", plots::marks(analysis)),
        ("preferences", plots::preferences(analysis)),
        ("agreement", plots::agreement(analysis)),
    ]
}

/// All figures, for programs.
///
/// # Errors
/// [`Error::Internal`] if a figure cannot be written.
pub fn json(analysis: &Analysis) -> Result<Value> {
    let mut value =
        serde_json::to_value(analysis).map_err(|error| Error::Internal(error.to_string()))?;
    value["criteria"] = json!(CRITERIA.map(|(name, _, _)| name));
    Ok(value)
}

/// A table under its heading: text cells, the first row the head.
struct Section {
    title: String,
    about: String,
    rows: Vec<Vec<String>>,
}

/// All figures as Markdown. No text of any report is in it.
pub fn markdown(analysis: &Analysis, title: &str) -> String {
    let mut text = format!("# {}\n\n{}\n", heading(title), about(analysis));
    for section in sections(analysis) {
        text.push_str(&format!("\n## {}\n\n{}\n", section.title, section.about));
        text.push('\n');
        text.push_str(&table(&section.rows));
    }
    text.push_str("\n## How this was computed\n\n");
    for line in METHODS {
        text.push_str(&format!("- {line}\n"));
    }
    text
}

/// All figures and plots as one page.
pub fn html(analysis: &Analysis, title: &str) -> String {
    let mut page = Page::new(heading(title), &escape(&about(analysis)));
    page.key(analysis.systems.iter().map(|name| (name.as_str(), "")));
    let [means, marks, preferences, agreement] = plots(analysis).map(|(_, svg)| svg);
    page.plot(
        "Marks by criterion",
        "Points are means over all readers' marks, lines 95 % intervals.",
        &means,
    );
    page.plot("How often each mark was given", "From 1, the lowest, to 5.", &marks);
    page.plot(
        "Which impression readers would rather sign",
        "Bars are shares of all judgements, lines 95 % intervals, the dashed line chance.",
        &preferences,
    );
    page.plot(
        "How far readers agree",
        "Krippendorff’s alpha, ordinal, with 95 % intervals: 1 is perfect, 0 as by chance. Dashed: 0.667 and 0.8, below which Krippendorff draws no or tentative conclusions only.",
        &agreement,
    );
    for section in sections(analysis) {
        page.heading(&section.title);
        let Some((head, rows)) = section.rows.split_first() else { continue };
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|cell| escape(cell)).collect()).collect();
        page.table(&section.about, &head, &rows);
    }
    page.heading("How this was computed");
    let lines: Vec<String> =
        METHODS.iter().map(|line| format!("<li>{}</li>", escape(line))).collect();
    page.push(&format!("<ul class=\"how\">{}</ul>\n", lines.concat()));
    page.finish("Marks are opinions of these readers on these reports.")
}

/// All figures as a CSV table, one a row.
pub fn csv(analysis: &Analysis) -> String {
    let mut rows: Vec<[String; 11]> = vec![
        [
            "measure",
            "criterion",
            "system",
            "against",
            "value",
            "low",
            "high",
            "sd",
            "count",
            "p",
            "p_holm",
        ]
        .map(str::to_owned),
    ];
    let name = |measure: usize| CRITERIA.get(measure).map_or("mean_of_five", |(name, _, _)| name);
    let figure = |value: f64| format!("{value:.6}");
    let empty = String::new;
    for (system, means) in analysis.systems.iter().zip(&analysis.means) {
        for (measure, mean) in means.iter().enumerate() {
            let Some(Mean { mean, sd, interval, count }) = mean else { continue };
            rows.push([
                "mean".into(),
                name(measure).into(),
                system.clone(),
                empty(),
                figure(*mean),
                figure(interval.low),
                figure(interval.high),
                figure(*sd),
                count.to_string(),
                empty(),
                empty(),
            ]);
        }
    }
    for pair in &analysis.differences {
        for (measure, gain) in pair.gains.iter().enumerate() {
            let Some(gain) = gain else { continue };
            rows.push([
                "difference".into(),
                name(measure).into(),
                analysis.systems[pair.system].clone(),
                analysis.systems[pair.against].clone(),
                figure(gain.difference),
                figure(gain.interval.low),
                figure(gain.interval.high),
                empty(),
                gain.count.to_string(),
                figure(gain.p),
                figure(gain.p_holm),
            ]);
        }
    }
    let agreements = analysis.agreement.iter().enumerate().flat_map(|(measure, alpha)| {
        let of = |level, found: Option<Agreement>| found.map(|found| (level, name(measure), found));
        [of("alpha_ordinal", alpha.ordinal), of("alpha_interval", alpha.interval)]
    });
    let preferred = analysis.preference.alpha.map(|found| ("alpha_nominal", "preference", found));
    for (level, criterion, found) in agreements.chain([preferred]).flatten() {
        rows.push([
            level.into(),
            criterion.into(),
            empty(),
            empty(),
            figure(found.alpha),
            figure(found.interval.low),
            figure(found.interval.high),
            empty(),
            found.units.to_string(),
            empty(),
            empty(),
        ]);
    }
    let preference = &analysis.preference;
    for (at, system) in analysis.systems.iter().enumerate() {
        let Some((share, interval)) = preference.shares[at] else { continue };
        rows.push([
            "preferred".into(),
            "judgements".into(),
            system.clone(),
            empty(),
            figure(share),
            figure(interval.low),
            figure(interval.high),
            empty(),
            preference.votes[at].to_string(),
            preference.p_judgements.map(figure).unwrap_or_default(),
            empty(),
        ]);
        let (won, reports) = (preference.won[at], preference.won.iter().sum::<usize>());
        rows.push([
            "preferred".into(),
            "reports".into(),
            system.clone(),
            empty(),
            figure(won as f64 / (reports + preference.tied).max(1) as f64),
            empty(),
            empty(),
            empty(),
            won.to_string(),
            preference.p.map(figure).unwrap_or_default(),
            empty(),
        ]);
    }
    csv::table(rows.into_iter().map(Vec::from))
}

fn heading(title: &str) -> &str {
    if title.is_empty() { "Reader study" } else { title }
}

fn about(analysis: &Analysis) -> String {
    let count = |n: usize, one: &str| format!("{n} {one}{}", if n == 1 { "" } else { "s" });
    format!(
        "{} by {}, {}, blinded and in random places; marks from 1 to 5. Study {}, {} bootstrap resamples, seed {}.",
        count(analysis.reports, "report"),
        count(analysis.readers.len(), "reader"),
        count(analysis.systems.len(), "system"),
        analysis.study,
        analysis.options.resamples,
        analysis.options.seed
    )
}

const METHODS: [&str; 6] = [
    "Intervals are 95 % percentile intervals of a bootstrap that draws reports with replacement, each with all its readers’ ratings: ratings of one report are no independent observations. Readers are not drawn, so figures speak of these readers.",
    "Differences are of marks that the same reader gave both systems for the same report. p is Fisher’s randomization test, exact and two-sided, with a report’s differences summed over readers as one observation; Holm corrects for all criteria and pairs of systems. The mean of the five is one summary and is not corrected.",
    "Agreement is Krippendorff’s alpha (2011) over every impression that at least two readers marked; its interval is of the same draws of reports.",
    "Preferred in reports: the system with the most readers’ votes in a report wins it. With two systems p is the exact sign test over reports, ties left out; with more it is Friedman’s test of the votes with reports as blocks, and then sign tests of all pairs after Holm.",
    "p over judgements, where it is given, takes all judgements for independent and is too small if readers agree on reports; the test over reports is the one to go by.",
    "Answers that were left out are left out of the figures; nothing is filled in.",
];

fn sections(analysis: &Analysis) -> Vec<Section> {
    let mut sections = Vec::new();
    let systems: Vec<&str> = analysis.systems.iter().map(String::as_str).collect();
    let mut rows = vec![owned(&["criterion"], &systems)];
    for (measure, title) in MEASURES.iter().enumerate() {
        let cells = analysis.means.iter().map(|means| means[measure].map_or(none(), mean));
        rows.push(std::iter::once((*title).to_owned()).chain(cells).collect());
    }
    let about = "Mean ± standard deviation of all marks [95 % interval of the mean].".to_owned();
    sections.push(Section { title: "Marks".into(), about, rows });

    let pair = |a: usize, b: usize| format!("{} − {}", analysis.systems[a], analysis.systems[b]);
    let pairs: Vec<String> =
        analysis.differences.iter().map(|found| pair(found.system, found.against)).collect();
    let pairs: Vec<&str> = pairs.iter().map(String::as_str).collect();
    let mut rows = vec![owned(&["criterion"], &pairs)];
    for (measure, title) in MEASURES.iter().enumerate() {
        let cells =
            analysis.differences.iter().map(|found| found.gains[measure].map_or(none(), gain));
        rows.push(std::iter::once((*title).to_owned()).chain(cells).collect());
    }
    let about = "Mean difference of paired marks [95 % interval]; p of the exact randomization test over reports, after Holm.".to_owned();
    sections.push(Section { title: "Differences".into(), about, rows });
    sections.push(preference(analysis));
    if !analysis.preference.pairs.is_empty() {
        let mut rows = vec![owned(&["systems"], &["reports won", "reports lost", "p (Holm)"])];
        for (a, b, more, fewer, p) in &analysis.preference.pairs {
            let names = format!("{} against {}", analysis.systems[*a], analysis.systems[*b]);
            rows.push(vec![names, more.to_string(), fewer.to_string(), p_text(*p)]);
        }
        let about = "Reports in which one of two systems got more votes than the other.".to_owned();
        sections.push(Section { title: "Preferences, pair by pair".into(), about, rows });
    }

    let mut rows = vec![owned(&["criterion"], &["ordinal", "interval", "impressions"])];
    for ((_, title, _), alpha) in CRITERIA.iter().zip(&analysis.agreement) {
        let units = alpha.ordinal.or(alpha.interval).map_or(none(), |a| a.units.to_string());
        rows.push(vec![
            (*title).to_owned(),
            agreement(alpha.ordinal),
            agreement(alpha.interval),
            units,
        ]);
    }
    let about = "Krippendorff’s alpha [95 % interval].".to_owned();
    sections.push(Section { title: "Agreement of readers".into(), about, rows });

    let mut rows =
        vec![owned(&["reader"], &["reports", "mean mark", "marks missing", "seconds a report"])];
    for reader in &analysis.readers {
        let number = |value: Option<f64>, places| value.map_or(none(), |v| format!("{v:.places$}"));
        rows.push(vec![
            reader.code.clone(),
            reader.reports.to_string(),
            number(reader.mean, 2),
            reader.missing.to_string(),
            number(reader.median_seconds, 0),
        ]);
    }
    let about = "Seconds are the median.".to_owned();
    sections.push(Section { title: "Readers".into(), about, rows });
    sections
}

fn preference(analysis: &Analysis) -> Section {
    let preference = &analysis.preference;
    let mut rows = vec![owned(&["system"], &["judgements", "share", "reports won"])];
    for (at, system) in analysis.systems.iter().enumerate() {
        let share = preference.shares[at].map_or(none(), |(share, interval)| {
            let [share, low, high] = [share, interval.low, interval.high].map(|v| v * 100.0);
            format!("{share:.1} % [{low:.1}, {high:.1}]")
        });
        let won = preference.won[at].to_string();
        rows.push(vec![system.clone(), preference.votes[at].to_string(), share, won]);
    }
    let mut about = match (preference.p, preference.chi_square) {
        (Some(p), Some(chi)) => {
            format!("Friedman’s test over reports: χ² {chi:.2}, p {}.", p_text(p))
        }
        (Some(p), None) => {
            format!("Sign test over reports: p {}; {} of them tied.", p_text(p), preference.tied)
        }
        _ => "No preferences to test.".to_owned(),
    };
    if let Some(p) = preference.p_judgements {
        about += &format!(" Over judgements, as if they were independent: p {}.", p_text(p));
    }
    about += &format!(" Alpha of the preference (nominal): {}.", agreement(preference.alpha));
    let places = preference.places.iter().enumerate();
    let places: Vec<String> =
        places.map(|(place, count)| format!("{} {count}", letter(place))).collect();
    about += &format!(" Chosen by place: {}.", places.join(", "));
    Section { title: "Preferences".into(), about, rows }
}

fn owned(first: &[&str], rest: &[&str]) -> Vec<String> {
    first.iter().chain(rest).map(|cell| (*cell).to_owned()).collect()
}

fn none() -> String {
    "–".to_owned()
}

fn mean(mean: Mean) -> String {
    let Mean { mean, sd, interval, .. } = mean;
    format!("{mean:.2} ± {sd:.2} [{:.2}, {:.2}]", interval.low, interval.high)
}

fn gain(gain: Gain) -> String {
    let [difference, low, high] = [gain.difference, gain.interval.low, gain.interval.high]
        .map(|value| format!("{value:+.2}"));
    format!("{difference} [{low}, {high}], p {}", p_text(gain.p_holm))
}

fn agreement(found: Option<Agreement>) -> String {
    found.map_or(none(), |found| {
        let [alpha, low, high] = [found.alpha, found.interval.low, found.interval.high].map(signed);
        format!("{alpha} [{low}, {high}]")
    })
}

/// A figure below 1, of either sign.
pub(super) fn signed(value: f64) -> String {
    format!("{value:.3}").replace('-', "−")
}

fn p_text(p: f64) -> String {
    if p < 0.001 { "< 0.001".to_owned() } else { format!("{p:.3}") }
}
