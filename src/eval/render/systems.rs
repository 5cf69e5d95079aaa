//! A [`Table`] of systems as Markdown, a page with plots, CSV and JSON. No text of any report is in them.

use serde_json::{Value, json};

use super::TITLES;
use super::markdown::{gain, mean};
use crate::eval::compare::Gain;
use crate::eval::table::{Row, Share, Table};
use crate::guard::{Kind, Severity};
use crate::render::csv;
use crate::render::html::{Page, escape};
use crate::render::markdown::{capital, table};
use crate::render::svg::{Anchor, SYSTEMS, Svg, short, ticks};

/// ROUGE-Lsum is ROUGE-L wherever outputs have one line.
const SHOWN: usize = 3;

/// As Markdown.
pub fn markdown(systems: &Table, title: &str) -> String {
    let mut text = format!("# {title}\n\n{}\n", about(systems));
    for note in &systems.notes {
        text.push_str(&format!("\n> {note}\n"));
    }
    for (title, about, rows) in sections(systems) {
        text.push_str(&format!("\n## {title}\n\n{about}\n\n{}", table(&rows)));
    }
    text.push_str("\n## The systems\n\n");
    for row in &systems.rows {
        text.push_str(&format!("- **{}**: {}\n", row.name, row.about));
    }
    text
}

/// As a page.
pub fn html(systems: &Table, title: &str) -> String {
    let mut page = Page::new(title, &escape(&about(systems)));
    systems.notes.iter().for_each(|note| page.note(note));
    page.key(systems.rows.iter().map(|row| (&*row.name, &*row.about)));
    page.plot("ROUGE", "Bars are mean F1, lines 95 % intervals.", &rouge(systems));
    page.plot(
        "Reports with a flag",
        "Of a hundred reports those with at least one flag of the guard, with 95 % intervals. Hard: an error in all likelihood. Soft: to be looked at.",
        &flags(systems),
    );
    page.plot(
        "Length and speed",
        "Mean words of an impression, the dashed line the references’; mean seconds a report where they were measured.",
        &length_and_speed(systems),
    );
    for (title, about, rows) in sections(systems) {
        page.heading(title);
        let Some((head, rows)) = rows.split_first() else { continue };
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|cell| escape(cell)).collect()).collect();
        page.table(&about, &head, &rows);
    }
    page.finish("Overlap of words is not correctness, and a guard does not see every error.")
}

/// As CSV, a system a row.
pub fn csv(systems: &Table) -> String {
    let mut head = vec!["system".to_owned()];
    for title in &TITLES[..SHOWN] {
        let name = title.to_lowercase().replace('-', "");
        for part in ["", "_low", "_high", "_difference", "_difference_low", "_difference_high"] {
            head.push(format!("{name}{part}"));
        }
    }
    head.extend(["words", "median_words", "length_ratio"].map(str::to_owned));
    for severity in Severity::ALL {
        head.extend(["", "_low", "_high"].map(|part| format!("{}{part}", severity.name())));
    }
    head.extend(Kind::ALL.map(|kind| format!("{}_per_100", kind.name())));
    head.extend(
        ["empty", "loops", "prompt_echoes", "copies_of_findings", "seconds", "tokens_per_s"]
            .map(str::to_owned),
    );
    let figure = |value: f64| format!("{value:.6}");
    let rows = systems.rows.iter().map(|row| {
        let mut cells = vec![row.name.clone()];
        for metric in 0..SHOWN {
            let mean = row.rouge[metric];
            cells.extend([mean.f1, mean.low, mean.high].map(figure));
            match row.gains {
                Some(gains) => {
                    let Gain { difference, low, high, .. } = gains[metric];
                    cells.extend([difference, low, high].map(figure));
                }
                None => cells.extend([const { String::new() }; 3]),
            }
        }
        cells.extend([row.words, row.median_words, row.length_ratio].map(figure));
        for Share { share, low, high } in row.flagged {
            cells.extend([share, low, high].map(figure));
        }
        cells.extend(row.flags_per_100.map(figure));
        let d = row.degenerate;
        cells.extend(
            [d.empty, d.loops, d.prompt_echoes, d.copies_of_findings].map(|n| n.to_string()),
        );
        cells.push(row.speed.map(|speed| figure(speed.seconds)).unwrap_or_default());
        cells.push(row.speed.and_then(|s| s.tokens_per_s).map(figure).unwrap_or_default());
        cells
    });
    csv::table(std::iter::once(head).chain(rows.collect::<Vec<_>>()))
}

