//! SentencePiece BPE over scores, as llama.cpp's `llama` tokenizer applies it.
//!
//! The general rank-based BPE cannot stand in here: in the Llama-2 vocabulary all runs of spaces
//! share one score, and equal scores merge from the left, whichever tokens they are.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

use crate::{Error, Result};

/// Vocabulary and scores of a SentencePiece BPE model.
#[derive(Debug)]
pub(super) struct Spm {
    /// Text to id, of those tokens that text can become (no control, byte or unused tokens).
    ids: HashMap<String, u32>,
    /// Score of each id: [V].
    scores: Vec<f32>,
    /// Ids of the tokens `<0x00>`…`<0xFF>`, which spell characters outside the vocabulary.
    bytes: [Option<u32>; 256],
    unk: Option<u32>,
    /// Length of the longest token, in bytes.
    longest: usize,
}

/// A part of the text, in a doubly linked list over the array of all parts.
#[derive(Clone, Copy)]
struct Symbol {
    start: usize,
    /// In bytes; 0 once it has been merged into its left neighbour.
    len: usize,
    prev: usize,
    next: usize,
}

const NONE: usize = usize::MAX;

/// Two neighbours that make a token together.
struct Bigram {
    left: usize,
    right: usize,
    score: f32,
    /// Joint length when it was found: if it differs now, one of the two has changed.
    len: usize,
}

impl Ord for Bigram {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.left.cmp(&self.left))
    }
}
impl PartialOrd for Bigram {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Bigram {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Bigram {}

impl Spm {
    /// `ids` as in the field; `scores` one a token.
    ///
    /// # Errors
    /// [`Error::BadTokenizer`] when there are fewer scores than tokens or one is not a number.
    pub(super) fn new(
        ids: HashMap<String, u32>,
        scores: Vec<f32>,
        bytes: [Option<u32>; 256],
        unk: Option<u32>,
        vocab_size: usize,
    ) -> Result<Self> {
        if scores.len() != vocab_size {
            let what =
                format!("{vocab_size} tokens have {} scores (tokenizer.ggml.scores)", scores.len());
            return Err(Error::BadTokenizer { what });
        }
        if let Some(id) = scores.iter().position(|s| s.is_nan()) {
            return Err(Error::BadTokenizer {
                what: format!("the score of token {id} is not a number"),
            });
        }
        if unk.is_none() && bytes.iter().any(Option::is_none) {
            let what = "there is neither an unknown token nor one for every byte".to_owned();
            return Err(Error::BadTokenizer { what });
        }
        // Adding zero turns -0.0 into 0.0, which the total order of the queue would tell apart.
        let scores = scores.into_iter().map(|s| s + 0.0).collect();
        let longest = ids.keys().map(String::len).max().unwrap_or(0);
        Ok(Self { ids, scores, bytes, unk, longest })
    }

    /// Appends the ids of `text`, in which spaces are already `▁`.
    ///
    /// Each merge is found through a priority queue, so the time is n log n in the length of `text`.
    pub(super) fn encode(&self, text: &str, out: &mut Vec<u32>) {
        let mut symbols: Vec<Symbol> = text
            .char_indices()
            .enumerate()
            .map(|(index, (start, c))| Symbol {
                start,
                len: c.len_utf8(),
                prev: index.wrapping_sub(1),
                next: index + 1,
            })
            .collect();
        let Some(last) = symbols.last_mut() else { return };
        last.next = NONE;

        let mut queue = BinaryHeap::new();
        for right in 1..symbols.len() {
            self.push_bigram(text, &symbols, right - 1, right, &mut queue);
        }
        while let Some(Bigram { left, right, len, .. }) = queue.pop() {
            let (l, r) = (symbols[left], symbols[right]);
            if l.len == 0 || r.len == 0 || l.len + r.len != len {
                continue; // one of the two was merged elsewhere meanwhile
            }
            symbols[left] = Symbol { len, next: r.next, ..l };
            symbols[right].len = 0;
            if r.next != NONE {
                symbols[r.next].prev = left;
            }
            self.push_bigram(text, &symbols, l.prev, left, &mut queue);
            self.push_bigram(text, &symbols, left, r.next, &mut queue);
        }

        for symbol in symbols.iter().filter(|s| s.len > 0) {
            self.emit(&text[symbol.start..symbol.start + symbol.len], out);
        }
    }

    fn push_bigram(
        &self,
        text: &str,
        symbols: &[Symbol],
        left: usize,
        right: usize,
        queue: &mut BinaryHeap<Bigram>,
    ) {
        if left == NONE || right == NONE {
            return;
        }
        let (start, len) = (symbols[left].start, symbols[left].len + symbols[right].len);
        if len > self.longest {
            return;
        }
        if let Some(&id) = self.ids.get(&text[start..start + len]) {
            queue.push(Bigram { left, right, score: self.scores[id as usize], len });
        }
    }

    /// A symbol longer than one character is a token by construction; a single character may not be.
    fn emit(&self, symbol: &str, out: &mut Vec<u32>) {
        if let Some(&id) = self.ids.get(symbol) {
            out.push(id);
            return;
        }
        let bytes: Option<Vec<u32>> = symbol.bytes().map(|b| self.bytes[usize::from(b)]).collect();
        match (bytes, self.unk) {
            (Some(bytes), _) => out.extend(bytes),
            // Neighbouring unknown characters are one unknown token.
            (None, Some(unk)) if out.last() != Some(&unk) => out.push(unk),
            (None, _) => {}
        }
    }
}
