//! The faces: how requests of each API become calls of the stack, and answers go back.
//!
//! A face translates and nothing else. It never talks to a provider itself.

mod account;
mod anthropic;
mod llama_stack;
mod openai;
mod python;
mod tokens;

pub(crate) use llama_stack::StackChat;

#[cfg(feature = "fuzzing")]
pub(crate) use anthropic::messages_over as anthropic_messages;
#[cfg(feature = "fuzzing")]
pub(crate) use llama_stack::chat_over as llama_stack_chat;

use crate::routes::Routes;
use chaski_api::endpoints::{
    anthropic::{CountMessageTokens, CreateMessage},
    inference::{ChatCompletion, Completion, Embeddings},
    moderations::CreateModeration,
    openai::{CreateChatCompletion, CreateCompletion, CreateEmbeddings},
    rerank::{CreateRerank, CreateRerankV2, Rerank},
    vector_io::{InsertChunks, QueryChunks},
};
use chaski_api::{Error, ErrorKind};

/// Attaches the endpoints whose requests are translated, of all faces.
pub(crate) fn mount(routes: &mut Routes) {
    routes.stream::<ChatCompletion, _, _>(|app, cx, request| async move {
        llama_stack::chat_completion(&app.stack, &cx, request).await
    });
    routes.stream::<Completion, _, _>(|app, cx, request| async move {
        llama_stack::completion(&app.stack, &cx, request).await
    });
    routes.on::<Embeddings, _, _>(|app, cx, request| async move {
        llama_stack::embeddings(&app.stack, &cx, request).await
    });
    routes.on::<InsertChunks, _, _>(|app, cx, request| async move {
        llama_stack::insert_chunks(&app.stack, &cx, request).await
    });
    routes.on::<QueryChunks, _, _>(|app, cx, request| async move {
        llama_stack::query_chunks(&app.stack, &cx, request).await
    });
    routes.stream::<CreateChatCompletion, _, _>(|app, cx, request| async move {
        openai::chat(&app.stack, &cx, request).await
    });
    routes.stream::<CreateCompletion, _, _>(|app, cx, request| async move {
        openai::completion(&app.stack, &cx, request).await
    });
    routes.relay::<CreateEmbeddings, _, _>(|app, cx, request| async move {
        openai::embeddings(&app.stack, &cx, request).await
    });
    routes.relay::<CreateRerank, _, _>(|app, cx, request| async move {
        openai::rerank(&app.stack, &cx, request).await
    });
    routes.relay::<CreateRerankV2, _, _>(|app, cx, request| async move {
        openai::rerank(&app.stack, &cx, request).await
    });
    routes.on::<CreateModeration, _, _>(|app, cx, request| async move {
        openai::moderation(&app.stack, &cx, request).await
    });
    routes.on::<Rerank, _, _>(|app, cx, request| async move {
        llama_stack::rerank(&app.stack, &cx, request).await
    });
    routes.stream::<CreateMessage, _, _>(|app, cx, request| async move {
        anthropic::messages(&app.stack, &cx, request).await
    });
    routes.on::<CountMessageTokens, _, _>(|app, cx, request| async move {
        anthropic::count_tokens(&app.stack, &cx, request).await
    });
}

/// An answer of an upstream that has no content to translate.
fn no_choice() -> Error {
    Error::new(ErrorKind::Upstream { status: None }, "the upstream sent an answer without a choice")
}
