//! What a request says, in the messages that shields judge.

use crate::routers::Call;
use chaski_api::{
    Error, Result,
    inference::{
        CompletionMessage, ContentItem, ImageContentItem, InterleavedContent, Message, StopReason,
        SystemMessage, TextContentItem, ToolResponseMessage, Url, UrlOrData, UserMessage,
    },
    openai::{ChatRequest, TextCompletionRequest},
};
use serde_json::Value;

/// A conversation that a model is to go on with.
pub(super) struct Asked {
    /// What came before, up to the last answer of the model.
    history: Vec<Message>,
    /// What is new, a message for each role that speaks, so that none of it hides behind the last
    /// one.
    news: Vec<Message>,
}

impl Asked {
    fn new(messages: Vec<Message>) -> Self {
        let is_answer = |message: &Message| matches!(message, Message::Assistant(_));
        // Answers at the end are to be gone on with, and are the caller's words.
        let end = messages.iter().rposition(|message| !is_answer(message)).map_or(0, |at| at + 1);
        let begin = messages[..end].iter().rposition(is_answer).map_or(0, |at| at + 1);
        let mut history = messages;
        let news = history.split_off(begin);
        let (mut instructions, mut results) = (Vec::new(), Vec::new());
        let (mut users, mut answers) = (Vec::new(), Vec::new());
        for message in news {
            match message {
                Message::System(_) => instructions.push(message),
                Message::Tool(message) => results.push(message.content),
                Message::User(message) => users.push(message.content),
                Message::Assistant(message) => answers.push(message.content),
            }
        }
        history.append(&mut instructions);
        let result =
            |content| Message::Tool(ToolResponseMessage { call_id: String::new(), content });
        let news =
            [joined(results).map(result), joined(users).map(user), joined(answers).map(answer)];
        Self { history, news: news.into_iter().flatten().collect() }
    }

    /// The conversations to judge, each by its last message.
    pub(super) fn questions(&self) -> Vec<Vec<Message>> {
        let until = |end: usize| [&self.history[..], &self.news[..=end]].concat();
        (0..self.news.len()).map(until).collect()
    }

    /// The conversation with an answer to judge.
    pub(super) fn answered(&self, text: String) -> Vec<Message> {
        let last = answer(InterleavedContent::Text(text));
        [&self.history[..], &self.news[..], &[last]].concat()
    }
}

fn user(content: InterleavedContent) -> Message {
    Message::User(UserMessage { content, context: None })
}

fn answer(content: InterleavedContent) -> Message {
    let tool_calls = Some(Vec::new());
    Message::Assistant(CompletionMessage {
        content,
        stop_reason: StopReason::EndOfTurn,
        tool_calls,
    })
}

/// All of these contents as one; nothing if there are none.
fn joined(mut contents: Vec<InterleavedContent>) -> Option<InterleavedContent> {
    if contents.len() < 2 {
        return contents.pop();
    }
    let items = contents.into_iter().flat_map(|content| match content {
        InterleavedContent::Text(text) => vec![ContentItem::Text(TextContentItem { text })],
        InterleavedContent::Item(item) => vec![item],
        InterleavedContent::Items(items) => items,
    });
    Some(InterleavedContent::Items(items.collect()))
}

/// A request whose words can be judged.
pub(super) trait Question: Call {
    /// The conversations of the request. What shields cannot look at is passed over if `lenient`.
    ///
    /// # Errors
    /// `InvalidRequest` for what shields cannot look at.
    fn asked(&self, lenient: bool) -> Result<Vec<Asked>>;

    /// How many answers each conversation is to have.
    fn answers(&self) -> usize {
        let count = self.body().get("n").and_then(Value::as_u64);
        count.and_then(|count| usize::try_from(count).ok()).unwrap_or(1).max(1)
    }

    /// Whether a stream is to end with the tokens.
    fn wants_usage(&self) -> bool {
        let options = self.body().get("stream_options");
        options
            .and_then(|options| options.get("include_usage"))
            .and_then(Value::as_bool)
            .unwrap_or_default()
    }
}

impl Question for ChatRequest {
    fn asked(&self, lenient: bool) -> Result<Vec<Asked>> {
        let messages = self.body.get("messages").and_then(Value::as_array);
        let messages = messages.into_iter().flatten();
        let read = messages.filter_map(|message| match read(message, lenient) {
            Err(_) if lenient => None,
            outcome => Some(outcome),
        });
        Ok(vec![Asked::new(read.collect::<Result<_>>()?)])
    }
}

