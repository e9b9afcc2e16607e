use super::*;
use chaski_testkit::{Answer, FakeUpstream};
use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

/// Answers from a script, and counts; the last answer stays.
struct Scripted {
    answers: Mutex<Vec<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl Scripted {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let answers = answers.iter().rev();
        let answers = answers.map(|answer| answer.iter().map(|ip| ip.parse().unwrap()).collect());
        Arc::new(Self { answers: Mutex::new(answers.collect()), asked: AtomicUsize::new(0) })
    }
}

impl Lookup for Scripted {
    fn lookup(&self, _name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().unwrap();
        let answer =
            if answers.len() > 1 { answers.pop() } else { answers.last().cloned() }.unwrap();
        Box::pin(async move { Ok(answer) })
    }
}

fn guard(allow: &[&FakeUpstream], lookup: Arc<dyn Lookup>) -> Guard {
    let egress_allow = allow.iter().map(|server| server.address().to_string().parse().unwrap());
    let options = HttpOptions {
        egress_allow: egress_allow.collect(),
        connect_timeout: Duration::from_millis(300),
        fetch_timeout: Duration::from_secs(5),
        ..HttpOptions::default()
    };
    let _client = crate::Http::new(options.clone()).unwrap();
    Guard::new(&options, lookup)
}

async fn canary() -> FakeUpstream {
    FakeUpstream::answering(Answer::text("internal secret")).await
}

async fn refusal_of(guard: &Guard, url: &str) -> String {
    let error = guard.fetch(url, 1000).await.expect_err(url);
    assert_eq!(error.kind, chaski_api::ErrorKind::InvalidRequest, "{url}");
    error.message
}

#[tokio::test]
async fn addresses_that_are_not_public_are_not_connected_to() {
    let canary = canary().await;
    let port = canary.address().port();
    // The name resolves to the canary, too.
    let guard = guard(&[], Scripted::new(&[&["127.0.0.1"]]));
    let hosts = [
        // Plain.
        "127.0.0.1",
        "127.1.2.3",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "0.0.0.0",
        "0.1.2.3",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "192.0.2.1",
        "198.51.100.1",
        "203.0.113.1",
        "198.18.0.1",
        "192.0.0.8",
        "[::1]",
        "[::]",
        "[fc00::1]",
        "[fd12:3456::1]",
        "[fe80::1]",
        "[fec0::1]",
        "[ff02::1]",
        "[2001:db8::1]",
        "[2001::1]",
        "[100::1]",
        "[3fff::1]",
        "[5f00::1]",
        // Names.
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "metadata.google.internal",
        "metadata.google.internal.",
        "metadata",
        "printer.local",
        "db.internal",
        "public.example",
        "public.example.",
        "xn--bcher-kva.example",
        // Other ways to write the same address.
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "127.0.0.1.",
        "127。0。0。1",
        "①②⑦.0.0.1",
        "%31%32%37.0.0.1",
        "[::ffff:7f00:1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::10.0.0.1]",
        "[64:ff9b:1::1]",
        "[2002:7f00:1::]",
        "[2002:a00:1::1]",
    ];
    for host in hosts {
        let message = refusal_of(&guard, &format!("http://{host}:{port}/secret")).await;
        assert!(message.contains("may not be fetched"), "{host}: {message}");
    }
    assert!(canary.requests().is_empty());
}

#[tokio::test]
async fn addresses_that_parsers_read_differently_lead_nowhere() {
    let canary = canary().await;
    let port = canary.address().port();
    let guard = guard(&[], Scripted::new(&[&["127.0.0.1"]]));
    let urls = [
        format!("http://good.example\\@127.0.0.1:{port}/"),
        format!("http://good.example@127.0.0.1:{port}/"),
        format!("http://good.example:80@127.0.0.1:{port}/"),
        format!("http://127.0.0.1:{port}#@good.example/"),
        format!("http://127.0.0.1:{port}?@good.example/"),
        format!("http:///127.0.0.1:{port}/"),
        format!("http:127.0.0.1:{port}/"),
        format!("http:/\\127.0.0.1:{port}/"),
        format!("ht\ttp://127.0.0.1:{port}/"),
        format!(" http://127.0.\n0.1:{port}/ "),
        format!("http://127.0.0.1:{port}\u{0}/"),
        format!("http://[::1%25lo]:{port}/"),
        format!("http://[::1]:{port}@good.example:{port}/"),
        "http://".to_owned(),
        String::new(),
        "//127.0.0.1/".to_owned(),
    ];
    for url in urls {
        refusal_of(&guard, &url).await;
    }
    assert!(canary.requests().is_empty());
}

