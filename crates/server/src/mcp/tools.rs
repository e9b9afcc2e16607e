//! The tools that MCP clients see: those that are registered, and those of the server itself.

use super::{
    content,
    message::{Code, Failure, shown},
};
use crate::app::App;
use chaski_api::{
    Error, ErrorKind, Result, Wire,
    models::ModelType,
    openai::{ChatRequest, SearchVectorStoreRequest},
    retrieval::{Ranker, SearchMode},
};
use chaski_provider::{Context, Payload, Reply, Search};
use serde_json::{Map, Value, json};
use std::collections::HashSet;

/// The most results of a search, and how many there are unless somebody says.
const MOST: u64 = 50;
const RESULTS: u64 = 10;

/// A tool of the server itself.
struct Own {
    name: &'static str,
    description: &'static str,
    /// The schema of its arguments.
    schema: fn() -> Value,
}

const OWN: &[Own] = &[
    Own {
        name: "chat_completion",
        description: "Ask a model of this server",
        schema: || {
            json!({
                "type": "object",
                "properties": {
                    "model": { "type": "string", "description": "The model; see `list_models`" },
                    "prompt": { "type": "string", "description": "What to ask" },
                    "system": { "type": "string", "description": "How to answer" },
                    "max_tokens": { "type": "integer", "minimum": 1 },
                    "temperature": { "type": "number", "minimum": 0, "maximum": 2 },
                },
                "required": ["model", "prompt"],
                "additionalProperties": false,
            })
        },
    },
    Own {
        name: "list_models",
        description: "List the models that `chat_completion` can ask",
        schema: || json!({ "type": "object", "properties": {} }),
    },
    Own {
        name: "list_vector_stores",
        description: "List the vector stores that `search_vector_store` can search",
        schema: || json!({ "type": "object", "properties": {} }),
    },
    Own {
        name: "search_vector_store",
        description: "Search the documents of a vector store",
        schema: || {
            json!({
                "type": "object",
                "properties": {
                    "vector_store_id": {
                        "type": "string",
                        "description": "The vector store; see `list_vector_stores`",
                    },
                    "query": { "type": "string", "description": "What to look for" },
                    "max_num_results": {
                        "type": "integer", "minimum": 1, "maximum": MOST, "default": RESULTS,
                    },
                },
                "required": ["vector_store_id", "query"],
                "additionalProperties": false,
            })
        },
    },
];

/// All tools. A registered one is not shown where one of the server has its name.
pub(super) async fn list(app: &App, cx: &Context) -> Vec<Value> {
    let own = OWN.iter().map(|own| {
        json!({ "name": own.name, "description": own.description, "inputSchema": (own.schema)() })
    });
    let names: HashSet<&str> = OWN.iter().map(|own| own.name).collect();
    let registered = app.stack.tools.list(cx, None).await;
    let registered = registered.into_iter().filter(|tool| !names.contains(&*tool.identifier));
    own.chain(registered.map(|tool| {
        json!({
            "name": tool.identifier,
            "description": tool.description,
            "inputSchema": tool.input_schema(),
        })
    }))
    .collect()
}

/// Calls a tool. What goes wrong is a result that says so, so that the model can mend it.
pub(super) async fn call(
    app: &App,
    cx: &Context,
    name: &str,
    arguments: Map<String, Value>,
) -> Result<Value, Failure> {
    let arguments = Arguments { tool: name, values: &arguments };
    let answered = match name {
        "chat_completion" => chat(app, cx, &arguments).await,
        "list_models" => Ok(models(app)),
        "list_vector_stores" => stores(app, cx).await,
        "search_vector_store" => search(app, cx, &arguments).await,
        _ => match app.stack.tools.invoke(cx, name, arguments.values.clone()).await {
            Ok(answered) => Ok(content::result(answered)),
            Err(error) if error.code.as_deref() == Some("tool_not_found") => {
                return Err(Failure::new(Code::Params, shown(&error)));
            }
            Err(error) => Err(error),
        },
    };
    Ok(answered.unwrap_or_else(|error| content::failure(&shown(&error))))
}

/// The arguments of a call of one of the server's own tools.
struct Arguments<'a> {
    tool: &'a str,
    values: &'a Map<String, Value>,
}

impl<'a> Arguments<'a> {
    fn given(&self, name: &str) -> Option<&'a Value> {
        self.values.get(name).filter(|value| !value.is_null())
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>> {
        let Some(value) = self.given(name) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| self.wrong(name, "is not a text"))
    }

    fn needed(&self, name: &str) -> Result<&'a str> {
        self.text(name)?.ok_or_else(|| self.wrong(name, "is missing"))
    }

    fn wrong(&self, name: &str, what: &str) -> Error {
        Error::invalid(format!("the argument `{name}` of `{}` {what}", self.tool))
    }
}

