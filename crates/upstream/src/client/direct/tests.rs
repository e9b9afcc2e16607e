use super::*;
use bytes::BytesMut;
use chaski_testkit::{Act, RawUpstream, within};
use http::{HeaderMap, StatusCode};
use http_body::Frame;
use std::fmt::Write as _;

/// Small random numbers, the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}

fn direct() -> Direct {
    Direct::new(&HttpOptions::default())
}

fn request(upstream: &RawUpstream, method: Method) -> Request {
    Request::new("vLLM", method, Url::parse(&format!("{}/a?b=c", upstream.url())).unwrap())
}

/// The body and the trailers.
async fn read(mut body: DirectBody) -> Result<(Vec<u8>, HeaderMap), Cause> {
    let (mut bytes, mut trailers) = (Vec::new(), HeaderMap::new());
    while let Some(frame) = poll_fn(|cx| body.poll_frame(cx)).await {
        match frame?.into_data() {
            Ok(data) => bytes.extend_from_slice(&data),
            Err(frame) => trailers = Frame::into_trailers(frame).unwrap_or_default(),
        }
    }
    Ok((bytes, trailers))
}

async fn asked(direct: &Direct, request: &Request) -> Result<(StatusCode, Vec<u8>), String> {
    let answer = within("the head", direct.send(request)).await;
    let answer = answer.map_err(|failure| format!("{failure:?}"))?;
    let status = answer.status();
    let read = within("the body", read(answer.into_body())).await;
    read.map(|(body, _)| (status, body)).map_err(|error| error.to_string())
}

/// The answer to a request as these bytes, in pieces of random lengths.
fn pieces(bytes: &[u8], random: &mut Random) -> Vec<Act> {
    let mut rest = bytes;
    let mut acts = Vec::new();
    while !rest.is_empty() {
        let (piece, more) = rest.split_at((1 + random.below(40)).min(rest.len()));
        acts.push(Act::Write(Bytes::copy_from_slice(piece)));
        rest = more;
    }
    acts
}

/// A body as chunks of random sizes, some with extensions.
fn chunked(body: &[u8], random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let (piece, more) = rest.split_at((1 + random.below(300)).min(rest.len()));
        let extension = if random.below(3) == 0 { ";name=value" } else { "" };
        out.extend_from_slice(format!("{:x}{extension}\r\n", piece.len()).as_bytes());
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
        rest = more;
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

#[tokio::test]
async fn bodies_come_whole_however_they_are_framed_and_cut() {
    let upstream = RawUpstream::start(|number, _| {
        let mut random = Random(number as u64 / 3);
        let body: Vec<u8> =
            (0..random.below(4000)).map(|_| b"abcdefgh\r\n"[random.below(10)]).collect();
        let hints =
            if random.below(4) == 0 { "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" } else { "" };
        let mut text = hints.as_bytes().to_vec();
        match number % 3 {
            0 => {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                text.extend([head.as_bytes(), &body].concat());
                pieces(&text, &mut random)
            }
            1 => {
                text.extend_from_slice(b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n");
                text.extend(chunked(&body, &mut random));
                pieces(&text, &mut random)
            }
            _ => {
                text.extend_from_slice(b"HTTP/1.0 200 OK\r\n\r\n");
                text.extend(body);
                let mut acts = pieces(&text, &mut random);
                acts.push(Act::Close);
                acts
            }
        }
    })
    .await;
    let direct = direct();
    for _ in 0..60 {
        let mut bodies = Vec::new();
        for _ in 0..3 {
            bodies.push(asked(&direct, &request(&upstream, Method::POST)).await.unwrap());
        }
        assert_eq!(bodies[0].0, 200);
        assert_eq!(bodies[0], bodies[1]);
        assert_eq!(bodies[1], bodies[2]);
    }
    // Only the answers without an end of their own cost a connection.
    assert_eq!((upstream.requests(), upstream.accepted()), (180, 60));
}

#[tokio::test]
async fn what_is_sent_is_a_request_with_its_length() {
    let upstream = RawUpstream::start(|_, request| {
        vec![Act::text(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{request}",
            request.len()
        ))]
    })
    .await;
    let host = upstream.url().replace("http://", "");
    let direct = direct();
    let (_, seen) = asked(&direct, &request(&upstream, Method::GET)).await.unwrap();
    let expected = format!(
        "GET /a?b=c HTTP/1.1\r\nhost: {host}\r\nuser-agent: {}\r\naccept: */*\r\n\r\n",
        HttpOptions::default().user_agent
    );
    assert_eq!(String::from_utf8(seen).unwrap(), expected);
    for length in [0, 5, TOGETHER, TOGETHER + 1, 400_000] {
        let wrong = HeaderValue::from_static("7");
        let request = request(&upstream, Method::POST)
            .header(header::CONTENT_LENGTH, wrong.clone())
            .header(header::TRANSFER_ENCODING, wrong)
            .body("x".repeat(length).into());
        let (_, seen) = asked(&direct, &request).await.unwrap();
        let seen = String::from_utf8(seen).unwrap();
        let (head, body) = seen.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("\r\ncontent-length: {length}")), "{head}");
        assert!(!head.contains("transfer-encoding"), "{head}");
        assert_eq!(body.len(), length);
    }
    assert_eq!(upstream.accepted(), 1);
}

