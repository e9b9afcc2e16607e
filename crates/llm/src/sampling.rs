//! Choosing the next token from the scores of the model.

use llguidance::toktrie::SimpleVob;
use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, Hasher, RandomState},
};

/// How the next token is chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// 0 always takes the best token; above 1 is more random than the model.
    pub temperature: f32,
    /// Only the best tokens with this total probability; 1 is all.
    pub top_p: f32,
    /// Only so many of the best tokens; 0 is all.
    pub top_k: usize,
    /// Only tokens with this share of the best one's probability; 0 is all.
    pub min_p: f32,
    /// Above 1 makes tokens of the prompt and the answer less likely; 1 does nothing.
    pub repetition_penalty: f32,
    /// Taken from the score of tokens that the answer has already.
    pub presence_penalty: f32,
    /// Taken from the score of a token for each time that the answer has it.
    pub frequency_penalty: f32,
    /// Added to the scores of tokens, by id.
    pub logit_bias: Vec<(i32, f32)>,
    /// The same seed gives the same answer to the same prompt.
    pub seed: Option<u64>,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            logit_bias: Vec::new(),
            seed: None,
        }
    }
}

/// A token with its natural log probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scored {
    pub(crate) token: i32,
    pub(crate) logprob: f32,
}

/// Tokens whose score is so far below the best one are never drawn: they are less likely than one
/// in 500 million.
const TAIL: f32 = 20.0;

pub(crate) struct Sampler {
    sampling: Sampling,
    random: u64,
    /// How often the answer has each token.
    counts: HashMap<i32, u32>,
    /// The tokens of the prompt and the answer, for the repetition penalty.
    seen: HashSet<i32>,
    scores: Vec<f32>,
    candidates: Vec<(u32, f32)>,
}

impl Sampler {
    /// A sampler for the answer number `choice` to `prompt`.
    pub(crate) fn new(sampling: &Sampling, choice: u32, prompt: impl Iterator<Item = i32>) -> Self {
        let seed = sampling.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
        let penalised = (sampling.repetition_penalty - 1.0).abs() > f32::EPSILON;
        Self {
            random: seed.wrapping_add(u64::from(choice).wrapping_mul(0xD1B5_4A32_D192_ED03)),
            counts: HashMap::new(),
            seen: if penalised { prompt.collect() } else { HashSet::new() },
            scores: Vec::new(),
            candidates: Vec::new(),
            sampling: sampling.clone(),
        }
    }

    /// Chooses a token among those that `allowed` has, or among all.
    pub(crate) fn pick(&mut self, logits: &[f32], allowed: Option<&SimpleVob>) -> Option<i32> {
        if allowed.is_none() && !self.adjusts() && self.greedy() {
            return best(logits);
        }
        self.scores.clear();
        self.scores.extend_from_slice(logits);
        self.adjust();
        if let Some(allowed) = allowed {
            for (token, score) in (0_u32..).zip(&mut self.scores) {
                if !allowed.is_allowed(token) {
                    *score = f32::NEG_INFINITY;
                }
            }
        }
        let best = best(&self.scores)?;
        if self.greedy() { Some(best) } else { Some(self.draw(best)) }
    }

    /// Remembers that `token` is part of the answer.
    pub(crate) fn accept(&mut self, token: i32) {
        *self.counts.entry(token).or_default() += 1;
        if (self.sampling.repetition_penalty - 1.0).abs() > f32::EPSILON {
            self.seen.insert(token);
        }
    }

    fn greedy(&self) -> bool {
        self.sampling.temperature < 1e-4 || self.sampling.top_k == 1
    }

    fn adjusts(&self) -> bool {
        let penalties = self.sampling.presence_penalty != 0.0
            || self.sampling.frequency_penalty != 0.0
            || !self.seen.is_empty();
        penalties || !self.sampling.logit_bias.is_empty()
    }

