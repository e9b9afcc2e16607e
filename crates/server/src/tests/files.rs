//! Files and uploads, from outside.

use super::harness::{Answer, Running, start_with, status_of};
use crate::{AuthOptions, Limits, ServerOptions};
use chaski_testkit::{Answer as Told, FakeUpstream, eventually};
use http::Method;
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, net::TcpStream};

async fn server() -> (Running, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let more = json!({ "data_dir": folder.path(), "files": { "max_bytes": 1000 } });
    (start_with(ServerOptions::default(), more).await, folder)
}

/// A form with these parts: head line and content.
pub(super) fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (disposition, content) in parts {
        let head = format!("--XX\r\nContent-Disposition: form-data; {disposition}\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--XX--\r\n");
    body
}

const FORM: &str = "content-type: multipart/form-data; boundary=XX\r\n";

pub(super) async fn post(server: &Running, path: &str, body: &[u8]) -> (u16, Value) {
    let raw = server.raw_request(&format!("POST {path}"), FORM, body).await;
    let json = raw.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status_of(&raw), serde_json::from_str(json).unwrap_or_default())
}

async fn keep(server: &Running, name: &str, content: &[u8]) -> Value {
    let file = format!("name=\"file\"; filename=\"{name}\"");
    let body = form(&[(&file, content), ("name=\"purpose\"", b"assistants")]);
    let (status, file) = post(server, "/v1/files", &body).await;
    assert_eq!(status, 200, "{file}");
    file
}

fn id(value: &Value) -> &str {
    value["id"].as_str().unwrap()
}

fn on_disk(folder: &Path) -> usize {
    ["incoming", "kept"]
        .map(|part| std::fs::read_dir(folder.join(part)).map_or(0, Iterator::count))
        .iter()
        .sum()
}

fn not_found(answer: &Answer) {
    assert_eq!(answer.status, 404, "{}", answer.text);
    let error = &answer.json()["error"];
    assert_eq!(error["type"], "invalid_request_error");
    assert!(error["message"].as_str().unwrap().starts_with("No such"), "{error}");
}

#[tokio::test]
async fn a_file_is_kept_listed_sent_and_removed_under_both_mounts() {
    let (server, folder) = server().await;
    let file = keep(&server, "a.txt", b"0123456789").await;
    assert_eq!((&file["object"], &file["bytes"]), (&json!("file"), &json!(10)));
    assert_eq!((&file["filename"], &file["purpose"]), (&json!("a.txt"), &json!("assistants")));
    for mount in ["/v1", "/v1/openai/v1"] {
        let path = format!("{mount}/files/{}", id(&file));
        assert_eq!(server.get(&path).await.json(), file);
        let list = server.get(&format!("{mount}/files?purpose=assistants&limit=1")).await.json();
        assert_eq!((&list["data"], &list["has_more"]), (&json!([file]), &json!(false)));
        let content = server.get(&format!("{path}/content")).await;
        assert_eq!((content.status, content.text.as_str()), (200, "0123456789"));
    }
    let none = server.get("/v1/files?purpose=vision").await.json();
    assert_eq!((&none["data"], &none["first_id"]), (&json!([]), &Value::Null));
    let path = format!("/v1/files/{}", id(&file));
    let gone = server.send(server.request(Method::DELETE, &path)).await;
    assert_eq!(gone.json(), json!({ "id": file["id"], "object": "file", "deleted": true }));
    not_found(&server.get(&path).await);
    not_found(&server.get(&format!("{path}/content")).await);
    not_found(&server.send(server.request(Method::DELETE, &path)).await);
    assert_eq!(on_disk(folder.path()), 0);
}