#[tokio::test]
async fn answers_without_a_body_end_with_their_heads() {
    let cases = [
        (Method::HEAD, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n", 200),
        (Method::GET, "HTTP/1.1 204 No Content\r\n\r\n", 204),
        (Method::GET, "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", 304),
        (Method::POST, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200),
        (Method::POST, "HTTP/1.1 200 OK\r\ncontent-length: 0, 0\r\n\r\n", 200),
    ];
    for (method, text, status) in cases {
        let upstream = RawUpstream::doing([Act::text(text)]).await;
        let direct = direct();
        for _ in 0..2 {
            let answer = asked(&direct, &request(&upstream, method.clone())).await;
            assert_eq!(answer, Ok((StatusCode::from_u16(status).unwrap(), Vec::new())), "{text}");
        }
        assert_eq!(upstream.accepted(), 1, "{text}");
    }
}

#[tokio::test]
async fn a_length_beside_chunks_is_not_believed_and_trailers_are_read() {
    let text = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: gzip, chunked\r\n\r\n\
                4\r\nabcd\r\n0\r\nx-a: 1\r\nx-b: 2\r\n\r\n";
    let upstream = RawUpstream::doing([Act::text(text)]).await;
    let answer = direct().send(&request(&upstream, Method::GET)).await.unwrap();
    let (body, trailers) = read(answer.into_body()).await.unwrap();
    assert_eq!((&body[..], trailers["x-a"].as_bytes()), (&b"abcd"[..], &b"1"[..]));
    assert_eq!(trailers.len(), 2);
}

#[tokio::test]
async fn answers_that_cannot_be_read_are_errors_and_their_connections_are_closed() {
    let mut many = "HTTP/1.1 200 OK\r\n".to_owned();
    for number in 0..200 {
        let _infallible = write!(many, "x-{number}: 1\r\n");
    }
    many.push_str("\r\n");
    let heads = [
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
        "HTTP/2 200\r\n\r\n",
        "SSH-2.0-x\r\n",
        many.as_str(),
    ];
    for text in heads {
        let upstream = RawUpstream::doing([Act::text(text), Act::Hold]).await;
        let shown: String = text.chars().take(60).collect();
        let error = asked(&direct(), &request(&upstream, Method::POST)).await.expect_err(&shown);
        assert!(error.starts_with("Unanswered"), "{shown}: {error}");
        upstream.deserted().await;
    }
    let long = format!("1;{}\r\n", "x".repeat(5000));
    let bodies = ["xyz\r\n", "-1\r\n", "11111111111111111\r\n", "1\r\nab", long.as_str()];
    for text in bodies {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let upstream = RawUpstream::doing([Act::text(format!("{head}{text}")), Act::Hold]).await;
        let error = asked(&direct(), &request(&upstream, Method::POST)).await.expect_err(text);
        assert!(error.starts_with("the answer is not HTTP/1.1"), "{text}: {error}");
        upstream.deserted().await;
    }
    for text in ["content-length: 5\r\n\r\n1234", "transfer-encoding: chunked\r\n\r\n5\r\n1234"] {
        let text = format!("HTTP/1.1 200 OK\r\n{text}");
        let upstream = RawUpstream::doing([Act::text(text), Act::Close]).await;
        let error = asked(&direct(), &request(&upstream, Method::POST)).await.unwrap_err();
        assert_eq!(error, "the connection was closed before the end of the answer");
    }
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_request_is_read_and_ends_the_connection() {
    let upstream = RawUpstream::start(|_, _| Vec::new()).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let refusing = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let refusal = b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno";
        tokio::io::AsyncWriteExt::write_all(&mut stream, refusal).await.unwrap();
        // The rest of the request is never read.
        std::future::pending::<()>().await;
    });
    let mut request = request(&upstream, Method::POST).body(vec![0; 64 << 20].into());
    request.0.url.set_port(Some(port)).unwrap();
    let direct = direct();
    let answer = asked(&direct, &request).await;
    assert_eq!(answer, Ok((StatusCode::PAYLOAD_TOO_LARGE, b"no".to_vec())));
    assert!(direct.pool.take(authority(&request.0.url)).1.is_none());
    refusing.abort();
}

