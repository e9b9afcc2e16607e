//! Where credentials come from, and calls with them.

use super::*;
use crate::{Http, HttpOptions, TraceParent};
use bytes::Bytes;
use chaski_api::{Error, ErrorKind, Result, Secret};
use chaski_testkit::{Answer, FakeUpstream, Seen};
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::{collections::BTreeMap, path::Path, time::Duration};

/// A service whose signing key and all further sources are found in `variables`.
async fn service(
    upstream: &FakeUpstream,
    variables: &[(&str, &str)],
    sources: Sources,
) -> Result<Service> {
    let url = upstream.url();
    let mut values: BTreeMap<String, String> = [
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ENDPOINT_URL", &url),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url),
    ]
    .iter()
    .chain(variables)
    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
    .collect();
    values.entry("HOME".to_owned()).or_insert_with(|| "/nowhere".to_owned());
    let options = ServiceOptions {
        name: "Bedrock",
        signing_name: "bedrock",
        host: "bedrock-runtime",
        endpoint_variable: "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
        key_variable: Some("AWS_BEARER_TOKEN_BEDROCK"),
        endpoint: None,
        region: None,
        sources: Sources { variables: values, ..sources },
        retries: 0,
        read_timeout: None,
    };
    Service::new(Http::new(HttpOptions::default()).unwrap(), options).await
}

async fn post(service: &Service) -> Result<Bytes> {
    let path = ["model", "a:b/c", "converse"];
    let response = service.post(&path, Bytes::from("{}"), None, None, None).await?;
    response.bytes(1024).await
}

/// The key that a request was signed with, and its session token.
fn signed_with(seen: &Seen) -> (String, String) {
    let text = seen.header("authorization");
    let key = text.strip_prefix("AWS4-HMAC-SHA256 Credential=").unwrap_or(text);
    let key = key.split('/').next().unwrap().to_owned();
    (key, seen.header("x-amz-security-token").to_owned())
}

fn in_minutes(minutes: i64) -> String {
    (Timestamp::now() + SignedDuration::from_mins(minutes)).to_string()
}

fn document(key: &str, expires: &str) -> Answer {
    Answer::json(json!({
        "Code": "Success", "AccessKeyId": key, "SecretAccessKey": "secret", "Token": "token",
        "Expiration": expires,
    }))
}

/// What the token service answers.
fn role(key: &str, expires: &str) -> Answer {
    Answer::new(
        "text/xml",
        format!(
            "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
             <AssumeRoleResult><Credentials><AccessKeyId>{key}</AccessKeyId>\
             <SecretAccessKey>a&amp;b</SecretAccessKey><SessionToken>t&lt;1</SessionToken>\
             <Expiration>{expires}</Expiration></Credentials></AssumeRoleResult>\
             </AssumeRoleResponse>"
        ),
    )
}

#[tokio::test]
async fn keys_of_the_configuration_win_over_those_of_the_environment() {
    let upstream = FakeUpstream::answering(Answer::json(json!({}))).await;
    let sources = Sources {
        access_key_id: Some(Secret::new("AKCONFIG")),
        secret_access_key: Some(Secret::new("s")),
        ..Sources::default()
    };
    let variables = [("AWS_ACCESS_KEY_ID", "AKENV"), ("AWS_SECRET_ACCESS_KEY", "s")];
    post(&service(&upstream, &variables, sources).await.unwrap()).await.unwrap();
    let token = [("AWS_SESSION_TOKEN", "st")];
    let variables = [&variables[..], &token].concat();
    let environment = service(&upstream, &variables, Sources::default()).await.unwrap();
    post(&environment).await.unwrap();
    let [first, second] = &upstream.requests()[..] else { panic!("two requests") };
    assert_eq!(first.path, "/model/a%3Ab%2Fc/converse");
    assert_eq!(signed_with(first), ("AKCONFIG".to_owned(), String::new()));
    assert_eq!(signed_with(second), ("AKENV".to_owned(), "st".to_owned()));
    let scope = "/eu-central-1/bedrock/aws4_request, \
                 SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=";
    assert!(second.header("authorization").contains(scope));
}

