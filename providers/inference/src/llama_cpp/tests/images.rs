//! Images in chats, with a projector of random numbers beside the tiny model.

use super::*;
use base64::{Engine, engine::general_purpose::STANDARD};
use chaski_llm::gguf::tiny::{self, ProjectorKind};
use chaski_provider::Deps;
use chaski_testkit::{Answer, FakeUpstream, Seen};
use chaski_upstream::{Http, HttpOptions};
use image::{Rgb, RgbImage};
use std::{io::Cursor, path::Path};
use tempfile::TempDir;

/// The length of the vectors of the tiny model.
const WIDTH: usize = 576;

/// A folder with the tiny model, and a projector called `projector`.
fn folder(projector: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("{TINY}.gguf");
    std::os::unix::fs::symlink(weights_dir(TINY).join(&file), folder.path().join(file)).unwrap();
    tiny::projector(&folder.path().join(projector), ProjectorKind::Mlp, WIDTH, |_, _| {}).unwrap();
    folder
}

fn in_folder(folder: &Path, more: &Value) -> LlamaCpp {
    let mut config = json!({ "models_dir": folder.to_str().unwrap() });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    provider(config)
}

fn png(colour: [u8; 3]) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    RgbImage::from_pixel(20, 20, Rgb(colour)).write_to(&mut out, image::ImageFormat::Png).unwrap();
    out.into_inner()
}

fn data(bytes: &[u8]) -> String {
    format!("data:image/png;base64,{}", STANDARD.encode(bytes))
}

/// A question behind the images at these addresses.
fn about(urls: &[&str]) -> Value {
    let image = |url: &&str| json!({ "type": "image_url", "image_url": { "url": url } });
    let mut parts: Vec<Value> = urls.iter().map(image).collect();
    parts.push(json!({ "type": "text", "text": "What is this?" }));
    json!({ "messages": [{ "role": "user", "content": parts }], "seed": 1, "logprobs": true })
}

#[tokio::test]
async fn a_model_with_a_projector_beside_it_sees_images() {
    let folder = folder(&format!("mmproj-{TINY}.gguf"));
    let provider = in_folder(folder.path(), &json!({}));
    let (red, blue) = (data(&png([255, 0, 0])), data(&png([0, 0, 255])));
    let none = chat(&provider, about(&[])).await.unwrap();
    let one = chat(&provider, about(&[&red])).await.unwrap();
    let other = chat(&provider, about(&[&blue])).await.unwrap();
    let both = chat(&provider, about(&[&red, &blue])).await.unwrap();
    let counts =
        [&none, &one, &other, &both].map(|answer| answer.usage.as_ref().unwrap().prompt_tokens);
    // 16 for each image, and a line break.
    assert_eq!(counts.map(|count| count - counts[0]), [0, 17, 17, 34]);
    let first = |answer: &ChatCompletion| {
        answer.choices[0].logprobs.as_ref().unwrap().content.as_ref().unwrap()[0].logprob
    };
    assert!((first(&one) - first(&other)).abs() > 1e-4, "{} {}", first(&one), first(&other));
    let request = question(&about(&[&red]));
    let counted = provider.chat_tokens(&Context::default(), &request).await.unwrap();
    assert_eq!(counted, Some(counts[1]));
    let offered = provider.offered().await.unwrap().unwrap();
    assert_eq!(offered.len(), 1, "the projector is no model: {offered:?}");
    assert_eq!(offered[0].metadata["capabilities"], json!(["vision"]));
}

#[tokio::test]
async fn the_only_projector_of_a_folder_and_a_configured_one_are_used() {
    let red = data(&png([255, 0, 0]));
    let only = folder("mmproj-F16.gguf");
    assert!(chat(&in_folder(only.path(), &json!({})), about(&[&red])).await.is_ok());
    let named = folder("eyes.gguf");
    let full = named.path().join("eyes.gguf");
    for name in ["eyes", "eyes.gguf", full.to_str().unwrap()] {
        let provider = in_folder(named.path(), &json!({ "projectors": { TINY: name } }));
        assert!(chat(&provider, about(&[&red])).await.is_ok(), "{name}");
    }
    let provider = in_folder(named.path(), &json!({ "projectors": { TINY: "absent" } }));
    let error = chat(&provider, about(&[&red])).await.unwrap_err();
    assert!(error.message.contains("absent.gguf`, which `projectors` names"), "{error}");
}

#[tokio::test]
async fn a_model_without_a_projector_refuses_images_with_the_remedy() {
    let red = data(&png([255, 0, 0]));
    for url in [red.as_str(), "https://localhost/cat.png"] {
        let error = chat(&provider(json!({})), about(&[url])).await.unwrap_err();
        assert_eq!(
            (error.kind, error.param.as_deref()),
            (ErrorKind::InvalidRequest, Some("messages"))
        );
        let remedy = format!("put `mmproj-{TINY}.gguf` beside its file");
        assert!(error.message.contains(&remedy), "{}", error.message);
    }
}

#[tokio::test]
async fn images_that_are_none_are_the_callers_fault() {
    let folder = folder("mmproj.gguf");
    let provider = in_folder(folder.path(), &json!({}));
    let broken = data(b"\x89PNG\r\n\x1a\nrest");
    let bitmap = data(b"BM\0\0\0\0\0\0\0\0\0\0\0\0");
    let odd = format!("{}*", data(&png([1, 2, 3])));
    for (url, why) in [
        (broken.as_str(), "an image cannot be read: "),
        (&bitmap, "use PNG, JPEG, GIF or WebP"),
        (&odd, "is not in valid base64"),
        ("data:image/png;base64,aGVsbG8=", "holds no image in base64"),
        ("file:///etc/passwd", "must begin with `https:`"),
        ("http://127.0.0.1:1/cat.png", "127.0.0.1"),
    ] {
        let error = chat(&provider, about(&[url])).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidRequest, "{url}: {error}");
        assert!(error.message.contains(why), "{url}: {error}");
    }
}

#[tokio::test]
async fn an_image_at_an_address_is_the_same_as_its_bytes() {
    let folder = folder("mmproj.gguf");
    let server = FakeUpstream::start(|_: &Seen| Answer::new("image/png", png([9, 99, 9]))).await;
    let allowed = vec![server.address().to_string().parse().unwrap()];
    let http = HttpOptions { egress_allow: allowed, ..HttpOptions::default() };
    let deps = Deps { http: Http::new(http).unwrap(), ..deps(folder.path().to_owned()) };
    let config = LlamaCppConfig::from_json(json!({ "context_length": 1024 })).unwrap();
    let provider = LlamaCpp::new(config, &deps);
    let fetched = chat(&provider, about(&[&format!("{}/x.png", server.url())])).await.unwrap();
    let given = chat(&provider, about(&[&data(&png([9, 99, 9]))])).await.unwrap();
    assert_eq!(fetched.choices, given.choices);
}