#[tokio::test]
async fn a_kept_connection_that_the_other_side_closed_is_not_used() {
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let upstream = RawUpstream::doing([Act::text(ok), Act::Close]).await;
    let direct = direct();
    for number in 1..20 {
        let answer = asked(&direct, &request(&upstream, Method::GET)).await;
        assert_eq!(answer, Ok((StatusCode::OK, b"ok".to_vec())));
        assert_eq!(upstream.accepted(), number);
    }
}

#[tokio::test]
async fn more_than_the_answer_makes_a_connection_useless() {
    let more = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n";
    let upstream = RawUpstream::doing([Act::text(more)]).await;
    let direct = direct();
    for number in 1..4 {
        let answer = asked(&direct, &request(&upstream, Method::POST)).await;
        assert_eq!(answer, Ok((StatusCode::OK, b"ok".to_vec())));
        assert_eq!(upstream.accepted(), number);
    }
}

#[tokio::test]
async fn a_dropped_answer_closes_its_connection() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n";
    let upstream = RawUpstream::doing([Act::text(head), Act::Hold]).await;
    let answer = direct().send(&request(&upstream, Method::POST)).await.unwrap();
    assert_eq!(upstream.open(), 1);
    drop(answer);
    upstream.deserted().await;
}

#[tokio::test]
async fn connections_that_nobody_uses_are_closed_after_a_while() {
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let upstream = RawUpstream::doing([Act::text(ok)]).await;
    let direct = direct();
    asked(&direct, &request(&upstream, Method::POST)).await.unwrap();
    assert_eq!(upstream.open(), 1);
    assert!(direct.pool.sweep(pool::IDLE / 2), "it is kept");
    assert!(!direct.pool.sweep(Duration::ZERO), "it is old");
    upstream.deserted().await;
}

#[test]
fn the_end_of_a_head_is_found_wherever_it_is_cut() {
    for end in ["\r\n\r\n", "\n\n", "\n\r\n"] {
        let text = format!("HTTP/1.1 200 OK\r\na: b{end}");
        for cut in 1..text.len() {
            let buffer = BytesMut::from(text.as_bytes());
            assert!(connection::has_end(&buffer[cut.saturating_sub(2).min(text.len() - 3)..]));
        }
    }
    assert!(!connection::has_end(b"a\r\nb\r\n"));
}
