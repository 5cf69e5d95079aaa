//! Markdown whose tables are aligned, so that a terminal shows them well too.

use std::fmt::Write;

use super::TITLES;
use crate::eval::compare::{Evaluation, Gain, Mean};
use crate::render::markdown::{capital, table};

/// All figures. No text of any report is in it.
pub fn markdown(evaluation: &Evaluation) -> String {
    let mut text = String::new();
    let options = evaluation.options;
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "# Evaluation\n\nF1 of ROUGE {} the stemmer, mean over reports [95 % bootstrap interval, {} resamples, seed {}].\n",
        if options.stemmer { "with" } else { "without" },
        options.resamples,
        options.seed
    );
    for note in &evaluation.notes {
        let _ = write!(text, "\n> {note}\n");
    }
    for (at, subset) in evaluation.subsets.iter().enumerate() {
        let _ = write!(text, "\n## {}: {} reports\n\n", subset.name, subset.rows.len());
        let _ = write!(text, "{}.\n\n", capital(&subset.about));
        let mut rows = vec![row("system", TITLES.map(str::to_owned))];
        for system in &evaluation.systems {
            rows.push(row(&system.name, system.means[at].map(mean)));
        }
        text.push_str(&table(&rows));
    }
    if let Some(first) = evaluation.systems.first().filter(|_| evaluation.systems.len() > 1) {
        let _ = write!(
            text,
            "\n## {} against the others\n\nDifference of the means [95 % interval of paired resamples]; share of resamples below zero.\n\n",
            first.name
        );
        let mut head = vec!["against".to_owned(), "reports".to_owned()];
        head.extend(TITLES.map(str::to_owned));
        let mut rows = vec![head];
        for difference in &evaluation.differences {
            let mut row = vec![difference.against.clone(), difference.subset.to_owned()];
            row.extend(difference.gains.map(gain));
            rows.push(row);
        }
        text.push_str(&table(&rows));
    }
    text.push_str("\n## The outputs themselves\n\n");
    text.push_str(&table(&outputs(evaluation)));
    text.push_str("\n## The systems\n\n");
    for system in &evaluation.systems {
        let _ = writeln!(text, "- **{}**: {}", system.name, system.about);
    }
    text
}

/// Length and degenerate outputs, a system a row.
pub(super) fn outputs(evaluation: &Evaluation) -> Vec<Vec<String>> {
    let head =
        ["system", "length ratio", "empty", "loops", "prompt echoes", "copies of the findings"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for system in &evaluation.systems {
        let counts = system.degenerate;
        let mut row = vec![system.name.clone(), format!("{:.2}", system.length_ratio)];
        row.extend(
            [counts.empty, counts.loops, counts.prompt_echoes, counts.copies_of_findings]
                .map(|count| count.to_string()),
        );
        rows.push(row);
    }
    rows
}

/// `0.631 [0.600, 0.662]`
pub(super) fn mean(mean: Mean) -> String {
    format!("{:.3} [{:.3}, {:.3}]", mean.f1, mean.low, mean.high)
}

/// `+0.021 [-0.003, +0.045]; 4.2 %`
pub(super) fn gain(gain: Gain) -> String {
    format!(
        "{:+.3} [{:+.3}, {:+.3}]; {:.1} %",
        gain.difference,
        gain.low,
        gain.high,
        gain.below_zero * 100.0
    )
}

fn row(name: &str, cells: [String; 4]) -> Vec<String> {
    std::iter::once(name.to_owned()).chain(cells).collect()
}