#[tokio::test]
async fn questions_are_signed_with_their_parameters_and_carry_no_body() {
    let upstream = FakeUpstream::answering(Answer::json(json!({ "ok": true }))).await;
    let variables = [("AWS_ACCESS_KEY_ID", "AKENV"), ("AWS_SECRET_ACCESS_KEY", "s")];
    let service = service(&upstream, &variables, Sources::default()).await.unwrap();
    let path = ["guardrails", "arn:aws:g/1"];
    let answer = service.get(&path, &[("guardrailVersion", "1 a&b")], None).await.unwrap();
    assert_eq!(answer.bytes(1024).await.unwrap(), "{\"ok\":true}");
    let seen = upstream.only_request();
    assert_eq!(seen.method, http::Method::GET);
    assert_eq!(seen.path, "/guardrails/arn%3Aaws%3Ag%2F1?guardrailVersion=1%20a%26b");
    assert!(seen.body.is_empty());
    assert_eq!((signed_with(&seen).0.as_str(), seen.header("content-type")), ("AKENV", ""));
    assert!(seen.header("authorization").contains("SignedHeaders=host;x-amz-date, Signature="));
}

#[tokio::test]
async fn the_span_of_a_call_is_told_and_not_signed() {
    let upstream = FakeUpstream::answering(Answer::json(json!({}))).await;
    let variables = [("AWS_ACCESS_KEY_ID", "AKENV"), ("AWS_SECRET_ACCESS_KEY", "s")];
    let service = service(&upstream, &variables, Sources::default()).await.unwrap();
    let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [("traceparent", given), ("tracestate", "a=1")];
    let headers = headers
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    let parent = TraceParent::read(&HeaderMap::from_iter(headers));
    let path = ["model", "m", "converse"];
    service.post(&path, Bytes::from("{}"), None, parent.as_ref(), None).await.unwrap();
    let seen = upstream.only_request();
    assert_eq!((seen.header("traceparent"), seen.header("tracestate")), (given, "a=1"));
    let signed = "SignedHeaders=content-type;host;x-amz-date, Signature=";
    assert!(seen.header("authorization").contains(signed));
}

#[tokio::test]
async fn a_key_of_the_service_is_sent_in_place_of_a_signature() {
    let upstream = FakeUpstream::answering(Answer::json(json!({}))).await;
    let variables = [("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key-1")];
    let service = service(&upstream, &variables, Sources::default()).await.unwrap();
    service.check().await.unwrap();
    post(&service).await.unwrap();
    assert_eq!(upstream.only_request().header("authorization"), "Bearer bedrock-api-key-1");
}

#[tokio::test]
async fn a_container_asks_its_endpoint_with_the_token_of_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "container-token\n").unwrap();
    let upstream = FakeUpstream::start(|seen| match seen.path.as_str() {
        "/creds" => document("AKCONTAINER", &in_minutes(60)),
        _ => Answer::json(json!({})),
    })
    .await;
    let address = format!("{}/creds", upstream.url());
    let variables = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", address.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file.to_str().unwrap()),
    ];
    let reached = service(&upstream, &variables, Sources::default()).await.unwrap();
    post(&reached).await.unwrap();
    post(&reached).await.unwrap();
    let seen = upstream.requests();
    let paths: Vec<&str> = seen.iter().map(|seen| seen.path.as_str()).collect();
    let model = "/model/a%3Ab%2Fc/converse";
    assert_eq!(paths, ["/creds", model, model], "credentials are kept");
    assert_eq!(seen[0].header("authorization"), "container-token");
    assert_eq!(signed_with(&seen[1]), ("AKCONTAINER".to_owned(), "token".to_owned()));

    let variables = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://10.0.0.1/creds")];
    let far = service(&upstream, &variables, Sources::default()).await.unwrap();
    let error = post(&far).await.unwrap_err();
    assert!(error.message.contains("must be an `https` address"), "{error}");
}

/// A machine whose metadata service gives out these credentials one after another.
fn machine(seen: &Seen, credentials: &Answer) -> Answer {
    let roles = "/latest/meta-data/iam/security-credentials/";
    match (seen.method.as_str(), seen.path.strip_prefix(roles)) {
        ("PUT", None) => Answer::text("imds-token"),
        ("GET", Some("")) => Answer::text("a-role\n"),
        ("GET", Some("a-role")) => credentials.clone(),
        _ => Answer::json(json!({})),
    }
}

#[tokio::test]
async fn a_machine_gets_the_credentials_of_its_role_with_a_token() {
    let credentials = document("AKMACHINE", &in_minutes(60));
    let upstream = FakeUpstream::start(move |seen| machine(seen, &credentials)).await;
    post(&service(&upstream, &[], Sources::default()).await.unwrap()).await.unwrap();
    let seen = upstream.requests();
    assert_eq!(seen[0].path, "/latest/api/token");
    assert_eq!(seen[0].header("x-aws-ec2-metadata-token-ttl-seconds"), "21600");
    assert_eq!(seen[1].header("x-aws-ec2-metadata-token"), "imds-token");
    assert_eq!(seen[2].header("x-aws-ec2-metadata-token"), "imds-token");
    assert_eq!(signed_with(&seen[3]).0, "AKMACHINE");
}

