//! The parts of a message in a stream, in an order that Anthropic's form can express.
//!
//! There one part comes after another. Upstreams of OpenAI's form may mix pieces of several calls,
//! so that what belongs to a later part is held back until the part before it is complete.

use super::{
    answer::{broken, call_id, nameless},
    nesting::Nesting,
};
use chaski_api::{
    Result,
    anthropic::{
        BlockDelta, ContentBlock, ContentBlockDelta, ContentBlockStart, ContentBlockStop,
        InputJsonDelta, MessagesEvent, Ping, RedactedThinkingBlock, SignatureDelta, TextBlock,
        TextBlockDelta, ThinkingBlock, ThinkingBlockDelta, ToolUseBlock,
    },
    openai::FunctionToolCall,
};
use serde_json::Map;
use std::collections::VecDeque;

/// The most bytes that are held back.
const HELD_BYTES: usize = 16 * 1024 * 1024;
/// What a part costs besides its text.
const PART_BYTES: usize = 256;

pub(super) type Out = VecDeque<MessagesEvent>;

/// A text of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Text {
    Thoughts,
    Answer,
}

#[derive(Debug)]
enum Content {
    Text(Text),
    /// Encrypted thoughts, which wait and are sent as a whole.
    Encrypted,
    Call {
        id: String,
        name: String,
        arguments: Nesting,
    },
}

#[derive(Debug)]
struct Segment {
    content: Content,
    /// Whether its beginning was sent.
    open: bool,
    /// What was not sent yet.
    held: String,
    /// The signature of thoughts, which ends them.
    signature: Option<String>,
}

/// A call that has begun.
#[derive(Debug)]
struct Begun {
    index: Option<i64>,
    id: String,
    /// Which part of the message it is.
    part: usize,
}

/// The parts of a message: the first one is sent as it comes, the others wait.
#[derive(Debug, Default)]
pub(super) struct Segments {
    queue: VecDeque<Segment>,
    /// How many parts were sent completely.
    done: usize,
    calls: Vec<Begun>,
    held_bytes: usize,
}

impl Segments {
    /// Whether the model has called a tool.
    pub(super) fn called(&self) -> bool {
        !self.calls.is_empty()
    }

    /// Adds a piece of a text.
    pub(super) fn text(&mut self, kind: Text, piece: &str) {
        let same = |segment: &&mut Segment| {
            let same = matches!(segment.content, Content::Text(other) if other == kind);
            same && segment.signature.is_none()
        };
        match self.queue.back_mut().filter(same) {
            Some(last) => last.held.push_str(piece),
            None => self.begin(Content::Text(kind), piece),
        }
        self.held_bytes += piece.len();
    }

    /// Adds thoughts that the model wants back: the signature to those that have come in pieces.
    pub(super) fn thought(&mut self, block: ContentBlock) {
        match block {
            ContentBlock::Thinking(ThinkingBlock { thinking, signature }) => {
                let unsigned = self.queue.back().is_some_and(|segment| {
                    matches!(segment.content, Content::Text(Text::Thoughts))
                        && segment.signature.is_none()
                });
                if !unsigned {
                    self.text(Text::Thoughts, &thinking);
                }
                self.held_bytes += signature.len();
                if let Some(last) = self.queue.back_mut() {
                    last.signature = Some(signature);
                }
            }
            ContentBlock::RedactedThinking(RedactedThinkingBlock { data }) => {
                self.begin(Content::Encrypted, &data);
                self.held_bytes += data.len();
            }
            ContentBlock::Text(_) | ContentBlock::ToolUse(_) => {}
        }
    }

    /// Adds a piece of a call.
    pub(super) fn call(&mut self, piece: FunctionToolCall) {
        let begun = self.calls.iter().map(|call| (call.index, call.id.as_str()));
        let at = piece.continues(&begun).unwrap_or_else(|| {
            let part = self.done + self.queue.len();
            self.calls.push(Begun { index: piece.index, id: String::new(), part });
            let arguments = Nesting::default();
            let content = Content::Call { id: String::new(), name: String::new(), arguments };
            self.begin(content, "");
            self.calls.len() - 1
        });
        let begun = &mut self.calls[at];
        let given = piece.id.unwrap_or_default();
        if begun.id.is_empty() {
            begun.id.clone_from(&given);
        }
        // Nothing can follow the arguments of a call that is complete.
        let Some(at) = begun.part.checked_sub(self.done) else { return };
        let Some(segment) = self.queue.get_mut(at) else { return };
        let Content::Call { id, name, arguments } = &mut segment.content else { return };
        if id.is_empty() {
            *id = given;
        }
        if name.is_empty() {
            *name = piece.function.name.unwrap_or_default();
        }
        let more = piece.function.arguments.unwrap_or_default();
        arguments.feed(&more);
        segment.held.push_str(&more);
        self.held_bytes += more.len();
    }