#[tokio::test]
async fn only_web_addresses_without_credentials_are_fetched() {
    let canary = canary().await;
    let guard = guard(&[&canary], Arc::new(SystemLookup));
    let address = canary.address();
    for scheme in ["file", "ftp", "gopher", "unix", "jar", "ws", "ldap", "dict"] {
        let message = refusal_of(&guard, &format!("{scheme}://good.example/")).await;
        assert!(message.ends_with("only `http` and `https` are"), "{scheme}: {message}");
        refusal_of(&guard, &format!("{scheme}://{address}/")).await;
    }
    for url in
        ["data:image/png;base64,AAAA", "file:///etc/passwd", "jar:http://x/!/", "javascript:1"]
    {
        refusal_of(&guard, url).await;
    }
    let message = refusal_of(&guard, &format!("http://user:pass-word@{address}/")).await;
    assert!(message.contains("addresses with credentials are not"), "{message}");
    assert!(!message.contains("pass-word"), "{message}");
    assert!(canary.requests().is_empty());
}

#[tokio::test]
async fn a_redirect_is_checked_like_the_first_address() {
    let canary = canary().await;
    for status in [301, 302, 303, 307, 308] {
        let there = format!("{}/secret", canary.url());
        let entrance = FakeUpstream::start(move |seen| match seen.path.as_str() {
            "/far" => Answer::text("").status(status).header("location", "/near"),
            "/file" => Answer::text("").status(status).header("location", "file:///etc/passwd"),
            _ => Answer::text("").status(status).header("location", &there),
        })
        .await;
        let guard = guard(&[&entrance], Arc::new(SystemLookup));
        for path in ["/near", "/far", "/file"] {
            let message = refusal_of(&guard, &format!("{}{path}", entrance.url())).await;
            assert!(message.contains("may not be fetched"), "{message}");
        }
    }
    assert!(canary.requests().is_empty());
}

#[tokio::test]
async fn redirects_are_followed_five_times() {
    let server =
        FakeUpstream::start(|seen| match seen.path.trim_start_matches('/').parse::<u32>() {
            Ok(0) | Err(_) => Answer::text("found"),
            Ok(n) => Answer::text("").status(302).header("location", &format!("/{}", n - 1)),
        })
        .await;
    let guard = guard(&[&server], Arc::new(SystemLookup));
    let found = guard.fetch(&format!("{}/5", server.url()), 1000).await.unwrap();
    assert_eq!(found.body, Bytes::from_static(b"found"));
    let message = refusal_of(&guard, &format!("{}/6", server.url())).await;
    assert!(message.ends_with("it redirects too often"), "{message}");
    for seen in server.requests() {
        assert_eq!((seen.header("authorization"), seen.header("cookie")), ("", ""));
        assert_eq!(seen.header("referer"), "");
    }
}

#[tokio::test]
async fn a_name_must_resolve_to_public_addresses_only() {
    let canary = canary().await;
    let url = format!("http://public.example:{}/", canary.address().port());
    for addresses in [&["127.0.0.1"][..], &["8.8.8.8", "10.0.0.1"], &["::ffff:169.254.169.254"]] {
        let message = refusal_of(&guard(&[], Scripted::new(&[addresses])), &url).await;
        assert!(message.contains("its name resolves to a"), "{message}");
    }
    assert!(canary.requests().is_empty());
}

#[tokio::test]
async fn a_name_that_changes_its_meaning_is_checked_each_time() {
    let canary = canary().await;
    let lookup = Scripted::new(&[&["192.0.2.1"], &["127.0.0.1"]]);
    // The first answer would be public in earnest: a test must not connect to strangers.
    let rebinding = Scripted::new(&[&["127.0.0.1"], &["127.0.0.1"]]);
    for lookup in [lookup, rebinding] {
        let guard = guard(&[], lookup.clone());
        let url = format!("http://public.example:{}/", canary.address().port());
        for round in 1..=2 {
            refusal_of(&guard, &url).await;
            assert_eq!(lookup.asked.load(Ordering::SeqCst), round, "one look-up per connection");
        }
    }
    assert!(canary.requests().is_empty());
}