impl Question for TextCompletionRequest {
    fn asked(&self, lenient: bool) -> Result<Vec<Asked>> {
        let prompts = match self.body.get("prompt") {
            Some(Value::Array(prompts)) => prompts.as_slice(),
            Some(prompt) => std::slice::from_ref(prompt),
            None => &[],
        };
        let texts: Vec<&str> = prompts.iter().filter_map(Value::as_str).collect();
        if texts.len() < prompts.len() && !lenient {
            return Err(unseen("a prompt of token ids", "prompt"));
        }
        let suffix = self.body.get("suffix").and_then(Value::as_str).unwrap_or_default();
        let asked = |text: &str| {
            let text =
                if suffix.is_empty() { text.to_owned() } else { format!("{text}\n{suffix}") };
            Asked::new(vec![user(InterleavedContent::Text(text))])
        };
        Ok(texts.into_iter().map(asked).collect())
    }
}

/// A message of OpenAI's API.
fn read(message: &Value, lenient: bool) -> Result<Message> {
    let role = message.get("role").and_then(Value::as_str).unwrap_or_default();
    let mut content = content(message.get("content"), lenient)?;
    Ok(match role {
        "user" => user(content),
        "system" | "developer" => Message::System(SystemMessage { content }),
        "tool" | "function" => {
            Message::Tool(ToolResponseMessage { call_id: String::new(), content })
        }
        "assistant" => {
            let calls = calls(message);
            if !calls.is_empty() {
                let calls = InterleavedContent::Text(calls.join("\n"));
                content = joined(vec![content, calls]).unwrap_or_else(|| String::new().into());
            }
            answer(content)
        }
        other => return Err(unseen(&format!("a message of the role `{other}`"), "messages")),
    })
}

fn content(content: Option<&Value>, lenient: bool) -> Result<InterleavedContent> {
    match content {
        None | Some(Value::Null) => Ok(InterleavedContent::Text(String::new())),
        Some(Value::String(text)) => Ok(InterleavedContent::Text(text.clone())),
        Some(Value::Array(parts)) => {
            let items = parts.iter().filter_map(|part| match item(part) {
                Err(_) if lenient => None,
                outcome => Some(outcome),
            });
            items.collect::<Result<_>>().map(InterleavedContent::Items)
        }
        Some(Value::Bool(_) | Value::Number(_) | Value::Object(_)) => {
            Err(unseen("content that is neither a text nor a list of parts", "messages"))
        }
    }
}

fn item(part: &Value) -> Result<ContentItem> {
    let text = |name: &str| part.get(name).and_then(Value::as_str);
    let kind = text("type").unwrap_or_default();
    let found = match (kind, part) {
        ("text" | "refusal", _) => {
            text(kind).map(str::to_owned).map(|text| ContentItem::Text(TextContentItem { text }))
        }
        ("image_url", _) => {
            let image = part.get("image_url");
            let url = image.and_then(|image| image.get("url").unwrap_or(image).as_str());
            url.map(|uri| {
                let url = Some(Url { uri: uri.to_owned() });
                ContentItem::Image(ImageContentItem { image: UrlOrData { url, data: None } })
            })
        }
        ("", Value::String(text)) => {
            Some(ContentItem::Text(TextContentItem { text: text.clone() }))
        }
        _ => None,
    };
    found.ok_or_else(|| unseen(&format!("content of the type `{kind}`"), "messages"))
}

/// The calls of a message, as text.
fn calls(message: &Value) -> Vec<String> {
    let calls = message.get("tool_calls").and_then(Value::as_array).into_iter().flatten();
    let functions = calls.filter_map(|call| call.get("function"));
    let functions = functions.chain(message.get("function_call").filter(|call| call.is_object()));
    let written = functions.map(|function| {
        let name = function.get("name").and_then(Value::as_str).unwrap_or_default();
        let arguments = function.get("arguments");
        let arguments = arguments.and_then(Value::as_str).unwrap_or_default();
        format!("{name}({arguments})")
    });
    written.collect()
}

fn unseen(what: &str, param: &str) -> Error {
    let message = format!("the shields of the model cannot judge {what}; send text or images");
    Error::invalid(message).with_param(param)
}
