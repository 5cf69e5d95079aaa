//! Pre-tokenizers: how text is cut into words before byte-level BPE merges within each.
//!
//! The patterns are those of GPT-2 (openai/gpt-2, `encoder.py`) and Llama 3 (its `tokenizer.json`),
//! chosen by llama.cpp's names for them. Both end in `|\s+(?!\S)|\s+`, whose look-ahead would need a
//! backtracking engine: it is quadratic on odd input and gives up after a million steps. So that tail
//! is left out here and its meaning is restored from the gaps between matches, which are then
//! whitespace only; what is left of the pattern runs in linear time.

use tokenizers::utils::SysRegex;

use crate::{Error, Result};

/// GPT-2's pattern without its whitespace tail.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+";
/// Llama 3's pattern without its whitespace tail.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+";
/// Llama 3's pattern as its `tokenizer.json` writes it, to recognise it there.
pub(super) const LLAMA3_FULL: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// What becomes of the text between two matches.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Gap {
    /// One piece, whatever it is.
    Whole,
    /// Whitespace, cut as `\s+(?!\S)|\s+` does.
    Whitespace,
}

/// One pass over the pieces of the pass before: every match is a piece, and so is what lies between.
#[derive(Debug)]
struct Pass {
    regex: SysRegex,
    gap: Gap,
}

/// The passes of one named pre-tokenizer.
#[derive(Debug)]
pub(super) struct PreTokenizer {
    passes: Vec<Pass>,
    /// Whether a word that is a token as a whole skips the merges.
    pub(super) ignore_merges: bool,
    /// Whether prompts start with BOS unless the metadata says otherwise.
    pub(super) add_bos: bool,
}

impl PreTokenizer {
    /// The pre-tokenizer of a GGUF `tokenizer.ggml.pre` name; `None` is llama.cpp's default.
    ///
    /// # Errors
    /// [`Error::BadTokenizer`] for a name that is not known: another split would silently give
    /// other ids.
    pub(super) fn named(name: Option<&str>) -> Result<Self> {
        let (patterns, llama3): (&[(&str, Gap)], bool) = match name {
            Some("smollm") => (&[(r"\p{N}", Gap::Whole), (GPT2, Gap::Whitespace)], false),
            Some("gpt-2") => (&[(GPT2, Gap::Whitespace)], false),
            Some("llama-bpe" | "llama3" | "llama-v3") => (&[(LLAMA3, Gap::Whitespace)], true),
            // llama.cpp's default is finer than GPT-2's: punctuation and groups of three digits
            // stand alone.
            Some("default") | None => (
                &[
                    (r"[\p{P}\$\+<=>\^~\|]+", Gap::Whole),
                    (GPT2, Gap::Whitespace),
                    (r"\p{N}+", Gap::Whole),
                    (r"[0-9][0-9][0-9]", Gap::Whole),
                ],
                false,
            ),
            Some(other) => {
                return Err(Error::BadTokenizer {
                    what: format!(
                        "the pre-tokenizer {other:?} (tokenizer.ggml.pre) is not known; smollm, gpt-2, llama-bpe and default are"
                    ),
                });
            }
        };
        let passes = patterns
            .iter()
            .map(|&(pattern, gap)| {
                let regex = SysRegex::new(pattern)
                    .map_err(|e| Error::Internal(format!("the pattern of a pre-tokenizer: {e}")))?;
                Ok(Pass { regex, gap })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self { passes, ignore_merges: llama3, add_bos: llama3 })
    }

    /// Cuts `text` into words, which join to `text` again.
    pub(super) fn split<'t>(&self, text: &'t str) -> Vec<&'t str> {
        let mut pieces = vec![text];
        for pass in &self.passes {
            let mut next = Vec::with_capacity(pieces.len());
            for piece in pieces {
                pass.split(piece, &mut next);
            }
            pieces = next;
        }
        pieces
    }
}

impl Pass {
    fn split<'t>(&self, text: &'t str, out: &mut Vec<&'t str>) {
        let mut done = 0;
        for (start, end) in self.regex.find_iter(text) {
            self.push_gap(&text[done..start], Some(&text[start..end]), out);
            out.push(&text[start..end]);
            done = end;
        }
        self.push_gap(&text[done..], None, out);
    }

    /// `\s+(?!\S)` takes a run of whitespace up to, but not including, the last one before a word;
    /// that last one goes to the word where the pattern takes it (then `next` starts with it and the
    /// gap is one shorter), and stands alone otherwise. A run at the end of the text stays whole.
    fn push_gap<'t>(&self, gap: &'t str, next: Option<&str>, out: &mut Vec<&'t str>) {
        if gap.is_empty() {
            return;
        }
        let word_follows = next.is_some_and(|n| !n.starts_with(char::is_whitespace));
        let last = gap.char_indices().next_back().map_or(0, |(at, _)| at);
        if self.gap == Gap::Whitespace && word_follows && last > 0 {
            out.push(&gap[..last]);
            out.push(&gap[last..]);
        } else {
            out.push(gap);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;

    /// A pre-tokenizer beside its whole original pattern in a backtracking engine.
    struct Pair(PreTokenizer, SysRegex);

    impl Pair {
        fn new(name: &str, pattern: &str) -> Self {
            Pair(PreTokenizer::named(Some(name)).unwrap(), SysRegex::new(pattern).unwrap())
        }

        fn reference<'t>(&self, text: &'t str) -> Vec<&'t str> {
            let (mut out, mut done) = (Vec::new(), 0);
            for (start, end) in self.1.find_iter(text) {
                assert_eq!(start, done, "the whole pattern leaves no gap");
                out.push(&text[start..end]);
                done = end;
            }
            assert_eq!(done, text.len());
            out
        }
    }

    static GPT2_PAIR: LazyLock<Pair> =
        LazyLock::new(|| Pair::new("gpt-2", &format!(r"{GPT2}|\s+(?!\S)|\s+")));
    static LLAMA3_PAIR: LazyLock<Pair> = LazyLock::new(|| Pair::new("llama-bpe", LLAMA3_FULL));

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(5000) })]
        #[test]
        fn the_gap_rule_is_the_lookahead(
            text in r"([ \t\n\r\u{a0}\u{85}\u{3000}]|[a-cé我]|[0-9²]|[.,'!-]|'s|'LL|\u{301}|🦙){0,24}",
        ) {
            for pair in [&*GPT2_PAIR, &*LLAMA3_PAIR] {
                let expected = if text.is_empty() { vec![] } else { pair.reference(&text) };
                prop_assert_eq!(pair.0.split(&text), expected);
            }
        }
    }

    #[test]
    fn an_unknown_name_is_refused_by_name() {
        let error = PreTokenizer::named(Some("tekken")).unwrap_err();
        assert!(error.to_string().contains("tekken"), "{error}");
    }
}
