//! The parts of a test set that are looked at on their own.

use std::collections::HashSet;

use super::Report;
use super::rouge::words;

/// Some of the reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subset {
    /// `all`, `unseen`, `seen`, `abnormal`, `normal`, `short`, `medium` or `long`.
    pub name: &'static str,
    /// What is in it.
    pub about: String,
    /// Positions in the reports.
    pub rows: Vec<usize>,
}

/// All subsets that have a report, and remarks on those that could not be told. `train` are the findings
/// that a system may have been trained on.
pub fn subsets<'t>(
    reports: &[Report],
    train: Option<impl IntoIterator<Item = &'t str>>,
) -> (Vec<Subset>, Vec<String>) {
    let mut found = Vec::new();
    let mut notes = Vec::new();
    let mut add = |name, about: &str, keep: &dyn Fn(usize) -> bool| {
        let rows: Vec<usize> = (0..reports.len()).filter(|row| keep(*row)).collect();
        if !rows.is_empty() {
            found.push(Subset { name, about: about.to_owned(), rows });
        }
    };
    add("all", "every report", &|_| true);
    match train {
        Some(train) => {
            let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            let train: HashSet<String> = train.into_iter().map(plain).collect();
            let seen: Vec<bool> =
                reports.iter().map(|report| train.contains(&plain(&report.findings))).collect();
            add("unseen", "findings that stand nowhere in the training pairs", &|row| !seen[row]);
            add("seen", "findings that stand word for word in the training pairs", &|row| seen[row]);
        }
        None => notes.push(
            "No training pairs were given (--train): no retrieval baseline, and seen and unseen findings are not told apart.".to_owned(),
        ),
    }
    let told = reports.iter().filter(|report| report.abnormal.is_some()).count();
    if told < reports.len() {
        notes.push(format!(
            "{} of {} pairs do not say whether they are abnormal: they are in neither subset.",
            reports.len() - told,
            reports.len()
        ));
    }
    add("abnormal", "reports marked abnormal", &|row| reports[row].abnormal == Some(true));
    add("normal", "reports marked normal", &|row| reports[row].abnormal == Some(false));
    let lengths: Vec<usize> = reports.iter().map(|report| words(&report.findings).len()).collect();
    let (low, high) = tertiles(&lengths);
    if low < high {
        add("short", &format!("findings of at most {low} words"), &|row| lengths[row] <= low);
        add("medium", &format!("findings of {} to {high} words", low + 1), &|row| {
            lengths[row] > low && lengths[row] <= high
        });
        add("long", &format!("findings of more than {high} words"), &|row| lengths[row] > high);
    } else {
        notes.push("The findings are of one length or too few to divide by length.".to_owned());
    }
    (found, notes)
}

/// The lengths that a third and two thirds of the texts do not exceed.
fn tertiles(lengths: &[usize]) -> (usize, usize) {
    let mut sorted = lengths.to_vec();
    sorted.sort_unstable();
    let at = |part: usize| sorted.get((sorted.len() * part).div_ceil(3).saturating_sub(1));
    (at(1).copied().unwrap_or(0), at(2).copied().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(findings: &str, abnormal: Option<bool>) -> Report {
        Report { findings: findings.into(), abnormal, ..Report::default() }
    }

    #[test]
    fn each_report_is_where_it_belongs() {
        let reports = [
            report("a", Some(true)),
            report("a b", None),
            report("a b c d", Some(false)),
            report("a  b\nc", Some(true)),
        ];
        let (found, notes) = subsets(&reports, Some(["a b c", "z"]));
        let rows = |name| found.iter().find(|s| s.name == name).map(|s| s.rows.clone());
        assert_eq!(rows("all"), Some(vec![0, 1, 2, 3]));
        assert_eq!(rows("seen"), Some(vec![3]));
        assert_eq!(rows("unseen"), Some(vec![0, 1, 2]));
        assert_eq!(rows("abnormal"), Some(vec![0, 3]));
        assert_eq!(rows("normal"), Some(vec![2]));
        assert_eq!((rows("short"), rows("medium")), (Some(vec![0, 1]), Some(vec![3])));
        assert_eq!(rows("long"), Some(vec![2]));
        assert_eq!(notes.len(), 1, "{notes:?}");
        let (found, notes) = subsets(&reports[..1], None::<[&str; 0]>);
        assert_eq!(found.iter().map(|s| s.name).collect::<Vec<_>>(), ["all", "abnormal"]);
        assert_eq!(notes.len(), 2, "{notes:?}");
    }
}
