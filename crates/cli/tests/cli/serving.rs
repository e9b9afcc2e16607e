//! A server that comes, answers and goes.

use crate::support::{Place, Serving};
use chaski_testkit::{Answer, FakeUpstream, Gate, certificate, within};
use chaski_upstream::{ByteStream, Http, HttpOptions, Request, Tls, Url};
use futures_util::StreamExt;
use serde_json::Value;

const EMPTY: &str = "version: '2'\nimage_name: empty\napis: [inference]\nproviders: {}\n";

const WITH_AUTH: &str = "\
version: '2'
image_name: guarded
apis: [inference]
providers: {}
server: {auth: {endpoint: 'http://127.0.0.1:9/auth'}}
";

fn place() -> Place {
    let place = Place::new();
    place.write("run.yaml", EMPTY);
    place.write("auth.yaml", WITH_AUTH);
    place
}

async fn health(url: &str) -> Value {
    let http = Http::new(HttpOptions::default()).expect("the options are the usual ones");
    let url = Url::parse(&format!("{url}/v1/health")).expect("the server says where it is");
    let answer = http.send(Request::get("chaski", url).tls(Tls::Unverified)).await;
    let answer = answer.expect("the server answers");
    assert_eq!(answer.status(), 200);
    let body = answer.bytes(1024).await.expect("the answer is short");
    serde_json::from_slice(&body).expect("the answer is JSON")
}

#[tokio::test]
async fn a_server_listens_on_this_machine_and_says_where() {
    let place = place();
    let serving = place.serve(&["run.yaml"]);
    assert!(serving.url().starts_with("http://127.0.0.1:"), "{}", serving.url());
    assert!(!serving.url().ends_with(":0"), "{}", serving.url());
    for url in &serving.urls {
        assert_eq!(health(url).await["status"], "OK");
    }
}

#[tokio::test]
async fn the_default_stack_starts_without_weights_and_says_how_to_get_some() {
    let place = place();
    let serving = place.serve(&["--disable-ipv6"]);
    assert_eq!(serving.urls.len(), 1);
    let hinted = |line: &Value| {
        line["message"].as_str().is_some_and(|text| text.contains("chaski model pull"))
    };
    assert!(serving.log.iter().any(hinted), "{:#?}", serving.log);
    assert_eq!(health(serving.url()).await["status"], "OK");
}

#[test]
fn a_signal_ends_it_in_peace() {
    for name in ["TERM", "INT"] {
        let place = place();
        let mut serving = place.serve(&["run.yaml"]);
        serving.signal(name);
        assert_eq!(serving.ended().code(), Some(0), "{:#?}", serving.log);
        let last = serving.log.last().unwrap();
        assert_eq!(last["message"], "Shut down");
    }
}

/// A server whose only model begins to answer and goes on once the gate is open.
async fn answering_slowly(gate: &Gate) -> (FakeUpstream, Place) {
    let chunk = |text: &str, reason: &str| {
        format!(
            "{{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":{reason}}}]}}"
        )
    };
    let first = chunk("Hel", "null");
    let events = [first.clone(), chunk("lo", "\"stop\""), "[DONE]".to_owned()];
    let gate = gate.clone();
    let upstream = FakeUpstream::start(move |seen| {
        if seen.path.ends_with("/models") {
            return Answer::json(
                serde_json::json!({ "object": "list", "data": [{ "id": "foo" }] }),
            );
        }
        Answer::events(&events).held_after(first.len() + "data: \n\n".len(), &gate)
    })
    .await;
    let place = Place::new();
    place.write(
        "run.yaml",
        &format!(
            "version: '2'\nimage_name: slow\nproviders:\n  inference:\n  \
             - {{provider_id: up, provider_type: 'remote::vllm', config: {{url: '{}/v1'}}}}\n\
             models:\n- {{model_id: foo, provider_id: up}}\n",
            upstream.url()
        ),
    );
    (upstream, place)
}

