//! The guard's places for texts that count UTF-16 code units, as JavaScript's strings do.

use super::Report;

/// Number of a scalar value → number of its first UTF-16 code unit.
#[derive(Debug)]
struct Places {
    /// For each scalar value and for the end; nothing where every one is a single unit.
    units: Option<Vec<usize>>,
}

impl Places {
    fn of(text: &str) -> Places {
        // Two units are four bytes of UTF-8, of which the first is 0xF0 or more.
        if text.bytes().all(|byte| byte < 0xF0) {
            return Places { units: None };
        }
        let mut units = vec![0];
        let mut at = 0;
        for character in text.chars() {
            at += character.len_utf16();
            units.push(at);
        }
        Places { units: Some(units) }
    }

    fn turn(&self, place: &mut usize) {
        if let Some(units) = &self.units {
            // A place behind the end does not occur; were there one, it would become the end.
            *place = units.get(*place).or(units.last()).copied().unwrap_or_default();
        }
    }
}

impl Report {
    /// The same report with all places in UTF-16 code units. `findings` and `impression` are the texts
    /// that were checked.
    pub fn in_utf16(mut self, findings: &str, impression: &str) -> Report {
        let (findings, impression) = (Places::of(findings), Places::of(impression));
        for line in &mut self.lines {
            impression.turn(&mut line.start);
            impression.turn(&mut line.end);
            line.support.iter_mut().flatten().for_each(|place| findings.turn(place));
        }
        for flag in &mut self.flags {
            impression.turn(&mut flag.start);
            impression.turn(&mut flag.end);
            flag.findings.iter_mut().flatten().for_each(|place| findings.turn(place));
        }
        for acute in &mut self.acute {
            let places = match acute.section {
                super::Section::Findings => &findings,
                super::Section::Impression => &impression,
            };
            places.turn(&mut acute.start);
            places.turn(&mut acute.end);
        }
        self
    }
}