#[tokio::test]
async fn lists_are_paged_in_both_orders() {
    let (server, _folder) = server().await;
    let mut made = Vec::new();
    for number in 0..5 {
        made.push(keep(&server, &format!("{number}"), b"x").await["id"].clone());
    }
    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let page = server.get(&format!("/v1/files?order=asc&limit=2{after}")).await.json();
        seen.extend(page["data"].as_array().unwrap().iter().map(|file| file["id"].clone()));
        assert_eq!(page["last_id"], *seen.last().unwrap());
        if page["has_more"] == false {
            break;
        }
        after = format!("&after={}", page["last_id"].as_str().unwrap());
    }
    assert_eq!(seen, made);
    assert_eq!(server.get("/v1/files?limit=1").await.json()["data"][0]["id"], made[4]);
    for wrong in [
        "limit=0",
        "limit=10001",
        "limit=x",
        "order=up",
        "purpose=nonsense",
        "after=file-none",
        "after=%27%20OR%201%3D1%20--",
        "after=%25",
        "after=%00",
    ] {
        let answer = server.get(&format!("/v1/files?{wrong}")).await;
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.text);
        assert_eq!(answer.json()["error"]["param"], wrong.split_once('=').unwrap().0);
    }
}

#[tokio::test]
async fn content_is_sent_as_something_to_save_and_in_ranges() {
    let (server, _folder) = server().await;
    let name = "a\\\"; x=y é 🏃.html";
    let file = keep(&server, name, b"<script>alert(1)</script>").await;
    let path = format!("/v1/files/{}/content", id(&file));
    let whole = server.get(&path).await;
    assert_eq!(whole.header("content-type"), "application/octet-stream");
    assert_eq!(whole.header("x-content-type-options"), "nosniff");
    assert_eq!(whole.header("content-security-policy"), "sandbox");
    assert_eq!(
        whole.header("content-disposition"),
        "attachment; filename=\"a__ x_y _ _.html\"; filename*=UTF-8''a%22%3B%20x%3Dy%20%C3%A9%20%F0%9F%8F%83.html"
    );
    let part = server.get_with(&path, &[("range", "bytes=1-6")]).await;
    assert_eq!((part.status, part.text.as_str()), (206, "script"));
    assert_eq!(part.header("content-range"), "bytes 1-6/25");
    let none = server.get_with(&path, &[("range", "bytes=25-")]).await;
    assert_eq!((none.status, none.header("content-range")), (416, "bytes */25"));
}

#[tokio::test]
async fn names_are_shown_and_never_used_as_paths() {
    let (server, folder) = server().await;
    let encoded =
        (0..9).fold("../x".to_owned(), |name, _| name.replace('%', "%25").replace('/', "%2F"));
    for (name, shown) in [
        ("../../../etc/passwd", "passwd"),
        ("/abs/olute", "olute"),
        ("C:\\\\x\\\\y.txt", "y.txt"),
        ("..", "file"),
        ("", "file"),
        ("nul\u{0}byte", "nulbyte"),
        ("CON", "CON"),
        (&*encoded, &*encoded),
        (&*"n".repeat(4096), &*"n".repeat(255)),
    ] {
        assert_eq!(keep(&server, name, b"x").await["filename"], shown, "{name}");
    }
    assert_eq!(on_disk(folder.path()), 9);
    for entry in std::fs::read_dir(folder.path().join("kept")).unwrap() {
        assert!(entry.unwrap().file_name().to_str().unwrap().starts_with("file-"));
    }
    // Ids are looked up and never joined to a path.
    for id in ["..%2F..%2Fdata.db", "%2e%2e", ".", "file-%00", "a%2Fb", "*", "%27", "file-none"] {
        let answer = server.get(&format!("/v1/files/{id}/content")).await;
        assert_eq!(answer.status, 404, "{id}: {}", answer.text);
    }
}

