//! One request while it is served: what was read, what was answered, and what comes next.

use crate::{
    Error, Event, Finish, Token,
    queue::Wanted,
    sampling::{Sampler, Scored, logprobs},
    text::Assembler,
    thoughts::{self, Split, Splitter, Thinking},
    vision::Picture,
    worker::Job,
};
use llama_cpp_2::{context::LlamaContext, model::LlamaModel, token::LlamaToken};
use llguidance::Matcher;
use std::{collections::VecDeque, time::Instant};

/// Tokens of an answer that are expected at least, when its end is unknown.
const LIKELY: usize = 32;

/// What a step did.
pub(crate) enum Progress {
    /// The prompt is not read to its end.
    Reading,
    /// A token was added to the answer.
    Answering,
    /// An answer is complete, and another one is wanted: only the prompt is kept.
    NextChoice { keep: usize },
    /// All answers are complete, or nobody wants them.
    Done,
}

pub(crate) struct Run {
    job: Job,
    /// The prompt, and what is chosen of the answer at hand.
    tokens: Vec<LlamaToken>,
    /// How many of the tokens are computed.
    computed: usize,
    /// Tokens whose scores are wanted, by their places in `tokens`, and their rows in the batch.
    rows: Vec<(usize, i32)>,
    /// The scores after the prompt, for further answers.
    after_prompt: Vec<f32>,
    prompt_tokens: Vec<Token>,
    choice: u32,
    answer: Answer,
    completion_tokens: usize,
}

/// The answer that is being made.
struct Answer {
    sampler: Sampler,
    assembler: Assembler,
    /// Gets the text that the assembler gives.
    splitter: Splitter,
    matcher: Option<Matcher>,
    /// Tokens whose text is not given out yet, with where their text ends.
    held: VecDeque<(usize, Token)>,
    tokens: usize,
    /// Whether the limit is near, so that a constrained answer is brought to its end.
    closing: bool,
    /// Where in a JSON text the answer stands.
    quoted: Quoted,
}

/// Whether a JSON text stands inside a string.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum Quoted {
    #[default]
    No,
    Yes,
    /// The next character belongs to an escape.
    Escape,
}

impl Quoted {
    fn after(self, bytes: &[u8]) -> Self {
        bytes.iter().fold(self, |state, byte| match (state, byte) {
            (Self::No, b'"') | (Self::Escape, _) => Self::Yes,
            (Self::Yes, b'"') => Self::No,
            (Self::Yes, b'\\') => Self::Escape,
            (state, _) => state,
        })
    }
}

/// What brings JSON to its end, the strongest first: inside a string, and outside.
const STRING_CLOSERS: &[&str] = &["\""];
const CLOSERS: &[&str] = &["}", "]", ", ", ",", "\""];

impl Answer {
    fn new(job: &Job, choice: u32) -> Self {
        Self {
            // Images have no tokens that could be penalised.
            sampler: Sampler::new(
                &job.sampling,
                choice,
                job.prompt.iter().map(|token| token.0).filter(|token| *token >= 0),
            ),
            assembler: Assembler::new(job.stop.clone()),
            splitter: Splitter::new(job.thinking),
            matcher: job.matcher.as_ref().map(Matcher::deep_clone),
            held: VecDeque::new(),
            tokens: 0,
            closing: false,
            quoted: Quoted::No,
        }
    }
}

impl Run {
    /// A run of which nothing is computed.
    pub(crate) fn new(job: Job) -> Self {
        Self {
            answer: Answer::new(&job, 0),
            tokens: job.prompt.clone(),
            computed: 0,
            rows: Vec::new(),
            after_prompt: Vec::new(),
            prompt_tokens: Vec::new(),
            choice: 0,
            completion_tokens: 0,
            job,
        }
    }

    /// Whether somebody waits for the answer.
    pub(crate) fn wanted(&self) -> bool {
        self.job.wanted()
    }

    /// What is to be computed, the prompt and what is chosen of the answer.
    pub(crate) fn tokens(&self) -> &[LlamaToken] {
        &self.tokens
    }

