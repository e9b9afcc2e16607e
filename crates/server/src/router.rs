//! From a method and a path to an endpoint.
//!
//! Paths without parameters are found by hashing; the few others are tried one after another, those
//! with more fixed text first, so that `/traces/{id:path}/spans/{id:path}` wins over
//! `/traces/{id:path}`.

use http::Method;
use percent_encoding::percent_decode_str;
use std::{borrow::Cow, collections::HashMap};

/// The values of the path's parameters, by name.
pub(crate) type Parameters = Vec<(&'static str, String)>;

/// What a path leads to.
pub(crate) enum Found<'a, T> {
    Endpoint(&'a T, Parameters),
    /// The path is known, with these methods.
    OtherMethods(Vec<&'static str>),
    /// The path is known without the slash at its end, or with one.
    Elsewhere(String),
    Nothing,
}

/// The endpoints by path and method.
pub(crate) struct Router<T> {
    fixed: HashMap<&'static str, Methods<T>>,
    patterns: Vec<(Vec<Piece>, Methods<T>)>,
}

type Methods<T> = Vec<(Method, T)>;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Piece {
    Text(&'static str),
    /// One segment, not empty.
    Segment(&'static str),
    /// The rest, or what stands before the next text; may be empty and may hold slashes.
    Rest(&'static str),
}

impl<T> Default for Router<T> {
    fn default() -> Self {
        Self { fixed: HashMap::new(), patterns: Vec::new() }
    }
}

impl<T> Router<T> {
    pub(crate) fn add(&mut self, method: chaski_api::Method, path: &'static str, endpoint: T) {
        let method = match method {
            chaski_api::Method::Get => Method::GET,
            chaski_api::Method::Post => Method::POST,
            chaski_api::Method::Delete => Method::DELETE,
        };
        if !path.contains('{') {
            self.fixed.entry(path).or_default().push((method, endpoint));
            return;
        }
        let pieces = pieces(path);
        if let Some((_, methods)) = self.patterns.iter_mut().find(|(known, _)| *known == pieces) {
            methods.push((method, endpoint));
            return;
        }
        self.patterns.push((pieces, vec![(method, endpoint)]));
        self.patterns.sort_by_key(|(pieces, _)| std::cmp::Reverse(fixed_text(pieces)));
    }

    /// What a request for `path`, as it stands in the request, leads to.
    pub(crate) fn find(&self, method: &Method, path: &str) -> Found<'_, T> {
        let path = percent_decode_str(path).decode_utf8_lossy();
        let mut other = Vec::new();
        if let Some(found) = self.find_decoded(method, &path, &mut other) {
            return found;
        }
        if !other.is_empty() {
            return Found::OtherMethods(other);
        }
        let elsewhere = match path.strip_suffix('/') {
            Some(_) => Cow::Borrowed(path.trim_end_matches('/')),
            None => Cow::Owned(format!("{path}/")),
        };
        let known = self.find_decoded(method, &elsewhere, &mut other).is_some();
        if known || !other.is_empty() {
            return Found::Elsewhere(elsewhere.into_owned());
        }
        Found::Nothing
    }

    fn find_decoded(
        &self,
        method: &Method,
        path: &str,
        other: &mut Vec<&'static str>,
    ) -> Option<Found<'_, T>> {
        if let Some(methods) = self.fixed.get(path) {
            if let Some(endpoint) = by_method(methods, method) {
                return Some(Found::Endpoint(endpoint, Vec::new()));
            }
            note(methods, other);
        }
        for (pieces, methods) in &self.patterns {
            let mut parameters = Vec::new();
            if !matches(pieces, path, &mut parameters) {
                continue;
            }
            if let Some(endpoint) = by_method(methods, method) {
                let owned = parameters.into_iter().map(|(name, value)| (name, value.to_owned()));
                return Some(Found::Endpoint(endpoint, owned.collect()));
            }
            note(methods, other);
        }
        None
    }
}

fn by_method<'a, T>(methods: &'a Methods<T>, method: &Method) -> Option<&'a T> {
    methods.iter().find(|(known, _)| known == method).map(|(_, endpoint)| endpoint)
}

fn note<T>(methods: &Methods<T>, other: &mut Vec<&'static str>) {
    for (method, _) in methods {
        let name = match *method {
            Method::GET => "GET",
            Method::DELETE => "DELETE",
            _ => "POST",
        };
        if !other.contains(&name) {
            other.push(name);
        }
    }
}

fn pieces(path: &'static str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = path;
    while let Some((text, after)) = rest.split_once('{') {
        pieces.push(Piece::Text(text));
        let (parameter, after) = after.split_once('}').unwrap_or((after, ""));
        pieces.push(match parameter.split_once(':') {
            Some((name, _)) => Piece::Rest(name),
            None => Piece::Segment(parameter),
        });
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

fn fixed_text(pieces: &[Piece]) -> usize {
    let length = |piece: &Piece| match piece {
        Piece::Text(text) => text.len(),
        Piece::Segment(_) | Piece::Rest(_) => 0,
    };
    pieces.iter().map(length).sum()
}

/// Whether the whole path has this form; notes the parameters on the way.
fn matches<'p>(
    pieces: &[Piece],
    path: &'p str,
    parameters: &mut Vec<(&'static str, &'p str)>,
) -> bool {
    let Some((first, rest)) = pieces.split_first() else { return path.is_empty() };
    match *first {
        Piece::Text(text) => {
            path.strip_prefix(text).is_some_and(|path| matches(rest, path, parameters))
        }
        Piece::Segment(name) => {
            let end = path.find('/').unwrap_or(path.len());
            let (value, after) = path.split_at(end);
            parameters.push((name, value));
            !value.is_empty() && matches(rest, after, parameters)
        }
        Piece::Rest(name) => {
            let Some(Piece::Text(text)) = rest.first() else {
                parameters.push((name, path));
                return true;
            };
            // As much as possible, as a regular expression would take.
            for (at, _) in path.rmatch_indices(text) {
                let mark = parameters.len();
                parameters.push((name, &path[..at]));
                if matches(rest, &path[at..], parameters) {
                    return true;
                }
                parameters.truncate(mark);
            }
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_api::endpoints;

    fn router() -> Router<&'static str> {
        let mut router = Router::default();
        for endpoint in endpoints::all() {
            router.add(endpoint.spec.method, endpoint.spec.path, endpoint.spec.path);
        }
        router
    }

    fn check(method: &str, path: &str, expected: &str) {
        let router = router();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let found = match router.find(&method, path) {
            Found::Endpoint(endpoint, parameters) => {
                let parameters: Vec<String> =
                    parameters.iter().map(|(name, value)| format!(" {name}={value}")).collect();
                format!("{endpoint}{}", parameters.concat())
            }
            Found::OtherMethods(methods) => methods.join(", "),
            Found::Elsewhere(path) => format!("-> {path}"),
            Found::Nothing => "nothing".to_owned(),
        };
        assert_eq!(found, expected, "{method} {path}");
    }

    #[test]
    fn parameters_may_hold_slashes_and_may_be_empty() {
        check("GET", "/v1/models", "/v1/models");
        check("GET", "/v1/models/", "/v1/models/{model_id:path} model_id=");
        check("GET", "/v1/models/a/b", "/v1/models/{model_id:path} model_id=a/b");
        check("GET", "/v1/models/a%2Fb%20c", "/v1/models/{model_id:path} model_id=a/b c");
        check("DELETE", "/v1/models/a/", "/v1/models/{model_id:path} model_id=a/");
        check("GET", "/v1/providers/p", "/v1/providers/{provider_id} provider_id=p");
        check("GET", "/v1/providers/p/q", "nothing");
    }

    #[test]
    fn routes_with_more_text_win() {
        check(
            "GET",
            "/v1/telemetry/traces/t/x/spans/s/y",
            "/v1/telemetry/traces/{trace_id:path}/spans/{span_id:path} trace_id=t/x span_id=s/y",
        );
        check(
            "POST",
            "/v1/telemetry/spans/a/b/tree",
            "/v1/telemetry/spans/{span_id:path}/tree span_id=a/b",
        );
        check("POST", "/v1/telemetry/spans/export", "/v1/telemetry/spans/export");
    }

    #[test]
    fn known_paths_name_their_methods() {
        check("HEAD", "/v1/health", "GET");
        check("PATCH", "/v1/models", "GET, POST");
        check("PUT", "/v1/models/a", "GET, DELETE");
        check("GET", "/v1/chat/completions", "POST");
    }

    #[test]
    fn a_slash_too_many_leads_to_the_path_without_it() {
        check("GET", "/v1/health/", "-> /v1/health");
        check("POST", "/v1/inference/chat-completion/", "-> /v1/inference/chat-completion");
        check("GET", "/v1/datasetio/iterrows", "-> /v1/datasetio/iterrows/");
    }

    #[test]
    fn paths_are_taken_as_they_are() {
        for path in ["/", "//v1/health", "/v1/./health", "/V1/health", "/v1/health;x", "", "*"] {
            check("GET", path, "nothing");
        }
    }
}
