//! The checks of an impression against its findings, each making flags of one kind.

use std::collections::HashSet;

use super::degenerate::{self, Fault};
use super::evidence::Findings;
use super::findings::{Mention, Reading};
use super::laterality::{self, LEFT, RIGHT, Verdict, judge};
use super::lexicon::{ConceptKind, Lexicon, Remark};
use super::measure::Measure;
use super::{Acute, Extent, Flag, Kind, Section, Severity};

/// Most measures of the findings that are compared with.
const MEASURES: usize = 200;

/// The findings' measures with their sentences.
#[derive(Debug)]
pub(super) struct Measured {
    all: Vec<(Measure, usize)>,
}

impl Measured {
    pub(super) fn new(read: &Reading) -> Measured {
        let sentence = |token: usize| {
            read.text.sentences.partition_point(|s| s.first <= token).saturating_sub(1)
        };
        let all = read.measures.iter().take(MEASURES).map(|m| (*m, sentence(m.first))).collect();
        Measured { all }
    }

    /// The measures that those of a line agree with.
    pub(super) fn agreeing(&self, read: &Reading, line: usize) -> Vec<(Measure, usize)> {
        let Some(sentence) = read.text.sentences.get(line) else { return Vec::new() };
        let from = read.measures.partition_point(|m| m.first < sentence.first);
        let own = read.measures[from..].iter().take_while(|m| m.first < sentence.last).take(16);
        let agree = |own: &Measure| {
            self.all.iter().filter(|(there, _)| own.agrees(there)).copied().collect::<Vec<_>>()
        };
        own.flat_map(agree).collect()
    }
}

pub(super) struct Checks<'a> {
    lexicon: &'a Lexicon,
    findings: &'a Findings<'a>,
    read: &'a Reading<'a>,
    measured: &'a Measured,
    flags: Vec<Flag>,
    /// What was said of which line once.
    said: HashSet<(Kind, usize, u16, u8)>,
}