#[tokio::test]
async fn forms_that_say_too_little_or_too_much_are_refused_and_leave_nothing() {
    let (server, folder) = server().await;
    let file: (&str, &[u8]) = ("name=\"file\"; filename=\"a\"", b"x");
    let purpose: (&str, &[u8]) = ("name=\"purpose\"", b"assistants");
    let big = [b'x'; 1001];
    for (parts, status, param) in [
        (vec![file], 400, "purpose"),
        (vec![purpose], 400, "file"),
        (vec![], 400, "file"),
        (vec![file, file, purpose], 400, "file"),
        (vec![file, ("name=\"purpose\"", b"world domination")], 400, "purpose"),
        (vec![file, ("name=\"purpose\"", b"batch_output")], 400, "purpose"),
        (vec![file, ("name=\"purpose\"", b"\xff")], 400, "purpose"),
        (vec![file, ("name=\"purpose\"", &big[..])], 400, "purpose"),
        (vec![("name=\"file\"; filename=\"a\"", &big), purpose], 413, "file"),
        (vec![file, purpose, ("name=\"expires_after\"", b"1")], 400, "expires_after"),
        (
            vec![file, purpose, ("name=\"expires_after[seconds]\"", b"3600")],
            400,
            "expires_after.anchor",
        ),
        (
            vec![
                file,
                purpose,
                ("name=\"expires_after[anchor]\"", b"created_at"),
                ("name=\"expires_after[seconds]\"", b"59"),
            ],
            400,
            "expires_after.seconds",
        ),
    ] {
        let (found, answer) = post(&server, "/v1/files", &form(&parts)).await;
        assert_eq!((found, &answer["error"]["param"]), (status, &json!(param)), "{answer}");
    }
    for (content_type, body) in [
        ("application/json", &b"{}"[..]),
        ("multipart/form-data", b"--XX--"),
        ("multipart/form-data; boundary=XX", b"--YY\r\n"),
        ("multipart/mixed; boundary=XX", b"--XX--"),
    ] {
        let headers = format!("content-type: {content_type}\r\n");
        let raw = server.raw_request("POST /v1/files", &headers, body).await;
        assert_eq!(status_of(&raw), 400, "{raw}");
        assert!(raw.contains(r#""type":"invalid_request_error""#), "{raw}");
    }
    eventually("the folder is empty", || on_disk(folder.path()) == 0).await;
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_cut_off_with_and_without_its_length() {
    let (server, folder) = server().await;
    let head = "POST /v1/files HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
    let said = format!("{head}{FORM}content-length: 9000000000\r\n\r\n");
    assert_eq!(status_of(&server.raw(said).await), 413);
    let part = "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n";
    let mut chunked = format!("{head}{FORM}transfer-encoding: chunked\r\n\r\n");
    let piece = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    chunked = chunked + &piece(part) + &piece(&"x".repeat(0x8000)).repeat(64);
    assert_eq!(status_of(&server.raw(chunked).await), 413);
    eventually("the folder is empty", || on_disk(folder.path()) == 0).await;
}

#[tokio::test]
async fn an_upload_that_breaks_off_or_stands_still_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let limits =
        Limits { body_timeout: std::time::Duration::from_millis(300), ..Limits::default() };
    let options = ServerOptions { limits, ..ServerOptions::default() };
    let server = start_with(options, json!({ "data_dir": folder.path() })).await;
    let head = format!(
        "POST /v1/files HTTP/1.1\r\nhost: localhost\r\n{FORM}content-length: 100000\r\n\r\n--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n{}",
        "x".repeat(5000)
    );
    let mut broken = TcpStream::connect(server.address).await.unwrap();
    broken.write_all(head.as_bytes()).await.unwrap();
    eventually("the file is being written", || on_disk(folder.path()) == 1).await;
    drop(broken);
    eventually("the file is gone", || on_disk(folder.path()) == 0).await;
    assert_eq!(status_of(&server.raw(&head).await), 408);
    eventually("the file is gone", || on_disk(folder.path()) == 0).await;
    assert_eq!(server.get("/v1/files").await.json()["data"], json!([]));
}

#[tokio::test]
async fn parts_become_a_file() {
    let (server, folder) = server().await;
    let begin = json!({
        "filename": "big.txt", "purpose": "assistants", "bytes": 10, "mime_type": "text/plain",
    });
    let upload = server.post("/v1/uploads", &begin).await.json();
    assert_eq!((&upload["status"], &upload["object"]), (&json!("pending"), &json!("upload")));
    let path = format!("/v1/uploads/{}", id(&upload));
    let mut parts = Vec::new();
    for content in [b"01234", b"56789"] {
        let body = form(&[("name=\"data\"; filename=\"blob\"", content)]);
        let (status, part) = post(&server, &format!("{path}/parts"), &body).await;
        assert_eq!((status, &part["object"]), (200, &json!("upload.part")), "{part}");
        parts.push(part["id"].clone());
    }
    let short = json!({ "part_ids": [parts[0]] });
    assert_eq!(server.post(&format!("{path}/complete"), &short).await.status, 400);
    let done = server.post(&format!("{path}/complete"), &json!({ "part_ids": parts })).await.json();
    assert_eq!((&done["status"], &done["file"]["bytes"]), (&json!("completed"), &json!(10)));
    let file = server.get(&format!("/v1/files/{}/content", id(&done["file"]))).await;
    assert_eq!(file.text, "0123456789");
    assert_eq!(on_disk(folder.path()), 1);

    let other = server.post("/v1/uploads", &begin).await.json();
    let path = format!("/v1/uploads/{}", id(&other));
    assert_eq!(post(&server, &format!("{path}/parts"), &form(&[])).await.0, 400);
    let cancelled = server.post(&format!("{path}/cancel"), &json!({})).await.json();
    assert_eq!(cancelled["status"], "cancelled");
    assert_eq!(server.post(&format!("{path}/cancel"), &json!({})).await.status, 400);
    for path in ["complete", "cancel"] {
        let body = json!({ "part_ids": ["part_x"] });
        not_found(&server.post(&format!("/v1/uploads/upload_none/{path}"), &body).await);
    }
    for wrong in [
        json!({}),
        json!({ "filename": "a", "purpose": "assistants", "mime_type": "x", "bytes": 0 }),
    ] {
        assert_eq!(server.post("/v1/uploads", &wrong).await.status, 400);
    }
}

#[tokio::test]
async fn files_of_one_caller_are_not_there_for_another() {
    let folder = tempfile::tempdir().unwrap();
    let service = FakeUpstream::start(|seen| {
        let key = seen.json()["api_key"].as_str().unwrap().to_owned();
        Told::json(json!({ "principal": key, "attributes": {} }))
    })
    .await;
    let endpoint = chaski_upstream::Url::parse(&format!("{}/auth", service.url())).unwrap();
    let auth = Some(AuthOptions::new(endpoint));
    let options = ServerOptions { auth, ..ServerOptions::default() };
    let server = start_with(options, json!({ "data_dir": folder.path() })).await;
    let headers = format!("{FORM}authorization: Bearer ada\r\n");
    let body =
        form(&[("name=\"file\"; filename=\"a\"", b"x"), ("name=\"purpose\"", b"assistants")]);
    let raw = server.raw_request("POST /v1/files", &headers, &body).await;
    let file: Value = serde_json::from_str(raw.split_once("\r\n\r\n").unwrap().1).unwrap();
    let path = format!("/v1/files/{}", id(&file));
    let as_caller = |name: &'static str| [("authorization", name)];
    assert_eq!(server.get_with(&path, &as_caller("Bearer ada")).await.status, 200);
    not_found(&server.get_with(&path, &as_caller("Bearer bob")).await);
    not_found(&server.get_with(&format!("{path}/content"), &as_caller("Bearer bob")).await);
    let list = server.get_with("/v1/files", &as_caller("Bearer bob")).await.json();
    assert_eq!(list["data"], json!([]));
    let path = format!("/v1/files?after={}", id(&file));
    let place = server.get_with(&path, &as_caller("Bearer bob")).await;
    assert_eq!(place.status, 400);
    assert_eq!(status_of(&server.raw_request("POST /v1/files", FORM, &body).await), 401);
    assert_eq!(on_disk(folder.path()), 1);
}
