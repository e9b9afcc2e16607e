//! Limits on calls: places, time, repetitions, and the circuit breaker.

use super::*;
use chaski_testkit::{Act, RawUpstream, certificate, eventually};
use futures_util::{FutureExt, future::join_all};
use http::Version;
use transport::Body;

fn limited(adjust: impl FnOnce(&mut HttpOptions)) -> Http {
    http().adjusted(adjust)
}

fn to(upstream: &RawUpstream) -> Request {
    Request::post("vLLM", url(&upstream.url())).json("{}")
}

const HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n";

#[tokio::test]
async fn a_place_is_held_until_the_answer_has_ended_or_is_dropped() {
    let (gate, never) = (Gate::closed(), Gate::closed());
    let held = |gate: &Gate| Answer::text("0123456789").held_after(4, gate);
    let upstream = FakeUpstream::in_turn([held(&gate), held(&never), Answer::text("ok")]).await;
    let http = limited(|options| options.concurrent_requests = 1);
    let mut first = http.send(post(&upstream)).await.unwrap().stream();
    assert!(first.next().await.unwrap().is_ok());
    let mut second = Box::pin(http.send(post(&upstream)));
    assert!((&mut second).now_or_never().is_none());
    assert_eq!((http.in_flight(), upstream.requests().len()), (1, 1));
    gate.open();
    while first.next().await.is_some() {}
    let second = within("the second answer", second).await.unwrap();
    assert_eq!(http.in_flight(), 1);
    drop(second);
    assert_eq!(http.in_flight(), 0);
    let third = within("the third answer", http.send(post(&upstream))).await.unwrap();
    assert_eq!(third.bytes(10).await.unwrap(), "ok");
    assert_eq!(http.in_flight(), 0);
}