    fn adjust(&mut self) {
        let Self { sampling, scores, counts, seen, .. } = self;
        let at = |token: i32| usize::try_from(token).unwrap_or(usize::MAX);
        for token in seen.iter() {
            if let Some(score) = scores.get_mut(at(*token)) {
                let penalty = sampling.repetition_penalty;
                *score = if *score > 0.0 { *score / penalty } else { *score * penalty };
            }
        }
        if sampling.presence_penalty != 0.0 || sampling.frequency_penalty != 0.0 {
            for (token, count) in counts.iter() {
                if let Some(score) = scores.get_mut(at(*token)) {
                    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
                    let times = *count as f32;
                    *score -= sampling.presence_penalty + sampling.frequency_penalty * times;
                }
            }
        }
        for (token, bias) in &sampling.logit_bias {
            if let Some(score) = scores.get_mut(at(*token)) {
                *score += bias;
            }
        }
    }

    /// Draws from what the limits of the sampling leave.
    fn draw(&mut self, best: i32) -> i32 {
        let temperature = self.sampling.temperature;
        let top = self.scores[usize::try_from(best).unwrap_or_default()];
        let lowest = match self.sampling.min_p {
            share if share > 0.0 => share.ln().max(-TAIL),
            _ => -TAIL,
        };
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.clear();
        candidates.extend((0_u32..).zip(&self.scores).filter_map(|(token, score)| {
            let distance = (score - top) / temperature;
            (distance >= lowest).then(|| (token, distance.exp()))
        }));
        let better = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        let top_k = self.sampling.top_k;
        if top_k > 0 && top_k < candidates.len() {
            candidates.select_nth_unstable_by(top_k, better);
            candidates.truncate(top_k);
        }
        if self.sampling.top_p < 1.0 {
            candidates.sort_unstable_by(better);
            let total: f32 = candidates.iter().map(|(_, weight)| weight).sum();
            let wanted = total * self.sampling.top_p;
            let mut sum = 0.0;
            let enough = candidates.iter().position(|(_, weight)| {
                sum += weight;
                sum >= wanted
            });
            candidates.truncate(enough.map_or(usize::MAX, |last| last + 1));
        }
        let total: f64 = candidates.iter().map(|(_, weight)| f64::from(*weight)).sum();
        let mut left = self.uniform() * total;
        let chosen = candidates.iter().find(|(_, weight)| {
            left -= f64::from(*weight);
            left < 0.0
        });
        let chosen = chosen.or(candidates.last()).map_or(best, |(token, _)| token.cast_signed());
        self.candidates = candidates;
        chosen
    }

