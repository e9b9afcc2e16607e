//! The older transport of HTTP: events come by one stream, messages are posted to an address that
//! the stream names first.

use super::{
    failure::upstream,
    http::{self, Client, Events, Failed},
};
use ::http::HeaderMap;
use chaski_api::Result;
use chaski_upstream::Url;
use futures_util::StreamExt;
use rmcp::{
    RoleClient,
    model::{ClientJsonRpcMessage, ServerJsonRpcMessage},
    transport::Transport,
};

/// An open stream of events, and where messages go.
pub(super) struct SseTransport {
    client: Client,
    messages: Url,
    events: Events,
}

impl SseTransport {
    /// Opens the stream at `url` and waits for the address of messages.
    ///
    /// # Errors
    /// The server cannot be reached, does not answer with events, or names an address elsewhere.
    pub(super) async fn open(client: Client, url: &Url) -> Result<Self> {
        let response = client.listen(url.clone(), &HeaderMap::new()).await?;
        let response = http::succeeded(response).await?;
        if !http::is_events(&response) {
            let media_type = response.media_type();
            return Err(upstream(format!("it answered with `{media_type}` in place of events")));
        }
        let mut events = http::events(response.stream());
        while let Some(event) = events.next().await {
            let event = event.map_err(|error| upstream(format!("its events: {error}")))?;
            if event.event.as_deref() == Some("endpoint") {
                let messages = messages(url, event.data.as_deref().unwrap_or_default())?;
                return Ok(Self { client, messages, events });
            }
        }
        Err(upstream("its events ended before it named an address for messages"))
    }
}

/// Where messages go. Never to another origin: they carry the caller's credentials.
fn messages(url: &Url, named: &str) -> Result<Url> {
    let messages = url.join(named.trim()).ok().filter(|to| to.origin() == url.origin());
    messages.ok_or_else(|| upstream("it wants messages to be sent to another origin"))
}

impl Transport<RoleClient> for SseTransport {
    type Error = Failed;

    fn send(
        &mut self,
        item: ClientJsonRpcMessage,
    ) -> impl Future<Output = Result<(), Failed>> + Send + 'static {
        let (client, url) = (self.client.clone(), self.messages.clone());
        async move {
            let sent = client.post(url, &item, &HeaderMap::new()).await.map_err(Failed)?;
            http::succeeded(sent).await.map(drop).map_err(Failed)
        }
    }

    async fn receive(&mut self) -> Option<ServerJsonRpcMessage> {
        loop {
            let event = match self.events.next().await? {
                Ok(event) => event,
                Err(error) => {
                    tracing::debug!(target: "tools", "the events of an MCP server end: {error}");
                    return None;
                }
            };
            if event.event.as_deref().is_some_and(|name| name != "message") {
                continue;
            }
            match serde_json::from_str(event.data.as_deref().unwrap_or_default()) {
                Ok(message) => return Some(message),
                Err(error) => {
                    tracing::debug!(target: "tools", "an MCP server sent no message: {error}");
                }
            }
        }
    }

    async fn close(&mut self) -> Result<(), Failed> {
        self.events = futures_util::stream::empty().boxed();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_stay_at_the_origin_of_the_events() {
        let url = Url::parse("https://tools.example/a/sse").unwrap();
        let to = |named: &str| messages(&url, named).map(String::from);
        assert_eq!(to("/messages?id=1").unwrap(), "https://tools.example/messages?id=1");
        assert_eq!(to("messages").unwrap(), "https://tools.example/a/messages");
        for elsewhere in [
            "http://tools.example/messages",
            "https://tools.example:444/messages",
            "https://evil.example/messages",
            "//evil.example/messages",
            "file:///etc/passwd",
        ] {
            let error = to(elsewhere).unwrap_err();
            assert!(error.message.contains("another origin"), "{elsewhere}: {}", error.message);
        }
    }
}
