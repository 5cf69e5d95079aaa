//! What the findings hold for and against each concept, gathered once.

use super::findings::{Mention, Reading};
use super::laterality::{IMPLIED, Sides};
use super::lexicon::{ConceptKind, Lexicon};

/// Most sentences kept for a concept: more support than anybody looks at.
const SENTENCES: usize = 32;

/// Of one concept.
#[derive(Debug, Clone, Default)]
pub(super) struct Evidence {
    /// Mentions that assert it, the uncertain ones included.
    pub(super) asserted: usize,
    /// Those that are certain.
    pub(super) certain: usize,
    /// Sides said of it.
    pub(super) sides: u8,
    /// Sides said in the sentences of mentions that have none.
    pub(super) nearby: u8,
    /// Denied altogether.
    pub(super) denied: bool,
    /// Denied in part ("no large effusion", "no effusion on the right").
    pub(super) denied_in_part: bool,
    /// Sentences that assert it, with the sides said there.
    pub(super) for_it: Vec<(usize, u8)>,
    /// Sentences that deny it; of a normal statement, those that state it.
    pub(super) against_it: Vec<usize>,
}

/// The findings as the checks ask for them.
#[derive(Debug)]
pub(super) struct Findings<'a> {
    pub(super) read: Reading<'a>,
    /// By concept.
    pub(super) evidence: Vec<Evidence>,
    pub(super) sides: Sides,
    /// Whether anything abnormal is asserted.
    pub(super) abnormal: bool,
    /// Sentences with nothing but denials and normal statements.
    pub(super) normal: Vec<usize>,
}

/// Evidence of several concepts together.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sum {
    pub(super) asserted: usize,
    pub(super) sides: u8,
    pub(super) nearby: u8,
}

impl<'a> Findings<'a> {
    pub(super) fn new(lexicon: &Lexicon, read: Reading<'a>) -> Findings<'a> {
        let mut evidence = vec![Evidence::default(); lexicon.concepts.len()];
        let mut normal = Vec::new();
        let mut abnormal = false;
        for sentence in 0..read.text.sentences.len() {
            let (mut good, mut bad) = (false, false);
            for mention in read.in_sentence(sentence) {
                Findings::take(lexicon, &mut evidence, mention);
                match mention.kind {
                    ConceptKind::Normal | ConceptKind::General => good = true,
                    _ if mention.is_finding() && mention.denied => good = true,
                    ConceptKind::Finding => bad = true,
                    _ => {}
                }
            }
            abnormal |= bad;
            if good && !bad && normal.len() < SENTENCES {
                normal.push(sentence);
            }
        }
        let sides = Sides::new(lexicon, &read);
        Findings { read, evidence, sides, abnormal, normal }
    }

    fn take(lexicon: &Lexicon, evidence: &mut [Evidence], mention: &Mention) {
        let Some(one) = evidence.get_mut(usize::from(mention.concept)) else { return };
        if mention.is_finding() && mention.denied {
            let part = mention.restricted || mention.sides != 0;
            one.denied |= !part;
            one.denied_in_part |= part;
            keep(&mut one.against_it, mention.sentence);
        } else if mention.is_finding() {
            one.asserted += 1;
            one.certain += usize::from(!mention.uncertain && !mention.alternative);
            one.sides |= mention.sides;
            if mention.sides == 0 {
                one.nearby |= mention.nearby;
            }
            let sides = if mention.sides == 0 { mention.nearby } else { mention.sides };
            if one.for_it.len() < SENTENCES {
                one.for_it.push((mention.sentence, sides));
            }
        } else if mention.kind == ConceptKind::General {
            one.denied |= mention.denied;
        } else if mention.kind == ConceptKind::Normal && !mention.denied && !mention.uncertain {
            keep(&mut one.against_it, mention.sentence);
            // A normal left side denies nothing on the right.
            if mention.sides == 0 && mention.nearby & !IMPLIED == 0 {
                let denies =
                    lexicon.get(mention.concept).map_or(&[][..], |concept| &concept.denies);
                for concept in denies {
                    if let Some(one) = evidence.get_mut(usize::from(*concept)) {
                        one.denied = true;
                        keep(&mut one.against_it, mention.sentence);
                    }
                }
            }
        }
    }

    /// The evidence for `concepts` together.
    pub(super) fn sum(&self, concepts: &[u16]) -> Sum {
        let mut sum = Sum::default();
        for one in concepts.iter().filter_map(|concept| self.evidence.get(usize::from(*concept))) {
            sum.asserted += one.asserted;
            sum.sides |= one.sides;
            sum.nearby |= one.nearby;
        }
        sum
    }

    /// Evidence of one concept.
    pub(super) fn of(&self, concept: u16) -> Option<&Evidence> {
        self.evidence.get(usize::from(concept))
    }
}

fn keep(list: &mut Vec<usize>, sentence: usize) {
    if list.len() < SENTENCES && list.last() != Some(&sentence) {
        list.push(sentence);
    }
}
