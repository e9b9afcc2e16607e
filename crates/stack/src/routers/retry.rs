//! Which failures another target may make good, and how long the one that failed rests.

use chaski_api::{Error, ErrorKind};
use std::time::Duration;

/// The longest rest that an upstream may ask for.
const LONGEST: Duration = Duration::from_mins(5);

/// Whether another target may succeed where this error came up. Mistakes of the caller are the
/// same everywhere.
pub(super) fn helps(error: &Error) -> bool {
    match error.kind {
        ErrorKind::RateLimited { .. }
        | ErrorKind::Unavailable { .. }
        | ErrorKind::Timeout
        | ErrorKind::Unsupported
        | ErrorKind::Internal
        | ErrorKind::Upstream { status: None } => true,
        ErrorKind::Upstream { status: Some(status) } => {
            matches!(status, 408 | 425 | 429) || status >= 500
        }
        ErrorKind::InvalidRequest
        | ErrorKind::Unauthenticated
        | ErrorKind::Forbidden
        | ErrorKind::NotFound
        | ErrorKind::Conflict
        | ErrorKind::TooLarge => false,
    }
}

/// How long a target rests after this error, if it does: `cooldown`, or as long as it asks for.
pub(super) fn rest(error: &Error, cooldown: Duration) -> Option<Duration> {
    // What it cannot do at all says nothing about the next request.
    if !helps(error) || error.kind == ErrorKind::Unsupported || cooldown.is_zero() {
        return None;
    }
    let asked = match error.kind {
        ErrorKind::RateLimited { retry_after } | ErrorKind::Unavailable { retry_after } => {
            retry_after.unwrap_or_default().min(LONGEST)
        }
        ErrorKind::InvalidRequest
        | ErrorKind::Unauthenticated
        | ErrorKind::Forbidden
        | ErrorKind::NotFound
        | ErrorKind::Conflict
        | ErrorKind::TooLarge
        | ErrorKind::Unsupported
        | ErrorKind::Upstream { .. }
        | ErrorKind::Timeout
        | ErrorKind::Internal => Duration::ZERO,
    };
    Some(cooldown.max(asked))
}

#[cfg(test)]
mod tests {
    use super::{helps, rest};
    use chaski_api::{Error, ErrorKind};
    use std::time::Duration;

    const COOLDOWN: Duration = Duration::from_secs(10);

    fn upstream(status: Option<u16>) -> Error {
        Error::new(ErrorKind::Upstream { status }, "no")
    }

    #[test]
    fn another_target_helps_where_this_one_fails_and_not_where_the_caller_does() {
        for status in [None, Some(408), Some(429), Some(500), Some(502), Some(503), Some(529)] {
            assert!(helps(&upstream(status)), "{status:?}");
        }
        for status in [400, 401, 403, 404, 413, 422] {
            assert!(!helps(&upstream(Some(status))), "{status}");
        }
        for kind in [ErrorKind::Timeout, ErrorKind::Internal, ErrorKind::Unsupported] {
            assert!(helps(&Error::new(kind, "no")));
        }
        for kind in [ErrorKind::InvalidRequest, ErrorKind::NotFound, ErrorKind::TooLarge] {
            assert!(!helps(&Error::new(kind, "no")));
        }
    }

    #[test]
    fn the_rest_is_as_long_as_asked_for_within_reason() {
        let limited = |seconds| {
            let retry_after = Some(Duration::from_secs(seconds));
            rest(&Error::new(ErrorKind::RateLimited { retry_after }, "no"), COOLDOWN)
        };
        assert_eq!(limited(1), Some(COOLDOWN));
        assert_eq!(limited(60), Some(Duration::from_mins(1)));
        assert_eq!(limited(86_400), Some(Duration::from_mins(5)));
        assert_eq!(rest(&upstream(None), COOLDOWN), Some(COOLDOWN));
        assert_eq!(rest(&Error::unsupported("no"), COOLDOWN), None);
        assert_eq!(rest(&upstream(Some(400)), COOLDOWN), None);
        assert_eq!(rest(&upstream(None), Duration::ZERO), None);
    }
}
