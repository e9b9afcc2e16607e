//! Which failures another target may make good, and how long the one that failed rests.

use chaski_api::{Error, ErrorKind};
use std::time::Duration;

/// The longest rest that an upstream may ask for.
const LONGEST: Duration = Duration::from_mins(5);

/// Whether another target may succeed where this error came up. Mistakes of the caller are the
/// same everywhere; with `as_caller`, the credentials are the caller's own too.
pub(super) fn helps(error: &Error, as_caller: bool) -> bool {
    match error.kind {
        ErrorKind::RateLimited { .. }
        | ErrorKind::Unavailable { .. }
        | ErrorKind::Timeout
        | ErrorKind::Unsupported
        | ErrorKind::Internal
        | ErrorKind::Upstream { status: None } => true,
        // The key is revoked or was never given, the credit is used up, the model is not for this
        // account or retired: nothing that a caller without a key there has done.
        ErrorKind::Unauthenticated
        | ErrorKind::Upstream { status: Some(401 | 402 | 403 | 404 | 410) } => !as_caller,
        ErrorKind::Upstream { status: Some(status) } => {
            matches!(status, 408 | 425 | 429) || status >= 500
        }
        ErrorKind::InvalidRequest
        | ErrorKind::Forbidden
        | ErrorKind::NotFound
        | ErrorKind::Conflict
        | ErrorKind::TooLarge => false,
    }
}

/// How long a target rests after this error, if it does: `cooldown`, or as long as it asks for.
pub(super) fn rest(error: &Error, as_caller: bool, cooldown: Duration) -> Option<Duration> {
    // What it cannot do at all, or not without a key of the caller, says nothing about the next
    // request.
    let is_lasting = matches!(error.kind, ErrorKind::Unsupported | ErrorKind::Unauthenticated);
    if !helps(error, as_caller) || is_lasting || cooldown.is_zero() {
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
            assert!(helps(&upstream(status), false), "{status:?}");
        }
        for status in [400, 413, 422] {
            assert!(!helps(&upstream(Some(status)), false), "{status}");
        }
        for kind in [ErrorKind::Timeout, ErrorKind::Internal, ErrorKind::Unsupported] {
            assert!(helps(&Error::new(kind, "no"), false));
        }
        for kind in [ErrorKind::InvalidRequest, ErrorKind::NotFound, ErrorKind::TooLarge] {
            assert!(!helps(&Error::new(kind, "no"), false));
        }
    }

    #[test]
    fn where_the_operator_is_refused_another_target_helps_and_where_the_caller_is_it_does_not() {
        for status in [401, 402, 403, 404, 410] {
            let error = upstream(Some(status));
            assert!(helps(&error, false) && !helps(&error, true), "{status}");
            assert_eq!(rest(&error, false, COOLDOWN), Some(COOLDOWN), "{status}");
            assert_eq!(rest(&error, true, COOLDOWN), None, "{status}");
        }
        let keyless = Error::new(ErrorKind::Unauthenticated, "no key");
        assert!(helps(&keyless, false) && !helps(&keyless, true));
        assert_eq!(rest(&keyless, false, COOLDOWN), None, "the next caller may have a key");
        assert!(helps(&upstream(Some(503)), true));
    }

    #[test]
    fn the_rest_is_as_long_as_asked_for_within_reason() {
        let limited = |seconds| {
            let retry_after = Some(Duration::from_secs(seconds));
            rest(&Error::new(ErrorKind::RateLimited { retry_after }, "no"), false, COOLDOWN)
        };
        assert_eq!(limited(1), Some(COOLDOWN));
        assert_eq!(limited(60), Some(Duration::from_mins(1)));
        assert_eq!(limited(86_400), Some(Duration::from_mins(5)));
        assert_eq!(rest(&upstream(None), false, COOLDOWN), Some(COOLDOWN));
        assert_eq!(rest(&Error::unsupported("no"), false, COOLDOWN), None);
        assert_eq!(rest(&upstream(Some(400)), false, COOLDOWN), None);
        assert_eq!(rest(&upstream(None), false, Duration::ZERO), None);
    }
}
