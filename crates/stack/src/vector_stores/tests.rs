use super::chunks;
use super::records::StoredStoreFile;
use crate::jobs::Failure;
use chaski_api::{
    Wire,
    openai::{Attributes, AutoChunking, ChunkingStrategy, IngestStatus, VectorStoreFileObject},
    retrieval::Filter,
};
use chaski_documents::Chunk;
use chaski_provider::{Documents, TokenCounter};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

fn row(attributes: Value) -> StoredStoreFile {
    let Value::Object(attributes) = attributes else { panic!("attributes are an object") };
    StoredStoreFile {
        key: "vs_1/file-1".to_owned(),
        object: VectorStoreFileObject {
            id: "file-1".to_owned(),
            object: "vector_store.file".to_owned(),
            created_at: 0,
            vector_store_id: "vs_1".to_owned(),
            status: IngestStatus::InProgress,
            last_error: None,
            usage_bytes: 0,
            attributes: Some(Attributes(attributes)),
            chunking_strategy: chunks::shown(&ChunkingStrategy::Auto(AutoChunking {})),
        },
        filename: "a.md".to_owned(),
        chunking: ChunkingStrategy::Auto(AutoChunking {}),
        batch_id: String::new(),
        job_id: "job_1".to_owned(),
        superseded: false,
    }
}

fn file(folder: &tempfile::TempDir, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

fn strategies() -> Vec<ChunkingStrategy> {
    let read = |value: Value| ChunkingStrategy::from_json(value).unwrap();
    let sizes = json!({ "max_chunk_size_tokens": 100, "chunk_overlap_tokens": 50 });
    vec![
        read(json!({ "type": "auto" })),
        read(json!({ "type": "static", "static": sizes })),
        read(json!({ "type": "contextual", "contextual": sizes })),
    ]
}

async fn cut(
    path: PathBuf,
    name: &str,
    strategy: &ChunkingStrategy,
) -> Result<Vec<Chunk>, Failure> {
    let counter = TokenCounter::new(|text| text.split_whitespace().count());
    chunks::cut(&Documents::in_process(), path, name, strategy, counter).await
}

#[tokio::test]
async fn the_text_of_a_file_is_put_together_again_from_its_chunks() {
    let folder = tempfile::tempdir().unwrap();
    let sentences = (0..300).map(|number| {
        let part = if number % 20 == 0 { "\n\n## Part\n\nÜber 🏃 " } else { "" };
        format!("Sentence number {number} is about the thing {}. {part}", number * 7)
    });
    let text = format!("# Café\n\n{}", sentences.collect::<Vec<_>>().concat());
    let path = file(&folder, "a.md", text.as_bytes());
    for strategy in strategies() {
        let pieces = cut(path.clone(), "a.md", &strategy).await.unwrap();
        assert!(pieces.len() > 5, "{strategy:?}");
        for before in [None, Some("It is about things.")] {
            let row = row(json!({}));
            let mut stored: Vec<_> = pieces
                .iter()
                .enumerate()
                .map(|(index, piece)| chunks::stored(&row, index, piece, before))
                .collect();
            stored.reverse();
            let pieces = chunks::joined(stored);
            let mut reached = 0;
            for piece in &pieces {
                let place = piece.metadata.as_ref().unwrap();
                let start = usize::try_from(place["start_byte"].as_u64().unwrap()).unwrap();
                let end = usize::try_from(place["end_byte"].as_u64().unwrap()).unwrap();
                assert!(start >= reached && end > start);
                assert_eq!(piece.text.len(), end - start, "a citation is exact to the byte");
                reached = end;
            }
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            let texts: Vec<&str> = pieces.iter().map(|piece| piece.text.as_str()).collect();
            let all = texts.join(" ");
            let missing = words(&text).into_iter().filter(|word| *word != "#" && *word != "##");
            let found = words(&all);
            for word in missing {
                assert!(found.contains(&word), "`{word}` is missing with {strategy:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let auto = &strategies()[0];
    for (name, content, code) in [
        ("empty.txt", &b""[..], "unsupported_file"),
        ("blank.txt", b" \n\n ", "unsupported_file"),
        ("image.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "unsupported_file"),
        ("broken.docx", b"PK\x03\x04nonsense", "invalid_file"),
    ] {
        let refused = cut(file(&folder, name, content), name, auto).await.unwrap_err();
        assert_eq!(refused.code, code, "{name}: {}", refused.message);
        assert!(!refused.passing && !refused.message.is_empty());
    }
    let refused = cut(folder.path().join("none"), "none", auto).await.unwrap_err();
    assert_eq!(refused.code, "server_error");
    let here = folder.path().to_str().unwrap();
    assert!(!refused.message.contains(here), "callers do not see places of the server");
    let wide = json!({ "type": "static", "static": { "max_chunk_size_tokens": 100, "chunk_overlap_tokens": 51 } });
    assert!(chunks::check(&ChunkingStrategy::from_json(wide).unwrap()).is_err());
}

#[tokio::test]
async fn attributes_cannot_pass_for_what_the_server_notes() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "a.txt", b"some text");
    let pieces = cut(path, "a.txt", &strategies()[0]).await.unwrap();
    let hostile =
        json!({ "document_id": "file-2", "job_id": "job_2", "start_byte": 7, "genre": "x" });
    let mut chunk = chunks::stored(&row(hostile), 0, &pieces[0], None);
    assert_eq!(chunks::origin(&chunk), ("file-1", "job_1"));
    let holds = |filter: Value, metadata: &Map<String, Value>| {
        chunks::about_attributes(Filter::from_json(filter).unwrap()).holds(metadata)
    };
    let is = |key: &str, value: &str| json!({ "type": "eq", "key": key, "value": value });
    assert!(holds(is("genre", "x"), &chunk.metadata));
    assert!(holds(is("document_id", "file-2"), &chunk.metadata));
    assert!(!holds(is("document_id", "file-1"), &chunk.metadata));
    let both = json!({ "type": "and", "filters": [is("genre", "x"), { "type": "or", "filters": [is("genre", "y"), is("job_id", "job_2")] }] });
    assert!(holds(both, &chunk.metadata));
    chunks::set_attributes(&mut chunk.metadata, None);
    assert!(!holds(is("genre", "x"), &chunk.metadata));
    assert_eq!(chunks::origin(&chunk), ("file-1", "job_1"));
}