#[tokio::test]
async fn credentials_are_renewed_before_they_expire() {
    let given = std::sync::atomic::AtomicUsize::new(0);
    // The first set expires soon, the second never gets that far, and then there are none.
    let upstream = FakeUpstream::start(move |seen| {
        let is_set = seen.path.ends_with("/a-role");
        let count = given.fetch_add(usize::from(is_set), std::sync::atomic::Ordering::SeqCst);
        match count {
            0 => machine(seen, &document("AK0", &in_minutes(2))),
            1 => machine(seen, &Answer::text("down").status(500)),
            _ => machine(seen, &document("AK2", &in_minutes(60))),
        }
    })
    .await;
    let service = service(&upstream, &[], Sources::default()).await.unwrap();
    let keys = async |count: usize| {
        for _ in 0..count {
            post(&service).await.unwrap();
        }
        let seen = upstream.requests();
        let calls = seen.iter().filter(|seen| seen.path.starts_with("/model/"));
        calls.map(|seen| signed_with(seen).0).collect::<Vec<_>>()
    };
    // A renewal that fails leaves the credentials in use that still work.
    assert_eq!(keys(3).await, ["AK0", "AK0", "AK0"]);
    let asked = upstream.requests().iter().filter(|seen| seen.path.ends_with("/a-role")).count();
    assert_eq!(asked, 2, "a renewal that failed is not repeated at once");
}

#[tokio::test]
async fn credentials_that_are_due_are_replaced() {
    let given = std::sync::atomic::AtomicUsize::new(0);
    let upstream = FakeUpstream::start(move |seen| {
        let is_set = seen.path.ends_with("/a-role");
        let count = given.fetch_add(usize::from(is_set), std::sync::atomic::Ordering::SeqCst);
        let minutes = if count == 0 { 2 } else { 60 };
        machine(seen, &document(&format!("AK{count}"), &in_minutes(minutes)))
    })
    .await;
    let service = service(&upstream, &[], Sources::default()).await.unwrap();
    for _ in 0..3 {
        post(&service).await.unwrap();
    }
    let seen = upstream.requests();
    let calls = seen.iter().filter(|seen| seen.path.starts_with("/model/"));
    let keys: Vec<String> = calls.map(|seen| signed_with(seen).0).collect();
    assert_eq!(keys, ["AK0", "AK1", "AK1"]);
}

#[tokio::test]
async fn credentials_that_expired_early_are_replaced_and_the_call_repeated() {
    let given = std::sync::atomic::AtomicUsize::new(0);
    let upstream = FakeUpstream::start(move |seen| {
        let is_set = seen.path.ends_with("/a-role");
        let count = given.fetch_add(usize::from(is_set), std::sync::atomic::Ordering::SeqCst);
        if seen.path.starts_with("/model/") && signed_with(seen).0 == "AK0" {
            return Answer::json(json!({ "message": "The security token is expired" }))
                .header("x-amzn-errortype", "ExpiredTokenException:http://internal/")
                .status(403);
        }
        machine(seen, &document(&format!("AK{count}"), &in_minutes(60)))
    })
    .await;
    let service = service(&upstream, &[], Sources::default()).await.unwrap();
    assert_eq!(post(&service).await.unwrap(), "{}");
}

fn write(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// What the token service was asked, by name.
fn asked(seen: &Seen) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(&seen.body).into_owned().collect()
}

#[tokio::test]
async fn a_pod_takes_its_role_with_its_token() {
    let dir = tempfile::tempdir().unwrap();
    let token = write(dir.path(), "token", "eyJ.web.identity\n");
    let upstream = FakeUpstream::start(|seen| match seen.path.as_str() {
        "/" => role("AKPOD", &in_minutes(60)),
        _ => Answer::json(json!({})),
    })
    .await;
    let variables = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.as_str()),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod"),
        ("AWS_ROLE_SESSION_NAME", "session-1"),
    ];
    let sources = Sources { session_lifetime: Some(Duration::from_hours(1)), ..Sources::default() };
    post(&service(&upstream, &variables, sources).await.unwrap()).await.unwrap();
    let seen = upstream.requests();
    let question = asked(&seen[0]);
    assert_eq!(question["Action"], "AssumeRoleWithWebIdentity");
    assert_eq!(question["WebIdentityToken"], "eyJ.web.identity");
    assert_eq!(question["RoleArn"], "arn:aws:iam::123456789012:role/pod");
    assert_eq!(question["RoleSessionName"], "session-1");
    assert_eq!(question["DurationSeconds"], "3600");
    assert_eq!(seen[0].header("authorization"), "", "the token speaks for itself");
    assert_eq!(signed_with(&seen[1]), ("AKPOD".to_owned(), "t<1".to_owned()));
}

