//! `chaski chat`: a conversation in the terminal.

mod backend;
mod input;
mod words;

use crate::{
    args::ChatArgs,
    environment::Environment,
    failure::{Failure, Outcome},
    logging,
    output::Output,
    source::DEFAULT_TEMPLATE,
};
use backend::Backend;
use chaski_stack::config::nearest;
use chaski_weights::DEFAULT_CHAT;
use futures_util::StreamExt;
use input::{Entered, Input};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio::runtime::Runtime;
use words::{HELP, Word};

pub(crate) fn run(args: &ChatArgs, environment: &Environment, output: Output) -> Outcome {
    let logging = logging::start(environment, &BTreeMap::new(), true)?;
    let runtime = crate::run::runtime()?;
    let talk = runtime.block_on(async {
        let key = args.api_key.as_deref();
        let backend = match (&args.url, &args.config) {
            (Some(url), _) => Backend::server(url, key, environment)?,
            (None, Some(config)) => Backend::inside(config, environment).await?,
            (None, None) => match Backend::running(environment, key).await {
                Some(backend) => backend,
                None => Backend::inside(DEFAULT_TEMPLATE, environment).await?,
            },
        };
        let model = choose(&backend, args.model.as_deref()).await?;
        Ok::<_, Failure>(Talk {
            backend,
            model,
            system: args.system.clone(),
            said: Vec::new(),
            output,
        })
    });
    let mut talk = talk?;
    let history = environment.config_dir().ok().map(|dir| dir.join("chat-history"));
    if let Some(folder) = history.as_ref().and_then(|path| path.parent()) {
        // Without the folder there is no history, and that is all.
        let _ = std::fs::create_dir_all(folder);
    }
    let mut input = Input::open(history)?;
    if input.is_terminal() {
        crate::note(
            "chat",
            &format!("with `{}` {}; /help shows the commands", talk.model, talk.backend.place()),
        );
    }
    let ended = talk.converse(&runtime, &mut input);
    runtime.block_on(talk.backend.close());
    drop(logging);
    ended
}

/// The model that is asked for, if it exists, or the first one.
async fn choose(backend: &Backend, wanted: Option<&str>) -> Outcome<String> {
    let models = backend.models().await?;
    let place = backend.place();
    let Some(wanted) = wanted else {
        return models.into_iter().next().ok_or_else(|| {
            Failure::failed(format!("there is no model to talk with {place}"))
                .hint(format!("fetch one with `chaski model pull {DEFAULT_CHAT}`"))
        });
    };
    if models.iter().any(|model| model == wanted) {
        return Ok(wanted.to_owned());
    }
    let failure = Failure::failed(format!("there is no model `{wanted}` {place}"));
    Err(match nearest(wanted, models.iter().map(String::as_str)) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None if models.is_empty() => {
            failure.hint(format!("fetch one with `chaski model pull {DEFAULT_CHAT}`"))
        }
        None => failure.hint(format!("models: {}", models.join(", "))),
    })
}

/// A conversation.
struct Talk {
    backend: Backend,
    model: String,
    system: Option<String>,
    /// What was said so far, in OpenAI's form.
    said: Vec<Value>,
    output: Output,
}

impl Talk {
    /// Until the user leaves. On a terminal an answer that fails is told and the talk goes on;
    /// else it is the end, so that a script notices.
    fn converse(&mut self, runtime: &Runtime, input: &mut Input) -> Outcome {
        let terminal = input.is_terminal();
        loop {
            let line = match input.next()? {
                Entered::Line(line) => line,
                Entered::Interrupted => {
                    crate::note("chat", "Ctrl-D or /exit leaves");
                    continue;
                }
                Entered::End => return Ok(()),
            };
            let done = match Word::of(&line) {
                Word::Nothing => Ok(()),
                Word::Exit => return Ok(()),
                Word::Help => self.output.text(HELP),
                Word::Clear => {
                    self.said.clear();
                    Ok(())
                }
                Word::Model(name) => runtime.block_on(self.change(name)),
                Word::Unknown(name) => Err(Failure::failed(format!(
                    "there is no command `/{name}`; /help shows the commands"
                ))),
                Word::Say(text) => runtime.block_on(self.say(text)),
            };
            match done {
                Err(Failure { message: Some(message), hint, .. }) if terminal => {
                    crate::note("error", &message);
                    if let Some(hint) = hint {
                        crate::note("hint", &hint);
                    }
                }
                done => done?,
            }
        }
    }

    async fn change(&mut self, name: Option<&str>) -> Outcome {
        if let Some(name) = name {
            self.model = choose(&self.backend, Some(name)).await?;
            return Ok(());
        }
        for model in self.backend.models().await? {
            let mark = if model == self.model { "*" } else { " " };
            self.output.line(&format!("{mark} {model}"))?;
        }
        Ok(())
    }

    /// Says `text` and prints the answer as it comes. Ctrl-C ends the answer, not the talk.
    async fn say(&mut self, text: &str) -> Outcome {
        self.said.push(json!({ "role": "user", "content": text }));
        let mut answer = String::new();
        let ended = tokio::select! {
            ended = self.listen(&mut answer) => ended,
            _ = tokio::signal::ctrl_c() => Ok(()),
        };
        if !answer.is_empty() && !answer.ends_with('\n') {
            self.output.text("\n")?;
        }
        if answer.is_empty() {
            // What got no answer was not said.
            self.said.pop();
        } else {
            self.said.push(json!({ "role": "assistant", "content": answer }));
        }
        ended
    }

    async fn listen(&self, answer: &mut String) -> Outcome {
        let system = self.system.iter().map(|text| json!({ "role": "system", "content": text }));
        let messages = system.chain(self.said.iter().cloned()).collect();
        let mut pieces = self.backend.say(&self.model, messages).await?;
        while let Some(piece) = pieces.next().await {
            let piece = piece?;
            answer.push_str(&piece);
            if self.output.terminal {
                self.output.text(&harmless(&piece))?;
            } else {
                self.output.text(&piece)?;
            }
        }
        Ok(())
    }
}

/// The text without what would steer the terminal.
fn harmless(text: &str) -> String {
    let keep = |letter: &char| !letter.is_control() || matches!(letter, '\n' | '\t');
    text.chars().filter(keep).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_model_cannot_steer_the_terminal() {
        assert_eq!(super::harmless("a\u{1b}[2Jb\r\n\tc\u{9b}"), "a[2Jb\n\tc");
    }
}
