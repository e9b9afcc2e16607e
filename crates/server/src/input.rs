//! A request on its way to the type that its endpoint declares.

use crate::{json, router::Parameters};
use bytes::Bytes;
use chaski_api::{
    Endpoint, EndpointSpec, Error, ErrorKind, Face, Issue, Method, Reader, Result, Schemas,
    Segment, Wire, openai::Body,
};
use http::{HeaderMap, header};
use serde_json::{Map, Value};
use std::{borrow::Cow, sync::Arc};

/// Bodies from this size on are read on a thread that may compute.
const LARGE: usize = 512 * 1024;

/// What an endpoint takes.
pub(crate) struct Shape {
    spec: EndpointSpec,
    /// All fields of the request, in the order of their declaration.
    fields: Vec<Cow<'static, str>>,
    in_path: Vec<&'static str>,
    /// The fields that are lists: a query gives their members with commas between them, or one by one.
    lists: Vec<String>,
}

impl Shape {
    pub(crate) fn of<E: Endpoint>() -> Self {
        let mut schemas = Schemas::default();
        let schema = E::Request::schema(&mut schemas);
        let properties = schemas.resolve(&schema)["properties"].as_object();
        let (mut fields, mut lists) = (Vec::new(), Vec::new());
        for (name, field) in properties.into_iter().flatten() {
            fields.push(Cow::Owned(name.clone()));
            let forms =
                field["anyOf"].as_array().map_or(std::slice::from_ref(field), Vec::as_slice);
            if forms.iter().any(|form| form["type"] == "array") {
                lists.push(name.clone());
            }
        }
        Self { spec: E::SPEC, fields, in_path: E::SPEC.parameters().collect(), lists }
    }

    /// Every parameter, named as missing: what the reference says about a body that is no object.
    fn all_missing(&self) -> Error {
        let fields = self.fields.iter().filter(|name| !self.in_path.contains(&name.as_ref()));
        let issues = fields.map(|name| Issue {
            loc: vec![Segment::Key(Cow::Borrowed("body")), Segment::Key(name.clone())],
            msg: "Field required".to_owned(),
            kind: "missing",
        });
        Error::malformed(issues.collect())
    }

    fn not_an_object(&self, what: &str) -> Error {
        match self.spec.face {
            Face::LlamaStack => self.all_missing(),
            Face::OpenAi | Face::Anthropic => {
                Error::invalid(format!("the body must be a JSON object, not {what}"))
            }
        }
    }

    fn not_json(&self, content_type: &str) -> Error {
        match self.spec.face {
            Face::LlamaStack => self.all_missing(),
            Face::OpenAi | Face::Anthropic => Error::invalid(format!(
                "the body must be JSON (`content-type: application/json`), not `{content_type}`"
            )),
        }
    }
}

/// What came.
pub(crate) struct Input {
    pub(crate) body: Bytes,
    /// The `content-type` header.
    pub(crate) content_type: Option<String>,
    pub(crate) query: Option<String>,
    pub(crate) parameters: Parameters,
}

impl Input {
    /// The `content-type` of a request, which says whether its body is JSON.
    pub(crate) fn content_type(headers: &HeaderMap) -> Option<String> {
        let value = headers.get(header::CONTENT_TYPE)?;
        // What everyone sends is recognised without a copy.
        (value != "application/json")
            .then(|| String::from_utf8_lossy(value.as_bytes()).into_owned())
    }

    /// The request, and whether it asks for a stream of events.
    pub(crate) async fn read<E: Endpoint>(
        self,
        shape: Arc<Shape>,
        depth: usize,
    ) -> Result<(E::Request, bool)> {
        if self.body.len() < LARGE {
            return self.read_now::<E>(&shape, depth);
        }
        tokio::task::spawn_blocking(move || self.read_now::<E>(&shape, depth))
            .await
            .map_err(|error| Error::internal("reading a request failed").caused_by(error))?
    }

    fn read_now<E: Endpoint>(mut self, shape: &Shape, depth: usize) -> Result<(E::Request, bool)> {
        let parameters = std::mem::take(&mut self.parameters);
        if shape.spec.face != Face::LlamaStack && shape.spec.method == Method::Post {
            let mut body = self.members(shape, depth)?;
            for (name, value) in parameters {
                body.insert(name.to_owned(), value.into());
            }
            let wants_events = shape.spec.streams && body.get("stream").is_some_and(is_true);
            let mut reader = Reader::rooted("body");
            let request = E::Request::read_body(body, &mut reader);
            let request = reader.finish(request).map(|request| (request, wants_events));
            return request.map_err(|issues| malformed(shape, issues));
        }
        let mut object = match shape.spec.method {
            Method::Post => self.body_object(shape, depth)?,
            Method::Get | Method::Delete => self.query_object(shape),
        };
        for (name, value) in parameters {
            object.insert(name.to_owned(), value.into());
        }
        let wants_events = shape.spec.streams && object.get("stream").is_some_and(is_true);
        let root = match shape.spec.method {
            Method::Post => "body",
            Method::Get | Method::Delete => "query",
        };
        let mut reader = Reader::rooted(root);
        let request = E::Request::read(Value::Object(object), &mut reader);
        let request = reader.finish(request).map(|request| (request, wants_events));
        request.map_err(|issues| malformed(shape, issues))
    }

