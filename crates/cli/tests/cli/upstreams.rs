//! The running server between clients that leave and upstreams that never end: what is left of them
//! is counted from outside.

use crate::support::{Place, Serving};
use chaski_testkit::{Act, RawUpstream, eventually, within};
use futures_util::{StreamExt, stream};
use std::{fs, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Calls at one time, for the server and for its provider.
const PLACES: usize = 128;
const MIB: u64 = 1024 * 1024;

/// Random numbers that are the same in every run.
struct Random(u64);

impl Random {
    /// A number below `most`.
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        usize::try_from((mixed ^ (mixed >> 31)) % most).unwrap_or_default()
    }
}

fn chunk(text: &str, reason: &str) -> String {
    format!(
        "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":{reason}}}]}}\n\n"
    )
}

fn head(kind: &str) -> Act {
    Act::text(format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n"))
}

/// Answers as the message of the request says. Every connection serves one call.
fn acts(request: &str) -> Vec<Act> {
    let stream = request.contains("\"stream\":true");
    let kind = if stream { "text/event-stream" } else { "application/json" };
    let is = |order: &str| request.contains(&format!("order-{order}"));
    let large = || "x".repeat(64 * 1024);
    let mut acts = vec![head(kind)];
    if request.starts_with("GET") {
        acts.push(Act::text(r#"{"object":"list","data":[{"id":"foo"}]}"#));
    } else if is("silent") {
        return vec![Act::Hold];
    } else if is("stall") {
        acts.extend([Act::text(if stream { chunk("Hel", "null") } else { "{".into() }), Act::Hold]);
    } else if is("line") {
        acts.extend([Act::text("data: {\"a\": \""), Act::Repeat(large().into())]);
    } else if is("flood") && stream {
        acts.push(Act::Repeat(chunk(&large(), "null").into()));
    } else if is("flood") {
        acts.extend([
            Act::text(r#"{"choices":[{"message":{"content":""#),
            Act::Repeat(large().into()),
        ]);
    } else if stream {
        acts.push(Act::text(chunk("Hel", "null") + &chunk("lo", "\"stop\"") + "data: [DONE]\n\n"));
    } else {
        acts.push(Act::text(
            r#"{"id":"c","object":"chat.completion","created":1,"model":"foo","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}]}"#,
        ));
    }
    acts.push(Act::Close);
    acts
}

/// A server in front of such an upstream.
async fn served() -> (RawUpstream, Place, Serving) {
    let upstream = RawUpstream::start(|_, request| acts(request)).await;
    let place = Place::new();
    let limits = format!("concurrent_requests: {PLACES}");
    place.write(
        "run.yaml",
        &format!(
            "version: '2'\nimage_name: t\nproviders:\n  inference:\n  \
             - {{provider_id: up, provider_type: 'remote::vllm', config: {{url: '{}/v1'}}, \
             network: {{{limits}, waiting_seconds: 1, retries: 0, circuit_breaker: {{enabled: false}}}}}}\n\
             models:\n- {{model_id: foo, provider_id: up}}\nserver: {{limits: {{{limits}}}}}\n",
            upstream.url()
        ),
    );
    let serving = place.serve(&["run.yaml", "--disable-ipv6"]);
    (upstream, place, serving)
}

fn address(serving: &Serving) -> String {
    serving.url().trim_start_matches("http://").to_owned()
}

/// A request for a chat, by either face.
fn request(llama_stack: bool, order: &str, stream: bool) -> String {
    let (path, key) = if llama_stack {
        ("/v1/inference/chat-completion", "model_id")
    } else {
        ("/v1/chat/completions", "model")
    };
    let body = format!(
        r#"{{"{key}":"foo","stream":{stream},"messages":[{{"role":"user","content":"order-{order}"}}]}}"#
    );
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// What is answered to a request, whole.
async fn asked(address: &str, request: &str) -> String {
    let mut connection = TcpStream::connect(address).await.expect("the server listens");
    connection.write_all(request.as_bytes()).await.expect("the server reads");
    let mut answer = Vec::new();
    let _reset = within("the end of an answer", connection.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Begins a request and leaves at a random point.
async fn leaves(address: &str, seed: u64) {
    let mut random = Random(seed);
    let orders = ["quick", "silent", "stall", "flood"];
    let order = orders[random.below(orders.len())];
    let request = request(random.below(2) == 0, order, random.below(3) > 0);
    let mut connection = TcpStream::connect(address).await.expect("the server listens");
    let sent = match random.below(3) {
        0 => random.below(request.len()),
        _ => request.len(),
    };
    let _closed = connection.write_all(&request.as_bytes()[..sent]).await;
    if sent == request.len() && random.below(4) > 0 {
        let wanted = 1 + random.below(2000);
        let reading = async {
            let (mut read, mut buffer) = (0, [0; 512]);
            while read < wanted {
                match connection.read(&mut buffer).await {
                    Ok(count) if count > 0 => read += count,
                    _ => return,
                }
            }
        };
        // Some answers never come, and nobody waits for ever.
        let patience = Duration::from_millis(u64::try_from(random.below(30)).unwrap_or_default());
        let _late = tokio::time::timeout(patience, reading).await;
    }
    if random.below(2) == 0 {
        let _set = connection.set_zero_linger();
    }
}

/// How many files and sockets the process has open, where that can be seen.
fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// A number of the process, in KiB, where that can be seen.
fn status(pid: u32, key: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// How many clients leave.
#[expect(clippy::disallowed_methods, reason = "`make soak` asks for more by a variable")]
fn clients() -> u64 {
    let wanted = std::env::var("CHASKI_TEST_DISCONNECTS").ok();
    wanted.and_then(|text| text.parse().ok()).unwrap_or(10_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_clients_that_leave_at_random_leave_nothing_behind() {
    let (upstream, _place, serving) = served().await;
    let (address, pid) = (address(&serving), serving.pid());
    // What is made on first use is there afterwards.
    for llama_stack in [false, true] {
        for stream in [false, true] {
            let answer = asked(&address, &request(llama_stack, "quick", stream)).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
    }
    upstream.deserted().await;
    let files = open_files(pid);

    stream::iter(0..clients()).for_each_concurrent(64, |seed| leaves(&address, seed)).await;
    upstream.deserted().await;
    eventually("all files to be closed", || open_files(pid) <= files).await;

    // All places are free: as many calls as there are places are at the upstream together.
    let before = upstream.requests();
    let all = (0..PLACES).map(|number| {
        let address = &address;
        async move {
            let mut connection = TcpStream::connect(address).await.expect("the server listens");
            let request = request(number % 2 == 0, "silent", true);
            connection.write_all(request.as_bytes()).await.expect("the server reads");
            connection
        }
    });
    let held = futures_util::future::join_all(all).await;
    eventually("all places to be taken", || upstream.requests() - before >= PLACES).await;
    drop(held);
    upstream.deserted().await;
    let answer = asked(&address, &request(true, "quick", true)).await;
    assert!(answer.contains("\"complete\""), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_an_end_take_a_bounded_amount_of_memory() {
    let (upstream, _place, serving) = served().await;
    let (address, pid) = (address(&serving), serving.pid());
    let before = status(pid, "VmHWM:");
    let calls = (0..4).flat_map(|_| {
        [
            (false, "line", true),
            (true, "line", true),
            (false, "flood", false),
            (true, "flood", false),
            (true, "flood", true),
        ]
    });
    stream::iter(calls)
        .for_each_concurrent(4, async |(llama_stack, order, stream)| {
            let answer = asked(&address, &request(llama_stack, order, stream)).await;
            let shown: String = answer.chars().take(300).collect();
            assert!(answer.contains("error") || answer.contains("detail"), "{order}: {shown}");
        })
        .await;
    // A client that does not read holds up its upstream and nothing else.
    let mut stuck = Vec::new();
    for _ in 0..8 {
        let mut connection = TcpStream::connect(&address).await.expect("the server listens");
        let request = request(false, "flood", true);
        connection.write_all(request.as_bytes()).await.expect("the server reads");
        stuck.push(connection);
    }
    let written = async {
        let (mut last, mut still) = (0, 0);
        // The flood stands still once all buffers are full: the server has answered others many
        // times meanwhile, and nothing more is written.
        while still < 100 {
            let health = "GET /v1/health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
            let answer = asked(&address, health).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            still = if upstream.written() == last { still + 1 } else { 0 };
            last = upstream.written();
        }
    };
    within("the floods to stand still", written).await;
    let answer = asked(&address, &request(false, "quick", false)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let more = (status(pid, "VmHWM:") - before) / 1024;
    assert!(more * MIB < 400 * MIB, "{more} MiB more than before");
    drop(stuck);
    upstream.deserted().await;
}
