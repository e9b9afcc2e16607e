//! From a conversation to the prompt that a Llama model was trained on.
//!
//! The tokens, headers and instructions are those of the prompt formats that Meta publishes with the
//! models.

use crate::{
    call::{self, Builtin, Call, ToolFormat},
    instructions,
    models::{Family, Model},
    tokens::{
        BEGIN_OF_TEXT, END_HEADER, END_OF_MESSAGE, END_OF_TURN, PYTHON_TAG, START_HEADER, as_words,
    },
};
use serde_json::Value;
use std::fmt::Write;

/// A message of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    System(String),
    User(String),
    Assistant {
        text: String,
        calls: Vec<Call>,
    },
    /// The result of a call.
    Tool(String),
}

/// A tool that the model may call. Those with the names of built-in tools are offered as such.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    pub name: String,
    pub description: Option<String>,
    /// The JSON schema of the arguments; null where nothing is said.
    pub parameters: Value,
}

/// Whether the model must call a tool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ToolChoice {
    #[default]
    Auto,
    /// Some tool.
    Required,
    /// The tool with this name.
    Named(String),
}

/// What the answer must look like.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum AnswerForm {
    #[default]
    Text,
    /// Any JSON object.
    Json,
    /// JSON that follows this schema.
    Schema(Value),
}

/// What the system message of a conversation is to the instructions for tools.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SystemText {
    /// It follows them.
    #[default]
    Appended,
    /// It takes their place; `{{ function_description }}` in it becomes the list of tools.
    Replacing,
}

/// How a model expects its tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Llama 3.1, and 3.2 with vision: custom tools in a message of the user, as JSON or in tags.
    Llama31,
    /// Llama 3.2 without vision, and 3.3: custom tools in the system message, as a Python list.
    Llama32,
    /// Llama 3 and models that judge content: no tools.
    Plain,
}

impl Style {
    /// The style of a model; nothing for Llama 2, whose tokens are others.
    pub fn of(model: &Model) -> Option<Self> {
        match model.family {
            Family::Llama2 => None,
            Family::Llama31 => Some(Self::Llama31),
            Family::Llama32 if model.sees() => Some(Self::Llama31),
            Family::Llama32 | Family::Llama33 => Some(Self::Llama32),
            Family::Llama3 | Family::Safety => Some(Self::Plain),
        }
    }

    /// The style for a model that may have a name of its vendor's: one that names no generation is
    /// taken for one of 3.1. Nothing for Llama 2.
    pub fn for_name(name: &str) -> Option<Self> {
        if let Some(model) = Model::find(name) {
            return Self::of(model);
        }
        let name = name.to_lowercase();
        let is = |words: &[&str]| words.iter().any(|word| name.contains(word));
        if is(&["llama-2-", "llama2-", "llama2:"]) {
            return None;
        }
        let later = is(&["3.2", "3-2", "3p2", "3_2", "3.3", "3-3", "3p3", "3_3"]);
        Some(if later && !is(&["vision"]) { Self::Llama32 } else { Self::Llama31 })
    }

    /// The form of calls where none is asked for.
    pub const fn usual_format(self) -> ToolFormat {
        match self {
            Self::Llama32 => ToolFormat::PythonList,
            Self::Llama31 | Self::Plain => ToolFormat::Json,
        }
    }

    const fn formats(self) -> &'static [ToolFormat] {
        match self {
            Self::Llama31 => &[ToolFormat::Json, ToolFormat::FunctionTag],
            Self::Llama32 => &[ToolFormat::PythonList],
            Self::Plain => &[],
        }
    }
}

/// Why there is no prompt for a conversation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PromptError {
    #[error("a chat needs at least one message")]
    NoMessages,
    #[error("this model was not trained to call tools; leave `tools` out")]
    NoTools,
    #[error("this model does not write calls as `{}`; use {accepted}", format.as_str())]
    Format { format: ToolFormat, accepted: String },
}

/// A conversation, and how it is to be continued.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt<'a> {
    pub style: Style,
    pub messages: &'a [Message],
    pub tools: &'a [Tool],
    pub choice: ToolChoice,
    /// The form of calls; nothing for the usual one of the style.
    pub format: Option<ToolFormat>,
    pub system: SystemText,
    pub answer: AnswerForm,
    /// The day, as `23 November 2026`.
    pub today: &'a str,
}

impl<'a> Prompt<'a> {
    /// A conversation without tools.
    pub fn new(style: Style, messages: &'a [Message], today: &'a str) -> Self {
        Self {
            style,
            messages,
            tools: &[],
            choice: ToolChoice::Auto,
            format: None,
            system: SystemText::Appended,
            answer: AnswerForm::Text,
            today,
        }
    }

