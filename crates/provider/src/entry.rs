//! A provider as a value in a table.

use crate::Deps;
use chaski_api::{Api, Error, Issue, Reader, Result, Schemas, Wire};
use futures_util::future::BoxFuture;
use serde_json::Value;
use std::{future::Future, sync::Arc};

/// What a provider says about itself.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// The API that it serves.
    pub api: Api,
    /// Its type in a run configuration: `remote::vllm`.
    pub provider_type: &'static str,
    /// Other types that mean this provider.
    pub aliases: &'static [&'static str],
    /// One sentence for lists.
    pub summary: &'static str,
    /// The text of the reference page, in Markdown.
    pub docs: &'static str,
    /// The keys of the provider-data header that it reads.
    pub provider_data: &'static [&'static str],
    /// The environment variables that it reads where its configuration does not say.
    pub environment: &'static [&'static str],
    /// Whether streams of Llama Stack's chats show the calls of its models as they are written. For
    /// the other providers they come whole, as the reference gives them.
    pub streams_calls: bool,
    /// What to use in its place, if it should not be used any more.
    pub deprecated: Option<&'static str>,
}

impl Spec {
    /// A spec with the required facts only.
    pub const fn new(api: Api, provider_type: &'static str, summary: &'static str) -> Self {
        Self {
            api,
            provider_type,
            aliases: &[],
            summary,
            docs: "",
            provider_data: &[],
            environment: &[],
            streams_calls: false,
            deprecated: None,
        }
    }
}

/// The configuration of a provider, declared with `chaski_api::wire!`.
pub trait ProviderConfig: Wire + Send {
    /// The `config:` of a sample, with `${env...}` where a user sets something. `dir` is the
    /// folder of the distribution.
    fn sample(dir: &str) -> Value;

    /// Checks beyond the types of the fields. Pure: no network, no files.
    fn validate(&self, _reader: &mut Reader) {}
}

/// Implemented once in a provider's folder: typed, with no `Value` and no `Any`.
pub trait Provider: 'static {
    type Api: ?Sized;
    type Config: ProviderConfig;
    const SPEC: Spec;

    /// Makes the provider. It does not wait for an upstream: that is for `Lifecycle::check`.
    ///
    /// # Errors
    /// What keeps it from starting; the stack goes on without it and tries again.
    fn build(
        config: Self::Config,
        deps: Deps,
    ) -> impl Future<Output = Result<Arc<Self::Api>>> + Send;
}

/// Makes a provider from a checked configuration.
pub type Build<A> = fn(Value, Deps) -> BoxFuture<'static, Result<Arc<A>>>;

/// The erased form of a [`Provider`]: data and function pointers, so that tables are constants.
pub struct Entry<A: ?Sized> {
    pub spec: Spec,
    /// The JSON schema of the configuration; named types go into the given collection.
    pub schema: fn(&mut Schemas) -> Value,
    pub sample: fn(&str) -> Value,
    /// All problems of a configuration, with paths that start at the configuration itself.
    pub check: fn(Value) -> Vec<Issue>,
    pub build: Build<A>,
}

impl<A: ?Sized> Clone for Entry<A> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<A: ?Sized> Copy for Entry<A> {}

impl<A: ?Sized + 'static> Entry<A> {
    pub const fn of<P: Provider<Api = A>>() -> Self {
        Self {
            spec: P::SPEC,
            schema: P::Config::schema,
            sample: P::Config::sample,
            check: |value| read::<P::Config>(value).err().unwrap_or_default(),
            build: |value, deps| {
                Box::pin(async move {
                    let config = read::<P::Config>(value).map_err(Error::malformed)?;
                    P::build(config, deps).await
                })
            },
        }
    }

    /// Whether `name` means this provider.
    pub fn is(&self, name: &str) -> bool {
        self.spec.provider_type == name || self.spec.aliases.contains(&name)
    }
}

fn read<C: ProviderConfig>(value: Value) -> Result<C, Vec<Issue>> {
    let mut reader = Reader::default();
    let config = C::read(value, &mut reader);
    if let Some(config) = &config {
        config.validate(&mut reader);
    }
    reader.finish(config)
}