#[tokio::test]
async fn a_profile_takes_its_role_with_the_keys_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let config = write(
        dir.path(),
        "config",
        "[profile top]\nrole_arn = arn:top\nsource_profile = middle\nexternal_id = x\n\
         [profile middle]\nrole_arn = arn:middle\nsource_profile = base\nduration_seconds = 900\n",
    );
    let text = "[base]\naws_access_key_id = AKBASE\naws_secret_access_key = s\n";
    let credentials = write(dir.path(), "credentials", text);
    let upstream = FakeUpstream::start(|seen| match seen.path.as_str() {
        "/" => role(&format!("AK-{}", asked(seen)["RoleArn"]), &in_minutes(60)),
        _ => Answer::json(json!({})),
    })
    .await;
    let variables = [
        ("AWS_CONFIG_FILE", config.as_str()),
        ("AWS_SHARED_CREDENTIALS_FILE", credentials.as_str()),
        ("AWS_ACCESS_KEY_ID", "AKENV"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
    ];
    let sources = Sources { profile: Some("top".to_owned()), ..Sources::default() };
    post(&service(&upstream, &variables, sources).await.unwrap()).await.unwrap();
    let seen = upstream.requests();
    let steps: Vec<String> = seen.iter().map(|seen| signed_with(seen).0).collect();
    assert_eq!(steps, ["AKBASE", "AK-arn:middle", "AK-arn:top"]);
    assert_eq!(asked(&seen[0])["DurationSeconds"], "900");
    assert_eq!(asked(&seen[0]).get("ExternalId"), None);
    assert_eq!(asked(&seen[1])["ExternalId"], "x");
    assert!(seen[0].header("authorization").contains("/eu-central-1/sts/aws4_request"));
}

#[tokio::test]
async fn a_profile_that_gives_no_credentials_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let config = write(
        dir.path(),
        "config",
        "[profile sso]\nsso_start_url = https://x\n[profile loop]\nrole_arn = a\n\
         source_profile = loop2\n[profile loop2]\nrole_arn = b\nsource_profile = loop\n\
         [profile lone]\nrole_arn = c\n[profile odd]\nrole_arn = d\ncredential_source = Moon\n\
         [profile empty]\nregion = us-east-1\n[profile lost]\nrole_arn = e\nsource_profile = gone\n",
    );
    let upstream = FakeUpstream::answering(Answer::json(json!({}))).await;
    let check = async |profile: &str, expected: &str| {
        let variables = [("AWS_CONFIG_FILE", config.as_str()), ("AWS_PROFILE", profile)];
        let service = service(&upstream, &variables, Sources::default()).await.unwrap();
        let error = service.check().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable { retry_after: None });
        assert!(error.message.contains(expected), "{profile}: {error}");
    };
    check("sso", "gets its credentials by `sso_start_url`, which is not supported").await;
    check("loop", "the AWS profile `loop` goes back to no credentials").await;
    check("lone", "add a `source_profile`").await;
    check("odd", "has the `credential_source` `Moon`; use").await;
    check("empty", "the AWS profile `empty` has no credentials and no role").await;
    check("lost", "refers to `gone`, which does not exist").await;
    check("none", "there is no AWS profile `none`").await;
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn a_token_service_that_refuses_is_quoted_without_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let token = write(dir.path(), "token", "eyJ.secret");
    let refusal = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>\
                   <Message>Not authorized to perform sts:AssumeRoleWithWebIdentity</Message>\
                   </Error></ErrorResponse>";
    let upstream = FakeUpstream::answering(Answer::new("text/xml", refusal).status(403)).await;
    let variables = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.as_str()),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
    ];
    let service = service(&upstream, &variables, Sources::default()).await.unwrap();
    let error = post(&service).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Upstream { status: Some(403) });
    assert_eq!(
        error.message,
        "AWS's token service answered with status 403: `AccessDenied` \
         Not authorized to perform sts:AssumeRoleWithWebIdentity"
    );
}