    /// The text to continue. It begins with `<|begin_of_text|>` and ends with an open header.
    ///
    /// # Errors
    /// When there are no messages, or the model does not know tools or the form of their calls.
    pub fn render(&self) -> Result<String, PromptError> {
        let leading = |message: &&Message| matches!(message, Message::System(_));
        let leading = self.messages.iter().take_while(leading).count();
        if leading == self.messages.len() {
            return Err(PromptError::NoMessages);
        }
        let system: Vec<&str> = self.messages[..leading]
            .iter()
            .filter_map(|message| {
                let Message::System(text) = message else { return None };
                Some(text.as_str())
            })
            .collect();
        let format = self.format.unwrap_or(self.style.usual_format());
        self.check(format)?;
        let mut out = Rendered::new(format, self.style == Style::Llama31 && !self.tools.is_empty());
        let (system, user) = self.instructions(&as_words(&system.join("\n\n")), format);
        if !system.is_empty() {
            out.message("system", &system, END_OF_TURN);
        }
        if let Some(user) = user {
            out.message("user", &user, END_OF_TURN);
        }
        for message in &self.messages[leading..] {
            out.put(message);
        }
        if let Some(form) = instructions::answer(&self.answer) {
            out.message("user", &form, END_OF_TURN);
        }
        out.header("assistant");
        Ok(out.text)
    }

    fn check(&self, format: ToolFormat) -> Result<(), PromptError> {
        let formats = self.style.formats();
        if self.tools.is_empty() || formats.contains(&format) {
            return Ok(());
        }
        if formats.is_empty() {
            return Err(PromptError::NoTools);
        }
        let names: Vec<String> = formats.iter().map(|one| format!("`{}`", one.as_str())).collect();
        Err(PromptError::Format { format, accepted: names.join(" or ") })
    }

    /// The system message, and a message of the user with the tools.
    fn instructions(&self, system: &str, format: ToolFormat) -> (String, Option<String>) {
        let is_custom = |tool: &&Tool| Builtin::of(&tool.name).is_none();
        let custom: Vec<&Tool> = self.tools.iter().filter(is_custom).collect();
        let any_built_in = custom.len() < self.tools.len();
        let environment = match self.style {
            Style::Llama31 => !self.tools.is_empty(),
            Style::Llama32 => any_built_in,
            Style::Plain => false,
        };
        let mut head = String::new();
        if environment {
            head.push_str("Environment: ipython\n");
            let named =
                |tool: &&Tool| !is_custom(tool) && tool.name != Builtin::CodeInterpreter.name();
            let names: Vec<&str> =
                self.tools.iter().filter(named).map(|tool| tool.name.as_str()).collect();
            if !names.is_empty() {
                // Writing to a string cannot fail.
                let _ = write!(head, "Tools: {}", names.join(", "));
            }
            head.push('\n');
        }
        if environment || self.style == Style::Llama31 {
            let today = self.today;
            let _ = write!(head, "Cutting Knowledge Date: December 2023\nToday Date: {today}");
        }
        let mut parts = vec![head];
        let mut user = None;
        match self.style {
            Style::Llama32 if !custom.is_empty() => {
                parts.push(instructions::python_list(&custom, system, self.system));
            }
            Style::Llama31 if !custom.is_empty() => {
                parts.push(system.to_owned());
                user = Some(match format {
                    ToolFormat::FunctionTag => instructions::function_tag(&custom),
                    ToolFormat::Json | ToolFormat::PythonList => instructions::json(&custom),
                });
            }
            Style::Llama31 | Style::Llama32 | Style::Plain => parts.push(system.to_owned()),
        }
        if !self.tools.is_empty() {
            parts.extend(instructions::choice(&self.choice));
        }
        parts.retain(|part| !part.is_empty());
        (parts.join("\n\n"), user)
    }
}

/// The prompt as far as it is written.
struct Rendered {
    text: String,
    format: ToolFormat,
    /// Whether the system message announces an environment that carries out calls.
    environment: bool,
}

impl Rendered {
    fn new(format: ToolFormat, environment: bool) -> Self {
        Self { text: BEGIN_OF_TEXT.to_owned(), format, environment }
    }

    fn header(&mut self, role: &str) {
        for part in [START_HEADER, role, END_HEADER, "\n\n"] {
            self.text.push_str(part);
        }
    }

    fn message(&mut self, role: &str, body: &str, end: &str) {
        self.header(role);
        self.text.push_str(body);
        self.text.push_str(end);
    }

    fn put(&mut self, message: &Message) {
        match message {
            Message::System(text) => self.message("system", &as_words(text), END_OF_TURN),
            Message::User(text) => self.message("user", &as_words(text), END_OF_TURN),
            Message::Tool(text) => self.message("ipython", &as_words(text), END_OF_TURN),
            Message::Assistant { text, calls } => self.assistant(text, calls),
        }
    }

    fn assistant(&mut self, text: &str, calls: &[Call]) {
        let mut parts = vec![as_words(text).into_owned()];
        let mut tagged = false;
        let mut custom = Vec::new();
        for call in calls {
            match Builtin::of(&call.name) {
                Some(tool) => {
                    tagged = true;
                    parts.push(as_words(&call::built_in(tool, call)).into_owned());
                }
                None => custom.push(call),
            }
        }
        if !custom.is_empty() {
            tagged |= self.environment && self.format == ToolFormat::Json;
            parts.push(as_words(&self.format.written(&custom)).into_owned());
        }
        parts.retain(|part| !part.is_empty());
        let tag = if tagged { PYTHON_TAG } else { "" };
        let end = if tagged { END_OF_MESSAGE } else { END_OF_TURN };
        // The tag stands before the calls, behind what was said.
        let (said, called) = parts.split_at(usize::from(!text.is_empty()));
        let body = format!("{}{tag}{}", said.concat(), called.join("\n"));
        self.message("assistant", &body, end);
    }
}
