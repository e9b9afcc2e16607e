use super::*;

#[track_caller]
fn check(error: &Error, kind: &ErrorKind, message: &str, code: Option<&str>, param: Option<&str>) {
    assert_eq!(&error.kind, kind, "{error}");
    assert_eq!(error.message, message);
    assert_eq!(error.code.as_deref(), code);
    assert_eq!(error.param.as_deref(), param);
}

async fn failure(answer: Answer) -> Error {
    let upstream = FakeUpstream::answering(answer).await;
    http().send(post(&upstream)).await.unwrap().success().await.err().unwrap()
}

#[tokio::test]
async fn errors_of_upstreams_keep_their_status_and_their_message() {
    let upstream = |status| ErrorKind::Upstream { status: Some(status) };
    let cases = [
        (
            404,
            json!({ "error": {
                "message": "The model `x` does not exist.", "type": "invalid_request_error",
                "code": "model_not_found", "param": null,
            }}),
            "The model `x` does not exist.",
            Some("model_not_found"),
            None,
        ),
        (
            400,
            json!({ "error": { "message": "too hot", "type": "bad", "param": "temperature" } }),
            "too hot",
            Some("bad"),
            Some("temperature"),
        ),
        (
            400,
            json!({ "object": "error", "message": "too long", "type": "BadRequestError",
                    "param": null, "code": 400 }),
            "too long",
            Some("400"),
            None,
        ),
        (404, json!({ "detail": "Not Found" }), "Not Found", None, None),
        (
            400,
            json!([{ "error": { "code": 400, "message": "no such field", "status": "INVALID" } }]),
            "no such field",
            Some("400"),
            None,
        ),
        (
            422,
            json!({ "object": "error", "type": "invalid", "message": { "detail": [
                { "loc": ["body", "top_k"], "msg": "Extra inputs are not permitted" },
            ]}}),
            "body.top_k: Extra inputs are not permitted",
            None,
            None,
        ),
        (
            422,
            json!({ "detail": [
                { "loc": ["body", "messages", 0], "msg": "Field required", "type": "missing" },
                { "msg": "second" }, { "odd": 1 },
            ]}),
            "body.messages.0: Field required; second; {\"odd\":1}",
            None,
            None,
        ),
        (404, json!({ "error": "model \"x\" not found" }), "model \"x\" not found", None, None),
        (500, json!({ "message": "boom" }), "boom", None, None),
        (500, json!({ "error": { "odd": 1 } }), "vLLM answered with status 500", None, None),
        (500, json!([1, 2]), "vLLM answered with status 500", None, None),
    ];
    for (status, body, message, code, param) in cases {
        let error = failure(Answer::json(body).status(status)).await;
        check(&error, &upstream(status), message, code, param);
    }
}

#[tokio::test]
async fn texts_are_messages_and_pages_are_not() {
    let upstream = |status| ErrorKind::Upstream { status: Some(status) };
    let error = failure(Answer::text(" upstream overloaded\n").status(503)).await;
    check(&error, &upstream(503), "upstream overloaded", None, None);
    let page = Answer::new("text/html", "<html><h1>502 Bad Gateway</h1></html>").status(502);
    let error = failure(page).await;
    check(&error, &upstream(502), "vLLM answered with status 502", None, None);
    let error = failure(Answer::text("{\"error\": ").status(500)).await;
    check(&error, &upstream(500), "vLLM answered with status 500", None, None);
    let error = failure(Answer::text("ü".repeat(5000)).status(500)).await;
    assert_eq!(error.message, format!("{}...", "ü".repeat(300)));
    let cut = Answer::json(json!({ "error": "half an error" })).status(500).cut_after(8);
    check(&failure(cut).await, &upstream(500), "vLLM answered with status 500", None, None);
}

#[tokio::test]
async fn too_many_requests_say_when_to_come_back() {
    let body = json!({ "error": { "message": "slow down", "code": "rate_limit_exceeded" } });
    let error = failure(Answer::json(body).status(429).header("retry-after", "7")).await;
    let kind = ErrorKind::RateLimited { retry_after: Some(Duration::from_secs(7)) };
    check(&error, &kind, "slow down", Some("rate_limit_exceeded"), None);
}

#[tokio::test]
async fn a_key_that_the_upstream_repeats_is_not_passed_on() {
    let upstream = FakeUpstream::start(|seen| {
        let key = seen.header("authorization").to_owned();
        Answer::json(json!({ "error": { "message": format!("wrong key: {key}") } })).status(401)
    })
    .await;
    let request = post(&upstream).bearer(&Secret::new("sk-secret-123")).unwrap();
    let error = http().send(request).await.unwrap().success().await.err().unwrap();
    assert_eq!(error.message, "wrong key: Bearer ********");
    assert!(!format!("{error:?} {}", error.chain()).contains("sk-secret"));
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_unavailable_and_its_address_stays_secret() {
    // The port was free a moment ago, and nobody listens there.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let request =
        Request::get("vLLM", url(&format!("http://user:pass-word@{address}/secret-path")));
    let error =
        http().send(request.bearer(&Secret::new("sk-secret")).unwrap()).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Unavailable { retry_after: None });
    assert_eq!(error.message, "cannot connect to vLLM: connection refused");
    let everything = format!("{error:?} {}", error.chain());
    for secret in ["pass-word", "secret-path", "sk-secret"] {
        assert!(!everything.contains(secret), "{everything}");
    }

    let request = Request::get("vLLM", url("http://no-such-host.invalid/"));
    let error = http().send(request).await.err().unwrap();
    assert_eq!(error.message, "cannot connect to vLLM: its name cannot be resolved");
}

#[tokio::test]
async fn a_connection_that_is_lost_is_an_error_of_the_upstream() {
    let upstream = FakeUpstream::answering(Answer::text("0123456789").cut_after(4)).await;
    let error = http().send(post(&upstream)).await.unwrap().bytes(100).await.unwrap_err();
    let message = "the connection to vLLM was lost in the middle of the answer";
    check(&error, &ErrorKind::Upstream { status: None }, message, None, None);
}

#[tokio::test]
async fn an_error_inside_an_answer_with_a_success_status_is_found() {
    let none = |body: Value| assert!(error_in(&body, &[]).is_none(), "{body}");
    none(json!({ "choices": [] }));
    none(json!({ "error": null, "object": "chat.completion" }));
    let found = |body: Value| error_in(&body, &[]).unwrap();
    let error = found(json!({ "error": { "message": "no memory", "code": 503 } }));
    check(&error, &ErrorKind::Upstream { status: Some(503) }, "no memory", Some("503"), None);
    let error = found(json!({ "object": "error", "message": "no", "code": 429 }));
    check(&error, &ErrorKind::RateLimited { retry_after: None }, "no", Some("429"), None);
    let error = found(json!({ "error": ["odd"] }));
    check(&error, &ErrorKind::Upstream { status: None }, "[\"odd\"]", None, None);
}