/// Asks for a stream and waits for its first piece.
async fn begun(url: &str) -> ByteStream {
    let http = Http::new(HttpOptions::default()).expect("the options are the usual ones");
    let url = format!("{url}/v1/chat/completions");
    let body =
        r#"{"model": "foo", "stream": true, "messages": [{"role": "user", "content": "Hi"}]}"#;
    let request = Request::post("chaski", Url::parse(&url).expect("it is a URL")).json(body);
    let answer = http.send(request).await.expect("the server answers");
    let mut stream = answer.success().await.expect("the model is served").stream();
    let first = within("the first piece", stream.next()).await;
    let first = first.expect("the stream begins").expect("the stream works");
    assert!(String::from_utf8_lossy(&first).contains("Hel"), "{first:?}");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_have_begun_are_finished_after_the_signal() {
    let gate = Gate::closed();
    let (_upstream, place) = answering_slowly(&gate).await;
    let mut serving = place.serve(&["run.yaml"]);
    let mut stream = begun(serving.url()).await;
    serving.signal("TERM");
    serving.wait_for("Shutting down");
    gate.open();
    let mut rest = String::new();
    while let Some(piece) = within("the rest", stream.next()).await {
        rest.push_str(&String::from_utf8_lossy(&piece.expect("the stream is not cut")));
    }
    assert!(rest.contains("lo") && rest.ends_with("data: [DONE]\n\n"), "{rest}");
    assert_eq!(serving.ended().code(), Some(0), "{:#?}", serving.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let gate = Gate::closed();
    let (_upstream, place) = answering_slowly(&gate).await;
    let mut serving = place.serve(&["run.yaml"]);
    let _stream = begun(serving.url()).await;
    serving.signal("TERM");
    serving.wait_for("Shutting down");
    serving.signal("INT");
    assert_eq!(serving.ended().code(), Some(1), "{:#?}", serving.log);
}

#[test]
fn every_log_line_is_json_where_no_terminal_reads() {
    let place = place();
    let mut serving = place.serve(&["run.yaml", "--env", "SOME_KEY=very-secret"]);
    serving.signal("TERM");
    serving.ended();
    assert!(serving.log.iter().all(Value::is_object), "{:#?}", serving.log);
    let text = format!("{:?}", serving.log);
    assert!(text.contains("Setting CLI environment variable SOME_KEY"), "{text}");
    assert!(!text.contains("very-secret"), "{text}");
}

#[test]
fn levels_and_the_log_file_come_from_the_environment() {
    let place = place();
    let mut command = place.command(&["run", "run.yaml", "--port", "0"]);
    command.env("LLAMA_STACK_LOGGING", "core=debug;bogus=info;server=loud");
    command.env("LLAMA_STACK_LOG_FILE", place.path("log.txt"));
    let mut serving = Serving::start(command);
    serving.signal("TERM");
    serving.ended();
    let said = |text: &str| serving.log.iter().any(|line| line["message"] == text);
    assert!(said("Unknown logging category: bogus. No changes made."), "{:#?}", serving.log);
    assert!(said(
        "Unknown log level 'LOUD' for category 'server'. Falling back to default 'INFO'."
    ));
    let file = std::fs::read_to_string(place.path("log.txt")).unwrap();
    assert_eq!(file.lines().count(), serving.log.len());
    assert!(file.contains("\"Shut down\""), "{file}");
}

#[test]
fn the_port_comes_from_the_flag_then_the_environment_then_the_file() {
    let place = place();
    place.write("port.yaml", &format!("{EMPTY}server: {{port: 18555}}\n"));
    let free = || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port().to_string()
    };
    let (flag, variable) = (free(), free());
    let mut command = place.command(&["run", "port.yaml", "--port", &flag, "--disable-ipv6"]);
    command.env("LLAMA_STACK_PORT", &variable);
    assert!(Serving::start(command).url().ends_with(&flag));
    let mut command = place.command(&["run", "port.yaml", "--disable-ipv6"]);
    command.env("LLAMA_STACK_PORT", &variable);
    assert!(Serving::start(command).url().ends_with(&variable));
    let mut command = place.command(&["run", "port.yaml"]);
    command.env("LLAMA_STACK_PORT", "abc");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "error: `LLAMA_STACK_PORT` must be a port number from 0 to 65535, not `abc`\n"
    );
}

#[test]
fn a_port_that_is_taken_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let place = place();
    let ran = place.run(&["run", "run.yaml", "--disable-ipv6", "--port", &port]);
    assert_eq!(ran.code, Some(1));
    let (error, hint) = ran.err.trim_end().rsplit_once("\nhint: ").unwrap();
    let error = error.lines().last().unwrap();
    let expected = format!("error: cannot listen on 127.0.0.1:{port}: Address already in use");
    assert!(error.starts_with(&expected), "{error}");
    assert_eq!(error.matches("Address already in use").count(), 1, "{error}");
    assert!(hint.contains("--port"), "{hint}");
}

#[test]
fn other_machines_are_not_served_without_authentication() {
    let place = place();
    for host in ["0.0.0.0", "::"] {
        let ran = place.run(&["run", "run.yaml", "--port", "0", "--host", host]);
        assert_eq!(ran.code, Some(1));
        let expected =
            format!("error: refused to listen on {host}: no authentication is configured");
        assert!(ran.err.starts_with(&expected), "{}", ran.err);
        assert!(ran.err.contains("hint: set `server.auth.endpoint`"), "{}", ran.err);
        assert!(ran.err.contains("--insecure"), "{}", ran.err);
    }
}

#[tokio::test]
async fn other_machines_are_served_with_authentication_or_when_told_so() {
    let place = place();
    let open = place.serve(&["run.yaml", "--host", "0.0.0.0", "--insecure"]);
    assert!(open.url().starts_with("http://0.0.0.0:"), "{}", open.url());
    let guarded = place.serve(&["auth.yaml", "--disable-ipv6"]);
    assert!(guarded.url().starts_with("http://0.0.0.0:"), "{}", guarded.url());
    let everywhere = place.serve(&["auth.yaml"]);
    let port = everywhere.url().rsplit(':').next().unwrap();
    health(&format!("http://127.0.0.1:{port}")).await;
}

#[tokio::test]
async fn both_files_give_https() {
    let place = place();
    let files = certificate();
    let (key, cert) = (files.key_file.display(), files.certificate_file.display());
    let serving = place.serve(&[
        "run.yaml",
        "--disable-ipv6",
        &format!("--tls-keyfile={key}"),
        &format!("--tls-certfile={cert}"),
    ]);
    assert!(serving.url().starts_with("https://"), "{}", serving.url());
    assert_eq!(health(serving.url()).await["status"], "OK");
}

#[test]
fn half_of_https_is_refused() {
    let place = place();
    for args in [["--tls-keyfile=x"], ["--tls-certfile=x"]] {
        let ran = place.run(&["run", "run.yaml", args[0]]);
        assert_eq!(ran.code, Some(2), "{}", ran.err);
        assert!(ran.err.contains("the following required arguments were not provided"));
    }
    place.write("half.yaml", &format!("{EMPTY}server: {{tls_keyfile: /x}}\n"));
    let ran = place.run(&["run", "half.yaml"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("tls_certfile"), "{}", ran.err);
}