fn models(app: &App) -> Value {
    let models = app.stack.models.list();
    let chatting = models.iter().filter(|model| model.model_type == ModelType::Llm);
    let names: Vec<&str> = chatting.map(|model| model.identifier.as_str()).collect();
    content::told(&names.join("\n"), &json!({ "models": names }))
}

async fn chat(app: &App, cx: &Context, arguments: &Arguments<'_>) -> Result<Value> {
    let mut messages = Vec::new();
    if let Some(system) = arguments.text("system")? {
        messages.push(json!({ "role": "system", "content": system }));
    }
    messages.push(json!({ "role": "user", "content": arguments.needed("prompt")? }));
    let mut request = json!({ "model": arguments.needed("model")?, "messages": messages });
    for name in ["max_tokens", "temperature"] {
        if let Some(value) = arguments.given(name) {
            request[name] = value.clone();
        }
    }
    let request = ChatRequest::from_json(request).map_err(Error::malformed)?;
    let Reply::Full(answer) = app.stack.inference.chat(cx, request).await? else {
        return Err(Error::internal("a model streams although it was not asked to"));
    };
    let answer: Value = serde_json::from_slice(&Payload::into_bytes(answer))
        .map_err(|error| Error::internal("an answer cannot be read").caused_by(error))?;
    let choice = &answer["choices"][0];
    let text = choice["message"]["content"].as_str().unwrap_or_default();
    let more = json!({
        "text": text,
        "finish_reason": choice["finish_reason"],
        "usage": answer["usage"],
    });
    Ok(content::told(text, &more))
}

/// The ids of what can be searched, with names.
async fn stores(app: &App, cx: &Context) -> Result<Value> {
    let request = Wire::from_json(json!({ "limit": 100 })).map_err(Error::malformed)?;
    let stores = app.stack.vector_stores.list(cx, request).await?;
    let mut found: Vec<Value> =
        stores.data.iter().map(|store| json!({ "id": store.id, "name": store.name })).collect();
    found.extend(
        crate::handlers::listed_vector_dbs(app, cx)
            .into_iter()
            .map(|db| json!({ "id": db.identifier, "name": db.identifier })),
    );
    let lines: Vec<String> = found
        .iter()
        .map(|store| {
            let name = store["name"].as_str().unwrap_or_default();
            format!("{}: {name}", store["id"].as_str().unwrap_or_default())
        })
        .collect();
    Ok(content::told(&lines.join("\n"), &json!({ "vector_stores": found })))
}

async fn search(app: &App, cx: &Context, arguments: &Arguments<'_>) -> Result<Value> {
    let id = arguments.needed("vector_store_id")?;
    let query = arguments.needed("query")?;
    let most = match arguments.given("max_num_results") {
        None => RESULTS,
        Some(number) => {
            number.as_u64().filter(|number| (1..=MOST).contains(number)).ok_or_else(|| {
                arguments.wrong("max_num_results", &format!("is no integer from 1 to {MOST}"))
            })?
        }
    };
    let request = json!({ "vector_store_id": id, "query": query, "max_num_results": most });
    let request = SearchVectorStoreRequest::from_json(request).map_err(Error::malformed)?;
    let found = match app.stack.vector_stores.search(cx, request).await {
        Ok(found) => found
            .data
            .iter()
            .map(|result| {
                let texts: Vec<&str> =
                    result.content.iter().map(|content| content.text.as_str()).collect();
                json!({
                    "file_id": result.file_id,
                    "filename": result.filename,
                    "score": result.score,
                    "text": texts.join("\n"),
                })
            })
            .collect(),
        // A vector database of Llama Stack's API has its id among those.
        Err(error) if error.kind == ErrorKind::NotFound => {
            if app.stack.vector_dbs.get(id).await.is_err() {
                return Err(error);
            }
            in_database(app, cx, id, query, most).await?
        }
        Err(error) => return Err(error),
    };
    let text: Vec<&str> = found.iter().filter_map(|result| result["text"].as_str()).collect();
    let text = if text.is_empty() { "Nothing was found.".to_owned() } else { text.join("\n\n") };
    Ok(content::told(&text, &json!({ "results": found })))
}

async fn in_database(
    app: &App,
    cx: &Context,
    id: &str,
    query: &str,
    most: u64,
) -> Result<Vec<Value>> {
    let search = Search {
        mode: SearchMode::Vector,
        text: query.to_owned(),
        max: usize::try_from(most).unwrap_or(usize::MAX),
        min_score: None,
        filter: None,
        ranker: Ranker::default(),
        rerank: None,
    };
    let found = app.stack.retrieval.search(cx, id, search).await?;
    Ok(found
        .iter()
        .map(|found| {
            json!({
                "document_id": found.chunk.document_id(),
                "score": found.score,
                "text": found.chunk.text(),
            })
        })
        .collect())
}
