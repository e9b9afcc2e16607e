use super::RagRuntime;
use async_trait::async_trait;
use chaski_api::{
    Error, ErrorKind, Result, Wire,
    endpoints::rag_tool::{InsertDocumentsRequest, QueryContextRequest},
    openai::{ChatCompletion, ChatRequest},
    retrieval::{Filter, RagQueryResult},
};
use chaski_provider::{
    ChatReply, ChunkPage, ChunkToInsert, Context, Cpu, Deps, Documents, Environment, Inference,
    Payload, Reply, Retrieval, Routers, ScoredChunk, Search, Selection, StoredChunk, Tasks,
    ToolRuntime,
};
use chaski_testkit::{Answer, FakeUpstream};
use chaski_upstream::{Http, HttpOptions};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
};

/// Vector databases that find everything, in the order of their insertion.
#[derive(Default)]
struct Databases {
    kept: Mutex<BTreeMap<String, StoredChunk>>,
    searches: Mutex<Vec<(String, Search)>>,
}

#[async_trait]
impl Retrieval for Databases {
    async fn ensure(&self, _: &Context, _: &str, _: &str) -> Result<()> {
        Ok(())
    }

    async fn remove(&self, _: &Context, _: &str) -> Result<()> {
        Err(Error::unsupported("not here"))
    }

    async fn insert(&self, _: &Context, id: &str, chunks: Vec<ChunkToInsert>) -> Result<()> {
        if id == "absent" {
            return Err(Error::not_found("there is no such database"));
        }
        let chunks = chunks.into_iter().map(|one| (one.chunk.id.clone(), one.chunk));
        self.kept.lock().unwrap().extend(chunks);
        Ok(())
    }

    async fn search(&self, _: &Context, id: &str, search: Search) -> Result<Vec<ScoredChunk>> {
        self.searches.lock().unwrap().push((id.to_owned(), search.clone()));
        let score = if id == "better" { 0.9 } else { 0.5 };
        let kept = self.kept.lock().unwrap();
        let found = kept.values().map(|chunk| ScoredChunk { chunk: chunk.clone(), score });
        Ok(found.take(search.max).collect())
    }

    async fn delete(&self, _: &Context, _: &str, which: &Selection) -> Result<()> {
        let Selection::Where(filter) = which else { panic!("chunks are removed by a filter") };
        self.kept.lock().unwrap().retain(|_, chunk| !filter.holds(&chunk.metadata));
        Ok(())
    }

    async fn list(
        &self,
        _: &Context,
        _: &str,
        _: Option<&Filter>,
        _: Option<&str>,
        _: usize,
    ) -> Result<ChunkPage> {
        Ok(ChunkPage { chunks: Vec::new(), next: None })
    }
}

/// A model that answers with what it was asked.
struct Echo;