    /// Whether the request asks for the same answer each time. Results differ in the last digits
    /// with the size of the batch, so that such a prompt is always computed from its beginning.
    pub(crate) fn repeatable(&self) -> bool {
        self.job.sampling.seed.is_some()
    }

    /// How many tokens may be taken from an earlier computation. The last one is computed again,
    /// since its scores are needed.
    pub(crate) fn reusable(&self) -> usize {
        let afresh = self.repeatable() || self.job.prompt_logprobs;
        if afresh { 0 } else { self.tokens.len().saturating_sub(1) }
    }

    /// How many tokens wait to be computed.
    pub(crate) fn waiting(&self) -> usize {
        self.tokens.len() - self.computed
    }

    /// How many tokens can be computed next: up to the next image, which is computed by itself.
    pub(crate) fn ready(&self) -> usize {
        let image = self.job.pictures.iter().find(|picture| picture.at >= self.computed);
        image.map_or(self.waiting(), |picture| picture.at - self.computed)
    }

    /// The image that comes next.
    pub(crate) fn picture(&self) -> Option<&Picture> {
        self.job.pictures.iter().find(|picture| picture.at == self.computed)
    }

    /// Whether all is computed but the token that was chosen last.
    pub(crate) fn answers(&self) -> bool {
        self.tokens.len() > self.job.prompt.len() && self.waiting() <= 1
    }

    /// How many more tokens are certain or likely to be computed soon.
    pub(crate) fn owed(&self) -> usize {
        let left = self.job.max_tokens.saturating_sub(self.answer.tokens);
        self.waiting() + left.min(LIKELY)
    }

    /// Whether the scores of all prompt tokens are wanted.
    pub(crate) fn scores_prompt(&self) -> bool {
        self.job.prompt_logprobs && self.computed < self.job.prompt.len()
    }

    /// The first `computed` tokens are computed, and no more.
    pub(crate) fn set_computed(&mut self, computed: usize) {
        self.computed = computed.min(self.tokens.len());
        self.rows.clear();
    }

    /// Ends the request with an error.
    pub(crate) fn fail(self, error: Error) {
        // Nobody may be listening any more.
        _ = self.job.events.send(Err(error));
    }

