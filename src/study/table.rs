//! Records as a table of answers.

use std::collections::{BTreeMap, BTreeSet};

use super::Record;

/// The answers as a table: report, reader, system. Reports and readers are sorted, so that the order of
/// files and rows does not matter.
pub(super) struct Table<'r> {
    pub(super) systems: Vec<&'r str>,
    pub(super) readers: Vec<&'r str>,
    /// By report, then reader: the records by system, where the reader answered.
    pub(super) answers: Vec<Vec<Option<Vec<&'r Record>>>>,
}

impl<'r> Table<'r> {
    pub(super) fn new(records: &'r [Record]) -> Table<'r> {
        let names = |of: &dyn Fn(&'r Record) -> &'r str| {
            records.iter().map(of).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
        };
        let systems = names(&|record| &record.system);
        let readers = names(&|record| &record.reader);
        let mut by_answer: BTreeMap<(&str, &str), Vec<&Record>> = BTreeMap::new();
        for record in records {
            by_answer.entry((&record.report, &record.reader)).or_default().push(record);
        }
        by_answer.retain(|_, records| {
            records.sort_by(|a, b| a.system.cmp(&b.system));
            let touched =
                |r: &&Record| r.preferred.is_some() || r.marks.iter().any(Option::is_some);
            records.len() == systems.len() && records.iter().any(touched)
        });
        let reports: BTreeSet<&str> = by_answer.keys().map(|(report, _)| *report).collect();
        let answers = reports
            .into_iter()
            .map(|report| {
                readers.iter().map(|reader| by_answer.remove(&(report, *reader))).collect()
            })
            .collect();
        Table { systems, readers, answers }
    }

    /// For each report the values of all its answers.
    pub(super) fn by_report<T>(&self, of: impl Fn(&[&'r Record]) -> Option<T>) -> Vec<Vec<T>> {
        let answered = |answers: &Vec<Option<Vec<&'r Record>>>| {
            answers.iter().flatten().filter_map(|answer| of(answer)).collect()
        };
        self.answers.iter().map(answered).collect()
    }
}
