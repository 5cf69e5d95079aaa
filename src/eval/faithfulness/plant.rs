//! Errors planted in impressions that people wrote, by a seeded generator.
//!
//! An error counts only if it is one, judged by words alone and not by the guard's own reading:
//!
//! - **side**: "left" for "right" or the other way round, where the word behind the side ("effusion" in
//!   "left pleural effusion", passing over adjectives) stands in findings sentences with the old side and in
//!   none with the new one or both, or where the findings do not name the new side or both at all.
//! - **negation**: the "no" or "without" of a sentence taken away, where findings sentences with "no",
//!   "without" or "negative" hold its first noun, and none without such a word does, nor with one of
//!   "large", "acute", … that the impression does not have.
//! - **measurement**: another number, or mm for cm, where no number of the findings is the new one. Where an
//!   impression has none, a findings sentence with a number is put behind it, and its copy is changed; the
//!   same sentence unchanged is the control.
//! - **insertion**: a sentence that a person wrote in another report's impression, which names one of that
//!   report's MeSH headings and no negation; the report it goes to has no MeSH heading but "normal".
//! - **removal**: the impression's only sentence with a word for something acute ("pneumothorax") taken out of it,
//!   where a findings sentence without denial and doubt has the word.
//! - **repetition**: a sentence of at least two words twice.
//! - **echo**: the findings, at least 12 words in two sentences, in place of the impression or behind it.

use serde::Serialize;

use super::Pair;
use crate::guard::text::words;
use crate::sampler::SplitMix64;

/// What was planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the module says what each is")]
pub enum Planted {
    Side,
    Negation,
    Measurement,
    Insertion,
    Removal,
    Repetition,
    Echo,
}

impl Planted {
    /// All of them.
    pub const ALL: [Planted; 7] = [
        Planted::Side,
        Planted::Negation,
        Planted::Measurement,
        Planted::Insertion,
        Planted::Removal,
        Planted::Repetition,
        Planted::Echo,
    ];

    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Planted::Side => "side",
            Planted::Negation => "negation",
            Planted::Measurement => "measurement",
            Planted::Insertion => "insertion",
            Planted::Removal => "removal",
            Planted::Repetition => "repetition",
            Planted::Echo => "echo",
        }
    }
}

/// An impression with an error in it.
#[derive(Debug, Clone)]
pub struct Case {
    /// Row of the pair.
    pub row: usize,
    /// What was planted.
    pub planted: Planted,
    /// The impression without the error: the person's, or with a faithful sentence behind it.
    pub control: String,
    /// The impression with the error.
    pub text: String,
    /// Where the error stands, in scalar values of `text`; nothing for a removal.
    pub place: Option<(usize, usize)>,
}

/// A word with its bytes.
type Word<'a> = (usize, usize, &'a str);

fn pieces(text: &str) -> Vec<Word<'_>> {
    let mut found = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices() {
        match (c.is_alphanumeric(), start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                found.push((from, at, &text[from..at]));
                start = None;
            }
            _ => {}
        }
    }
    found.extend(start.map(|from| (from, text.len(), &text[from..])));
    found
}

/// Sentences, roughly: pieces between full stops that a blank follows, with their bytes.
fn sentences(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut from = 0;
    for (at, _) in text.match_indices(['.', '\n', ';']) {
        let ends = text[at + 1..].chars().next().is_none_or(char::is_whitespace);
        let number = text[from..at].trim().chars().all(|c| c.is_ascii_digit());
        if ends && number {
            from = at + 1;
        } else if ends {
            found.push((from, at + 1));
            from = at + 1;
        }
    }
    if !text[from..].trim().is_empty() {
        found.push((from, text.len()));
    }
    found
}

fn replace(text: &str, from: usize, to: usize, with: &str) -> (String, (usize, usize)) {
    let start = text[..from].chars().count();
    let changed = format!("{}{with}{}", &text[..from], &text[to..]);
    (changed, (start, start + with.chars().count()))
}

fn behind(text: &str, sentence: &str) -> (String, (usize, usize)) {
    let text = text.trim_end();
    let stop = if text.ends_with(['.', '!', '?']) { " " } else { ". " };
    let start = text.chars().count() + stop.len();
    let whole = format!("{text}{stop}{sentence}");
    (whole, (start, start + sentence.chars().count()))
}

