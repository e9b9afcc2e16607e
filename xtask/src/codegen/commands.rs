//! The command line and the environment variables.

use super::page::{Page, backticks, one_line};
use chaski_cli::VARIABLES;
use chaski_stack::templates;
use chaski_telemetry::CATEGORIES;
use clap::{Arg, Command};
use std::collections::BTreeMap;

pub(super) fn pages() -> Vec<(String, String)> {
    vec![
        ("cli.md".to_owned(), commands()),
        ("environment.md".to_owned(), environment()),
        ("logging.md".to_owned(), logging()),
    ]
}

fn commands() -> String {
    let mut page = Page::new("Commands");
    page.block(
        "`chaski COMMAND --help` says the same in the terminal, `chaski man` prints a manual page, \
         `chaski completions SHELL` a completion script.",
    );
    let mut root = chaski_cli::command().disable_help_subcommand(true);
    root.build();
    command(&mut page, &root, "");
    page.finish()
}

fn command(page: &mut Page, one: &Command, parents: &str) {
    let name = format!("{parents} {}", one.get_name()).trim().to_owned();
    if !parents.is_empty() {
        page.heading(2, &format!("`{name}`"));
    }
    let about = one.get_long_about().or(one.get_about());
    page.block(&about.map(ToString::to_string).unwrap_or_default());
    let arguments: Vec<&Arg> = one
        .get_arguments()
        .filter(|argument| !argument.is_hide_set())
        .filter(|argument| !["help", "version"].contains(&argument.get_id().as_str()))
        .collect();
    let rows: Vec<Vec<String>> =
        arguments.iter().map(|argument| vec![shape(argument), meaning(argument)]).collect();
    page.table(&["Argument", "Meaning"], &rows);
    for subcommand in one.get_subcommands().filter(|command| !command.is_hide_set()) {
        command(page, subcommand, &name);
    }
}

/// How an argument is written: `--port <PORT>`, `[FILE]`.
fn shape(argument: &Arg) -> String {
    let values: Vec<String> =
        argument.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect();
    let takes_value = argument.get_action().takes_values();
    let value = values.join(" ");
    let Some(long) = argument.get_long() else {
        let repeated = argument.get_num_args().is_some_and(|number| number.max_values() > 1);
        return format!("`{value}`{}", if repeated { " (one or more)" } else { "" });
    };
    let short = argument.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
    if takes_value { format!("`{short}--{long} {value}`") } else { format!("`{short}--{long}`") }
}

fn meaning(argument: &Arg) -> String {
    let help = argument.get_long_help().or(argument.get_help());
    let text = one_line(&help.map(ToString::to_string).unwrap_or_default());
    let defaults: Vec<_> =
        argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if defaults.is_empty() || !argument.get_action().takes_values() {
        return text;
    }
    format!("{text}; {} by default", backticks(&defaults))
}

fn environment() -> String {
    let mut page = Page::new("Environment variables");
    page.block("Of two names the first wins. An empty value counts as not set.");
    let rows: Vec<Vec<String>> = VARIABLES
        .iter()
        .map(|variable| {
            let twin = variable.twin.map(|twin| format!("`{twin}`")).unwrap_or_default();
            vec![format!("`{}`", variable.name), twin, variable.meaning.to_owned()]
        })
        .collect();
    page.table(&["Name", "Also", "Meaning"], &rows);

    page.heading(2, "In the templates");
    page.block("The templates name these in their configuration; so may yours, and any other.");
    let mut named: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for template in templates::ALL {
        for name in variables(template.run_yaml) {
            let templates = named.entry(name).or_default();
            let quoted = format!("`{}`", template.name);
            if !templates.contains(&quoted) {
                templates.push(quoted);
            }
        }
    }
    let rows: Vec<Vec<String>> = named
        .into_iter()
        .map(|(name, templates)| vec![format!("`{name}`"), templates.join(", ")])
        .collect();
    page.table(&["Name", "Templates"], &rows);
    page.finish()
}

/// The names in `${env.NAME...}`.
fn variables(text: &str) -> impl Iterator<Item = &str> {
    text.split("${env.")
        .skip(1)
        .filter_map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next())
}

fn logging() -> String {
    let mut page = Page::new("Logging");
    page.block(
        "`CHASKI_LOG` (or `LLAMA_STACK_LOGGING`) sets levels by category, separated by semicolons: \
         `server=debug;core=info`, or `all=warning`. `logging.category_levels` in the run \
         configuration does the same; the variable wins. Levels: `critical`, `error`, `warning`, \
         `info`, `debug`.",
    );
    let rows: Vec<Vec<String>> = CATEGORIES
        .iter()
        .map(|category| vec![format!("`{category}`"), about(category).to_owned()])
        .collect();
    page.table(&["Category", "What it is about"], &rows);
    page.block(
        "On a terminal lines are for people, elsewhere they are JSON, one object a line. Lines about \
         a request carry its id, and the id of its trace where there is one. Secrets are never \
         logged, texts of prompts only at `debug`.",
    );
    page.finish()
}

fn about(category: &str) -> &'static str {
    match category {
        "core" => "start and stop, configuration, the registry",
        "server" => "requests and answers",
        "router" => "which provider a request goes to",
        "inference" => "providers of inference, models in the process",
        "agents" => "turns of agents, and what shields say about them",
        "safety" => "shields",
        "tools" => "tools and the servers that have them, and vector stores",
        "client" => "what this program asks of other Llama Stack servers",
        _ => "reserved for a part that this build does not serve",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_found_in_every_form() {
        let text = "a: ${env.A}\nb: ${env.B_1:x} ${env.C+y} ${env.D:=z}";
        assert_eq!(variables(text).collect::<Vec<_>>(), ["A", "B_1", "C", "D"]);
    }
}