    /// The tokens of the prompt and of all answers.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.job.prompt.len(), self.completion_tokens)
    }

    /// When the request was made.
    pub(crate) fn asked(&self) -> Instant {
        self.job.asked
    }

    /// At most `room` tokens to compute next, and whether their scores are wanted.
    pub(crate) fn next_tokens(&mut self, room: usize) -> Vec<(LlamaToken, bool)> {
        self.rows.clear();
        let begin = self.computed;
        self.computed = self.tokens.len().min(begin + room);
        let scored = |at: usize| {
            at + 1 == self.tokens.len() || (self.job.prompt_logprobs && at < self.job.prompt.len())
        };
        (begin..self.computed).map(|at| (self.tokens[at], scored(at))).collect()
    }

    /// The scores after the token at the place `at` are in `row` of the batch.
    pub(crate) fn scored_at(&mut self, at: usize, row: i32) {
        self.rows.push((at, row));
    }

    /// Takes the results of a step.
    pub(crate) fn advance(&mut self, model: &LlamaModel, context: &LlamaContext<'_>) -> Progress {
        if !self.wanted() {
            return Progress::Done;
        }
        let rows = std::mem::take(&mut self.rows);
        let begins = self.tokens.len() == self.job.prompt.len();
        if self.job.prompt_logprobs && self.choice == 0 && begins {
            self.score_prompt(model, context, &rows);
        }
        let last = rows.last().filter(|(at, _)| at + 1 == self.tokens.len());
        let Some((_, row)) = last else {
            // A further answer begins with the scores that were kept.
            if begins && self.waiting() == 0 && !self.after_prompt.is_empty() {
                let scores = std::mem::take(&mut self.after_prompt);
                let progress = self.choose(model, &scores);
                self.after_prompt = scores;
                return progress;
            }
            return Progress::Reading;
        };
        let scores = context.get_logits_ith(*row);
        if begins && self.choice == 0 {
            if self.job.choices > 1 {
                self.after_prompt = scores.to_vec();
            }
            let tokens = std::mem::take(&mut self.prompt_tokens);
            _ = self.job.events.send(Ok(Event::Prompt { tokens }));
        }
        self.choose(model, scores)
    }

    /// Chooses the next token from `scores`.
    fn choose(&mut self, model: &LlamaModel, scores: &[f32]) -> Progress {
        if self.answer.tokens >= self.job.max_tokens {
            return self.finish(Finish::Length);
        }
        let token = match self.pick(model, scores) {
            Ok(Some(token)) => token,
            // The grammar allows nothing more: the answer is complete.
            Ok(None) => return self.finish(self.end()),
            Err(error) => {
                _ = self.job.events.send(Err(error));
                return Progress::Done;
            }
        };
        if model.vocab().is_eog(LlamaToken(token)) {
            return self.finish(self.end());
        }
        self.answer.sampler.accept(token);
        self.answer.tokens += 1;
        self.completion_tokens += 1;
        let bytes = self.piece(model, LlamaToken(token));
        self.answer.quoted = self.answer.quoted.after(&bytes);
        let text = self.answer.assembler.push(&bytes);
        if let Some(most) = self.job.logprobs {
            let token = described(model, &logprobs(scores, token, most));
            self.answer.held.push_back((self.answer.assembler.length(), token));
        }
        let split = self.answer.splitter.push(&text);
        self.give(split);
        let ended = self.answer.matcher.as_ref().is_some_and(Matcher::is_stopped);
        if self.answer.assembler.stopped() {
            return self.finish(Finish::Stop);
        }
        if ended {
            return self.finish(self.end());
        }
        if self.answer.tokens >= self.job.max_tokens {
            return self.finish(Finish::Length);
        }
        self.tokens.push(LlamaToken(token));
        Progress::Answering
    }

    /// The bytes that a token adds to an answer.
    fn piece(&self, model: &LlamaModel, token: LlamaToken) -> Vec<u8> {
        let piece = |special| model.vocab().token_to_piece(token, special, None);
        let bytes = piece(false);
        if bytes.is_empty() && self.job.thinking != Thinking::Never {
            // Some vocabularies have the tags of thoughts among the tokens that are not shown.
            let shown = piece(true);
            if [thoughts::OPEN, thoughts::CLOSE].iter().any(|tag| tag.as_bytes() == shown) {
                return shown;
            }
        }
        bytes
    }

    /// How an answer ended that came to its own end.
    fn end(&self) -> Finish {
        if self.answer.closing { Finish::Length } else { Finish::Stop }
    }

    /// The best token that the constraint allows; nothing at the end of the answer.
    fn pick(&mut self, model: &LlamaModel, scores: &[f32]) -> Result<Option<i32>, Error> {
        let limit = self.job.max_tokens;
        let Answer { sampler, matcher, closing, tokens, quoted, .. } = &mut self.answer;
        let Some(matcher) = matcher else { return Ok(sampler.pick(scores, None)) };
        let failed = |error: &dyn std::fmt::Display| {
            let first = error.to_string();
            let first: String =
                first.lines().next().unwrap_or_default().chars().take(200).collect();
            Error::invalid("response_format", format!("the JSON schema is too complex: {first}"))
        };
        if limit - *tokens <= self.job.shortest.min(limit / 2) {
            *closing = true;
            if matcher.is_accepting().map_err(|error| failed(&error))? {
                return Ok(None);
            }
            let allowed = matcher.compute_mask().map_err(|error| failed(&error))?;
            let closers = if *quoted == Quoted::No { CLOSERS } else { STRING_CLOSERS };
            let closer = closers.iter().find_map(|text| {
                let tokens = model.vocab().tokenize(text.as_bytes(), false, false);
                let [LlamaToken(token)] = tokens[..] else { return None };
                allowed.is_allowed(token.cast_unsigned()).then_some(token)
            });
            let token = closer.or_else(|| sampler.pick(scores, Some(&allowed)));
            if let Some(token) = token {
                matcher.consume_token(token.cast_unsigned()).map_err(|error| failed(&error))?;
            }
            return Ok(token);
        }
        // Most of the time the model wants what is allowed, and the costly mask is not needed.
        if let Some(token) = sampler.pick(scores, None)
            && !model.vocab().is_eog(LlamaToken(token))
            && matcher
                .try_consume_tokens(&[token.cast_unsigned()])
                .map_err(|error| failed(&error))?
                == 1
        {
            return Ok(Some(token));
        }
        let allowed = matcher.compute_mask_or_eos().map_err(|error| failed(&error))?;
        let Some(token) = sampler.pick(scores, Some(&allowed)) else { return Ok(None) };
        if !model.vocab().is_eog(LlamaToken(token)) {
            matcher.consume_token(token.cast_unsigned()).map_err(|error| failed(&error))?;
        }
        Ok(Some(token))
    }

    /// Sends thoughts and text, and the tokens that the text ends.
    fn give(&mut self, split: Split) {
        let told = self.answer.splitter.told();
        let tokens = told.map_or_else(Vec::new, |told| self.take_tokens(told));
        let (choice, Split { thoughts, answer: text }) = (self.choice, split);
        if !thoughts.is_empty() {
            _ = self.job.events.send(Ok(Event::Thoughts { choice, text: thoughts }));
        }
        if !text.is_empty() || !tokens.is_empty() {
            _ = self.job.events.send(Ok(Event::Text { choice, text, tokens }));
        }
    }

    /// The tokens whose text ends within so many bytes and belongs to the answer.
    fn take_tokens(&mut self, most: usize) -> Vec<Token> {
        let Answer { held, splitter, .. } = &mut self.answer;
        let ended = held.iter().take_while(|(end, _)| *end <= most).count();
        let ended = held.drain(..ended).filter(|(end, _)| splitter.answers(*end));
        ended.map(|(_, token)| token).collect()
    }

    fn finish(&mut self, reason: Finish) -> Progress {
        let stopped_by = self.answer.assembler.stopped_by().map(str::to_owned);
        let text = self.answer.assembler.finish();
        let split = self.answer.splitter.finish(&text);
        self.give(split);
        // Tokens that begin before a stop text belong to the answer, the others do not.
        if stopped_by.is_none() {
            let tokens = self.take_tokens(usize::MAX);
            if !tokens.is_empty() {
                let event = Event::Text { choice: self.choice, text: String::new(), tokens };
                _ = self.job.events.send(Ok(event));
            }
        }
        let finished = Event::Finished { choice: self.choice, reason, stopped_by };
        _ = self.job.events.send(Ok(finished));
        self.choice += 1;
        if self.choice < self.job.choices {
            self.answer = Answer::new(&self.job, self.choice);
            self.tokens.truncate(self.job.prompt.len());
            self.computed = self.tokens.len();
            return Progress::NextChoice { keep: self.computed };
        }
        let done = Event::Done {
            prompt_tokens: self.job.prompt.len(),
            completion_tokens: self.completion_tokens,
        };
        _ = self.job.events.send(Ok(done));
        Progress::Done
    }

    fn score_prompt(
        &mut self,
        model: &LlamaModel,
        context: &LlamaContext<'_>,
        rows: &[(usize, i32)],
    ) {
        let most = self.job.logprobs.unwrap_or(0);
        let piece = |token: LlamaToken| model.vocab().token_to_piece(token, true, None);
        if self.prompt_tokens.is_empty()
            && let Some(first) = self.job.prompt.first()
        {
            let token = Token { bytes: piece(*first), logprob: None, top: Vec::new() };
            self.prompt_tokens.push(token);
        }
        for (at, row) in rows {
            // The scores after a token say how likely the one behind it is. What is computed a
            // second time has been scored.
            let Some(token) = self.job.prompt.get(at + 1) else { return };
            if self.prompt_tokens.len() == at + 1 {
                let scored = logprobs(context.get_logits_ith(*row), token.0, most);
                self.prompt_tokens.push(described(model, &scored));
            }
        }
    }
}

fn described(model: &LlamaModel, (chosen, top): &(Scored, Vec<Scored>)) -> Token {
    let piece = |token: i32| model.vocab().token_to_piece(LlamaToken(token), true, None);
    Token {
        bytes: piece(chosen.token),
        logprob: Some(chosen.logprob),
        top: top.iter().map(|scored| (piece(scored.token), scored.logprob)).collect(),
    }
}