/// Plants every error that can be planted, at most one of a kind in an impression (two measurements: a
/// number and a unit). The same pairs and seed make the same errors.
pub fn plant(pairs: &[Pair], seed: u64) -> Vec<Case> {
    let donors = donors(pairs);
    let mut random = SplitMix64::new(seed);
    let mut cases = Vec::new();
    for (row, pair) in pairs.iter().enumerate() {
        let mut add = |planted, control: String, made: Option<(String, (usize, usize))>| {
            if let Some((text, place)) = made {
                cases.push(Case { row, planted, control, text, place: Some(place) });
            }
        };
        let own = || pair.impression.clone();
        add(Planted::Side, own(), side(pair, &mut random));
        add(Planted::Negation, own(), negation(pair));
        let (control, changed) = measurement(pair, &mut random);
        for made in changed {
            add(Planted::Measurement, control.clone(), Some(made));
        }
        add(Planted::Insertion, own(), insertion(pair, row, &donors, &mut random));
        add(Planted::Repetition, own(), repetition(pair, &mut random));
        add(Planted::Echo, own(), echo(pair, &mut random));
        if let Some(text) = removal(pair) {
            let (planted, place) = (Planted::Removal, None);
            cases.push(Case { row, planted, control: own(), text, place });
        }
    }
    cases
}

fn pick<T: Copy>(random: &mut SplitMix64, list: &[T]) -> Option<T> {
    let at = (u128::from(random.next()) * list.len() as u128) >> 64;
    list.get(at as usize).copied()
}

const BOTH: [&str; 8] =
    ["bilateral", "bilaterally", "both", "bibasilar", "biapical", "diffuse", "lungs", "bases"];
const CHAMBERS: [&str; 8] =
    ["ventricle", "ventricular", "atrium", "atrial", "heart", "greater", "more", "than"];
const PASSED: [&str; 24] = [
    "sided",
    "side",
    "lower",
    "upper",
    "middle",
    "lobe",
    "lung",
    "basilar",
    "base",
    "apical",
    "pleural",
    "small",
    "large",
    "mild",
    "moderate",
    "the",
    "and",
    "or",
    "of",
    "in",
    "mid",
    "posterior",
    "lateral",
    "anterior",
];

fn side(pair: &Pair, random: &mut SplitMix64) -> Option<(String, (usize, usize))> {
    let findings = pair.findings.to_lowercase();
    let there: Vec<Vec<String>> =
        sentences(&findings).iter().map(|(from, to)| words(&findings[*from..*to])).collect();
    let all = words(&findings);
    let found = pieces(&pair.impression);
    let mut choices = Vec::new();
    for (at, (from, to, word)) in found.iter().enumerate() {
        let (old, new) = match word.to_lowercase().as_str() {
            "left" => ("left", "right"),
            "right" => ("right", "left"),
            _ => continue,
        };
        let next = found[at + 1..].iter().map(|(.., word)| word.to_lowercase());
        let mut near = next.take(6);
        if near.clone().take(2).any(|word| CHAMBERS.contains(&word.as_str())) {
            continue;
        }
        let names = |list: &[String], side: &str| list.iter().any(|word| word == side);
        let both = |list: &[String]| list.iter().any(|word| BOTH.contains(&word.as_str()));
        let nowhere = names(&all, old) && !names(&all, new) && !both(&all);
        let noun = near.find(|word| !PASSED.contains(&word.as_str()));
        let noun = noun.filter(|noun| noun.len() > 3);
        let of_noun: Vec<&Vec<String>> = there
            .iter()
            .filter(|list| noun.as_ref().is_some_and(|noun| list.contains(noun)))
            .collect();
        let only = of_noun.iter().any(|list| names(list, old))
            && !of_noun.iter().any(|list| names(list, new) || both(list));
        if nowhere || only {
            let capital = word.starts_with(char::is_uppercase);
            let new = match (new, capital) {
                ("left", true) => "Left",
                ("right", true) => "Right",
                (new, _) => new,
            };
            choices.push((*from, *to, new));
        }
    }
    let (from, to, new) = pick(random, &choices)?;
    Some(replace(&pair.impression, from, to, new))
}

const DENYING: [&str; 5] = ["no", "without", "negative", "not", "free"];
const ADJECTIVES: [&str; 28] = [
    "apparent",
    "obvious",
    "convincing",
    "typical",
    "acute",
    "focal",
    "evidence",
    "of",
    "for",
    "definite",
    "large",
    "pleural",
    "visible",
    "significant",
    "new",
    "active",
    "airspace",
    "air",
    "space",
    "radiographic",
    "pulmonary",
    "confluent",
    "suspicious",
    "overt",
    "superimposed",
    "lobar",
    "displaced",
    "the",
];

/// "No large effusion" denies no effusion.
const PARTIAL: [&str; 6] = ["large", "acute", "displaced", "new", "active", "suspicious"];
/// Nouns that name no finding: "no change" is no denial, "no acute disease" denies nothing by name.
const GENERAL: [&str; 16] = [
    "progression",
    "change",
    "changes",
    "interval",
    "abnormality",
    "abnormalities",
    "disease",
    "finding",
    "findings",
    "process",
    "cardiopulmonary",
    "radiographic",
    "active",
    "intrathoracic",
    "osseous",
    "complication",
];

