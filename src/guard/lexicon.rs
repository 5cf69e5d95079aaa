//! What the guard knows of words: findings, anatomy, sides and cues, as data.
//!
//! The built-in lexicon is `lexicon.json`; a user's file has the same form and adds to it. Concepts cover
//! CheXpert's 14 observations (J. Irvin et al., "CheXpert", 2019) and what chest reports say beyond
//! them. Phrases are patterns: a choice `(a|b)`, an option `[a]`, a gap `~` of up to five words.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use super::phrase::Phrases;
use crate::error::{Error, Result};

/// The built-in lexicon's text: the form to follow for one's own.
pub const BUILT_IN: &str = include_str!("lexicon.json");

/// Most concepts: they are counted in 16 bits.
const MOST_CONCEPTS: usize = 10_000;

/// What a concept is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ConceptKind {
    /// Something abnormal, or left by treatment.
    #[default]
    Finding,
    /// A line, tube or implant.
    Device,
    /// A statement that something is normal; `denies` says which findings it rules out.
    Normal,
    /// What general statements speak of ("acute cardiopulmonary abnormality"); never a finding.
    General,
    /// A place.
    Anatomy,
}

/// A concept as it stands in a file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    label: Option<String>,
    kind: Option<ConceptKind>,
    observation: Option<String>,
    acute: Option<String>,
    omission: Option<bool>,
    #[serde(default)]
    terms: Vec<String>,
    #[serde(default)]
    is_a: Vec<String>,
    #[serde(default)]
    seen_as: Vec<String>,
    #[serde(default)]
    denied_by: Vec<String>,
    #[serde(default)]
    denies: Vec<String>,
}

/// A lexicon file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    #[serde(default)]
    concepts: Vec<Entry>,
    #[serde(default)]
    sides: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    cues: BTreeMap<String, Vec<String>>,
}

/// A concept, and how it stands to others.
#[derive(Debug, Clone, Default)]
pub(super) struct Concept {
    pub(super) id: String,
    pub(super) label: String,
    pub(super) kind: ConceptKind,
    /// CheXpert's name for it.
    pub(super) observation: Option<String>,
    /// What the prompt for communication calls it.
    pub(super) acute: Option<String>,
    /// Whether leaving it out of an impression is worth a remark.
    pub(super) omission: bool,
    /// Asserting one of these in the findings supports this concept in an impression: itself, what is a
    /// kind of it, what it may be seen as, and what is a kind of that.
    pub(super) supported_by: Vec<u16>,
    /// Itself and what is a kind of it.
    pub(super) kinds: Vec<u16>,
    /// Denying one of these denies this concept: itself and what it is a kind of.
    pub(super) denied_by: Vec<u16>,
    /// Of [`ConceptKind::Normal`]: what it denies.
    pub(super) denies: Vec<u16>,
}

/// What a cue says about the words around it. NegBio's manner (Y. Peng et al., "NegBio", 2018), without
/// its parser: scopes end at marks and words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cue {
    /// Denies what follows.
    Negation,
    /// Denies what stands before.
    NegationAfter,
    /// Looks like a negation and is none.
    Pseudo,
    /// Makes what follows uncertain.
    Uncertain,
    /// Makes what stands before uncertain.
    UncertainAfter,
    /// Says that one of several is meant.
    Alternative,
    /// Ends the scope of others.
    End,
}

const CUES: [(&str, Cue); 7] = [
    ("negation", Cue::Negation),
    ("negation_after", Cue::NegationAfter),
    ("pseudo", Cue::Pseudo),
    ("uncertain", Cue::Uncertain),
    ("uncertain_after", Cue::UncertainAfter),
    ("alternative", Cue::Alternative),
    ("end", Cue::End),
];

/// Words about words: which negations deny only a part, and what speaks of another examination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remark {
    /// Denies only what is so ("no large effusion").
    Restrict,
    /// Is long past, and therefore nothing to be called about.
    Old,
    /// Compares with another examination.
    Comparison,
    /// In the findings: there is another examination.
    ComparisonContext,
    /// As the only words about a prior examination: there is none.
    NoPrior,
}

const REMARKS: [(&str, Remark); 5] = [
    ("restrict", Remark::Restrict),
    ("old", Remark::Old),
    ("comparison", Remark::Comparison),
    ("comparison_context", Remark::ComparisonContext),
    ("no_prior", Remark::NoPrior),
];

/// What a word says about sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SideWord {
    Left,
    Right,
    Both,
    /// No side by itself, but both may be meant ("diffuse").
    Implied,
    /// Holds a side's word and says none ("right atrium").
    None,
}

