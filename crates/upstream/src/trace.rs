//! The context of a trace as it travels between processes (W3C Trace Context).

use http::{HeaderMap, HeaderName, HeaderValue};
use std::{fmt, num::NonZeroU64, num::NonZeroU128, ops::Range, sync::Arc};
use uuid::{Uuid, fmt::Simple};

/// Where a call stands in its trace.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What systems on the way noted about the trace.
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The longest `tracestate` that is passed on, in bytes.
const LONGEST: usize = 512;
/// The length of a `traceparent` of the first version.
const LENGTH: usize = 55;

/// A span of a trace, as it is named to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace: NonZeroU128,
    /// The span that others are below.
    pub span: NonZeroU64,
    /// The flags; the lowest bit says that the trace is recorded.
    pub flags: u8,
    /// The text of `tracestate`, passed on as it came.
    pub state: Option<Arc<str>>,
}

impl TraceParent {
    /// What the headers of a request say; nothing if they say nothing, or nothing that is allowed.
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let mut given = headers.get_all(TRACEPARENT).iter();
        let (Some(given), None) = (given.next(), given.next()) else { return None };
        let parent = Self::parse(given.as_bytes())?;
        let lists = headers.get_all(TRACESTATE).iter().filter_map(|list| list.to_str().ok());
        let state = lists.map(str::trim).filter(|list| !list.is_empty()).collect::<Vec<_>>();
        let state = state.join(",");
        let state = (1..=LONGEST).contains(&state.len()).then(|| Arc::from(state));
        Some(Self { state, ..parent })
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let version = hexadecimal(text.get(..2)?)?;
        // Later versions may say more after what the first one says.
        let complete = match (version, text.get(LENGTH)) {
            (0xff, _) | (0, Some(_)) => false,
            (_, next) => next.is_none_or(|next| *next == b'-'),
        };
        let dashes = [2, 35, 52].iter().all(|at| text.get(*at) == Some(&b'-'));
        if !complete || !dashes {
            return None;
        }
        Some(Self {
            trace: NonZeroU128::new(hexadecimal(text.get(3..35)?)?)?,
            span: NonZeroU64::new(u64::try_from(hexadecimal(text.get(36..52)?)?).ok()?)?,
            flags: u8::try_from(hexadecimal(text.get(53..LENGTH)?)?).ok()?,
            state: None,
        })
    }

    /// Each call of an upstream has one, and the formatter takes its time.
    fn text(&self) -> [u8; LENGTH] {
        let mut text = [b'-'; LENGTH];
        let mut put = |number: u128, place: Range<usize>| {
            let mut buffer = [0; Simple::LENGTH];
            let digits = Uuid::from_u128(number).simple().encode_lower(&mut buffer).as_bytes();
            text[place.clone()].copy_from_slice(&digits[digits.len() - place.len()..]);
        };
        put(0, 0..2);
        put(self.trace.get(), 3..35);
        put(self.span.get().into(), 36..52);
        // Of the flags, only those are passed on that are known.
        put((self.flags & 1).into(), 53..LENGTH);
        text
    }

    /// Puts it into the headers of a call.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::from_bytes(&self.text()) {
            headers.insert(TRACEPARENT, value);
        }
        if let Some(state) = &self.state
            && let Ok(value) = HeaderValue::from_str(state)
        {
            headers.insert(TRACESTATE, value);
        }
    }
}

/// The text of a `traceparent`.
impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.text()).unwrap_or_default())
    }
}

/// A number in lower-case hexadecimal digits, and in nothing else.
fn hexadecimal(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0_u128, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::{TRACEPARENT, TRACESTATE, TraceParent};
    use http::{HeaderMap, HeaderValue};

    const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(parents: &[&str], states: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for parent in parents {
            headers.append(TRACEPARENT, HeaderValue::from_str(parent).unwrap());
        }
        for state in states {
            headers.append(TRACESTATE, HeaderValue::from_str(state).unwrap());
        }
        headers
    }

    #[test]
    fn a_context_is_read_and_written_as_it_came() {
        let parent = TraceParent::read(&headers(&[GIVEN], &["a=1,b=2", " ", "c=3"])).unwrap();
        assert_eq!(parent.to_string(), GIVEN);
        assert_eq!(parent.state.as_deref(), Some("a=1,b=2,c=3"));
        let mut out = HeaderMap::new();
        parent.write(&mut out);
        assert_eq!(out[TRACEPARENT], GIVEN);
        assert_eq!(out[TRACESTATE], "a=1,b=2,c=3");
    }

    #[test]
    fn later_versions_are_read_as_far_as_they_are_known() {
        let later = GIVEN.replacen("00-", "cc-", 1) + "-what-the-future-will-be-like";
        let parent = TraceParent::read(&headers(&[&later], &[])).unwrap();
        assert_eq!(parent.to_string(), GIVEN);
    }

    #[test]
    fn what_is_malformed_is_as_if_it_were_not_there() {
        let zero_trace = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
        let zero_span = "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01";
        let upper = GIVEN.to_uppercase();
        let longer = format!("{GIVEN}-x");
        let version = GIVEN.replacen("00-", "ff-", 1);
        let glued = GIVEN.replacen("00-", "cc-", 1) + ".x";
        for wrong in [
            "",
            "00",
            &GIVEN[..54],
            zero_trace,
            zero_span,
            &upper,
            &longer,
            &version,
            &glued,
            &GIVEN.replace('-', "_"),
            &GIVEN.replacen('7', "g", 1),
            "\u{e4}",
        ] {
            let mut headers = headers(&[], &["a=1"]);
            headers.insert(TRACEPARENT, HeaderValue::from_bytes(wrong.as_bytes()).unwrap());
            assert_eq!(TraceParent::read(&headers), None, "{wrong}");
        }
        assert_eq!(TraceParent::read(&headers(&[GIVEN, GIVEN], &[])), None);
        assert_eq!(TraceParent::read(&headers(&[], &["a=1"])), None);
        let long = format!("a={}", "x".repeat(600));
        assert_eq!(TraceParent::read(&headers(&[GIVEN], &[&long])).unwrap().state, None);
    }
}
