//! The choices of a beam search, apart from what computes the log-probabilities. Which hypotheses go on,
//! end and win is as in Hugging Face transformers' `generate(num_beams, length_penalty,
//! early_stopping=False)` (5.x, `_beam_search`): a hypothesis is worth its summed log-probability over
//! length^penalty, its end token counted, and the search ends when the best running one, weighed at its
//! present length, is worth no more than the worst of as many finished ones as there are beams.

use super::GenerateOptions;

/// Room among a row's candidates for those that would repeat: the tokens that followed the same words
/// before, which are few.
const REPEATS: usize = 4;
/// What a beam that only fills its place is worth: below every real one.
const NOTHING: f64 = -1e9;

/// A text that may still grow.
#[derive(Debug, Clone, Default)]
pub(super) struct Beam {
    /// What was chosen.
    pub(super) ids: Vec<u32>,
    /// The cache row of each of them but the last, whose keys and values are not computed yet.
    pub(super) slots: Vec<u32>,
    /// The sum of their log-probabilities.
    log_prob: f64,
}

impl Beam {
    /// Whether with `id` the last `n` tokens would be what `n` tokens before were.
    fn repeats(&self, id: u32, n: usize) -> bool {
        if n == 0 || self.ids.len() < n {
            return false;
        }
        let last = &self.ids[self.ids.len() + 1 - n..];
        self.ids.windows(n).any(|seen| seen[..n - 1] == *last && seen[n - 1] == id)
    }
}

/// A text with its worth.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Finished {
    /// What was chosen, a closing end token included.
    pub(super) ids: Vec<u32>,
    /// Summed log-probability over length^penalty.
    pub(super) score: f64,
}

/// A search in progress.
#[derive(Debug)]
pub(super) struct Search<'a> {
    beams: usize,
    length_penalty: f64,
    /// Tokens in a row that may not come twice; 0: any may.
    no_repeat_ngram: usize,
    max_new_tokens: usize,
    /// The ids that end a text.
    ends: &'a [u32],
    running: Vec<Beam>,
    /// The best ended ones, descending, as many as there are beams at most.
    finished: Vec<Finished>,
}

impl<'a> Search<'a> {
    /// A search that stands at the end of the prompt.
    pub(super) fn new(options: &GenerateOptions, ends: &'a [u32]) -> Self {
        Search {
            beams: options.beams as usize,
            length_penalty: f64::from(options.length_penalty),
            no_repeat_ngram: options.no_repeat_ngram as usize,
            max_new_tokens: options.max_new_tokens as usize,
            ends,
            running: vec![Beam::default()],
            finished: Vec::new(),
        }
    }

    /// Candidates that each row must bring: all beams may come from one, besides its end tokens and those
    /// that would repeat.
    pub(super) fn candidates(&self, vocab: u32) -> u32 {
        let repeats = if self.no_repeat_ngram > 0 { REPEATS } else { 0 };
        ((self.beams + self.ends.len() + repeats) as u32).min(vocab)
    }

    /// The texts to go on with, the best first: as many as there are beams once it has begun.
    pub(super) fn running_mut(&mut self) -> &mut [Beam] {
        &mut self.running
    }

    /// Takes the candidates of each running beam, (id, log-probability), as many a beam. False when the
    /// search is over.
    pub(super) fn advance(&mut self, candidates: &[(u32, f32)]) -> bool {
        let each = (candidates.len() / self.running.len()).max(1);
        let mut all: Vec<(f64, usize, u32)> = Vec::with_capacity(candidates.len());
        for (parent, (beam, found)) in
            self.running.iter().zip(candidates.chunks_exact(each)).enumerate()
        {
            let worth =
                |&(id, log_prob): &(u32, f32)| (beam.log_prob + f64::from(log_prob), parent, id);
            let new = found.iter().filter(|(id, _)| !beam.repeats(*id, self.no_repeat_ngram));
            all.extend(new.map(worth));
        }
        all.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        let length = self.running[0].ids.len() + 1;
        let last = length == self.max_new_tokens;
        let mut next: Vec<Beam> = Vec::with_capacity(self.beams);
        for (rank, &(log_prob, parent, id)) in all.iter().enumerate() {
            let grown = || {
                let mut ids = self.running[parent].ids.clone();
                ids.push(id);
                ids
            };
            if last || self.ends.contains(&id) {
                // An end that is not among the best is dropped: it is there only so that enough go on.
                if rank < self.beams {
                    let score = self.score(log_prob, length);
                    self.finished.push(Finished { ids: grown(), score });
                }
            } else if next.len() < self.beams {
                let slots = self.running[parent].slots.clone();
                next.push(Beam { ids: grown(), slots, log_prob });
            }
        }
        self.keep_best();
        // A tiny vocabulary may not have as many successors as there are beams.
        while let (true, Some(beam)) = (next.len() < self.beams, next.last().cloned()) {
            next.push(Beam { log_prob: NOTHING, ..beam });
        }
        let Some(best) = next.first() else { return false };
        let best = self.score(best.log_prob, length);
        self.running = next;
        self.finished.len() < self.beams || self.finished.iter().any(|f| best > f.score)
    }

