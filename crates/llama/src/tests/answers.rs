//! What the answers of models mean, row by row, and that it does not matter how they are cut.

use crate::{Answer, End, Event, Reader, parse};
use serde_json::{Map, Value, json};

const TOOLS: [&str; 6] = ["f", "g", "foo", "brave_search", "wolfram_alpha", "code_interpreter"];

/// The text, the calls as `name{arguments}`, and the end.
fn read(text: &str, offered: &[&str]) -> (String, Vec<String>, Option<End>) {
    let Answer { text, calls, end } = parse(text, offered);
    let calls = calls.into_iter().map(|call| call.name + &Value::from(call.arguments).to_string());
    (text, calls.collect(), end)
}

#[track_caller]
fn is_text(answer: &str, expected: &str) {
    assert_eq!(read(answer, &TOOLS), (expected.to_owned(), vec![], None), "{answer}");
}

#[track_caller]
fn is_call(answer: &str, expected: &str) {
    assert_eq!(read(answer, &TOOLS), (String::new(), vec![expected.to_owned()], None), "{answer}");
}

#[test]
fn tokens_at_the_end_are_taken_off_and_say_how_it_ended() {
    assert_eq!(read("hello<|eot_id|>", &TOOLS), ("hello".into(), vec![], Some(End::Turn)));
    assert_eq!(read("hello<|eom_id|>", &[]), ("hello".into(), vec![], Some(End::Message)));
    assert_eq!(read("hello<|end_of_text|>more", &[]), ("hello".into(), vec![], Some(End::Turn)));
    let header = "<|start_header_id|>assistant<|end_header_id|>\n\nhello";
    is_text(header, "hello");
    is_text("  hello ", "hello ");
}

