//! The commands for models: weights for the process, and Meta's Llama models.

use crate::support::{Place, Ran};
use chaski_testkit::{Answer, FakeUpstream, Seen};
use serde_json::json;
use std::fs;

#[test]
fn weights_and_llama_models_are_listed() {
    let place = Place::new();
    let listed = place.run(&["model", "list", "--json"]).succeeded().json();
    let listed = listed.as_array().unwrap();
    assert!(listed.iter().all(|one| one["downloaded"] == false));
    for name in ["all-minilm-l6-v2", "Llama3.2-3B-Instruct"] {
        assert!(listed.iter().any(|one| one["name"] == name), "{name}");
    }
    let found = place.run(&["model", "list", "-s", "MINILM"]).succeeded().out;
    assert_eq!(found.lines().count(), 2, "{found}");
    let none = place.run(&["model", "list", "--search", "zzz"]).succeeded().out;
    assert_eq!(none, "Did not find any model matching `zzz`.\n");
}

#[test]
fn older_llama_models_are_listed_on_demand() {
    let place = Place::new();
    let llama = |args: &[&str]| {
        let out = place.run(args).succeeded().out;
        let (_, table) = out.split_once("Model Descriptor(ID)").expect("there is the table");
        table.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    let current = llama(&["model", "list"]);
    assert_eq!(current.len(), 29);
    let columns: Vec<&str> = current[0].split_whitespace().collect();
    assert_eq!(columns, ["Llama3.1-8B", "meta-llama/Llama-3.1-8B", "128K"]);
    let all = llama(&["model", "list", "--show-all"]);
    assert_eq!(all.len(), 40);
    assert!(all.iter().any(|row| row.starts_with("Prompt-Guard-86M")));
}

#[test]
fn a_llama_model_is_described() {
    let place = Place::new();
    let described = place.run(&["model", "describe", "-m", "Llama3.2-3B-Instruct"]).succeeded().out;
    for part in
        ["Llama3.2-3B-Instruct", "128K tokens", "bf16", "\"n_layers\": 28", "\"top_p\": 0.9"]
    {
        assert!(described.contains(part), "{part}: {described}");
    }
    let described =
        place.run(&["model", "describe", "meta-llama/Llama-3.1-8B", "--json"]).succeeded().json();
    assert_eq!(described["params"]["dim"], 4096);
    let described = place.run(&["model", "describe", "all-MiniLM-L6-v2", "--json"]).succeeded();
    assert_eq!(described.json()["catalogue"]["kind"], "embedding");
}

#[test]
fn an_unknown_model_is_answered_with_the_nearest_name() {
    let place = Place::new();
    place.run(&["model", "describe", "-m", "nope"]).failed_with(
        2,
        "error: Model nope not found; try 'chaski model list' for a list of available models.\n",
    );
    let near = place.run(&["model", "describe", "-m", "llama3.2-3b-instruct"]);
    assert!(near.err.ends_with("hint: did you mean `Llama3.2-3B-Instruct`?\n"), "{}", near.err);
    assert_eq!(place.run(&["model", "describe"]).code, Some(2));
    assert_eq!(place.run(&["model", "pull", "nope"]).code, Some(1));
}

#[test]
fn the_prompt_formats_of_31_and_32_are_shown() {
    let place = Place::new();
    let listed = place.run(&["model", "prompt-format", "--list"]).succeeded().out;
    assert!(
        listed
            .lines()
            .skip(1)
            .all(|name| { name.starts_with("Llama3.1-") || name.starts_with("Llama3.2-") })
    );
    let shown =
        place.run(&["model", "prompt-format", "-m", "Llama3.1-8B-Instruct"]).succeeded().out;
    assert!(shown.contains("Environment: ipython\nTools: brave_search, wolfram_alpha"), "{shown}");
    let refused = place.run(&["model", "prompt-format", "-m", "Llama3.3-70B-Instruct"]);
    assert_eq!(refused.code, Some(2));
    let expected = "error: Llama3.3-70B-Instruct is not a valid Model.";
    assert!(refused.err.starts_with(expected), "{}", refused.err);
}

#[test]
fn models_are_not_removed_unasked() {
    let place = Place::new();
    place.write("config/weights/mine.gguf", "no model");
    place.run(&["model", "remove", "mine"]).failed_with(
        2,
        "error: `[folder]/config/weights/mine.gguf` is not removed unasked\nhint: add `--force`\n",
    );
    place.run(&["model", "remove", "mine", "--force"]).succeeded();
    assert!(!place.path("config/weights/mine.gguf").exists());
    place.write("config/checkpoints/Llama3.1-405B-bf16-mp8/params.json", "{}");
    place.run(&["model", "remove", "-f", "-m", "Llama3.1-405B:bf16-mp8"]).succeeded();
    assert!(!place.path("config/checkpoints/Llama3.1-405B-bf16-mp8").exists());
    let unknown = place.run(&["model", "remove", "-f", "-m", "nope"]);
    assert_eq!(unknown.code, Some(1));
    let expected = "error: 'nope' is not a valid llama model or does not exist.\n";
    assert!(unknown.err.starts_with(expected), "{}", unknown.err);
}

#[test]
fn downloads_are_verified_by_their_list() {
    let place = Place::new();
    let verify = |place: &Place| place.run(&["verify-download", "--model-id", "x"]);
    verify(&place)
        .failed_with(2, "error: Model directory not found: [folder]/config/checkpoints/x\n");
    place.write("config/checkpoints/x/a.txt", "");
    verify(&place).failed_with(
        2,
        "error: Checklist file not found: [folder]/config/checkpoints/x/checklist.chk\n",
    );
    // The MD5 of nothing.
    let sum = "d41d8cd98f00b204e9800998ecf8427e";
    place.write("config/checkpoints/x/checklist.chk", &format!("{sum}  a.txt\n"));
    let ran = verify(&place).succeeded();
    assert_eq!(ran.out, "\u{2713} a.txt: Verified\nAll files verified successfully!\n");
    place.write("config/checkpoints/x/checklist.chk", &format!("{sum}  a.txt\n{sum}  b.txt\n"));
    let ran = place.run(&["model", "verify-download", "--model-id", "x"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.out.ends_with("\u{274c} b.txt: File not found\n"), "{}", ran.out);
    place.write("config/checkpoints/x/a.txt", "changed");
    let ran = verify(&place);
    assert!(ran.out.contains("\u{274c} a.txt: Hash mismatch\n   Expected: d41d"), "{}", ran.out);
}

#[test]
fn a_download_needs_a_model_and_a_link() {
    let place = Place::new();
    let fails = |args: &[&str], code: i32, message: &str| {
        let ran = place.run(args);
        assert_eq!(ran.code, Some(code), "{}", ran.err);
        assert!(ran.err.starts_with(message), "{}", ran.err);
    };
    fails(&["download"], 2, "error: Please provide a model id\n");
    fails(&["download", "--model-id", "nope"], 2, "error: Model nope not found\n");
    let model = ["model", "download", "--model-id", "Llama3.2-1B-Instruct"];
    fails(&model, 2, "error: there is no link to download `Llama3.2-1B-Instruct`\n");
    fails(
        &[&model[..], &["--meta-url", "https://example.com/*"]].concat(),
        2,
        "error: Download failed: Invalid Meta URL provided",
    );
    fails(
        &["download", "--manifest-file", "absent.json"],
        2,
        "error: Download failed: `absent.json`: ",
    );
    place.write("old.json", r#"{"models": [], "expires_on": "2024-01-01T00:00:00"}"#);
    fails(
        &["download", "--manifest-file", "old.json"],
        2,
        "error: Download failed: Manifest URLs have expired on 2024-01-01T00:00:00\n",
    );
}

/// A part of `body`, as far as the request asks for one.
fn part(seen: &Seen, body: &[u8]) -> Answer {
    let Some(range) = seen.header("range").strip_prefix("bytes=") else {
        return Answer::new("application/octet-stream", body.to_vec());
    };
    let (from, last) = range.split_once('-').expect("a range has two ends");
    let from: usize = from.parse().expect("a range begins with a number");
    let last = last.parse().unwrap_or(body.len() - 1).min(body.len() - 1);
    Answer::new("application/octet-stream", body[from..=last].to_vec())
        .status(206)
        .header("content-range", &format!("bytes {from}-{last}/{}", body.len()))
}

async fn in_background(
    place: Place,
    args: Vec<String>,
    variables: Vec<(&'static str, String)>,
) -> (Place, Ran) {
    let run = move || {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let ran = place.run_in(&args, &variables);
        (place, ran)
    };
    tokio::task::spawn_blocking(run).await.expect("the command runs")
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_comes_from_meta_with_the_link_of_the_mail() {
    let host = FakeUpstream::start(|seen| {
        let path = seen.path.split('?').next().unwrap_or_default();
        match path.rsplit('/').next().unwrap_or_default() {
            "checklist.chk" => part(
                seen,
                b"d41d8cd98f00b204e9800998ecf8427f  params.json\n5d41402abc4b2a76b9719d911017c592  consolidated.00.pth\n",
            ),
            "consolidated.00.pth" => part(seen, b"hello"),
            "tokenizer.model" => part(seen, b"words"),
            _ => part(seen, b"{}"),
        }
    })
    .await;
    let link = format!("{}/*?Key=llamameta.net&Signature=secret", host.url());
    let args = words(&["download", "--model-id", "Llama3.2-1B-Instruct", "--meta-url", &link]);
    let (place, ran) = in_background(Place::new(), args, vec![]).await;
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(ran.out.contains("\u{2713} consolidated.00.pth: Verified"), "{}", ran.out);
    assert!(ran.out.contains("\u{274c} params.json: Hash mismatch"), "{}", ran.out);
    assert!(!ran.err.contains("secret") && !ran.out.contains("secret"), "{}", ran.err);
    let folder = place.path("config/checkpoints/Llama3.2-1B-Instruct");
    assert_eq!(fs::read_to_string(folder.join("tokenizer.model")).unwrap(), "words");
    let listed = place.run(&["model", "list", "--downloaded"]).succeeded().out;
    assert!(listed.starts_with("Model ") && listed.contains("Modified Time"), "{listed}");
    assert!(listed.contains("Llama3.2-1B-Instruct  0.00 GB"), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_comes_from_hugging_face_with_a_token() {
    let host = FakeUpstream::start(|seen| {
        if seen.header("authorization") != "Bearer hf_secret" {
            return Answer::json(json!({ "error": "gated" })).status(403);
        }
        if seen.path.contains("/tree/main") {
            return Answer::json(json!([
                { "type": "file", "path": "config.json", "size": 2 },
                { "type": "file", "path": "model.safetensors", "size": 2 },
            ]));
        }
        part(seen, b"{}")
    })
    .await;
    let args = |token: &str| {
        words(&[
            "model",
            "download",
            "--source",
            "huggingface",
            "--model-id",
            "Llama3.2-1B",
            "--hf-token",
            token,
        ])
    };
    let mirror = vec![("HF_ENDPOINT", host.url())];
    let (place, refused) = in_background(Place::new(), args("wrong"), mirror.clone()).await;
    refused.failed_with(
        2,
        "error: Download failed: access to `meta-llama/Llama-3.2-1B` has not been granted to the \
         owner of the token; accept the licence at https://huggingface.co/meta-llama/Llama-3.2-1B\n",
    );
    let (place, ran) = in_background(place, args("hf_secret"), mirror).await;
    let ran = ran.succeeded();
    assert_eq!(
        ran.out,
        "Successfully downloaded Llama3.2-1B to [folder]/config/checkpoints/Llama3.2-1B\n"
    );
    let folder = place.path("config/checkpoints/Llama3.2-1B");
    assert!(folder.join("config.json").exists() && !folder.join("model.safetensors").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_says_where_each_file_is() {
    let host = FakeUpstream::start(|seen| part(seen, b"content")).await;
    let place = Place::new();
    let manifest = json!({
        "models": [{ "model_id": "mine", "files": { "a.bin": format!("{}/x?sig=1", host.url()) } }],
        "expires_on": "2999-01-01T00:00:00Z",
    });
    place.write("manifest.json", &manifest.to_string());
    let args = words(&["download", "--manifest-file", "manifest.json"]);
    let (place, ran) = in_background(place, args, vec![]).await;
    ran.succeeded();
    let file = place.path("config/checkpoints/mine/a.bin");
    assert_eq!(fs::read_to_string(file).unwrap(), "content");
}