const SIDES: [(&str, SideWord); 5] = [
    ("left", SideWord::Left),
    ("right", SideWord::Right),
    ("both", SideWord::Both),
    ("implied", SideWord::Implied),
    ("none", SideWord::None),
];

/// Words that no gap of a phrase reaches over.
const BLOCKS: [&str; 22] = [
    "and",
    "but",
    "with",
    "without",
    "while",
    "which",
    "normal",
    "clear",
    "unremarkable",
    "no",
    "or",
    "borderline",
    "upper",
    "top",
    "near",
    "enlarged",
    "otherwise",
    "prominent",
    "stable",
    "however",
    "there",
    "negative",
];

/// Findings, anatomy, sides and cues, ready to be looked for.
#[derive(Debug, Clone)]
pub struct Lexicon {
    pub(super) concepts: Vec<Concept>,
    pub(super) terms: Phrases<u16>,
    pub(super) cues: Phrases<Cue>,
    pub(super) remarks: Phrases<Remark>,
    pub(super) comparisons: Phrases<Remark>,
    pub(super) sides: Phrases<SideWord>,
}

impl Lexicon {
    /// The built-in lexicon.
    ///
    /// # Errors
    /// None that a test would not have shown.
    pub fn built_in() -> Result<Lexicon> {
        Lexicon::compile(&[("the built-in lexicon", BUILT_IN)])
    }

    /// The built-in lexicon with what a file of the same form adds: concepts with a new id, and to those
    /// with a known one terms and relations; what it says about kind, label, observation, acute and
    /// omission replaces what was said. `name` is what errors call it.
    ///
    /// # Errors
    /// [`Error::BadData`] with the line, or with the number and id of the entry.
    pub fn extended(name: &str, json: &str) -> Result<Lexicon> {
        Lexicon::compile(&[("the built-in lexicon", BUILT_IN), (name, json)])
    }

    fn compile(files: &[(&str, &str)]) -> Result<Lexicon> {
        let mut lexicon = Lexicon {
            concepts: Vec::new(),
            terms: Phrases::new(&BLOCKS),
            cues: Phrases::new(&[]),
            remarks: Phrases::new(&[]),
            comparisons: Phrases::new(&[]),
            sides: Phrases::new(&[]),
        };
        let mut ids: HashMap<String, u16> = HashMap::new();
        let mut relations = Vec::new();
        for (name, json) in files {
            let file = parse(name, json)?;
            for (at, entry) in file.concepts.into_iter().enumerate() {
                let place = format!("{name}, concept {} ({:?})", at + 1, short(&entry.id));
                let concept = lexicon.concept(&place, &entry, &mut ids)?;
                relations.push((place, concept, entry));
            }
            for (group, patterns) in &file.sides {
                let word = meaning(name, "sides", group, &SIDES)?;
                for (at, pattern) in patterns.iter().enumerate() {
                    let place = format!("{name}, sides, {group:?}, entry {}", at + 1);
                    lexicon.sides.add(pattern, word).map_err(|what| bad(&place, &what))?;
                }
            }
            for (group, patterns) in &file.cues {
                for (at, pattern) in patterns.iter().enumerate() {
                    let place = format!("{name}, cues, {group:?}, entry {}", at + 1);
                    let done = if let Ok(cue) = meaning(name, "cues", group, &CUES) {
                        lexicon.cues.add(pattern, cue)
                    } else {
                        let remark = meaning(name, "cues", group, &REMARKS)?;
                        match remark {
                            Remark::Restrict | Remark::Old => lexicon.remarks.add(pattern, remark),
                            _ => lexicon.comparisons.add(pattern, remark),
                        }
                    };
                    done.map_err(|what| bad(&place, &what))?;
                }
            }
        }
        lexicon.relate(&relations, &ids)?;
        Ok(lexicon)
    }