#[test]
fn code_behind_the_tag_is_for_the_code_interpreter() {
    let code = r#"code_interpreter{"code":"print(1)"}"#;
    let answer = "<|python_tag|>print(1)<|eom_id|>";
    assert_eq!(read(answer, &TOOLS), (String::new(), vec![code.into()], Some(End::Message)));
    is_call("<|python_tag|>", r#"code_interpreter{"code":""}"#);
    is_call(
        "<|python_tag|>[print(x)\n for x in y]\n",
        "code_interpreter{\"code\":\"[print(x)\\n for x in y]\"}",
    );
    is_call("<|python_tag|>{1: 2}", r#"code_interpreter{"code":"{1: 2}"}"#);
    assert_eq!(read("<|python_tag|>print(1)", &["f"]), ("print(1)".into(), vec![], None));
}

#[test]
fn a_call_of_a_built_in_tool_may_follow_text() {
    let search = r#"brave_search{"query":"a"}"#;
    let (text, calls, _) = read(r#"text before brave_search.call(query="a")"#, &TOOLS);
    assert_eq!((text.as_str(), calls), ("text before ", vec![search.to_owned()]));
    is_call(r#"<|python_tag|>brave_search.call(query="a")"#, search);
    is_call(r#"foo.call(query="x")"#, r#"foo{"query":"x"}"#);
    let twice = "brave_search.call(query=\"a\")\nwolfram_alpha.call(query=\"b\")";
    assert_eq!(read(twice, &TOOLS).1, [search, r#"wolfram_alpha{"query":"b"}"#]);
    let (text, calls, _) =
        read(r#"I look it up.<|python_tag|>brave_search.call(query="a")"#, &TOOLS);
    assert_eq!((text.as_str(), calls), ("I look it up.", vec![search.to_owned()]));
}

#[test]
fn what_only_looks_like_a_call_of_a_built_in_tool_is_text() {
    is_text(r#"bar.call(query="x")"#, r#"bar.call(query="x")"#);
    is_text(r#"xfoo.call(query="x")"#, r#"xfoo.call(query="x")"#);
    let prose = r#"Use brave_search.call(query="x") to search."#;
    is_text(prose, prose);
    assert_eq!(read(r#"foo.call(query="x")"#, &[]).1, Vec::<String>::new());
}

#[test]
fn a_json_object_with_a_name_is_a_call() {
    let f = r#"f{"a":"b"}"#;
    is_call(r#"{"name":"f","parameters":{"a":"b"}}"#, f);
    is_call(r#"{"type": "function", "name": "f", "parameters": {"a": "b"}}"#, f);
    is_call(r#"<|python_tag|>{"name":"f","parameters":{"a":"b"}}"#, f);
    is_call(r#"{"parameters":{"a":"b"},"name":"f"}"#, f);
    is_call(r#"{"name":"f","parameters":{"a":{"b":["}"]}}}"#, r#"f{"a":{"b":["}"]}}"#);
    is_call(r#"{"name":"f"}"#, "f{}");
    is_call(r#"{"name":"f","parameters":null}"#, "f{}");
}

#[test]
fn other_forms_of_json_calls_are_understood_too() {
    let f = r#"f{"a":"b"}"#;
    is_call(r#"{"name":"f","arguments":{"a":"b"}}"#, f);
    is_call(r#"{"name":"f","arguments":"{\"a\": \"b\"}"}"#, f);
    is_call(r#"{"type":"function","function":{"name":"f","parameters":{"a":"b"}}}"#, f);
    is_call(r#"{"function":"f","parameters":{"a":"b"}}"#, f);
    is_call(r#"[{"name":"f","parameters":{"a":"b"}}]"#, f);
    let both = vec![f.to_owned(), "g{}".to_owned()];
    for answer in [
        r#"{"name":"f","parameters":{"a":"b"}}; {"name":"g","parameters":{}}"#,
        r#"[{"name":"f","parameters":{"a":"b"}}, {"name":"g"}]"#,
        "{\"name\":\"f\",\"parameters\":{\"a\":\"b\"}}\n{\"name\":\"g\",\"parameters\":{}}<|eom_id|>",
    ] {
        let (text, calls, _) = read(answer, &TOOLS);
        assert_eq!((text.as_str(), &calls), ("", &both), "{answer}");
    }
}

#[test]
fn json_that_is_no_call_is_text() {
    for answer in [
        r#"{"a":1}"#,
        r#"[{"a":1}]"#,
        "[]",
        r#"{"name":"Bob","parameters":{}}"#,
        r#"{"type":"object","properties":{}}"#,
        r#"{"name":"f","parameters":[1]}"#,
        r#"{"name":"f","parameters":{"a": "#,
        r#"{"name":"f","parameters":{"a": b}}"#,
        "{x | x > 0}",
        "```json\n{\"name\":\"f\",\"parameters\":{}}\n```",
    ] {
        is_text(answer, answer);
    }
    let call = r#"{"name":"f","parameters":{}}"#;
    assert_eq!(read(call, &[]), (call.to_owned(), vec![], None));
}

#[test]
fn function_tags_may_stand_anywhere() {
    is_call(r#"<function=f>{"a": 1}</function>"#, r#"f{"a":1}"#);
    is_call(r#"<function=f>{"a": {"b":1}}</function>"#, r#"f{"a":{"b":1}}"#);
    is_call(
        r#"<function=f>{"a": "it's </function> {"}</function>"#,
        r#"f{"a":"it's </function> {"}"#,
    );
    is_call("<function=f>{'a': 'x', 'b': True}</function>", r#"f{"a":"x","b":true}"#);
    is_call("<function=f></function>", "f{}");
    is_call(r#"<function=f>{"a": 1}"#, r#"f{"a":1}"#);
    let (text, calls, _) =
        read(r#"See: <function=f>{"a": 1}</function><function=g>{}</function> done"#, &TOOLS);
    assert_eq!((text.as_str(), calls.len()), ("See: done", 2));
    is_call(r#"<function=brave_search>{"q": "x"}</function>"#, r#"brave_search{"query":"x"}"#);
    for answer in [
        "<function=h>{}</function>",
        "<function=f>{'a': x}</function>",
        "<function=f>nothing</function>",
        "<function=",
        "a <function b",
        r#"<function=f>{"a": "#,
    ] {
        is_text(answer, answer);
    }
}

#[test]
fn a_list_in_pythons_form_holds_calls() {
    let f = r#"f{"a":1,"b":"x"}"#;
    is_call(r#"[f(a=1, b="x")]"#, f);
    for answer in [" [f(a=1)]", "\n[f(a=1)]", "<|python_tag|>[f(a=1)]", "[ f( a = 1 ) ]"] {
        is_call(answer, r#"f{"a":1}"#);
    }
    is_call("[f()]", "f{}");
    let (text, calls, _) = read("[f(a=1), g(b=2)]<|eot_id|>", &TOOLS);
    assert_eq!((text.as_str(), calls), ("", vec![r#"f{"a":1}"#.into(), r#"g{"b":2}"#.into()]));
    is_call(r#"[code_interpreter(code="print(1)")]"#, r#"code_interpreter{"code":"print(1)"}"#);
    is_call(r#"[f(a=[1, {'b': None}], c="]) (")]"#, r#"f{"a":[1,{"b":null}],"c":"]) ("}"#);
}

#[test]
fn a_list_that_is_not_calls_with_literals_is_text() {
    for answer in [
        "[]",
        "[f(1)]",
        "f(a=1)",
        "[m.f(a=1)]",
        "[h(a=1)]",
        "[f(a=x)]",
        "[f(a=1+2)]",
        "[f(a=1",
        "[1] the first",
        "[f] is a function",
        "```python\n[f(a=1)]\n```",
    ] {
        is_text(answer, answer);
    }
}

#[test]
fn built_in_tools_get_the_argument_that_they_have() {
    let expected = r#"brave_search{"query":"q"}"#;
    is_call(r#"{"name":"brave_search","parameters":{"zzz":"q"}}"#, expected);
    is_call(r#"{"name":"brave_search","parameters":{"query":"q"}}"#, expected);
    is_call(r#"[brave_search(zzz="q")]"#, expected);
}

#[test]
fn arguments_come_as_they_are_written() {
    let mut reader = Reader::new(["f"]);
    assert_eq!(
        reader.push(r#"{"name": "f", "parameters": {"te"#),
        [Event::Call("f".into()), Event::Arguments(r#"{"te"#.into())]
    );
    assert_eq!(reader.push(r#"xt": "a}"#), [Event::Arguments(r#"xt": "a}"#.into())]);
    assert_eq!(reader.push("\"}} "), [Event::Arguments("\"}".into())]);
    assert_eq!(reader.finish(), (vec![], None));
    let mut reader = Reader::new(["code_interpreter"]);
    reader.push("<|python_tag|>");
    assert_eq!(
        reader.push("x = \"1\""),
        [Event::Call("code_interpreter".into()), Event::Arguments(r#"{"code":"x = \"1\""#.into())]
    );
    assert_eq!(reader.push("<|eom_id|>"), []);
    assert_eq!(reader.finish(), (vec![Event::Arguments("\"}".into())], Some(End::Message)));
}

#[test]
fn text_is_not_held_back() {
    let mut reader = Reader::new(["f"]);
    let text = |text: &str| vec![Event::Text(text.to_owned())];
    assert_eq!(reader.push("Hello"), text("Hello"));
    assert_eq!(reader.push(" <func"), text(" "));
    assert_eq!(reader.push("y> {a"), text("<funcy> {a"));
    let mut reader = Reader::new(["f"]);
    assert_eq!(reader.push("{\"answer\""), text("{\"answer\""));
    assert_eq!(
        Reader::new(Vec::<String>::new()).push("{\"name\": \"f\""),
        text("{\"name\": \"f\"")
    );
}

#[test]
fn endless_answers_that_begin_like_a_call_are_given_up() {
    for beginning in [
        "[f(a=\"",
        "{\"parameters\": {\"a\": \"",
        "{\"name\": \"",
        "<function=f>{'a': '",
        "foo.call(query=\"",
        "<|python_tag|>",
    ] {
        for filling in ["x", " ", "\")"] {
            let mut reader = Reader::new(["f", "foo"]);
            reader.push(beginning);
            let filling = filling.repeat(10_000);
            let said = (0..200).flat_map(|_| reader.push(&filling)).count();
            assert!(said > 0 || beginning.ends_with("|>"), "{beginning}");
        }
    }
}

#[test]
fn the_work_grows_no_faster_than_the_answer() {
    for fragment in
        ["<function=", "foo.call(query=\"\")", "[f(", "{\"name\":", "<|python_tag|>", "<|eot_i"]
    {
        let answer = fragment.repeat(200_000 / fragment.len());
        assert!(parse(&answer, &TOOLS).text.len() <= answer.len(), "{fragment}");
    }
}

/// The parts of an answer that comes in these pieces, with neighbours of a kind joined.
fn parts<'a>(pieces: impl IntoIterator<Item = &'a str>) -> (Vec<Event>, Option<End>) {
    let mut reader = Reader::new(TOOLS);
    let mut events = Vec::new();
    for piece in pieces {
        events.extend(reader.push(piece));
    }
    let (rest, end) = reader.finish();
    events.extend(rest);
    let mut joined: Vec<Event> = Vec::new();
    for event in events {
        match (joined.last_mut(), event) {
            (Some(Event::Text(before)), Event::Text(text))
            | (Some(Event::Arguments(before)), Event::Arguments(text)) => before.push_str(&text),
            (_, event) => joined.push(event),
        }
    }
    (joined, end)
}

const ANSWERS: [&str; 28] = [
    "hello \u{e9}\u{1f600}<|eot_id|> never",
    "<|start_header_id|>assistant<|end_header_id|>\n\n<|python_tag|>print('x')\n <|eom_id|>",
    "text before brave_search.call(query=\"a \\\" b\")  ",
    "foo.call(query=\"x\") and more",
    r#"{"name": "f", "description": "d", "parameters": {"type": "object"}} x"#,
    r#"{"n\u0061me": "f", "parameters": {}}"#,
    "<function= f >{}</function> <function= g",
    "<function=f f>{}</function>",
    "so brave_search.code_interpreter.call(query=\"x\")",
    "\u{e9}foo.call(query=\"x\")foo.call(query=\"y\")",
    r#"{"name":"f","parameters":{"a":"b","c":[{"d":"\u00e9}"}]}} ; {"name": "g"}"#,
    r#"{"type":"function","function":{"name":"f","arguments":"{}"}}"#,
    r#"{"parameters":{"a":"b"},"name":"f"} trailing"#,
    r#"{"name":"f","parameters":{"a": "#,
    r#"{"answer": {"name": "f"}}"#,
    r#"[{"name":"f","parameters":{}},{"name":"brave_search","parameters":{"z":"q"}}]"#,
    r#"[{"a":1},{"name":"f"}]"#,
    r#"a <function=f>{"a": {"b": "</function>"}}</function>, <function=g>{'k': "it's"}</function> z"#,
    "<function=f></function><function=h>{}</function><function=",
    r#"[f(a=1, b="x)"), g(c={'d': [None, 1.5]}),]<|eot_id|>"#,
    "[f(a=1), g(b=x)] tail",
    "[f(a=1), h()]",
    "[1] f(a=1) [f(1)]",
    "<|python_tag|>[f(a=1)]<|eom_id|>",
    "<|python_tag|>",
    "< <| <|python <|python_tag <function f.call(query= f.call(query=\"",
    "<|python_tag|>{\"name\": \"f\", \"parameters\": {}}<|python_tag|>x = 1",
    "",
];

#[test]
fn it_does_not_matter_where_an_answer_is_cut() {
    for answer in ANSWERS {
        let whole = parts([answer]);
        let cuts: Vec<usize> =
            (0..=answer.len()).filter(|at| answer.is_char_boundary(*at)).collect();
        for (index, first) in cuts.iter().enumerate() {
            for second in &cuts[index..] {
                let pieces = [&answer[..*first], &answer[*first..*second], &answer[*second..]];
                assert_eq!(parts(pieces), whole, "{pieces:?}");
            }
        }
        let characters = answer.char_indices().map(|(at, c)| &answer[at..at + c.len_utf8()]);
        assert_eq!(parts(characters), whole, "{answer}");
    }
}

/// Numbers that look random and are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % most as u64).expect("it is below a `usize`")
    }
}

#[test]
fn any_mixture_of_fragments_reads_the_same_in_any_pieces() {
    const FRAGMENTS: [&str; 31] = [
        "<|python_tag|>",
        "<|eot_id|>",
        "<function=",
        "f",
        ">",
        "{",
        "}",
        "</function>",
        "[",
        "]",
        "(",
        ")",
        "\"",
        "'",
        "a",
        "=",
        "1",
        ",",
        ":",
        " ",
        "\n",
        "\"name\"",
        "\"parameters\"",
        "\"f\"",
        ".call(query=\"",
        ".call(query=\"a\")",
        "\\",
        "\u{e9}",
        "<|",
        "code_interpreter",
        ";",
    ];
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
    for _ in 0..20_000 {
        let count = numbers.below(14);
        let answer: String =
            (0..count).map(|_| FRAGMENTS[numbers.below(FRAGMENTS.len())]).collect();
        let whole = parts([answer.as_str()]);
        let mut pieces = Vec::new();
        let mut rest = answer.as_str();
        while !rest.is_empty() {
            let (piece, after) =
                rest.split_at(rest.ceil_char_boundary(1 + numbers.below(5).min(rest.len() - 1)));
            pieces.push(piece);
            rest = after;
        }
        assert_eq!(parts(pieces.iter().copied()), whole, "{pieces:?}");
        // Whatever it is, it has a meaning, and nothing is lost where nothing is a call.
        let parsed = parse(&answer, &TOOLS);
        assert!(parsed.calls.iter().all(|call| TOOLS.contains(&call.name.as_str())), "{answer}");
    }
}

#[test]
fn what_is_rendered_is_read_again() {
    let arguments = json!({
        "text": "quotes \" ' and \\ and\nlines </function> ]) }",
        "list": [1, -2.5, true, null, { "deep": [] }],
    });
    let Value::Object(arguments) = arguments else { unreachable!("it is an object") };
    let calls = [
        crate::Call { name: "f".to_owned(), arguments },
        crate::Call { name: "g".to_owned(), arguments: Map::new() },
    ];
    for format in crate::ToolFormat::ALL {
        let written = format.written(&calls.iter().collect::<Vec<_>>());
        assert_eq!(parse(&written, &TOOLS).calls, calls, "{written}");
    }
}