    /// A number from 0 to 1, without 1 (the generator `SplitMix64`).
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    fn uniform(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The token with the highest score; nothing when no token is possible.
fn best(scores: &[f32]) -> Option<i32> {
    let mut best = None;
    let mut top = f32::NEG_INFINITY;
    for (token, score) in (0_i32..).zip(scores) {
        if *score > top {
            top = *score;
            best = Some(token);
        }
    }
    best
}

/// The log probability of `token`, and the `most` likely tokens.
pub(crate) fn logprobs(logits: &[f32], token: i32, most: usize) -> (Scored, Vec<Scored>) {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = logits.iter().map(|score| f64::from(score - top).exp()).sum();
    #[expect(clippy::cast_possible_truncation, reason = "a logarithm of a moderate number")]
    let norm = top + total.ln() as f32;
    let score = |token: i32| {
        let logit = usize::try_from(token).ok().and_then(|index| logits.get(index));
        Scored { token, logprob: logit.map_or(f32::NEG_INFINITY, |logit| logit - norm) }
    };
    let mut order: Vec<i32> = (0..i32::try_from(logits.len()).unwrap_or(i32::MAX)).collect();
    let better = |a: &i32, b: &i32| {
        let at = |token: &i32| logits[usize::try_from(*token).unwrap_or_default()];
        at(b).total_cmp(&at(a)).then(a.cmp(b))
    };
    if most < order.len() {
        order.select_nth_unstable_by(most, better);
        order.truncate(most);
    }
    order.sort_unstable_by(better);
    (score(token), order.into_iter().map(score).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 5] = [0.0, 3.0, 1.0, 2.0, -4.0];

    fn drawn(sampling: &Sampling, times: usize) -> Vec<i32> {
        let mut sampler = Sampler::new(sampling, 0, [].into_iter());
        let mut tokens: Vec<i32> =
            (0..times).map(|_| sampler.pick(&LOGITS, None).unwrap()).collect();
        tokens.sort_unstable();
        tokens.dedup();
        tokens
    }

    #[test]
    fn temperature_zero_takes_the_best_and_a_bias_changes_which_that_is() {
        let greedy = Sampling { temperature: 0.0, ..Sampling::default() };
        assert_eq!(drawn(&greedy, 3), [1]);
        let biased = Sampling { logit_bias: vec![(4, 100.0), (9, 1.0)], ..greedy.clone() };
        assert_eq!(drawn(&biased, 3), [4]);
        let penalised = Sampling { presence_penalty: 1.5, ..greedy };
        let mut sampler = Sampler::new(&penalised, 0, [].into_iter());
        sampler.accept(1);
        assert_eq!(sampler.pick(&LOGITS, None), Some(3));
    }

    #[test]
    fn the_limits_leave_what_they_say() {
        let base = Sampling { temperature: 2.0, seed: Some(1), ..Sampling::default() };
        assert_eq!(drawn(&base, 2000), [0, 1, 2, 3, 4]);
        assert_eq!(drawn(&Sampling { top_k: 2, ..base.clone() }, 500), [1, 3]);
        assert_eq!(drawn(&Sampling { min_p: 0.3, ..base.clone() }, 500), [1, 2, 3]);
        assert_eq!(drawn(&Sampling { top_p: 0.01, ..base.clone() }, 500), [1]);
        assert_eq!(drawn(&Sampling { top_p: 0.6, ..base }, 500), [1, 3]);
    }

    #[test]
    fn the_same_seed_draws_the_same_and_each_answer_its_own() {
        let sampling = Sampling { temperature: 2.0, seed: Some(7), ..Sampling::default() };
        let sequence = |choice| {
            let mut sampler = Sampler::new(&sampling, choice, [].into_iter());
            (0..20).map(|_| sampler.pick(&LOGITS, None).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(sequence(0), sequence(0));
        assert_ne!(sequence(0), sequence(1));
    }

    #[test]
    fn only_allowed_tokens_are_chosen_even_where_the_model_wants_another() {
        let mut allowed = SimpleVob::alloc(5);
        allowed.allow_token(4);
        let mut sampler = Sampler::new(&Sampling::default(), 0, [].into_iter());
        assert_eq!(sampler.pick(&LOGITS, Some(&allowed)), Some(4));
        assert_eq!(sampler.pick(&LOGITS, Some(&SimpleVob::alloc(5))), None);
    }

    #[test]
    fn the_repetition_penalty_reaches_the_prompt() {
        let sampling =
            Sampling { temperature: 0.0, repetition_penalty: 4.0, ..Sampling::default() };
        let mut sampler = Sampler::new(&sampling, 0, [1].into_iter());
        assert_eq!(sampler.pick(&LOGITS, None), Some(3));
    }

    #[test]
    fn log_probabilities_add_up_to_one() {
        let (chosen, all) = logprobs(&LOGITS, 2, 5);
        let total: f32 = all.iter().map(|scored| scored.logprob.exp()).sum();
        assert!((total - 1.0).abs() < 1e-5);
        assert_eq!((all[0].token, all[2]), (1, chosen));
        assert_eq!(logprobs(&LOGITS, 2, 0).1, []);
    }
}