#[tokio::test]
async fn the_allow_list_names_host_and_port() {
    let (listed, other) = (canary().await, canary().await);
    let guard = guard(&[&listed], Arc::new(SystemLookup));
    let found = guard.fetch(&format!("{}/raw/a.txt", listed.url()), 1000).await.unwrap();
    assert_eq!(found.body, Bytes::from_static(b"internal secret"));
    assert_eq!(found.media_type, "text/plain");
    refusal_of(&guard, &other.url()).await;
    let same = format!("http://localhost:{}/", listed.address().port());
    refusal_of(&guard, &same).await;
    assert!(other.requests().is_empty());
    assert_eq!(listed.requests().len(), 1);
}

#[tokio::test]
async fn documents_are_limited_in_size_and_in_time() {
    let body = "x".repeat(1001);
    for answer in [
        Answer::text(body.clone()).in_pieces_of(10),
        Answer::text(body.clone()).header("content-length", "1001"),
    ] {
        let server = FakeUpstream::answering(answer).await;
        let guard = guard(&[&server], Arc::new(SystemLookup));
        assert_eq!(guard.fetch(&server.url(), 1001).await.unwrap().body.len(), 1001);
        let message = refusal_of(&guard, &server.url()).await;
        assert!(message.ends_with("has more than 1000 bytes"), "{message}");
    }
    let server = FakeUpstream::in_turn([Answer::text("soon"), Answer::never()]).await;
    let mut guard = guard(&[&server], Arc::new(SystemLookup));
    guard.fetch(&server.url(), 1000).await.unwrap();
    guard.options.fetch_timeout = Duration::from_millis(300);
    let message = refusal_of(&guard, &server.url()).await;
    assert!(message.contains("no document from"), "{message}");
    server.deserted().await;
}

#[tokio::test]
async fn an_answer_without_a_document_is_an_error_of_the_request() {
    for status in [204, 206, 401, 404, 500] {
        let server = FakeUpstream::answering(Answer::text("none").status(status)).await;
        let guard = guard(&[&server], Arc::new(SystemLookup));
        let message = refusal_of(&guard, &server.url()).await;
        assert!(message.ends_with(&format!("was answered with status {status}")), "{message}");
    }
}

#[test]
fn public_addresses_are_public() {
    for address in [
        "8.8.8.8",
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "192.169.0.0",
        "223.255.255.255",
        "198.17.255.255",
        "198.20.0.0",
        "2606:4700::1111",
        "2001:4860:4860::8888",
        "2a00::1",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
    ] {
        assert_eq!(refusal(address.parse().unwrap()), None, "{address}");
    }
}

#[tokio::test]
async fn calls_to_addresses_of_callers_are_checked_like_fetches() {
    let (inner, listed) = (canary().await, canary().await);
    let options = HttpOptions {
        egress_allow: vec![listed.address().to_string().parse().unwrap()],
        ..HttpOptions::default()
    };
    let http = crate::Http::with_lookup(options, Scripted::new(&[&["10.0.0.1"]]));
    let call = async |http: &crate::Http, url: &str| {
        let url = Url::parse(url).unwrap();
        http.send(crate::Request::post("the server", url).json("{}")).await.map(drop)
    };
    let public = http.for_addresses_of_callers();
    call(&public, &listed.url()).await.unwrap();
    let error = call(&public, &inner.url()).await.unwrap_err();
    assert_eq!(error.kind, chaski_api::ErrorKind::InvalidRequest);
    assert!(error.message.contains("may not be called: "), "{error}");
    let error = call(&public, "http://inner.example").await.unwrap_err();
    assert_eq!(error.kind, chaski_api::ErrorKind::InvalidRequest);
    let expected = "the server may not be called: its name resolves to ";
    assert!(error.message.starts_with(expected), "{error}");
    // What the operator configured is connected to wherever it is.
    call(&http, &inner.url()).await.unwrap();
    assert_eq!(inner.requests().len(), 1);
}
