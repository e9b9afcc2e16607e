//! Tool calls of an answer, whole or in pieces.

use chaski_api::{
    Error, Result,
    inference::{ToolCall, UnparsedToolCall},
    openai::FunctionToolCall,
};
use serde_json::{Map, Value};

/// A call as the model wrote it; its arguments may not be JSON.
#[derive(Debug, Default)]
pub(super) struct RawCall {
    index: Option<i64>,
    id: String,
    name: String,
    arguments: String,
}

impl RawCall {
    /// The call with its arguments understood.
    ///
    /// # Errors
    /// `InvalidRequest` with the place of the fault, in the words of Python's JSON reader.
    pub(super) fn parse(&self) -> Result<ToolCall> {
        Ok(ToolCall {
            call_id: self.id.clone(),
            tool_name: self.name.clone(),
            arguments: arguments(&self.arguments)?,
        })
    }

    /// Whether it has been begun as text.
    pub(super) fn is_named(&self) -> bool {
        !self.name.is_empty()
    }

    /// The call as text, for a client that must be told about a call that cannot be understood.
    pub(super) fn raw(&self) -> String {
        let call = UnparsedToolCall {
            call_id: self.id.clone(),
            tool_name: self.name.clone(),
            arguments: self.arguments.clone(),
        };
        call.to_string()
    }
}

/// What a call counts, however short it is: every piece is looked for among all calls.
const CALL: usize = 4096;

/// Puts the pieces of calls together, in the order in which the calls began.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    calls: Vec<RawCall>,
    /// The bytes of all pieces, with something for each call.
    bytes: usize,
}

impl Assembly {
    /// Takes a piece, and gives what it adds to its call as text: the name with a bracket, then the
    /// arguments. Nothing as long as the call has no name.
    pub(super) fn add(&mut self, piece: FunctionToolCall) -> String {
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        self.bytes +=
            length(&piece.id) + length(&piece.function.name) + length(&piece.function.arguments);
        let begun = self.calls.iter().map(|call| (call.index, call.id.as_str()));
        let continued = piece.continues(&begun);
        let id = piece.id.filter(|id| !id.is_empty());
        let name = piece.function.name.filter(|name| !name.is_empty());
        let at = continued.unwrap_or_else(|| {
            self.bytes += CALL;
            self.calls.push(RawCall { index: piece.index, ..RawCall::default() });
            self.calls.len() - 1
        });
        let call = &mut self.calls[at];
        if let Some(id) = id
            && call.id.is_empty()
        {
            call.id = id;
        }
        let piece = piece.function.arguments.unwrap_or_default();
        call.arguments.push_str(&piece);
        match name {
            Some(name) if call.name.is_empty() => {
                call.name = name;
                format!("{}({}", call.name, call.arguments)
            }
            _ if call.name.is_empty() => String::new(),
            _ => piece,
        }
    }

    /// How many bytes have come, with something for each call.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    /// The calls; those without an id are given one.
    pub(super) fn into_calls(mut self) -> Vec<RawCall> {
        for call in &mut self.calls {
            if call.id.is_empty() {
                call.id = uuid::Uuid::new_v4().to_string();
            }
        }
        self.calls
    }
}

fn arguments(text: &str) -> Result<Map<String, Value>> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(arguments)) => Ok(arguments),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            Err(Error::invalid("the arguments of the tool call are not a JSON object"))
        }
        Err(error) => {
            // Python counts from where a value was expected, serde to the last character read.
            let (line, column) = (error.line(), error.column() + usize::from(error.is_eof()));
            let before: usize =
                text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
            let at = before + column.saturating_sub(1);
            Err(Error::invalid(format!("Expecting value: line {line} column {column} (char {at})")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_api::Wire;
    use serde_json::json;

    fn assembled(pieces: Value) -> Vec<RawCall> {
        let mut assembly = Assembly::default();
        for piece in Vec::<FunctionToolCall>::from_json(pieces).expect("the pieces are well formed")
        {
            assembly.add(piece);
        }
        assembly.into_calls()
    }

    #[test]
    fn pieces_of_parallel_calls_are_told_apart_by_index() {
        let calls = assembled(json!([
            { "index": 0, "id": "a", "function": { "name": "f", "arguments": "" } },
            { "index": 1, "id": "b", "function": { "name": "g", "arguments": "{\"x\"" } },
            { "index": 0, "function": { "arguments": "{}" } },
            { "index": 1, "function": { "arguments": ":1}" } },
        ]));
        assert_eq!(calls.len(), 2);
        assert_eq!((calls[0].name.as_str(), calls[0].arguments.as_str()), ("f", "{}"));
        assert_eq!(calls[1].parse().unwrap().arguments, *json!({ "x": 1 }).as_object().unwrap());
    }

    #[test]
    fn calls_without_an_index_or_with_the_same_one_are_told_apart_by_id() {
        for index in [Value::Null, json!(0)] {
            let calls = assembled(json!([
                { "index": index, "id": "a", "function": { "name": "f", "arguments": "{" } },
                { "index": index, "function": { "arguments": "}" } },
                { "index": index, "id": "b", "function": { "name": "f", "arguments": "{}" } },
            ]));
            let texts: Vec<_> = calls.iter().map(|call| call.arguments.as_str()).collect();
            assert_eq!(texts, ["{}", "{}"], "{index}");
        }
    }

    #[test]
    fn a_repeated_id_continues_its_call() {
        let calls = assembled(json!([
            { "index": 0, "id": "a", "function": { "name": "f", "arguments": "{" } },
            { "index": 0, "id": "a", "function": { "name": "f", "arguments": "}" } },
        ]));
        assert_eq!(calls.len(), 1);
        assert_eq!((calls[0].name.as_str(), calls[0].arguments.as_str()), ("f", "{}"));
    }

    #[test]
    fn pieces_are_text_once_the_call_has_a_name() {
        let mut assembly = Assembly::default();
        let pieces = json!([
            { "index": 0, "id": "a", "function": { "arguments": "{" } },
            { "index": 0, "function": { "name": "f", "arguments": "\"x\":" } },
            { "index": 0, "function": { "name": "f", "arguments": "1}" } },
            { "index": 0, "function": {} },
        ]);
        let pieces =
            Vec::<FunctionToolCall>::from_json(pieces).expect("the pieces are well formed");
        let texts: Vec<String> = pieces.into_iter().map(|piece| assembly.add(piece)).collect();
        assert_eq!(texts, ["", "f({\"x\":", "1}", ""]);
    }

    #[test]
    fn a_call_without_an_id_gets_one() {
        let calls = assembled(json!([{ "function": { "name": "f" } }]));
        assert!(!calls[0].id.is_empty());
        assert!(calls[0].parse().unwrap().arguments.is_empty());
    }

    #[test]
    fn arguments_that_are_not_json_are_named_with_their_place() {
        let message = |text| arguments(text).unwrap_err().message;
        assert_eq!(message("{\"broken\": "), "Expecting value: line 1 column 12 (char 11)");
        assert_eq!(message("nope"), "Expecting value: line 1 column 2 (char 1)");
        assert_eq!(message("[1]"), "the arguments of the tool call are not a JSON object");
    }

    #[test]
    fn a_broken_call_is_shown_as_python_shows_it() {
        let call = RawCall {
            index: None,
            id: "c".into(),
            name: "f".into(),
            arguments: "{\"broken\": ".into(),
        };
        assert_eq!(call.raw(), "call_id='c' tool_name='f' arguments='{\"broken\": '");
    }
}