    /// The body of a request of OpenAI's or Anthropic's form, which may be passed on as it came.
    fn members(self, shape: &Shape, depth: usize) -> Result<Body> {
        if !self.body.is_empty() {
            self.check_content_type(shape)?;
            if let Some(body) = json::members(&self.body, depth)? {
                return Ok(body);
            }
        }
        // What is no object is named.
        self.body_object(shape, depth).map(Body::from)
    }

    fn check_content_type(&self, shape: &Shape) -> Result<()> {
        match &self.content_type {
            Some(content_type) if !is_json(content_type) => Err(shape.not_json(content_type)),
            Some(_) | None => Ok(()),
        }
    }

    fn body_object(self, shape: &Shape, depth: usize) -> Result<Map<String, Value>> {
        if self.body.is_empty() {
            return Ok(Map::new());
        }
        self.check_content_type(shape)?;
        match json::parse(&self.body, depth)? {
            Value::Object(mut object) => {
                // The other faces pass the body on, and there a null may mean something.
                if shape.spec.face == Face::LlamaStack && object.values().any(Value::is_null) {
                    object.retain(|_, value| !value.is_null());
                }
                Ok(object)
            }
            Value::Null => Ok(Map::new()),
            Value::Array(_) => Err(shape.not_an_object("a list")),
            Value::String(_) => Err(shape.not_an_object("a string")),
            Value::Number(_) => Err(shape.not_an_object("a number")),
            Value::Bool(_) => Err(shape.not_an_object("a boolean")),
        }
    }

    fn query_object(&self, shape: &Shape) -> Map<String, Value> {
        let query = self.query.as_deref().unwrap_or_default();
        let mut object = Map::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if shape.lists.iter().any(|list| *list == name) {
                let members = value.split(',').map(str::trim).filter(|member| !member.is_empty());
                let list = object.entry(name).or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(list) = list {
                    list.extend(members.map(Value::from));
                }
            } else {
                // Of parameters given twice, the last counts.
                object.insert(name.into_owned(), Value::String(value.into_owned()));
            }
        }
        object
    }
}

/// The problems of a request, each where the request has it.
fn malformed(shape: &Shape, mut issues: Vec<Issue>) -> Error {
    for issue in &mut issues {
        if let [first, Segment::Key(name), ..] = issue.loc.as_mut_slice()
            && shape.in_path.contains(&name.as_ref())
        {
            *first = Segment::Key(Cow::Borrowed("path"));
        }
    }
    Error::malformed(issues)
}

/// Whether a value means `true`, in the lax way in which it is read.
fn is_true(value: &Value) -> bool {
    bool::read(value.clone(), &mut Reader::default()).unwrap_or_default()
}

/// `application/json`, or another type that says it is JSON.
fn is_json(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let media_type = media_type.to_ascii_lowercase();
    media_type
        .strip_prefix("application/")
        .is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

/// A body that passes the limit.
pub(crate) fn too_large(limit: usize) -> Error {
    Error::new(ErrorKind::TooLarge, format!("the body has more than {limit} bytes"))
}

/// Checks that a body comes as it is: what is small here may be endless when it is unpacked.
///
/// # Errors
/// `InvalidRequest` for any `content-encoding`.
pub(crate) fn uncompressed(headers: &HeaderMap) -> Result<()> {
    match headers.get(header::CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => {
            Err(Error::invalid("the body must come without `content-encoding`"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_api::endpoints::agents::GetAgentSession;

    #[test]
    fn json_goes_by_several_names() {
        for name in
            ["application/json; charset=utf-8", "application/vnd.api+json", "Application/JSON"]
        {
            assert!(is_json(name), "{name}");
        }
        for name in ["text/plain", "text/json", "", "application/x-www-form-urlencoded", "json"] {
            assert!(!is_json(name), "{name}");
        }
    }

    #[test]
    fn a_query_gives_the_members_of_a_list_with_commas_or_one_by_one() {
        let shape = Shape::of::<GetAgentSession>();
        for (query, wanted) in [
            ("turn_ids=a&turn_ids=b", Some(vec!["a", "b"])),
            ("turn_ids=a,b", Some(vec!["a", "b"])),
            ("turn_ids=a%2C%20b&turn_ids=c", Some(vec!["a", "b", "c"])),
            ("turn_ids=a", Some(vec!["a"])),
            ("turn_ids=", Some(vec![])),
            ("", None),
        ] {
            let input = Input {
                body: Bytes::new(),
                content_type: None,
                query: Some(format!("{query}&agent_id=no")),
                parameters: vec![("agent_id", "a".to_owned()), ("session_id", "s".to_owned())],
            };
            let (request, _) = input.read_now::<GetAgentSession>(&shape, 10).unwrap();
            let given = request.turn_ids.as_ref();
            let given = given.map(|ids| ids.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(given, wanted, "{query}");
            assert_eq!((request.agent_id.as_str(), request.session_id.as_str()), ("a", "s"));
        }
    }

    #[test]
    fn streams_are_asked_for_in_the_lax_way() {
        assert!(is_true(&"true".into()) && is_true(&1.into()) && is_true(&true.into()));
        assert!(!is_true(&Value::Null) && !is_true(&"no".into()) && !is_true(&"x".into()));
    }
}