fn negation(pair: &Pair) -> Option<(String, (usize, usize))> {
    let findings = pair.findings.to_lowercase();
    let there: Vec<Vec<String>> =
        sentences(&findings).iter().map(|(from, to)| words(&findings[*from..*to])).collect();
    let text = &pair.impression;
    let found = pieces(text);
    for (at, (from, _, word)) in found.iter().enumerate() {
        let lower = word.to_lowercase();
        if lower != "no" && lower != "without" {
            continue;
        }
        let mut from = *from;
        let next = found[at + 1..].iter().take(6);
        let noun = next
            .map(|(.., word)| word.to_lowercase())
            .find(|word| !ADJECTIVES.contains(&word.as_str()))?;
        let holds: Vec<&Vec<String>> = there.iter().filter(|list| list.contains(&noun)).collect();
        let own = words(text);
        let denies = |list: &Vec<String>| {
            let place = list.iter().position(|word| *word == noun).unwrap_or(0);
            let part = |word: &String| PARTIAL.contains(&word.as_str()) && !own.contains(word);
            list[..place].iter().any(|word| DENYING.contains(&word.as_str()))
                && !list[place.saturating_sub(2)..place].iter().any(part)
        };
        if noun.len() < 5
            || GENERAL.contains(&noun.as_str())
            || holds.is_empty()
            || !holds.iter().all(|list| denies(list))
        {
            continue;
        }
        // "No evidence of effusion": all of it goes; "without" becomes "with".
        let mut to = found.get(at + 1).map_or(text.len(), |(from, ..)| *from);
        let rest: Vec<String> =
            found[at + 1..].iter().take(3).map(|(.., word)| word.to_lowercase()).collect();
        let skip = rest.iter().position(|word| word == "of" || word == "for");
        if let Some(skip) = skip.filter(|_| rest.iter().any(|word| word == "evidence")) {
            to = found.get(at + 2 + skip).map_or(text.len(), |(from, ..)| *from);
        }
        if lower == "without" {
            let (changed, (start, _)) = replace(text, from, to, "with ");
            return Some((changed, (start, start + noun.len() + 30)));
        }
        // The place is the noun's, which is what is now asserted.
        if text[..from].ends_with("There is ") {
            from -= "There is ".len();
        }
        let (changed, (start, _)) = replace(text, from, to, "");
        return Some((changed, (start, start + noun.len() + 30)));
    }
    None
}

const UNITS: [&str; 2] = ["mm", "cm"];

/// The bytes of a number with mm or cm behind it.
fn number(text: &str) -> Option<(usize, usize, usize)> {
    let bytes = text.as_bytes();
    UNITS.iter().find_map(|unit| {
        text.match_indices(unit).find_map(|(at, _)| {
            let ends = bytes.get(at + 2).is_none_or(|b| !b.is_ascii_alphabetic());
            let to = text[..at].trim_end_matches([' ', '-']).len();
            let from = text[..to].trim_end_matches(|c: char| c.is_ascii_digit() || c == '.').len();
            (ends && from < to && bytes[from].is_ascii_digit()).then_some((from, to, at))
        })
    })
}

fn numbers(text: &str) -> Vec<f64> {
    text.split(|c: char| !(c.is_ascii_digit() || c == '.'))
        .filter_map(|piece| piece.trim_matches('.').parse().ok())
        .collect()
}

type Made = (String, (usize, usize));

fn measurement(pair: &Pair, random: &mut SplitMix64) -> (String, Vec<Made>) {
    let findings = &pair.findings;
    let control = if number(&pair.impression).is_some() {
        pair.impression.clone()
    } else {
        let measured = sentences(findings).into_iter().find_map(|(from, to)| {
            let sentence = findings[from..to].trim();
            number(sentence).map(|_| sentence)
        });
        match measured {
            Some(sentence) => behind(&pair.impression, sentence).0,
            None => return (String::new(), Vec::new()),
        }
    };
    let Some((from, to, unit)) = number(&control) else { return (control, Vec::new()) };
    let known = numbers(findings);
    let Ok(old) = control[from..to].parse::<f64>() else { return (control, Vec::new()) };
    // The control must be faithful, or there is nothing to falsify.
    if !known.contains(&old) {
        return (control, Vec::new());
    }
    let mut made = Vec::new();
    let places = control[from..to].split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let by = [0.5, 1.5, 2.0, 3.0];
    for _ in 0..8 {
        let Some(factor) = pick(random, &by) else { break };
        let new = format!("{:.places$}", old * factor);
        let value = new.parse::<f64>().unwrap_or(old);
        let fresh = known.iter().all(|k| {
            [k * 10.0, *k, k / 10.0].iter().all(|k| (k - value).abs() > 0.12 * value.max(*k))
        });
        if fresh && value > 0.0 {
            made.push(replace(&control, from, to, &new));
            break;
        }
    }
    let other = if control[unit..].starts_with("mm") { "cm" } else { "mm" };
    let factor = if other == "cm" { 10.0 } else { 0.1 };
    let same = known.iter().any(|k| (k - old * factor).abs() <= 0.12 * k.max(old * factor));
    if !same && !findings.contains(&format!("{} {other}", &control[from..to])) {
        made.push(replace(&control, unit, unit + 2, other));
    }
    (control, made)
}