impl<'a> Checks<'a> {
    pub(super) fn new(
        lexicon: &'a Lexicon,
        findings: &'a Findings<'a>,
        read: &'a Reading<'a>,
        measured: &'a Measured,
    ) -> Checks<'a> {
        Checks { lexicon, findings, read, measured, flags: Vec::new(), said: HashSet::new() }
    }

    /// Runs all checks; those that need the end of the text only if it has come.
    pub(super) fn run(&mut self, prior: Option<&str>, extent: Extent) {
        let read = self.read;
        for mention in &read.mentions {
            match mention.kind {
                ConceptKind::Finding | ConceptKind::Device if mention.denied => {
                    self.denial(mention)
                }
                ConceptKind::Finding | ConceptKind::Device => self.assertion(mention),
                ConceptKind::General => self.general(mention),
                ConceptKind::Normal | ConceptKind::Anatomy => {}
            }
        }
        self.lone_sides();
        self.measures();
        self.comparisons(prior);
        self.degenerate(extent);
        if extent != Extent::Part {
            self.omissions();
        }
    }

    /// The flags, in order.
    pub(super) fn finish(mut self) -> Vec<Flag> {
        self.flags.sort_by_key(|flag| (flag.line, flag.start, flag.kind, flag.severity));
        self.flags
    }

    fn label(&self, concept: u16) -> &'a str {
        self.lexicon.get(concept).map_or("", |concept| concept.label.as_str())
    }

    fn flag(&mut self, kind: Kind, severity: Severity, tokens: (usize, usize), message: String) {
        self.put(kind, severity, tokens, message, None, None);
    }

    fn put(
        &mut self,
        kind: Kind,
        severity: Severity,
        (first, last): (usize, usize),
        message: String,
        concept: Option<u16>,
        sentence: Option<usize>,
    ) {
        let sentences = &self.read.text.sentences;
        let line = sentences.partition_point(|s| s.first <= first).saturating_sub(1);
        let (start, end) = self.read.text.span(first, last);
        let place = |number: usize| {
            let text = &self.findings.read.text;
            text.sentences.get(number).map(|sentence| {
                let (start, end) = text.place(*sentence);
                [start, end]
            })
        };
        self.flags.push(Flag {
            kind,
            severity,
            line,
            start,
            end,
            message,
            concept: concept.and_then(|c| self.lexicon.get(c)).map(|c| c.id.clone()),
            findings: sentence.and_then(place),
        });
    }

    /// A finding that the impression asserts: borne out, on its side, denied, or not there.
    fn assertion(&mut self, mention: &Mention) {
        let Some(concept) = self.lexicon.get(mention.concept) else { return };
        let own = self.findings.sum(&concept.kinds);
        let all = self.findings.sum(&concept.supported_by);
        let place = (mention.first, mention.last);
        let denier = self.denier(mention, &concept.denied_by);
        let exact_denial = self.denier(mention, &[mention.concept]);
        let contradicted = match (all.asserted > 0, own.asserted > 0) {
            (_, true) => None,
            // What it may be seen as is there, but it was looked for and not found.
            (true, false) => exact_denial.filter(|_| !mention.uncertain && !mention.alternative),
            (false, false) => denier,
        };
        if let Some(sentence) = contradicted {
            let open = mention.uncertain
                || (mention.alternative && self.any_supported(mention.sentence, mention));
            let severity = if open { Severity::Soft } else { Severity::Hard };
            if self.said.insert((Kind::Negation, mention.sentence, mention.concept, 0)) {
                let message = format!("the findings deny {}", concept.label);
                self.put(Kind::Negation, severity, place, message, Some(mention.concept), sentence);
            }
        } else if all.asserted == 0
            && self.said.insert((Kind::Unsupported, mention.sentence, mention.concept, 0))
        {
            let message = format!("the findings do not mention {}", concept.label);
            let (kind, severity) = (Kind::Unsupported, Severity::Soft);
            self.put(kind, severity, place, message, Some(mention.concept), None);
        }
        // What the findings say of the very thing, else of its kinds, else of what it may be seen as.
        let exact = self.findings.sum(&[mention.concept]);
        let said = |sum: &super::evidence::Sum| (sum.sides | sum.nearby) & (LEFT | RIGHT) != 0;
        let sum = [exact, own].into_iter().find(said).unwrap_or(all);
        for side in laterality::each(mention.sides) {
            let anywhere = self.findings.sides.anywhere;
            let mut verdict = judge(side, sum.sides, sum.nearby, anywhere);
            let related = exact.sides == 0 && own.sides == 0;
            if verdict == Verdict::Fits && related && self.words_oppose(mention, side) {
                verdict = Verdict::Opposite;
            }
            self.side(mention.concept, mention, side, verdict);
        }
    }

    /// Whether the words around a side of the mention stand in the findings with the other side only.
    fn words_oppose(&self, mention: &Mention, side: u8) -> bool {
        let from = self.read.sides.partition_point(|s| s.sentence < mention.sentence);
        let own = self.read.sides[from..].iter().take_while(|s| s.sentence == mention.sentence);
        let both = LEFT | RIGHT;
        own.filter(|s| s.side & both == side & both && s.side & both != both)
            .any(|s| self.findings.sides.opposed(self.read, s))
    }

    /// The findings sentence, if any is known, of a denial that `mention` contradicts.
    fn denier(&self, mention: &Mention, concepts: &[u16]) -> Option<Option<usize>> {
        concepts.iter().find_map(|concept| {
            let one = self.findings.of(*concept)?;
            let denied = one.denied || (one.denied_in_part && mention.restricted);
            denied.then(|| one.against_it.first().copied())
        })
    }

    /// Whether the sentence says anything else that the findings bear out.
    fn any_supported(&self, sentence: usize, except: &Mention) -> bool {
        self.read.in_sentence(sentence).iter().any(|mention| {
            mention.asserted()
                && mention.concept != except.concept
                && self
                    .lexicon
                    .get(mention.concept)
                    .is_some_and(|concept| self.findings.sum(&concept.supported_by).asserted > 0)
        })
    }

    fn side(&mut self, concept: u16, mention: &Mention, said: u8, verdict: Verdict) {
        if verdict == Verdict::Fits
            || !self.said.insert((Kind::Side, mention.sentence, concept, said))
        {
            return;
        }
        let side = name(said);
        let label = self.label(concept);
        let message = match verdict {
            Verdict::Opposite => {
                format!("{label}: \"{side}\", but the findings name the other side")
            }
            _ => format!("{label}: \"{side}\", but the findings name no such side"),
        };
        let from = self.read.sides.partition_point(|s| s.sentence < mention.sentence);
        let sides =
            self.read.sides[from..].iter().take_while(|s| s.sentence == mention.sentence).take(200);
        let place = sides
            .filter(|side| side.side & said != 0)
            .min_by_key(|side| side.first.abs_diff(mention.first))
            .map_or((mention.first, mention.last), |side| (side.first, side.last));
        let sentence =
            self.findings.of(concept).and_then(|one| one.for_it.first()).map(|(s, _)| *s);
        self.put(Kind::Side, Severity::Hard, place, message, Some(concept), sentence);
    }

    /// A finding that the impression denies though the findings have it.
    fn denial(&mut self, mention: &Mention) {
        let Some(one) = self.findings.of(mention.concept) else { return };
        if one.certain == 0 || one.denied || mention.restricted || mention.sides != 0 {
            return;
        }
        let sentence = one.for_it.first().map(|(sentence, _)| *sentence);
        if self.said.insert((Kind::Negation, mention.sentence, mention.concept, 1)) {
            let message =
                format!("the findings have {}, which is denied here", self.label(mention.concept));
            let place = (mention.first, mention.last);
            self.put(
                Kind::Negation,
                Severity::Soft,
                place,
                message,
                Some(mention.concept),
                sentence,
            );
        }
    }

    /// "Acute abnormality" said of findings with nothing abnormal.
    fn general(&mut self, mention: &Mention) {
        let others = self.read.in_sentence(mention.sentence);
        let good = others.iter().any(|m| m.denied || m.kind == ConceptKind::Normal);
        // Findings that deny any such thing, or have nothing abnormal at all.
        let denied = self.findings.of(mention.concept).is_some_and(|one| one.denied);
        if mention.denied || mention.uncertain || good || (self.findings.abnormal && !denied) {
            return;
        }
        if self.findings.read.text.sentences.is_empty() {
            return;
        }
        if self.said.insert((Kind::Negation, mention.sentence, mention.concept, 0)) {
            let message = format!("the findings have nothing like {}", self.label(mention.concept));
            let sentence = self.findings.normal.first().copied();
            let place = (mention.first, mention.last);
            self.put(
                Kind::Negation,
                Severity::Hard,
                place,
                message,
                Some(mention.concept),
                sentence,
            );
        }
    }

    /// Sides of what is no finding of the lexicon.
    fn lone_sides(&mut self) {
        let read = self.read;
        for side in read.sides.iter().filter(|side| !side.attached) {
            let denied = read.in_sentence(side.sentence).iter().take(200).any(|m| m.denied);
            let anywhere = self.findings.sides.anywhere;
            let verdict = if self.findings.sides.opposed(read, side) {
                judge(side.side, (LEFT | RIGHT) & !side.side, 0, anywhere)
            } else {
                judge(side.side, 0, 0, anywhere)
            };
            let said = name(side.side);
            let message = match verdict {
                Verdict::Fits => continue,
                Verdict::Opposite => format!("\"{said}\", but the findings name the other side"),
                Verdict::Absent if denied => continue,
                Verdict::Absent => format!("\"{said}\", but the findings name no such side"),
            };
            self.flag(Kind::Side, Severity::Hard, (side.first, side.last), message);
        }
    }

    fn measures(&mut self) {
        for measure in &self.read.measures {
            if measure.value.is_none() || self.measured.all.iter().any(|(m, _)| measure.agrees(m)) {
                continue;
            }
            let message = "the findings have no such measurement".to_owned();
            self.flag(Kind::Measurement, Severity::Hard, (measure.first, measure.last), message);
        }
    }

    fn comparisons(&mut self, prior: Option<&str>) {
        let text = prior.map(super::text::Text::new);
        let known = text.is_some_and(|text| {
            let none = self.lexicon.comparisons.find(&text, 0, text.tokens.len().min(4));
            !text.sentences.is_empty() && none.iter().all(|found| found.value != Remark::NoPrior)
        });
        let there = &self.findings.read.text;
        let context = |s: &super::text::Sentence| {
            let found = self.lexicon.comparisons.find(there, s.first, s.last);
            found.iter().any(|m| m.value != Remark::NoPrior)
        };
        if known || there.sentences.iter().any(context) {
            return;
        }
        for sentence in &self.read.text.sentences {
            let found =
                self.lexicon.comparisons.find(&self.read.text, sentence.first, sentence.last);
            if let Some(found) = found.iter().find(|found| found.value == Remark::Comparison) {
                let message =
                    "compared with an examination that the findings do not know".to_owned();
                self.flag(Kind::Comparison, Severity::Soft, (found.first, found.last), message);
            }
        }
    }

    fn degenerate(&mut self, extent: Extent) {
        let text = &self.read.text;
        let mut faults: Vec<Fault> = degenerate::repeated(text);
        faults.extend(degenerate::echoed(&self.findings.read.text, text));
        faults.extend(match extent {
            Extent::Whole => degenerate::unfinished(text),
            Extent::Part => None,
            Extent::Cut => degenerate::unfinished(text).or_else(|| degenerate::cut(text)),
        });
        for fault in faults {
            let place = (fault.first, fault.last);
            self.flag(Kind::Degenerate, Severity::Hard, place, fault.message.to_owned());
        }
    }

    /// Acute findings that the impression does not speak of.
    fn omissions(&mut self) {
        let spoken: HashSet<u16> =
            self.read.mentions.iter().map(|mention| mention.concept).collect();
        let covers = |concept: u16| {
            spoken.contains(&concept)
                || self.lexicon.get(concept).is_some_and(|own| {
                    own.supported_by.iter().any(|other| spoken.contains(other))
                        || own.denied_by.iter().any(|other| spoken.contains(other))
                })
                || spoken.iter().any(|other| {
                    let other = self.lexicon.get(*other);
                    other.is_some_and(|other| other.supported_by.contains(&concept))
                })
        };
        let mut missing: Vec<(u16, usize)> = Vec::new();
        for mention in &self.findings.read.mentions {
            let Some(concept) = self.lexicon.get(mention.concept) else { continue };
            let certain = mention.asserted() && !mention.uncertain && !mention.alternative;
            let acute = concept.acute.is_some() && concept.omission && !mention.old;
            let known = missing.iter().any(|(known, _)| *known == mention.concept);
            if certain && acute && !known && !covers(mention.concept) {
                missing.push((mention.concept, mention.sentence));
            }
        }
        let end = self.read.text.tokens.len();
        for (concept, sentence) in missing {
            let message =
                format!("the findings have {}, the impression does not", self.label(concept));
            let (kind, severity) = (Kind::Omission, Severity::Advisory);
            self.put(kind, severity, (end, end), message, Some(concept), Some(sentence));
            if let (Some(flag), Some(last)) = (self.flags.last_mut(), self.read.text.tokens.last())
            {
                (flag.start, flag.end) = (last.end, last.end);
            }
        }
    }
}

fn name(side: u8) -> &'static str {
    match side & (LEFT | RIGHT) {
        laterality::LEFT => "left",
        laterality::RIGHT => "right",
        _ => "both sides",
    }
}

/// Acute findings of both texts, each concept once.
pub(super) fn acute(lexicon: &Lexicon, findings: &Reading, impression: &Reading) -> Vec<Acute> {
    let mut found: Vec<(u16, Acute)> = Vec::new();
    for (read, section) in [(findings, Section::Findings), (impression, Section::Impression)] {
        for mention in read.mentions.iter().filter(|m| m.asserted() && !m.old) {
            let Some(concept) = lexicon.get(mention.concept) else { continue };
            let Some(label) = &concept.acute else { continue };
            let certain = !mention.uncertain && !mention.alternative;
            if let Some((_, known)) = found.iter_mut().find(|(known, _)| *known == mention.concept)
            {
                known.certain |= certain;
                continue;
            }
            let (start, end) = read.text.span(mention.first, mention.last);
            let (concept, label) = (concept.id.clone(), label.clone());
            found.push((mention.concept, Acute { concept, label, certain, section, start, end }));
        }
    }
    found.into_iter().map(|(_, acute)| acute).collect()
}
