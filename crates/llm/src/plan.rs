//! Who gets how much of the next batch.

/// The tokens of prompts in a batch while answers are running, so that these keep their pace.
const PIECE: usize = 64;
/// The scores of so many prompt tokens are kept at a time: each takes the whole vocabulary.
const SCORED_AT_A_TIME: usize = 32;

/// What a request needs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Need {
    /// The tokens that it has to compute.
    pub(crate) tokens: usize,
    /// Whether its prompt is read.
    pub(crate) answers: bool,
    /// Whether it wants the scores of its prompt.
    pub(crate) scored: bool,
}

/// The share of each request in a batch of at most `room` tokens.
///
/// Running answers come first, with one token each. What is left goes to the prompts in equal
/// shares; what a short one does not need goes to the others.
pub(crate) fn shares(needs: &[Need], room: usize) -> Vec<usize> {
    let mut shares = vec![0; needs.len()];
    let mut left = room;
    for (share, need) in shares.iter_mut().zip(needs) {
        if need.answers {
            *share = need.tokens.min(1).min(left);
            left -= *share;
        }
    }
    if left < room {
        left = left.min(PIECE);
    }
    let mut scores = SCORED_AT_A_TIME;
    let mut reading: Vec<usize> = (0..needs.len())
        .filter(|index| !needs[*index].answers && needs[*index].tokens > 0)
        .collect();
    reading.sort_by_key(|index| needs[*index].tokens);
    for (done, index) in reading.iter().enumerate() {
        let need = needs[*index];
        let equal = left.div_ceil(reading.len() - done);
        let mut share = need.tokens.min(equal);
        if need.scored {
            share = share.min(scores);
            scores -= share;
        }
        shares[*index] = share;
        left -= share;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(tokens: usize) -> Need {
        Need { tokens, answers: false, scored: false }
    }

    const ANSWER: Need = Need { tokens: 1, answers: true, scored: false };

    #[test]
    fn a_prompt_alone_has_the_whole_batch() {
        assert_eq!(shares(&[prompt(1000)], 512), [512]);
        assert_eq!(shares(&[prompt(100)], 512), [100]);
        assert_eq!(shares(&[], 512), [0; 0]);
    }

    #[test]
    fn running_answers_come_first_and_prompts_in_pieces() {
        assert_eq!(shares(&[prompt(1000), ANSWER, ANSWER], 512), [64, 1, 1]);
        assert_eq!(shares(&[prompt(1000), ANSWER, ANSWER], 32), [30, 1, 1]);
    }

    #[test]
    fn prompts_share_alike_and_short_ones_leave_the_rest_to_the_others() {
        assert_eq!(shares(&[prompt(1000), prompt(1000)], 512), [256, 256]);
        assert_eq!(shares(&[prompt(1000), prompt(12), prompt(1000)], 512), [250, 12, 250]);
        assert_eq!(shares(&[prompt(9), prompt(9), prompt(9)], 1), [1, 0, 0]);
    }

    #[test]
    fn of_scored_prompts_only_few_tokens_are_read_at_a_time() {
        let scored = Need { scored: true, ..prompt(1000) };
        assert_eq!(shares(&[scored, scored, prompt(1000)], 512), [32, 0, 480]);
    }

    #[test]
    fn an_answer_that_goes_on_from_kept_scores_needs_nothing() {
        let further = Need { tokens: 0, ..ANSWER };
        assert_eq!(shares(&[further, prompt(5)], 512), [0, 5]);
    }
}