#[tokio::test]
async fn a_call_that_finds_the_queue_full_or_waits_too_long_is_told_to_come_back() {
    let upstream = FakeUpstream::answering(Answer::never()).await;
    for (waiting, why) in [(0, "has 1 requests in flight and 0 waiting"), (1, "for 0.1 seconds")] {
        let http = limited(|options| {
            options.provider = Some("a".to_owned());
            options.concurrent_requests = 1;
            options.waiting_requests = waiting;
            options.waiting_timeout = Duration::from_millis(100);
        });
        let mut busy = Box::pin(http.send(post(&upstream)));
        assert!((&mut busy).now_or_never().is_none());
        let error = within("the refusal", http.send(post(&upstream))).await.err().unwrap();
        let kind = ErrorKind::Unavailable { retry_after: Some(Duration::from_secs(1)) };
        assert_eq!(error.kind, kind);
        assert!(error.message.starts_with("provider `a` (vLLM) ha"), "{error}");
        assert!(error.message.contains(why), "{error}");
        // A question for the models goes through all the same.
        let other = FakeUpstream::answering(Answer::text("ok")).await;
        let question = Request::get("vLLM", url(&other.url()));
        assert_eq!(within("an answer", http.send(question)).await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn an_answer_that_never_pauses_ends_at_the_limit_for_the_whole() {
    let acts = [Act::text(HEAD), Act::Repeat("5\r\nhello\r\n".into())];
    let upstream = RawUpstream::doing(acts).await;
    let http = limited(|options| {
        options.provider = Some("a".to_owned());
        options.total_timeout = Some(Duration::from_millis(200));
    });
    let mut pieces = http.send(to(&upstream)).await.unwrap().stream();
    let error = within("the end", async {
        loop {
            if let Err(error) = pieces.next().await.unwrap() {
                return error;
            }
        }
    })
    .await;
    assert_eq!(error.kind, ErrorKind::Timeout);
    assert_eq!(error.message, "provider `a` (vLLM) did not end its answer within 0.2 seconds");
    assert!(pieces.next().await.is_none());
    upstream.deserted().await;
}

#[tokio::test]
async fn each_time_limit_says_what_took_too_long() {
    let brief = Duration::from_millis(100);
    let message = async |acts: Vec<Act>, adjust: fn(&mut HttpOptions, Duration)| {
        let upstream = RawUpstream::doing(acts).await;
        let http = limited(|options| {
            options.retries = 0;
            adjust(options, brief);
        });
        let outcome = match http.send(to(&upstream)).await {
            Ok(answer) => answer.bytes(1000).await.map(|_| ()),
            Err(error) => Err(error),
        };
        upstream.deserted().await;
        outcome.unwrap_err().message
    };
    let first = message(vec![Act::Hold], |options, brief| options.first_byte_timeout = brief);
    assert_eq!(first.await, "no answer from vLLM within 0.1 seconds");
    let pause = message(vec![Act::text(HEAD), Act::Hold], |options, brief| {
        options.read_timeout = brief;
    });
    assert_eq!(pause.await, "vLLM paused its answer for more than 0.1 seconds");
    let total = message(vec![Act::Hold], |options, brief| options.total_timeout = Some(brief));
    assert_eq!(total.await, "vLLM did not end its answer within 0.1 seconds");
    // Bytes that come one by one never pause for long.
    let slow = Act::Trickle("5\r\nhello\r\n".repeat(1000).into(), Duration::from_millis(5));
    let total = message(vec![Act::text(HEAD), slow], |options, brief| {
        options.total_timeout = Some(2 * brief);
    });
    assert_eq!(total.await, "vLLM did not end its answer within 0.2 seconds");
}

#[tokio::test]
async fn a_trickle_is_read_to_its_end_as_long_as_no_pause_is_too_long() {
    let trickle = |pause: u64| {
        let pieces = futures_util::stream::iter(0..60).then(move |_| async move {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            Ok::<_, std::io::Error>(Bytes::from_static(b"x"))
        });
        let answer = http::Response::new(reqwest::Body::wrap_stream(pieces)).map(Body::Complete);
        let request = Request::post("vLLM", url("http://127.0.0.1:1"));
        let limits = (Duration::from_millis(500), None);
        Response::new(answer, &request, http(), limits, None)
    };
    assert_eq!(trickle(10).bytes(1000).await.unwrap().len(), 60);
    let error = trickle(5000).bytes(1000).await.unwrap_err();
    assert_eq!(error.message, "vLLM paused its answer for more than 0.5 seconds");
}

#[tokio::test]
async fn retries_stay_within_the_budget() {
    let upstream = FakeUpstream::answering(at_once(503)).await;
    let http = http();
    let calls = 200;
    for _ in 0..calls / 20 {
        join_all((0..20).map(|_| http.send(post(&upstream).retries(3)))).await;
    }
    let retries = upstream.requests().len() - calls;
    // A fifth of the calls, the first ten, and one for each second that this took.
    assert!((40..80).contains(&retries), "{retries}");
}

#[tokio::test]
async fn an_upstream_that_keeps_failing_is_left_alone_until_a_call_succeeds() {
    let upstream = FakeUpstream::in_turn(
        std::iter::repeat_n(Answer::text("").status(502), 4).chain([Answer::text("ok")]),
    )
    .await;
    let http = limited(|options| {
        options.circuit_breaker = Some(CircuitBreaker {
            failures: 3,
            failure_percent: 50,
            window: Duration::from_mins(1),
            open: Duration::from_millis(300),
        });
    });
    for _ in 0..3 {
        assert_eq!(http.send(post(&upstream)).await.unwrap().status(), 502);
    }
    let error = http.send(post(&upstream)).await.err().unwrap();
    assert!(matches!(error.kind, ErrorKind::Unavailable { retry_after: Some(_) }), "{error:?}");
    assert!(error.message.starts_with("vLLM is not called for 0."), "{error}");
    assert!(error.message.ends_with("because its last calls failed: status 502"), "{error}");
    assert_eq!(upstream.requests().len(), 3, "nothing was sent");
    assert!(http.trouble().is_some());
    let open = || http.trouble().is_some_and(|trouble| trouble.starts_with("not called"));
    eventually("the trial", || !open()).await;
    assert_eq!(http.send(post(&upstream)).await.unwrap().status(), 502);
    assert!(open());
    eventually("the next trial", || !open()).await;
    assert_eq!(http.send(post(&upstream)).await.unwrap().status(), 200);
    assert_eq!(http.trouble(), None);
}

#[tokio::test]
async fn answers_that_break_off_open_the_circuit_and_errors_of_requests_do_not() {
    let breaker = |options: &mut HttpOptions| {
        options.circuit_breaker = Some(CircuitBreaker {
            failures: 3,
            failure_percent: 50,
            window: Duration::from_mins(1),
            open: Duration::from_mins(1),
        });
    };
    let upstream = FakeUpstream::answering(Answer::text("0123456789").cut_after(4)).await;
    let http = limited(breaker);
    for _ in 0..3 {
        assert!(http.send(post(&upstream)).await.unwrap().bytes(100).await.is_err());
    }
    assert!(http.trouble().unwrap().ends_with("an answer broke off"));
    for status in [400, 401, 404, 429, 500] {
        let upstream = FakeUpstream::answering(Answer::text("no").status(status)).await;
        let http = limited(breaker);
        for _ in 0..10 {
            assert_eq!(http.send(post(&upstream)).await.unwrap().status(), status);
        }
        assert_eq!(http.trouble(), None, "{status}");
    }
}

#[tokio::test]
async fn http_2_is_spoken_where_tls_offers_it_and_nowhere_else() {
    let certificate = certificate();
    for (offered, version) in [
        (["h2", "http/1.1"].as_slice(), Version::HTTP_2),
        (&["http/1.1"], Version::HTTP_11),
        (&[], Version::HTTP_11),
    ] {
        let answer = |_: &_| Answer::events(["{}", "[DONE]"]);
        let upstream = FakeUpstream::start_tls(&certificate, offered, answer).await;
        let http = http();
        let tls = Tls::Authorities(certificate.certificate_file.clone());
        let calls = (0..10).map(|_| async {
            let answer = http.send(post(&upstream).tls(tls.clone())).await.unwrap();
            answer.bytes(1000).await.unwrap()
        });
        // One goes first, so that its connection is there for the others.
        let one = http.send(post(&upstream).tls(tls.clone())).await.unwrap();
        one.bytes(1000).await.unwrap();
        join_all(calls).await;
        let seen = upstream.requests();
        assert!(seen.iter().all(|seen| seen.version == version), "{offered:?}");
        if version == Version::HTTP_2 {
            assert_eq!(upstream.accepted(), 1, "all calls share a connection");
        }
    }
    let upstream = FakeUpstream::answering(Answer::text("ok")).await;
    http().send(post(&upstream)).await.unwrap();
    assert_eq!(upstream.only_request().version, Version::HTTP_11);
}

#[tokio::test]
async fn a_connection_that_is_not_made_in_time_is_given_up() {
    // One connection fills the queue of a listener that never accepts; the next one is not
    // answered.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let _queued = tokio::net::TcpStream::connect(address).await.unwrap();
    let http = limited(|options| {
        options.retries = 0;
        options.connect_timeout = Duration::from_millis(100);
    });
    let request = Request::post("vLLM", url(&format!("http://{address}/v1/x"))).json("{}");
    let error = within("the end of the attempt", http.send(request)).await.err().unwrap();
    assert_eq!(error.message, "cannot connect to vLLM: no connection within the time limit");
}