/// For programs.
pub fn json(systems: &Table) -> Value {
    json!({
        "reports": systems.reports,
        "reference_words": systems.reference_words,
        "systems": systems.rows,
        "metrics": crate::eval::rouge::METRICS,
        "severities": Severity::ALL.map(Severity::name),
        "kinds": Kind::ALL.map(Kind::name),
        "notes": systems.notes,
        "stemmer": systems.options.stemmer,
        "resamples": systems.options.resamples,
        "seed": systems.options.seed,
    })
}

fn about(systems: &Table) -> String {
    let options = systems.options;
    format!(
        "{} reports. F1 of ROUGE {} the stemmer; 95 % intervals of {} bootstrap resamples of the reports, seed {}; all systems are averaged over the same resamples.",
        systems.reports,
        if options.stemmer { "with" } else { "without" },
        options.resamples,
        options.seed
    )
}

type Section = (&'static str, String, Vec<Vec<String>>);

/// Tables of text cells, the first row the head.
fn sections(systems: &Table) -> Vec<Section> {
    let each = |head: Vec<String>, cells: &dyn Fn(&Row) -> Vec<String>| {
        let mut rows = vec![head];
        rows.extend(systems.rows.iter().map(|row| [vec![row.name.clone()], cells(row)].concat()));
        rows
    };
    let head = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let speed =
        |row: &Row| row.speed.map_or("–".to_owned(), |speed| format!("{:.1}", speed.seconds));
    let main = each(
        head(&["system", "ROUGE-1", "ROUGE-2", "ROUGE-L", "words", "hard", "soft", "s a report"]),
        &|row| {
            let mut cells: Vec<String> = row.rouge[..SHOWN].iter().map(|m| mean(*m)).collect();
            cells.push(format!("{:.1}", row.words));
            cells.push(per_100(row.flagged[0]));
            cells.push(per_100(row.flagged[1]));
            cells.push(speed(row));
            cells
        },
    );
    let mut found = vec![(
        "The systems beside each other",
        format!(
            "Mean [95 % interval]; words of an impression (the references have {:.1}); reports with a hard and with a soft flag of a hundred.",
            systems.reference_words
        ),
        main,
    )];
    if let Some(first) = systems.rows.first().filter(|_| systems.rows.len() > 1) {
        let mut rows = vec![head(&["system", "ROUGE-1", "ROUGE-2", "ROUGE-L"])];
        for row in &systems.rows {
            if let Some(gains) = row.gains {
                let cells = gains[..SHOWN].iter().map(|g| gain(*g)).collect();
                rows.push([vec![row.name.clone()], cells].concat());
            }
        }
        let about = format!(
            "Mean difference to {} [95 % interval of paired resamples]; share of resamples below zero.",
            first.name
        );
        found.push(("Differences to the first", about, rows));
    }
    let kinds = Kind::ALL.map(Kind::name);
    found.push((
        "Flags by kind",
        "Flags a hundred reports.".to_owned(),
        each([vec!["system".to_owned()], head(&kinds)].concat(), &|row| {
            row.flags_per_100.iter().map(|flags| format!("{flags:.1}")).collect()
        }),
    ));
    let columns = [
        "system",
        "median words",
        "length ratio",
        "empty",
        "loops",
        "prompt echoes",
        "copies of the findings",
        "reports with a time",
        "tokens/s",
    ];
    found.push((
        "The outputs themselves",
        "Length ratio: words of the outputs by words of the references. Then outputs that are no impression.".to_owned(),
        each(head(&columns), &|row| {
            let d = row.degenerate;
            let mut cells =
                vec![format!("{:.0}", row.median_words), format!("{:.2}", row.length_ratio)];
            cells.extend([d.empty, d.loops, d.prompt_echoes, d.copies_of_findings].map(|n| n.to_string()));
            cells.push(row.speed.map_or(0, |speed| speed.reports).to_string());
            let rate = row.speed.and_then(|speed| speed.tokens_per_s);
            cells.push(rate.map_or("–".to_owned(), |rate| format!("{rate:.1}")));
            cells
        }),
    ));
    found
}

/// `4.1 [2.1, 6.5]`
fn per_100(Share { share, low, high }: Share) -> String {
    format!("{:.1} [{:.1}, {:.1}]", share * 100.0, low * 100.0, high * 100.0)
}

/// A bar: its value, its interval where it has one, and what stands beside it.
type Bar = Option<(f64, Option<(f64, f64)>, String)>;

/// Some of a plot's width: a title, where its scale ends, a bar for each system, a line across.
struct Panel {
    title: String,
    end: f64,
    bars: Vec<Bar>,
    limit: Option<f64>,
}

/// Panels side by side, a row a system.
fn bars(systems: &Table, panels: &[Panel], title: &str, about: &str) -> String {
    const LABELS: f64 = 160.0;
    const GAP: f64 = 60.0;
    const ROW: f64 = 26.0;
    const TOP: f64 = 46.0;
    let panel_width = (960.0 - LABELS - GAP * panels.len() as f64) / panels.len().max(1) as f64;
    let height = TOP + ROW * systems.rows.len() as f64 + 10.0;
    let mut svg = Svg::new(960.0, height);
    for (row, system) in systems.rows.iter().enumerate() {
        let y = TOP + ROW * (row as f64 + 0.5);
        svg.text("label", (LABELS - 12.0, y + 4.0), Anchor::End, &short(&system.name));
    }
    for (at, panel) in panels.iter().enumerate() {
        let left = LABELS + (panel_width + GAP) * at as f64;
        let marks = ticks(panel.end, 4);
        let end = marks.last().copied().unwrap_or(1.0);
        let x = |value: f64| left + value / end * panel_width;
        svg.text("head", (left, 16.0), Anchor::Start, &panel.title);
        for tick in marks {
            svg.line("grid", (x(tick), TOP - 6.0), (x(tick), height - 6.0));
            let text = if end <= 1.5 { format!("{tick:.1}") } else { format!("{tick:.0}") };
            svg.text("tick", (x(tick), TOP - 11.0), Anchor::Middle, &text);
        }
        for (row, bar) in panel.bars.iter().enumerate() {
            let Some((value, interval, text)) = bar else { continue };
            let y = TOP + ROW * (row as f64 + 0.5);
            let class = format!("bar soft s{}", row % SYSTEMS);
            let name = format!("{}, {}: {text}", systems.rows[row].name, panel.title);
            svg.rect(&class, (left, y - 7.0), (x(*value) - left, 14.0), &name);
            let mut last = *value;
            if let Some((low, high)) = interval {
                svg.line("rule", (x(*low), y), (x(*high), y));
                for end in [low, high] {
                    svg.line("rule", (x(*end), y - 4.0), (x(*end), y + 4.0));
                }
                last = *high;
            }
            svg.text("value", (x(last) + 6.0, y + 4.0), Anchor::Start, text);
        }
        if let Some(limit) = panel.limit {
            svg.line("limit", (x(limit), TOP - 6.0), (x(limit), height - 6.0));
        }
    }
    svg.finish(title, about)
}

fn rouge(systems: &Table) -> String {
    let panel = |metric: usize| Panel {
        title: TITLES[metric].to_owned(),
        end: 1.0,
        bars: systems
            .rows
            .iter()
            .map(|row| {
                let mean = row.rouge[metric];
                Some((mean.f1, Some((mean.low, mean.high)), format!("{:.3}", mean.f1)))
            })
            .collect(),
        limit: None,
    };
    let panels: Vec<Panel> = (0..SHOWN).map(panel).collect();
    bars(systems, &panels, "Mean F1 of ROUGE by system", "The same figures stand in the tables")
}

fn flags(systems: &Table) -> String {
    let panel = |at: usize| Panel {
        title: capital(Severity::ALL[at].name()),
        end: systems.rows.iter().map(|row| row.flagged[at].high * 100.0).fold(1.0, f64::max),
        bars: systems
            .rows
            .iter()
            .map(|row| {
                let Share { share, low, high } = row.flagged[at];
                let text = format!("{:.1}", share * 100.0);
                Some((share * 100.0, Some((low * 100.0, high * 100.0)), text))
            })
            .collect(),
        limit: None,
    };
    let panels: Vec<Panel> = (0..Severity::ALL.len()).map(panel).collect();
    bars(systems, &panels, "Reports with a flag, of a hundred", "By severity and system")
}

fn length_and_speed(systems: &Table) -> String {
    let longest = systems.rows.iter().map(|row| row.words).fold(systems.reference_words, f64::max);
    let mut panels = vec![Panel {
        title: "Words".to_owned(),
        end: longest,
        bars: systems
            .rows
            .iter()
            .map(|r| Some((r.words, None, format!("{:.1}", r.words))))
            .collect(),
        limit: Some(systems.reference_words),
    }];
    let slowest = systems.rows.iter().filter_map(|row| row.speed).map(|speed| speed.seconds);
    if let Some(slowest) = slowest.reduce(f64::max) {
        panels.push(Panel {
            title: "Seconds a report".to_owned(),
            end: slowest,
            bars: systems
                .rows
                .iter()
                .map(|row| row.speed.map(|s| (s.seconds, None, format!("{:.2}", s.seconds))))
                .collect(),
            limit: None,
        });
    }
    bars(systems, &panels, "Mean words and seconds", "By system")
}