#[tokio::test]
async fn without_credentials_every_way_to_give_them_is_named() {
    let upstream = FakeUpstream::answering(Answer::json(json!({}))).await;
    let variables = [("AWS_EC2_METADATA_DISABLED", "true"), ("AWS_ACCESS_KEY_ID", "half")];
    let service = service(&upstream, &variables, Sources::default()).await.unwrap();
    let error = service.check().await.unwrap_err();
    assert!(error.message.starts_with("there are no AWS credentials; set `aws_access_key_id`"));
    assert!(error.chain().ends_with("the machine's metadata service is switched off"));
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn endpoints_that_give_nonsense_are_named() {
    for (answer, expected) in [
        (Answer::text("<html>"), "sent credentials that cannot be understood"),
        (Answer::json(json!({ "AccessKeyId": "a" })), "sent a document without credentials"),
        (
            Answer::json(json!({ "Code": "AssumeRoleUnauthorizedAccess", "Message": "no" })),
            "gave no credentials: `AssumeRoleUnauthorizedAccess` no",
        ),
        (document("a", "tomorrow"), "sent credentials whose end is not a time"),
    ] {
        let upstream = FakeUpstream::answering(answer).await;
        let address = format!("{}/creds", upstream.url());
        let variables = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", address.as_str())];
        let service = service(&upstream, &variables, Sources::default()).await.unwrap();
        let error = post(&service).await.unwrap_err();
        assert_eq!(error.message, format!("the container's credentials endpoint {expected}"));
    }
}

#[tokio::test]
async fn the_region_comes_from_the_configuration_the_environment_or_the_profile() {
    let dir = tempfile::tempdir().unwrap();
    let config = write(dir.path(), "config", "[profile p]\nregion = cn-north-1\n");
    let http = || Http::new(HttpOptions::default()).unwrap();
    let options = |region: Option<&str>, variables: &[(&str, &str)]| ServiceOptions {
        name: "Bedrock",
        signing_name: "bedrock",
        host: "bedrock-runtime",
        endpoint_variable: "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
        key_variable: None,
        endpoint: None,
        region: region.map(str::to_owned),
        sources: Sources {
            variables: variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..Sources::default()
        },
        retries: 0,
        read_timeout: None,
    };
    let made = async |region: Option<&str>, variables: &[(&str, &str)]| {
        let service = Service::new(http(), options(region, variables)).await;
        service.map(|service| format!("{service:?}")).map_err(|error: Error| error.message)
    };
    let hosts = [
        (made(Some("us-west-2"), &[("AWS_REGION", "x")]).await, "us-west-2.amazonaws.com"),
        (made(None, &[("AWS_DEFAULT_REGION", "eu-west-1")]).await, "eu-west-1.amazonaws.com"),
        (
            made(None, &[("AWS_CONFIG_FILE", &config), ("AWS_PROFILE", "p")]).await,
            "cn-north-1.amazonaws.com.cn",
        ),
    ];
    for (service, host) in hosts {
        let service = service.unwrap();
        assert!(service.contains(&format!("bedrock-runtime.{host}\"")), "{service}");
    }
    let missing = made(None, &[]).await.unwrap_err();
    assert!(missing.starts_with("no AWS region is known for Bedrock; set `region_name`"));
    let wrong = made(Some("evil.example/"), &[]).await.unwrap_err();
    assert_eq!(wrong, "`evil.example/` is not an AWS region; use one such as `us-east-1`");
    let endpoint = [("AWS_REGION", "us-east-1"), ("AWS_ENDPOINT_URL", "localhost:4566")];
    let wrong = made(None, &endpoint).await.unwrap_err();
    assert!(wrong.starts_with("an AWS endpoint is not a web address"), "{wrong}");
}

#[tokio::test]
async fn errors_carry_the_status_the_code_and_the_message_of_the_service() {
    let refusal = json!({ "message": "The provided model identifier is invalid." });
    let answer = Answer::json(refusal)
        .header("x-amzn-errortype", "ValidationException:http://internal/coral/")
        .status(400);
    let upstream = FakeUpstream::answering(answer).await;
    let variables = [("AWS_ACCESS_KEY_ID", "AK"), ("AWS_SECRET_ACCESS_KEY", "s")];
    let service = service(&upstream, &variables, Sources::default()).await.unwrap();
    let error = post(&service).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Upstream { status: Some(400) });
    assert_eq!(error.code.as_deref(), Some("ValidationException"));
    assert_eq!(error.message, "The provided model identifier is invalid.");
    for id in ["", ".", ".."] {
        let error =
            service.post(&["model", id], Bytes::new(), None, None, None).await.err().unwrap();
        assert_eq!(error.kind, ErrorKind::InvalidRequest, "{id}");
    }
}