    fn begin(&mut self, content: Content, piece: &str) {
        let held = piece.to_owned();
        self.queue.push_back(Segment { content, open: false, held, signature: None });
        self.held_bytes += PART_BYTES;
    }

    /// Sends what can be sent now.
    ///
    /// # Errors
    /// `Upstream` if too much has to be held back.
    pub(super) fn advance(&mut self, out: &mut Out) -> Result<()> {
        while let Some(first) = self.queue.front_mut() {
            let nameless = matches!(&first.content, Content::Call { name, .. } if name.is_empty());
            if nameless {
                break;
            }
            self.held_bytes = self.held_bytes.saturating_sub(first.held.len());
            first.send(self.done, out);
            let complete = match &first.content {
                Content::Text(_) | Content::Encrypted => true,
                Content::Call { arguments, .. } => arguments.is_complete(),
            };
            if !complete || self.queue.len() == 1 {
                break;
            }
            self.close(out);
        }
        if self.held_bytes > HELD_BYTES {
            return Err(broken(format!(
                "the upstream mixes tool calls, and more than {HELD_BYTES} bytes would have to wait"
            )));
        }
        Ok(())
    }

    /// Sends all that is left, once nothing more can come.
    ///
    /// # Errors
    /// `Upstream` if a call has no name.
    pub(super) fn finish(&mut self, out: &mut Out) -> Result<()> {
        while let Some(first) = self.queue.front_mut() {
            if matches!(&first.content, Content::Call { name, .. } if name.is_empty()) {
                return Err(nameless());
            }
            first.send(self.done, out);
            self.close(out);
        }
        Ok(())
    }

    /// Ends the first part.
    fn close(&mut self, out: &mut Out) {
        let index = number(self.done);
        if let Some(signature) = self.queue.pop_front().and_then(|first| first.signature) {
            self.held_bytes = self.held_bytes.saturating_sub(signature.len());
            let delta = BlockDelta::Signature(SignatureDelta { signature });
            out.push_back(MessagesEvent::ContentBlockDelta(ContentBlockDelta { index, delta }));
        }
        out.push_back(MessagesEvent::ContentBlockStop(ContentBlockStop { index }));
        self.done += 1;
        self.held_bytes = self.held_bytes.saturating_sub(PART_BYTES);
    }
}

impl Segment {
    /// Sends the beginning, if it was not sent, and what is held.
    fn send(&mut self, part: usize, out: &mut Out) {
        let index = number(part);
        if !self.open {
            self.open = true;
            let content_block = self.content.begun(&mut self.held);
            let start = ContentBlockStart { index, content_block };
            out.push_back(MessagesEvent::ContentBlockStart(start));
            if part == 0 {
                out.push_back(MessagesEvent::Ping(Ping {}));
            }
        }
        let piece = std::mem::take(&mut self.held);
        if !piece.is_empty() {
            let delta = self.content.delta(piece);
            out.push_back(MessagesEvent::ContentBlockDelta(ContentBlockDelta { index, delta }));
        }
    }
}

impl Content {
    /// The block at its beginning; takes of `held` what stands in it already.
    fn begun(&mut self, held: &mut String) -> ContentBlock {
        match self {
            Self::Text(Text::Answer) => ContentBlock::Text(TextBlock { text: String::new() }),
            Self::Text(Text::Thoughts) => ContentBlock::Thinking(ThinkingBlock {
                thinking: String::new(),
                signature: String::new(),
            }),
            Self::Encrypted => {
                let data = std::mem::take(held);
                ContentBlock::RedactedThinking(RedactedThinkingBlock { data })
            }
            Self::Call { id, name, .. } => ContentBlock::ToolUse(ToolUseBlock {
                id: if id.is_empty() { call_id() } else { std::mem::take(id) },
                name: name.clone(),
                input: Map::new(),
            }),
        }
    }

    fn delta(&self, piece: String) -> BlockDelta {
        match self {
            // Nothing is added to encrypted thoughts.
            Self::Text(Text::Answer) | Self::Encrypted => {
                BlockDelta::Text(TextBlockDelta { text: piece })
            }
            Self::Text(Text::Thoughts) => {
                BlockDelta::Thinking(ThinkingBlockDelta { thinking: piece })
            }
            Self::Call { .. } => BlockDelta::InputJson(InputJsonDelta { partial_json: piece }),
        }
    }
}

fn number(part: usize) -> i64 {
    i64::try_from(part).unwrap_or(i64::MAX)
}
