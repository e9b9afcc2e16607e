//! Inference in Anthropic's form.

use crate::{
    Api, Described, Endpoint, EndpointSpec, Face, Method,
    anthropic::{CountTokensRequest, MessagesEvent, MessagesRequest, MessagesResponse, TokenCount},
};

/// What the paths of Anthropic's API begin with here; also paths below that lead nowhere answer in
/// its form.
pub const MOUNT: &str = "/v1/messages";

const fn post(
    path: &'static str,
    operation: &'static str,
    summary: &'static str,
    streams: bool,
) -> EndpointSpec {
    let spec = EndpointSpec::new(Api::Inference, Method::Post, path, operation, summary);
    EndpointSpec { streams, face: Face::Anthropic, ..spec }
}

pub struct CreateMessage;
impl Endpoint for CreateMessage {
    type Request = MessagesRequest;
    type Response = MessagesResponse;
    type Event = MessagesEvent;
    const SPEC: EndpointSpec =
        post(MOUNT, "anthropic_messages", "Generates the next message of a chat.", true);
}

pub struct CountMessageTokens;
impl Endpoint for CountMessageTokens {
    type Request = CountTokensRequest;
    type Response = TokenCount;
    type Event = ();
    const SPEC: EndpointSpec = post(
        "/v1/messages/count_tokens",
        "anthropic_count_tokens",
        "Counts the tokens of a request without answering it.",
        false,
    );
}

pub const ALL: &[Described] =
    &[Described::of::<CreateMessage>(), Described::of::<CountMessageTokens>()];
