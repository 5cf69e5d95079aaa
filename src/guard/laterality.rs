//! Sides: which a text names, of what, and whether the findings bear them out.

use std::collections::HashMap;

use super::findings::{Mention, Reading};
use super::lexicon::{ConceptKind, Lexicon, SideWord};
use super::text::{Kind, Sentence, Text, stem};

/// Left.
pub(super) const LEFT: u8 = 1;
/// Right.
pub(super) const RIGHT: u8 = 2;
/// Both, by words of no side ("diffuse"): enough for either, proof of none.
pub(super) const IMPLIED: u8 = 4;
/// Both, by one word ("bilateral").
const BILATERAL: u8 = 8;
const BOTH: u8 = LEFT | RIGHT;

/// A word that says a side.
#[derive(Debug, Clone, Copy)]
pub(super) struct SideUse {
    pub(super) first: usize,
    pub(super) last: usize,
    pub(super) sentence: usize,
    /// [`LEFT`], [`RIGHT`] or both, with a mark where one word says both.
    pub(super) side: u8,
    /// First and last token of the part of the sentence it stands in.
    pub(super) part: (usize, usize),
    /// Whether it was given to a mention.
    pub(super) attached: bool,
}

/// Words that divide a sentence into parts with sides of their own.
const DIVIDERS: [&str; 11] =
    ["and", "with", "but", "versus", "vs", "or", "without", "which", "than", "while", "although"];

struct Part {
    first: usize,
    last: usize,
    /// Whether what stands before it is a comma, a slash, "and" or "or".
    joined: bool,
    side: u8,
    implied: bool,
    mentions: Vec<usize>,
    normal: bool,
}

fn parts(text: &Text, sentence: Sentence) -> Vec<Part> {
    let dividers = DIVIDERS.map(stem);
    let joining = [stem("and"), stem("or")];
    let mut found = Vec::new();
    let (mut first, mut joined) = (sentence.first, false);
    let mut push = |first: usize, last: usize, joined: bool| {
        if first < last {
            let (side, implied, mentions, normal) = (0, false, Vec::new(), false);
            found.push(Part { first, last, joined, side, implied, mentions, normal });
        }
    };
    for at in sentence.first..sentence.last {
        let token = &text.tokens[at];
        let mark = match token.kind {
            Kind::Mark(mark @ (',' | ';' | ':' | '(' | ')' | '/' | '.')) => Some(mark),
            _ => None,
        };
        if mark.is_some() || dividers.contains(&token.stem) {
            push(first, at, joined);
            // A comma before "and" joins as "and" does.
            let joins = matches!(mark, Some(',' | '/')) || joining.contains(&token.stem);
            joined = joins && (first < at || joined);
            first = at + 1;
        }
    }
    push(first, sentence.last, joined);
    found
}

/// Gives the sides of a sentence to its mentions, and lists them.
pub(super) fn attach(
    lexicon: &Lexicon,
    text: &Text,
    sentence: Sentence,
    number: usize,
    mentions: &mut [Mention],
) -> Vec<SideUse> {
    let words = lexicon.sides.find(text, sentence.first, sentence.last);
    if words.is_empty() {
        return Vec::new();
    }
    let mut parts = parts(text, sentence);
    let part_of = |parts: &[Part], at: usize| {
        let behind = parts.partition_point(|part| part.first <= at);
        behind.checked_sub(1)
    };
    let mut uses = Vec::new();
    let mut all = 0;
    for word in &words {
        let side = match word.value {
            SideWord::Left => LEFT,
            SideWord::Right => RIGHT,
            SideWord::Both => BOTH | BILATERAL,
            SideWord::Implied => IMPLIED,
            SideWord::None => continue,
        };
        all |= side;
        let Some(at) = part_of(&parts, word.first) else { continue };
        let part = &mut parts[at];
        if side == IMPLIED {
            part.implied = true;
            continue;
        }
        part.side |= side;
        uses.push(SideUse {
            first: word.first,
            last: word.last,
            sentence: number,
            side,
            part: (part.first, part.last),
            attached: false,
        });
    }
    for (at, mention) in mentions.iter().enumerate() {
        let Some(part) = part_of(&parts, mention.first) else { continue };
        match mention.kind {
            ConceptKind::Finding | ConceptKind::Device => parts[part].mentions.push(at),
            ConceptKind::Normal | ConceptKind::General => parts[part].normal = true,
            ConceptKind::Anatomy => {}
        }
    }
    // A side alone in its part belongs to what stands before ("opacities left and right"), or else to
    // what it is joined to ("left lower lobe and lingular opacity").
    let mut given = vec![0u8; mentions.len()];
    for at in 0..parts.len() {
        let part = &parts[at];
        if part.side == 0 {
            continue;
        }
        let target = if !part.mentions.is_empty() {
            part.mentions.clone()
        } else if part.normal {
            continue;
        } else if let Some(before) = parts[..at]
            .last()
            .filter(|before| part.joined && !before.mentions.is_empty() && before.side != 0)
        {
            before.mentions.last().copied().into_iter().collect()
        } else {
            let mut next = at + 1;
            while parts.get(next).is_some_and(|p| p.joined && p.mentions.is_empty() && !p.normal) {
                next += 1;
            }
            match parts.get(next).filter(|next| next.joined && !next.mentions.is_empty()) {
                Some(next) => next.mentions.clone(),
                None => parts[..at]
                    .last()
                    .filter(|before| part.joined && !before.mentions.is_empty())
                    .and_then(|before| before.mentions.last().copied())
                    .into_iter()
                    .collect(),
            }
        };
        if target.is_empty() {
            continue;
        }
        // Nobody judges the sides of what is denied: their words are judged instead.
        let judged = target.iter().any(|at| mentions.get(*at).is_some_and(Mention::asserted));
        for side in
            uses.iter_mut().filter(|_| judged).filter(|side| side.part == (part.first, part.last))
        {
            side.attached = true;
        }
        target.iter().for_each(|mention| given[*mention] |= part.side);
    }
    for (at, mention) in mentions.iter_mut().enumerate() {
        mention.sides = given[at];
        mention.nearby = all & BOTH;
        let implied = part_of(&parts, mention.first).is_some_and(|part| parts[part].implied);
        if implied && mention.sides == 0 {
            mention.nearby |= IMPLIED;
        }
    }
    uses
}

