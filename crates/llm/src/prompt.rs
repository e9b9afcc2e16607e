//! From what a caller sends to the tokens that the model goes on from.

use crate::{
    Chat, Error, Prompt, Result,
    template::{Piece, Template},
    thoughts::{OPEN, Thinking},
    vision::{MOST_IMAGES, Picture, Vision},
};
use llama_cpp_2::{model::LlamaModel, token::LlamaToken};
use std::sync::Arc;

/// A prompt in tokens.
#[derive(Debug, Default)]
pub(crate) struct Text {
    pub(crate) tokens: Vec<LlamaToken>,
    /// The images in it, in the order of their places.
    pub(crate) pictures: Vec<Picture>,
    /// Whether the answer may begin with thoughts.
    pub(crate) thinking: Thinking,
}

/// What turns prompts into tokens.
pub(crate) struct Reader<'a> {
    pub(crate) model: &'a LlamaModel,
    pub(crate) template: Option<&'a Template>,
    /// Whether the model may think before it answers a chat.
    pub(crate) thinks: bool,
    pub(crate) vision: Option<&'a Vision>,
    /// The most tokens of a prompt and its answer together.
    pub(crate) context: usize,
}

impl Reader<'_> {
    /// # Errors
    /// When the prompt cannot be rendered, is far too long, or has images that the model cannot see.
    pub(crate) fn read(&self, prompt: &Prompt) -> Result<Text> {
        let vocabulary = self.model.vocab();
        let mut text = match prompt {
            Prompt::Chat(chat) => {
                let template = self.template.ok_or_else(|| {
                    Error::invalid(
                        "model",
                        "this model has no chat template; use the completions route",
                    )
                })?;
                let mut text = if chat.images.is_empty() {
                    let rendered = template.render(chat)?;
                    self.fits(&rendered)?;
                    let tokens = vocabulary.tokenize(rendered.as_bytes(), false, true);
                    Text { tokens, pictures: Vec::new(), thinking: self.thinking(&rendered) }
                } else {
                    self.with_images(template, chat)?
                };
                let bos = vocabulary.bos();
                if vocabulary.should_add_bos() && text.tokens.first() != Some(&bos) {
                    text.tokens.insert(0, bos);
                    for picture in &mut text.pictures {
                        picture.at += 1;
                    }
                }
                text
            }
            Prompt::Text(text) => {
                self.fits(text)?;
                let tokens = vocabulary.tokenize(text.as_bytes(), true, false);
                Text { tokens, ..Text::default() }
            }
            Prompt::Tokens(ids) => {
                if let Some(id) = ids.iter().find(|id| !(0..vocabulary.n_tokens()).contains(id)) {
                    return Err(Error::invalid("prompt", format!("there is no token `{id}`")));
                }
                let tokens = ids.iter().copied().map(LlamaToken).collect();
                Text { tokens, ..Text::default() }
            }
        };
        if text.tokens.is_empty() {
            // The model needs something to go on from.
            let begin = [vocabulary.bos(), vocabulary.eos(), vocabulary.nl()];
            text.tokens.extend(begin.into_iter().find(|token| token.0 >= 0));
        }
        Ok(text)
    }

    /// Whether the answer to a chat may begin with thoughts, by the end of its prompt.
    fn thinking(&self, prompt: &str) -> Thinking {
        match (self.thinks, prompt.trim_end().ends_with(OPEN)) {
            (false, _) => Thinking::Never,
            (true, false) => Thinking::Tagged,
            (true, true) => Thinking::Begun,
        }
    }

    fn fits(&self, text: &str) -> Result<()> {
        // No token is so long: a text of that size need not be tokenised to be refused.
        let most = self.context.saturating_mul(1024);
        if text.len() > most {
            return Err(Error::TooLong { tokens: text.len() / 16, limit: self.context });
        }
        Ok(())
    }

    fn with_images(&self, template: &Template, chat: &Chat) -> Result<Text> {
        let wrong = |why: String| Error::invalid("messages", why);
        let vision = self.vision.ok_or_else(|| {
            wrong(
                "this model reads text only: it had no projector when it was loaded; where there is \
                 one now, start the server again"
                    .to_owned(),
            )
        })?;
        let count = chat.images.len();
        if count > MOST_IMAGES {
            return Err(wrong(format!("there are {count} images, and {MOST_IMAGES} are allowed")));
        }
        let mut text = Text::default();
        for piece in template.render_with_images(chat)? {
            match piece {
                Piece::Text(piece) => {
                    self.fits(&piece)?;
                    let tokens = self.model.vocab().tokenize(piece.as_bytes(), false, true);
                    text.tokens.extend(tokens);
                    text.thinking = self.thinking(&piece);
                }
                Piece::Image(number) => {
                    let Some(bytes) = chat.images.get(number) else {
                        return Err(wrong(format!("there is no image {number}")));
                    };
                    let picture = vision.picture(Arc::clone(bytes), text.tokens.len())?;
                    let places = std::iter::repeat_n(picture.token, picture.tokens);
                    text.tokens.extend(places);
                    text.pictures.push(picture);
                }
            }
        }
        // The answer is chosen from the scores of the last token of a text.
        if text.tokens.last().is_some_and(|token| token.0 < 0) {
            return Err(wrong("the chat template has no text behind the last image".to_owned()));
        }
        Ok(text)
    }
}