#[async_trait]
impl Inference for Echo {
    async fn chat(&self, _: &Context, request: ChatRequest) -> Result<ChatReply> {
        let body: Value = request.body.into();
        let said = &body["messages"][0]["content"];
        let message = json!({ "role": "assistant", "content": said });
        let choice = json!({ "index": 0, "message": message, "finish_reason": "stop" });
        let answer = json!({ "id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice] });
        Ok(Reply::Full(Payload::Value(ChatCompletion::from_json(answer).unwrap())))
    }
}

struct Tool {
    runtime: RagRuntime,
    databases: Arc<Databases>,
    // The routers do not keep these alive.
    _held: (Arc<dyn Inference>, Arc<dyn Retrieval>),
}

fn tool_allowing(addresses: &[String]) -> Tool {
    let egress_allow = addresses.iter().map(|one| one.parse().unwrap()).collect();
    let options = HttpOptions { egress_allow, ..HttpOptions::default() };
    let databases = Arc::new(Databases::default());
    let inference: Arc<dyn Inference> = Arc::new(Echo);
    let retrieval: Arc<dyn Retrieval> = databases.clone();
    let deps = Deps {
        http: Http::new(options).unwrap(),
        weights_dir: PathBuf::new(),
        compute_threads: 1,
        cpu: Cpu::new(1),
        documents: Documents::in_process(),
        environment: Environment::default(),
        tasks: Tasks::default(),
        routers: Routers::default(),
    };
    deps.routers.set_inference(&inference);
    deps.routers.set_retrieval(&retrieval);
    Tool { runtime: RagRuntime { deps }, databases, _held: (inference, retrieval) }
}

fn tool() -> Tool {
    tool_allowing(&[])
}

impl Tool {
    async fn insert(&self, documents: Value, size: usize) -> Result<()> {
        let request = json!({
            "documents": documents, "vector_db_id": "db", "chunk_size_in_tokens": size,
        });
        let request = InsertDocumentsRequest::from_json(request).unwrap();
        self.runtime.insert_documents(&Context::default(), request).await
    }

    async fn query(&self, request: Value) -> Result<RagQueryResult> {
        let request = QueryContextRequest::from_json(request).unwrap();
        self.runtime.query_context(&Context::default(), request).await
    }

    /// The texts that are kept, sorted.
    fn texts(&self) -> Vec<String> {
        let kept = self.databases.kept.lock().unwrap();
        let mut texts: Vec<String> = kept.values().map(StoredChunk::text).collect();
        texts.sort_unstable();
        texts
    }
}

#[tokio::test]
async fn a_document_becomes_chunks_with_its_facts() {
    let tool = tool();
    let document = json!({ "document_id": "d", "content": "a text", "metadata": { "year": 2024 } });
    tool.insert(json!([document]), 512).await.unwrap();
    let kept = tool.databases.kept.lock().unwrap();
    let chunk = kept.values().next().unwrap();
    assert_eq!(
        Value::Object(chunk.metadata.clone()),
        json!({
            "year": 2024, "document_id": "d", "token_count": 2, "chunk_index": 0,
            "start_byte": 0, "end_byte": 6,
        })
    );
    assert_eq!((kept.len(), chunk.text()), (1, "a text".to_owned()));
}

#[tokio::test]
async fn a_document_that_is_inserted_again_is_replaced() {
    let tool = tool();
    let long = "word ".repeat(40);
    let documents = json!([
        { "document_id": "d", "content": long }, { "document_id": "e", "content": "stays" },
    ]);
    tool.insert(documents, 8).await.unwrap();
    assert!(tool.texts().len() > 5);
    tool.insert(json!([{ "document_id": "d", "content": "new" }]), 8).await.unwrap();
    assert_eq!(tool.texts(), ["new", "stays"]);
    tool.insert(json!([{ "document_id": "d", "content": "" }]), 8).await.unwrap();
    assert_eq!(tool.texts(), ["stays"]);
}

#[tokio::test]
async fn chunks_say_below_which_headings_they_stand() {
    let tool = tool();
    let page = "data:text/html,<h1>Birds</h1><h2>Owls</h2><p>They hunt at night.</p>";
    tool.insert(json!([{ "document_id": "d", "content": { "uri": page } }]), 4).await.unwrap();
    let kept = tool.databases.kept.lock().unwrap();
    let last = kept.values().max_by_key(|chunk| chunk.metadata["start_byte"].as_u64()).unwrap();
    assert_eq!(last.metadata["headings"], "Birds / Owls");
}

#[tokio::test]
async fn too_many_chunks_are_refused_before_they_are_made() {
    let tool = tool();
    let documents = json!([{ "document_id": "d", "content": " a".repeat(100_001) }]);
    let error = tool.insert(documents, 1).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge);
    assert!(error.message.starts_with("document `d`: "), "{}", error.message);
    assert!(error.message.contains("`chunk_size_in_tokens`, which is 1"), "{}", error.message);
    assert!(tool.texts().is_empty());
}

#[tokio::test]
async fn documents_come_from_items_and_addresses() {
    let upstream = FakeUpstream::start(|seen| match seen.path.as_str() {
        "/text" => Answer::text("fetched text"),
        "/image" => Answer::new("image/png", &b"\x89PNG\r\n\x1a\n0000"[..]),
        "/page.html" => {
            let page = "<html><script>no()</script><body><p>a page</p></body></html>";
            Answer::new("text/html", page)
        }
        _ => Answer::text("404: Not Found").status(404),
    })
    .await;
    let tool = tool_allowing(&[upstream.address().to_string()]);
    let at = |path: &str| format!("{}{path}", upstream.url());
    let documents = json!([
        { "document_id": "1", "content": { "uri": at("/text") } },
        { "document_id": "2", "content": at("/text") },
        { "document_id": "3", "content": { "uri": "data:text/plain;base64,ZGF0YQ==" } },
        { "document_id": "4", "content": { "type": "text", "text": "an item" } },
        { "document_id": "5", "content": [
            { "type": "text", "text": "two" }, { "type": "text", "text": "items" },
        ] },
        { "document_id": "6", "content": "http: is a scheme, and this is a sentence" },
        { "document_id": "7", "content": "" },
        { "document_id": "8", "content": at("/page.html") },
    ]);
    tool.insert(documents, 64).await.unwrap();
    assert_eq!(
        tool.texts(),
        [
            "a page",
            "an item",
            "data",
            "fetched text",
            "fetched text",
            "http: is a scheme, and this is a sentence",
            "two items",
        ]
    );
    for (content, part) in [
        (json!({ "uri": at("/none") }), "document `x`: fetching"),
        (json!({ "uri": at("/none") }), "status 404"),
        (json!({ "uri": at("/image") }), "document `x`"),
        (json!({ "uri": "http://127.0.0.1:1/" }), "document `x`"),
        (json!({ "uri": "http://169.254.169.254/latest" }), "document `x`"),
        (json!({ "uri": "file:///etc/passwd" }), "files of the server are not read"),
        (json!("file:///etc/passwd"), "files of the server are not read"),
        (json!({ "uri": "ftp://h/f" }), "neither `http:`"),
        (json!({ "uri": "data:text/plain" }), "no comma"),
        (json!({ "type": "image", "image": { "data": "eA==" } }), "an image"),
    ] {
        let documents = json!([{ "document_id": "x", "content": content }]);
        let error = tool.insert(documents, 64).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidRequest, "{content}");
        assert!(error.message.contains(part), "{content}: {}", error.message);
    }
}