    /// What would win if it ended now.
    pub(super) fn leading(&self) -> &[u32] {
        let running = self.running.first();
        let score = |beam: &Beam| self.score(beam.log_prob, beam.ids.len().max(1));
        match (running, self.finished.first()) {
            (Some(beam), Some(found)) if score(beam) > found.score => &beam.ids,
            (_, Some(found)) => &found.ids,
            (beam, None) => beam.map_or(&[], |beam| &beam.ids),
        }
    }

    /// What was found, the best first; where nothing ended by itself yet, what there is so far.
    pub(super) fn finish(mut self) -> Vec<Finished> {
        if self.finished.is_empty() {
            let running = std::mem::take(&mut self.running);
            for beam in running.into_iter().filter(|beam| beam.log_prob > NOTHING) {
                let score = self.score(beam.log_prob, beam.ids.len().max(1));
                self.finished.push(Finished { ids: beam.ids, score });
            }
            self.keep_best();
        }
        self.finished
    }

    fn score(&self, log_prob: f64, length: usize) -> f64 {
        log_prob / (length as f64).powf(self.length_penalty)
    }

    fn keep_best(&mut self) {
        // Stable: of equals the one that ended first stays first.
        self.finished.sort_by(|a, b| b.score.total_cmp(&a.score));
        self.finished.truncate(self.beams);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: u32 = 2;

    fn search(beams: u32, length_penalty: f32, max_new_tokens: u32, ends: &[u32]) -> Search<'_> {
        let more = GenerateOptions::default();
        Search::new(&GenerateOptions { beams, length_penalty, max_new_tokens, ..more }, ends)
    }

    /// ln of probabilities in per cent.
    fn row(percent: &[(u32, f32)]) -> Vec<(u32, f32)> {
        percent.iter().map(|(id, p)| (*id, (p / 100.0).ln())).collect()
    }

    #[test]
    fn a_worse_start_wins_by_what_follows() {
        let mut search = search(2, 1.0, 2, &[END]);
        assert_eq!(search.candidates(100), 3);
        assert!(search.advance(&row(&[(5, 50.0), (6, 40.0), (END, 1.0)])));
        assert_eq!(search.leading(), [5]);
        let more = [row(&[(7, 30.0), (8, 20.0), (9, 10.0)]), row(&[(7, 90.0), (8, 5.0), (9, 1.0)])];
        assert!(!search.advance(&more.concat()));
        let found = search.finish();
        assert_eq!(found[0].ids, [6, 7]);
        assert!((found[0].score - f64::from(0.36f32).ln() / 2.0).abs() < 1e-6);
        assert_eq!(found[1].ids, [5, 7]);
    }

    #[test]
    fn the_penalty_weighs_length() {
        let found = |penalty| {
            let mut search = search(2, penalty, 3, &[END]);
            assert!(search.advance(&row(&[(END, 50.0), (5, 50.0), (6, 0.1)])));
            let more =
                [row(&[(5, 60.0), (6, 30.0), (7, 5.0)]), row(&[(5, 1.0), (6, 1.0), (7, 1.0)])];
            if search.advance(&more.concat()) {
                assert!(!search.advance(&more.concat()));
            }
            search.finish()[0].ids.len()
        };
        assert_eq!((found(0.0), found(2.0)), (1, 3));
    }

    #[test]
    fn an_end_behind_the_best_is_dropped() {
        let mut search = search(2, 1.0, 9, &[END]);
        assert!(search.advance(&row(&[(5, 50.0), (6, 40.0), (END, 9.0)])));
        assert_eq!(search.running_mut().len(), 2);
        // Cancelled here: what runs is what there is.
        assert_eq!(search.finish()[0].ids, [5]);
    }

    #[test]
    fn what_was_written_is_not_written_again() {
        let beam = |ids: &[u32]| Beam { ids: ids.to_vec(), ..Beam::default() };
        let seen = beam(&[5, 6, 7, 5, 6]);
        assert!(seen.repeats(7, 3) && seen.repeats(6, 1) && !seen.repeats(8, 1));
        assert!(!seen.repeats(8, 3) && !seen.repeats(7, 4) && !seen.repeats(7, 0));
        assert!(beam(&[5, 5]).repeats(5, 2) && !beam(&[5]).repeats(5, 2));
        let mut options = GenerateOptions { beams: 1, max_new_tokens: 4, ..Default::default() };
        options.no_repeat_ngram = 2;
        let mut search = Search::new(&options, &[END]);
        assert_eq!(search.candidates(100), 6);
        let always = row(&[(5, 60.0), (6, 30.0)]);
        while search.advance(&always) {}
        // Without the rule: 5, 5, 5, 5.
        assert_eq!(search.finish()[0].ids, [5, 5, 6, 5]);
    }

    #[test]
    fn it_ends_when_nothing_can_be_better() {
        let mut search = search(2, 1.0, 9, &[END, 3]);
        assert!(!search.advance(&row(&[(END, 50.0), (3, 40.0), (5, 1.0), (6, 1.0)])));
        let ends: Vec<_> = search.finish().into_iter().map(|found| found.ids).collect();
        assert_eq!(ends, [[END], [3]]);
    }
}