    /// Takes in a concept without its relations.
    fn concept(
        &mut self,
        place: &str,
        entry: &Entry,
        ids: &mut HashMap<String, u16>,
    ) -> Result<u16> {
        if entry.id.is_empty() || !entry.id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(bad(place, "an id is made of ASCII letters, digits and _"));
        }
        let known = ids.get(&entry.id).copied();
        let at = match known {
            Some(at) => at,
            None if self.concepts.len() >= MOST_CONCEPTS => {
                return Err(bad(place, "there are more than 10000 concepts"));
            }
            None => {
                let at = self.concepts.len() as u16;
                let Some(label) = entry.label.clone() else {
                    return Err(bad(
                        place,
                        "a new concept needs a \"label\", the words messages use",
                    ));
                };
                if entry.terms.is_empty() {
                    return Err(bad(place, "a new concept needs \"terms\""));
                }
                ids.insert(entry.id.clone(), at);
                let id = entry.id.clone();
                self.concepts.push(Concept { id, label, omission: true, ..Concept::default() });
                at
            }
        };
        for (number, term) in entry.terms.iter().enumerate() {
            self.terms
                .add(term, at)
                .map_err(|what| bad(place, &format!("term {} {what}", number + 1)))?;
        }
        if let Some(concept) = self.concepts.get_mut(usize::from(at)) {
            concept.kind = entry.kind.unwrap_or(concept.kind);
            concept.label = entry.label.clone().unwrap_or_else(|| concept.label.clone());
            concept.observation = entry.observation.clone().or(concept.observation.take());
            concept.acute = entry.acute.clone().or(concept.acute.take());
            concept.omission = entry.omission.unwrap_or(concept.omission);
        }
        Ok(at)
    }

    /// Turns names of concepts into the lists that checks go through.
    fn relate(
        &mut self,
        relations: &[(String, u16, Entry)],
        ids: &HashMap<String, u16>,
    ) -> Result<()> {
        let count = self.concepts.len();
        let mut parents = vec![Vec::new(); count];
        let mut seen_as = vec![Vec::new(); count];
        for (place, concept, entry) in relations {
            let all = |list: &[String], field: &str| {
                let one = |name: &String| {
                    ids.get(name).copied().ok_or_else(|| {
                        let name = short(name);
                        bad(place, &format!("{field:?} names {name:?}, which is no concept"))
                    })
                };
                list.iter().map(one).collect::<Result<Vec<u16>>>()
            };
            let at = usize::from(*concept);
            parents[at].extend(all(&entry.is_a, "is_a")?);
            seen_as[at].extend(all(&entry.seen_as, "seen_as")?);
            let denied_by = all(&entry.denied_by, "denied_by")?;
            self.concepts[at].denied_by.extend(denied_by);
            let denies = all(&entry.denies, "denies")?;
            self.concepts[at].denies.extend(denies);
        }
        // What each concept is a kind of, itself first; a circle in a user's file ends, too.
        let ancestors: Vec<Vec<u16>> = (0..count)
            .map(|at| {
                let mut list = vec![at as u16];
                let mut next = 0;
                while let Some(open) = list.get(next).copied() {
                    next += 1;
                    for parent in &parents[usize::from(open)] {
                        if !list.contains(parent) {
                            list.push(*parent);
                        }
                    }
                }
                list
            })
            .collect();
        let mut kinds = vec![Vec::new(); count];
        for (at, list) in ancestors.iter().enumerate() {
            list.iter().for_each(|ancestor| kinds[usize::from(*ancestor)].push(at as u16));
        }
        for at in 0..count {
            let mut supported_by = kinds[at].clone();
            for seen in &seen_as[at] {
                supported_by.extend(&kinds[usize::from(*seen)]);
            }
            supported_by.sort_unstable();
            supported_by.dedup();
            let concept = &mut self.concepts[at];
            concept.denied_by.extend(&ancestors[at]);
            concept.denied_by.sort_unstable();
            concept.denied_by.dedup();
            concept.kinds = kinds[at].clone();
            concept.supported_by = supported_by;
        }
        Ok(())
    }

    pub(super) fn get(&self, concept: u16) -> Option<&Concept> {
        self.concepts.get(usize::from(concept))
    }
}

fn meaning<T: Copy>(name: &str, part: &str, group: &str, known: &[(&str, T)]) -> Result<T> {
    known.iter().find(|(known, _)| *known == group).map(|(_, meaning)| *meaning).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        let group = short(group);
        bad(&format!("{name}, {part}"), &format!("{group:?} is none of {names:?}"))
    })
}

fn parse(name: &str, json: &str) -> Result<File> {
    let json = json.strip_prefix('\u{feff}').unwrap_or(json);
    let file: File = serde_json::from_str(json).map_err(|error| {
        // A lexicon is no report: what serde says about a field may be told.
        let what = error.to_string();
        let what = what.split(" at line ").next().unwrap_or_default();
        let place = format!("{name}, line {}, column {}", error.line(), error.column());
        bad(&place, what)
    })?;
    if file.version != 1 {
        let what = format!("\"version\" is {}, but must be 1", file.version);
        return Err(bad(name, &what));
    }
    Ok(file)
}

fn bad(place: &str, what: &str) -> Error {
    let what = format!("{what}; src/guard/lexicon.json is an example of a lexicon");
    Error::BadData { place: place.to_owned(), what }
}

/// A name short enough for an error.
fn short(name: &str) -> String {
    name.chars().take(40).collect()
}
