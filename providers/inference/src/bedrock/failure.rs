//! Errors inside a stream, where there is no status.

use super::{NAME, broken};
use chaski_api::{Error, ErrorKind};
use chaski_upstream::framing::AwsMessage;
use serde_json::Value;

/// The exceptions of `ConverseStream` with the statuses that Bedrock answers them with outside of a
/// stream (Bedrock runtime API, `ConverseStream`).
const STATUSES: &[(&str, u16)] = &[
    ("accessDeniedException", 403),
    ("internalServerException", 500),
    ("modelNotReadyException", 429),
    ("modelErrorException", 424),
    ("modelStreamErrorException", 424),
    ("modelTimeoutException", 408),
    ("resourceNotFoundException", 404),
    ("serviceQuotaExceededException", 400),
    ("serviceUnavailableException", 503),
    ("throttlingException", 429),
    ("validationException", 400),
];

/// The error that a message of a stream stands for; nothing if it is an event.
pub(super) fn in_message(message: &AwsMessage) -> Option<Error> {
    let (code, said) = match message.header(":message-type") {
        "event" => return None,
        "exception" => {
            let body: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
            let said = ["originalMessage", "message", "Message"]
                .iter()
                .find_map(|key| body.get(key)?.as_str().filter(|text| !text.is_empty()));
            (message.header(":exception-type"), said.unwrap_or_default().to_owned())
        }
        "error" => (message.header(":error-code"), message.header(":error-message").to_owned()),
        _ => return Some(broken("sent a message that is neither an event nor an error")),
    };
    let known = STATUSES.iter().find(|(name, _)| name.eq_ignore_ascii_case(code));
    let kind = match known {
        Some((_, 429)) => ErrorKind::RateLimited { retry_after: None },
        Some((_, status)) => ErrorKind::Upstream { status: Some(*status) },
        None => ErrorKind::Upstream { status: None },
    };
    let message = match said.as_str() {
        "" => format!("{NAME} ended its answer with `{code}`"),
        said => said.to_owned(),
    };
    let mut name = code.to_owned();
    if let Some(first) = name.get_mut(..1) {
        // The header writes it like a member, the other places like a type.
        first.make_ascii_uppercase();
    }
    Some(Error::new(kind, message).with_code(name))
}
