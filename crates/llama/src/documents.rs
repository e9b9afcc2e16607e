//! The description of a model's prompt format, with examples that the renderer itself writes.

use crate::{
    call::{Builtin, Call, ToolFormat},
    models::{Family, Model},
    prompt::{Message, Prompt, Style, Tool, ToolChoice},
    tokens::{
        BEGIN_OF_TEXT, END_HEADER, END_OF_MESSAGE, END_OF_TEXT, END_OF_TURN, IMAGE, PYTHON_TAG,
        START_HEADER,
    },
};
use serde_json::json;
use std::fmt::Write;

/// The day in the examples.
const TODAY: &str = "21 September 2024";

/// What is known of the prompt format of a model, as Markdown; nothing for the generations before
/// 3.1, for 3.3 and for models that judge content, of which the reference says nothing either.
pub fn prompt_format(model: &Model) -> Option<String> {
    if !matches!(model.family, Family::Llama31 | Family::Llama32) {
        return None;
    }
    let style = Style::of(model)?;
    let mut page = Page::new(model);
    page.tokens(model.sees());
    page.base(model.sees());
    page.conversation(style);
    if model.sees() {
        page.image();
    }
    page.built_in(style);
    page.custom(style);
    Some(page.text)
}

struct Page {
    text: String,
}

impl Page {
    fn new(model: &Model) -> Self {
        let generation = match (model.family, model.sees()) {
            (Family::Llama32, true) => "3.2 with vision",
            (Family::Llama32, false) => "3.2",
            _ => "3.1",
        };
        Self { text: format!("# The prompt format of Llama {generation}\n") }
    }

    fn section(&mut self, title: &str, text: &str) {
        // Writing to a string cannot fail.
        let _ = write!(self.text, "\n## {title}\n\n{text}\n");
    }

    fn example(&mut self, label: &str, text: &str) {
        let _ = write!(self.text, "\n{label}:\n\n```\n{text}\n```\n");
    }

    fn item(&mut self, token: &str, meaning: &str) {
        let _ = writeln!(self.text, "- `{token}`: {meaning}");
    }

    fn tokens(&mut self, sees: bool) {
        self.section("Special tokens", "These texts are one token each:\n");
        self.item(BEGIN_OF_TEXT, "begins every prompt");
        self.item(END_OF_TEXT, "ends the answer of a base model");
        self.item(
            &format!("{START_HEADER}ROLE{END_HEADER}"),
            "begins a message; the role is `system`, `user`, `assistant`, or `ipython` for the \
             result of a tool",
        );
        self.item(END_OF_TURN, "ends a message and the turn");
        self.item(
            END_OF_MESSAGE,
            "ends a message of the model that calls a tool: its result comes next, and the turn \
             goes on",
        );
        self.item(PYTHON_TAG, "stands before code and before calls of built-in tools");
        if sees {
            self.item(IMAGE, "stands for an image; only the text behind it can refer to the image");
        }
    }

    fn base(&mut self, sees: bool) {
        self.section("Base models", "A base model continues a text. There are no roles.");
        self.example("Prompt", &format!("{BEGIN_OF_TEXT}The capital of Peru is"));
        if sees {
            self.example("Prompt with an image", &format!("{BEGIN_OF_TEXT}{IMAGE}This shows"));
        }
    }

    fn conversation(&mut self, style: Style) {
        self.section(
            "Conversations",
            "A message is its header, an empty line, its text and the token that ends it. The \
             prompt ends with the header of the answer.",
        );
        let messages = [
            Message::System("You are a helpful assistant".to_owned()),
            Message::User("Who are you?".to_owned()),
        ];
        self.prompt(&Prompt::new(style, &messages, TODAY));
        self.example("Answer", &format!("I am a language model.{END_OF_TURN}"));
    }

    fn image(&mut self) {
        self.section("Images", "An image stands in a message of the user, before the question.");
        self.example(
            "Prompt",
            &format!(
                "{BEGIN_OF_TEXT}{START_HEADER}user{END_HEADER}\n\n{IMAGE}What is this?{END_OF_TURN}\
                 {START_HEADER}assistant{END_HEADER}\n\n"
            ),
        );
    }