/// Words of MeSH headings that name no finding.
const VAGUE: [&str; 16] = [
    "pulmonary",
    "disease",
    "diseases",
    "cardiac",
    "medical",
    "thoracic",
    "vertebrae",
    "surgical",
    "technical",
    "quality",
    "indexing",
    "chronic",
    "inserted",
    "implanted",
    "instruments",
    "normal",
];

/// Sentences that name a heading of their report: row, sentence.
fn donors(pairs: &[Pair]) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (row, pair) in pairs.iter().enumerate() {
        let headings: Vec<String> = pair
            .mesh
            .iter()
            .flat_map(|term| words(term.split('/').next().unwrap_or_default()))
            .filter(|word| word.len() > 5 && !VAGUE.contains(&word.as_str()))
            .collect();
        for (from, to) in sentences(&pair.impression) {
            let sentence = pair.impression[from..to].trim();
            let own = words(sentence);
            let negative =
                ["no", "without", "negative", "not", "resolved", "normal", "clear", "resolution"];
            let clean = !own.iter().any(|word| negative.contains(&word.as_str()));
            let names =
                own.iter().any(|word| headings.iter().any(|h| h[..6] == word[..6.min(word.len())]));
            if clean && names && own.len() >= 2 {
                found.push((row, sentence));
            }
        }
    }
    found
}

fn insertion(
    pair: &Pair,
    row: usize,
    donors: &[(usize, &str)],
    random: &mut SplitMix64,
) -> Option<Made> {
    let normal = !pair.mesh.is_empty() && pair.mesh.iter().all(|term| term == "normal");
    let (from, sentence) = pick(random, donors).filter(|_| normal)?;
    (from != row).then(|| behind(&pair.impression, sentence))
}

fn repetition(pair: &Pair, random: &mut SplitMix64) -> Option<Made> {
    let choices: Vec<(usize, usize)> = sentences(&pair.impression)
        .into_iter()
        .filter(|(from, to)| words(&pair.impression[*from..*to]).len() >= 2)
        .collect();
    let (from, to) = pick(random, &choices)?;
    Some(behind(&pair.impression, pair.impression[from..to].trim()))
}

fn echo(pair: &Pair, random: &mut SplitMix64) -> Option<Made> {
    let long = words(&pair.findings).len() >= 12 && sentences(&pair.findings).len() >= 2;
    let findings = pair.findings.trim();
    if !long {
        return None;
    }
    if random.next() >> 63 == 0 {
        return Some(behind(&pair.impression, findings));
    }
    Some((findings.to_owned(), (0, findings.chars().count())))
}

const ACUTE: [&str; 7] = [
    "pneumothorax",
    "pneumonia",
    "edema",
    "pneumoperitoneum",
    "pneumomediastinum",
    "obstruction",
    "failure",
];
const DOUBT: [&str; 14] = [
    "no", "not", "without", "negative", "free", "may", "could", "possible", "probable", "versus",
    "or", "question", "suggest", "exclude",
];

fn removal(pair: &Pair) -> Option<String> {
    let certain = sentences(&pair.findings).iter().any(|(from, to)| {
        let own = words(&pair.findings[*from..*to]);
        own.iter().any(|word| ACUTE.contains(&word.as_str()))
            && !own.iter().any(|word| DOUBT.contains(&word.as_str()))
    });
    let divided = sentences(&pair.impression);
    let names = |(from, to): &&(usize, usize)| {
        words(&pair.impression[*from..*to]).iter().any(|word| ACUTE.contains(&word.as_str()))
    };
    let naming: Vec<&(usize, usize)> = divided.iter().filter(names).collect();
    let [(from, to)] = naming.as_slice() else { return None };
    if divided.len() < 2 || !certain {
        return None;
    }
    Some(replace(&pair.impression, *from, *to, "").0.trim().to_owned())
}
