//! Inference in Anthropic's form.

use crate::{
    Api, EndpointSpec, Face,
    anthropic::{CountTokensRequest, MessagesEvent, MessagesRequest, MessagesResponse, TokenCount},
};

/// What the paths of Anthropic's API begin with here; also paths below that lead nowhere answer in
/// its form.
pub const MOUNT: &str = "/v1/messages";

endpoints! {
    like EndpointSpec { face: Face::Anthropic, ..EndpointSpec::of(Api::Inference) };

    CreateMessage(MessagesRequest) -> MessagesResponse | MessagesEvent =
        Post MOUNT, "anthropic_messages", "Generates the next message of a chat.";

    CountMessageTokens(CountTokensRequest) -> TokenCount =
        Post "/v1/messages/count_tokens", "anthropic_count_tokens",
        "Counts the tokens of a request without answering it.";
}