    fn built_in(&mut self, style: Style) {
        self.section(
            "Built-in tools",
            "`Environment: ipython` in the system message says that calls are carried out. It also \
             allows Python code; `Tools:` names the other built-in tools, `brave_search` and \
             `wolfram_alpha`.",
        );
        let tools = [built_in(Builtin::BraveSearch), built_in(Builtin::WolframAlpha)];
        let question = Message::User("What is the price of gold?".to_owned());
        let query = json!({ "query": "price of gold" });
        let search = call("brave_search", &query);
        let mut prompt = Prompt::new(style, std::slice::from_ref(&question), TODAY);
        prompt.tools = &tools;
        self.prompt(&prompt);
        let written = r#"brave_search.call(query="price of gold")"#;
        self.example("Answer", &format!("{PYTHON_TAG}{written}{END_OF_MESSAGE}"));
        let messages = [
            question,
            Message::Assistant { text: String::new(), calls: vec![search] },
            Message::Tool("{\"price\": 2600}".to_owned()),
        ];
        let mut prompt = Prompt::new(style, &messages, TODAY);
        prompt.tools = &tools;
        self.text.push_str("\nThe result comes back in a message with the role `ipython`:\n");
        self.prompt(&prompt);
        self.example(
            "An answer with Python code",
            &format!("{PYTHON_TAG}print(sum(range(10))){END_OF_MESSAGE}"),
        );
    }

    fn custom(&mut self, style: Style) {
        let tools = [weather()];
        let messages = [Message::User("What is the weather in Lima?".to_owned())];
        let mut prompt = Prompt::new(style, &messages, TODAY);
        prompt.tools = &tools;
        if style == Style::Llama32 {
            self.section(
                "Tools of your own",
                "The tools stand in the system message, and calls come as a list in Python's form. \
                 Several calls may come at once.",
            );
            self.prompt(&prompt);
            let answer = "[get_weather(city=\"Lima\", metric=\"celsius\")]";
            self.example("Answer", &format!("{answer}{END_OF_TURN}"));
        } else {
            self.section(
                "Tools of your own, as JSON",
                "The tools stand in a message of the user, and a call is a JSON object.",
            );
            self.prompt(&prompt);
            let answer =
                r#"{"type": "function", "name": "get_weather", "parameters": {"city": "Lima"}}"#;
            self.example("Answer", &format!("{PYTHON_TAG}{answer}{END_OF_MESSAGE}"));
            self.section(
                "Tools of your own, in tags",
                "The model can be told to write calls between `<function=...>` and `</function>`.",
            );
            prompt.format = Some(ToolFormat::FunctionTag);
            self.prompt(&prompt);
            let answer = r#"<function=get_weather>{"city": "Lima"}</function>"#;
            self.example("Answer", &format!("{answer}{END_OF_TURN}"));
        }
        prompt.format = None;
        prompt.choice = ToolChoice::Named("get_weather".to_owned());
        self.text.push_str("\nWhere a call is demanded, the system message says so:\n");
        self.prompt(&prompt);
    }

    fn prompt(&mut self, prompt: &Prompt<'_>) {
        let text = prompt.render().expect("the examples are valid");
        self.example("Prompt", &text);
    }
}

fn call(name: &str, arguments: &serde_json::Value) -> Call {
    let arguments = arguments.as_object().cloned().unwrap_or_default();
    Call { name: name.to_owned(), arguments }
}

fn built_in(tool: Builtin) -> Tool {
    Tool { name: tool.name().to_owned(), description: None, parameters: serde_json::Value::Null }
}

fn weather() -> Tool {
    Tool {
        name: "get_weather".to_owned(),
        description: Some("The weather in a city".to_owned()),
        parameters: json!({
            "type": "object",
            "properties": {
                "city": { "type": "string", "description": "The name of the city" },
                "metric": { "type": "string", "description": "`celsius` or `fahrenheit`" },
            },
            "required": ["city"],
        }),
    }
}
