//! What the start says: what is served, by whom, where, and how long it took.

use chaski_api::inspect::{HealthStatus, ProviderInfo};
use std::{fmt::Write, net::SocketAddr, time::Duration};

/// The facts of a start.
pub(super) struct Greeting<'a> {
    pub(super) name: &'a str,
    pub(super) addresses: &'a [SocketAddr],
    pub(super) tls: bool,
    pub(super) authenticated: bool,
    pub(super) providers: &'a [ProviderInfo],
    pub(super) models: &'a [String],
    /// What to do so that there is a model to talk with, if there is none yet.
    pub(super) hint: Option<&'a str>,
    pub(super) took: Duration,
}

/// The most models that are named.
const MODELS: usize = 8;

impl Greeting<'_> {
    /// The addresses as URLs.
    pub(super) fn urls(&self) -> Vec<String> {
        let scheme = if self.tls { "https" } else { "http" };
        self.addresses.iter().map(|address| format!("{scheme}://{address}")).collect()
    }

    /// For people.
    pub(super) fn human(&self, colours: bool) -> String {
        let longest = self.providers.iter().map(|provider| provider.api.len() + 3).max();
        let width = longest.unwrap_or_default().max(12);
        let mut out = String::new();
        let mut line = |label: &str, text: &str| {
            let label = format!("{label:<width$}");
            // Writing to a string cannot fail.
            let _ = if colours {
                writeln!(out, "\u{1b}[1m{label}\u{1b}[0m{text}")
            } else {
                writeln!(out, "{label}{text}")
            };
        };
        line(
            "chaski",
            &format!(
                "{} serves `{}` after {} ms",
                env!("CARGO_PKG_VERSION"),
                self.name,
                self.took.as_millis()
            ),
        );
        let urls = self.urls();
        for (index, url) in urls.iter().enumerate() {
            line(if index == 0 { "  at" } else { "" }, url);
        }
        if let Some(url) = urls.first() {
            line("  docs", &format!("{url}/docs"));
        }
        let widest = |text: fn(&ProviderInfo) -> &str| {
            self.providers.iter().map(|provider| text(provider).chars().count()).max().unwrap_or(0)
        };
        let ids = widest(|provider| &provider.provider_id);
        let types = widest(|provider| &provider.provider_type);
        let mut api = "";
        let shown = self.providers.iter().filter(|provider| is_on(provider));
        for provider in shown {
            let label = if provider.api == api { "" } else { &provider.api };
            api = &provider.api;
            line(
                &format!("  {label}"),
                &format!(
                    "{:<ids$}  {:<types$}  {}",
                    provider.provider_id,
                    provider.provider_type,
                    health(provider)
                ),
            );
        }
        let off = self.providers.iter().filter(|provider| !is_on(provider)).count();
        if off > 0 {
            line("", &format!("({off} more switched off; `chaski config show` lists them)"));
        }
        for (index, model) in self.models.iter().take(MODELS).enumerate() {
            line(if index == 0 { "  models" } else { "" }, model);
        }
        if self.models.len() > MODELS {
            line("", &format!("and {} more", self.models.len() - MODELS));
        }
        if let Some(hint) = self.hint {
            line("  next", hint);
        }
        if !self.authenticated {
            let open = self.addresses.iter().any(|address| !address.ip().is_loopback());
            line(
                "  access",
                if open {
                    "everyone who reaches this machine: no authentication is configured"
                } else {
                    "this machine only, since no authentication is configured"
                },
            );
        }
        out
    }

    /// For programs: one log line, and one for each provider that does not serve.
    pub(super) fn log(&self) {
        for provider in self.providers.iter().filter(|provider| is_on(provider)) {
            tracing::info!(
                target: "core",
                api = provider.api,
                provider = provider.provider_id,
                provider_type = provider.provider_type,
                health = health(provider),
                "provider"
            );
        }
        if let Some(hint) = self.hint {
            tracing::info!(target: "core", "{hint}");
        }
        tracing::info!(
            target: "server",
            stack = self.name,
            urls = self.urls().join(" "),
            port = self.addresses.first().map(SocketAddr::port),
            models = self.models.join(" "),
            authenticated = self.authenticated,
            took_ms = u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
            "Listening on {}",
            self.urls().join(" ")
        );
    }
}

fn is_on(provider: &ProviderInfo) -> bool {
    provider.health.status != HealthStatus::Disabled
}

fn health(provider: &ProviderInfo) -> String {
    match &provider.health.message {
        Some(message) => format!("{}: {message}", provider.health.status),
        None => provider.health.status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_api::inspect::ProviderHealth;

    fn provider(id: &str, status: HealthStatus, message: Option<&str>) -> ProviderInfo {
        ProviderInfo {
            api: "inference".to_owned(),
            provider_id: id.to_owned(),
            provider_type: format!("remote::{id}"),
            config: serde_json::Map::new(),
            health: ProviderHealth::new(status, message.map(str::to_owned)),
        }
    }

    #[test]
    fn the_greeting_says_what_is_served_by_whom_and_where() {
        let providers = [
            provider("vllm", HealthStatus::Ok, None),
            provider("ollama", HealthStatus::Degraded, Some("nobody answers")),
            provider("openai", HealthStatus::Disabled, None),
        ];
        let greeting = Greeting {
            name: "starter",
            addresses: &["127.0.0.1:8321".parse().unwrap(), "[::1]:8321".parse().unwrap()],
            tls: false,
            authenticated: false,
            providers: &providers,
            models: &["a".to_owned()],
            hint: Some("do this"),
            took: Duration::from_millis(7),
        };
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            greeting.human(false),
            format!(
                "\
chaski      {version} serves `starter` after 7 ms
  at        http://127.0.0.1:8321
            http://[::1]:8321
  docs      http://127.0.0.1:8321/docs
  inference vllm    remote::vllm    OK
            ollama  remote::ollama  Degraded: nobody answers
            (1 more switched off; `chaski config show` lists them)
  models    a
  next      do this
  access    this machine only, since no authentication is configured
"
            )
        );
    }
}