/// What the findings say about sides, by concept and by word.
#[derive(Debug, Default)]
pub(super) struct Sides {
    /// Sides named anywhere, and [`IMPLIED`].
    pub(super) anywhere: u8,
    /// For every stem the sides named in the same part of a sentence.
    by_word: HashMap<u64, u8>,
}

/// Words that say nothing about what a side is of.
const EMPTY: [&str; 50] = [
    "left",
    "right",
    "bilateral",
    "bilaterally",
    "the",
    "a",
    "an",
    "of",
    "in",
    "at",
    "on",
    "is",
    "are",
    "there",
    "be",
    "this",
    "that",
    "to",
    "sided",
    "side",
    "lung",
    "lobe",
    "mild",
    "small",
    "stable",
    "new",
    "chest",
    "for",
    "as",
    "by",
    "from",
    "within",
    "over",
    "overlying",
    "likely",
    "possible",
    "no",
    "noted",
    "seen",
    "again",
    "represent",
    "representing",
    "may",
    "could",
    "minimal",
    "large",
    "moderate",
    "unchanged",
    "it",
    "view",
];

impl Sides {
    pub(super) fn new(lexicon: &Lexicon, read: &Reading) -> Sides {
        let mut sides = Sides::default();
        for side in &read.sides {
            sides.anywhere |= side.side;
            for token in &read.text.tokens[side.part.0..side.part.1.min(side.part.0 + 40)] {
                if token.kind == Kind::Word {
                    *sides.by_word.entry(token.stem).or_default() |= side.side;
                }
            }
        }
        if read.text.sentences.iter().any(|sentence| {
            let found = lexicon.sides.find(&read.text, sentence.first, sentence.last);
            found.iter().any(|word| word.value == SideWord::Implied)
        }) {
            sides.anywhere |= IMPLIED;
        }
        sides
    }

    /// Whether the words around an unattached side stand in the findings with the other side only.
    pub(super) fn opposed(&self, read: &Reading, side: &SideUse) -> bool {
        let empty = EMPTY.map(stem);
        let mut found = 0;
        let (from, to) = side.part;
        for token in &read.text.tokens[from..to.min(from + 40)] {
            if token.kind == Kind::Word && !empty.contains(&token.stem) {
                found |= self.by_word.get(&token.stem).copied().unwrap_or(0);
            }
        }
        found != 0 && found & side.side == 0
    }
}

/// How the findings stand to a side of an impression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing speaks against it.
    Fits,
    /// They name the other side.
    Opposite,
    /// They name no such side at all.
    Absent,
}

/// The sides of a mention one by one: "left and right" are two, "bilateral" is one.
pub(super) fn each(said: u8) -> impl Iterator<Item = u8> {
    let one = said & BILATERAL != 0 && said & BOTH == BOTH;
    let sides = if one { [BOTH | BILATERAL, 0] } else { [said & LEFT, said & RIGHT] };
    sides.into_iter().filter(|side| *side != 0)
}

/// Judges sides said of something for which the findings have `own` (said of it) and `nearby` (said in
/// the same sentence).
pub(super) fn judge(said: u8, own: u8, nearby: u8, anywhere: u8) -> Verdict {
    let said = said & BOTH;
    if said == 0 || said & !(own & BOTH) == 0 {
        return Verdict::Fits;
    }
    // Both sides are borne out by words that imply them, or by both sides anywhere.
    if said == BOTH {
        let there = own | nearby | anywhere;
        return if there & IMPLIED != 0 || there & BOTH == BOTH {
            Verdict::Fits
        } else if there & BOTH != 0 {
            Verdict::Opposite
        } else {
            Verdict::Absent
        };
    }
    if said & nearby != 0 {
        Verdict::Fits
    } else if (own | nearby) & BOTH != 0 {
        Verdict::Opposite
    } else if anywhere & said == 0 {
        Verdict::Absent
    } else {
        Verdict::Fits
    }
}