#[tokio::test]
async fn what_cannot_be_inserted_is_named() {
    let tool = tool();
    let twice = json!({ "document_id": "d", "content": "x" });
    let error = tool.insert(json!([twice, twice]), 64).await.unwrap_err();
    assert!(error.message.contains("`documents[1].document_id` is `d`"), "{}", error.message);
    let many: Vec<Value> = (0..1001)
        .map(|number| json!({ "document_id": number.to_string(), "content": "x" }))
        .collect();
    assert_eq!(tool.insert(many.into(), 64).await.unwrap_err().kind, ErrorKind::TooLarge);
    tool.insert(json!([]), 64).await.unwrap();
    assert!(tool.texts().is_empty());
}

#[tokio::test]
async fn the_best_chunks_of_all_databases_become_a_context() {
    let tool = tool();
    tool.insert(json!([{ "document_id": "d", "content": "x" }]), 64).await.unwrap();
    let result = tool
        .query(json!({
            "content": [{ "type": "text", "text": "one" }, { "type": "text", "text": "two" }],
            "vector_db_ids": ["worse", "better", "worse"],
            "query_config": {
                "max_chunks": 2,
                "query_generator_config": { "type": "default", "separator": "+" },
                "filters": { "type": "eq", "key": "k", "value": 1 },
            },
        }))
        .await
        .unwrap();
    assert_eq!(result.metadata["document_ids"], json!(["d", "d"]));
    let searches = tool.databases.searches.lock().unwrap();
    assert_eq!(searches.len(), 2);
    let (_, search) = &searches[0];
    assert_eq!((search.text.as_str(), search.max), ("one+two", 2));
    assert!(search.filter.is_some());
}

#[tokio::test]
async fn nothing_found_is_no_context() {
    let tool = tool();
    for ids in [json!([]), json!(["db"])] {
        let result = tool.query(json!({ "content": "x", "vector_db_ids": ids })).await.unwrap();
        assert_eq!(
            serde_json::to_value(result).unwrap(),
            json!({ "content": null, "metadata": {} })
        );
    }
}

#[tokio::test]
async fn a_model_can_make_the_query() {
    let tool = tool();
    let generator = json!({ "type": "llm", "model": "m", "template": "Ask: {{ messages }}" });
    let query = |generator: Value| {
        json!({
            "content": "where?", "vector_db_ids": ["db"],
            "query_config": { "query_generator_config": generator },
        })
    };
    tool.query(query(generator)).await.unwrap();
    let searched = tool.databases.searches.lock().unwrap()[0].1.text.clone();
    assert_eq!(searched, "Ask: ['where?']");
    let hostile = json!({ "type": "llm", "model": "m", "template": "{{ ''.__class__ }}" });
    let error = tool.query(query(hostile)).await.unwrap_err();
    assert!(error.message.contains("template"), "{}", error.message);
}
