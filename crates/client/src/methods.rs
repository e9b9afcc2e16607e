//! A method per endpoint. A test compares this list with the declarations.

use crate::{Client, Events, Result};
use chaski_api::{
    Endpoint,
    endpoints::{
        agents, anthropic, datasets, files, inference, inspect, models, moderations, openai,
        providers, rag_tool, rerank, shields, telemetry, tool_groups, tool_runtime, vector_dbs,
        vector_io, vector_stores,
    },
};

macro_rules! methods {
    ($($(#[doc = $doc:literal])* $name:ident $(/ $streamed:ident)? => $endpoint:path;)*) => {
        impl Client {
            $(
                $(#[doc = $doc])*
                ///
                /// # Errors
                /// See [`Error`](crate::Error).
                pub async fn $name(
                    &self,
                    request: <$endpoint as Endpoint>::Request,
                ) -> Result<<$endpoint as Endpoint>::Response> {
                    self.call::<$endpoint>(request).await
                }
                $(
                    /// The same as a stream of events.
                    ///
                    /// # Errors
                    /// See [`Error`](crate::Error).
                    pub async fn $streamed(
                        &self,
                        request: <$endpoint as Endpoint>::Request,
                    ) -> Result<Events<<$endpoint as Endpoint>::Event>> {
                        self.stream::<$endpoint>(request).await
                    }
                )?
            )*
        }

        /// The endpoints that have methods, and whether these can stream.
        #[cfg(test)]
        pub(crate) const ALL: &[(chaski_api::EndpointSpec, bool)] = &[
            $((<$endpoint as Endpoint>::SPEC, streams!($($streamed)?))),*
        ];
    };
}

#[cfg(test)]
macro_rules! streams {
    () => {
        false
    };
    ($streamed:ident) => {
        true
    };
}

methods! {
    /// Whether the server answers.
    health => inspect::Health;
    /// Whether the process is alive.
    live => inspect::Live;
    /// Whether the server takes new work.
    ready => inspect::Ready;
    /// The version of the server.
    version => inspect::Version;
    /// All routes.
    list_routes => inspect::ListRoutes;
    /// All providers, without their configuration.
    list_provider_summaries => inspect::ListProviderSummaries;
    /// All providers, with health and configuration.
    list_providers => providers::ListProviders;
    /// Tokens and costs by model and provider, since the server started.
    list_usage => inspect::ListUsage;
    /// One provider.
    inspect_provider => providers::InspectProvider;
    /// All registered models.
    list_models => models::ListModels;
    /// One registered model.
    get_model => models::GetModel;
    /// Registers a model, or updates it.
    register_model => models::RegisterModel;
    /// Removes a model.
    unregister_model => models::UnregisterModel;
    /// The next message of a chat, in Llama Stack's form.
    chat_completion / chat_completion_stream => inference::ChatCompletion;
    /// A continuation of a text, in Llama Stack's form.
    completion / completion_stream => inference::Completion;
    /// Vectors of texts, in Llama Stack's form.
    embeddings => inference::Embeddings;
    /// The next message of a chat, in OpenAI's form.
    create_chat_completion / create_chat_completion_stream => openai::CreateChatCompletion;
    /// A continuation of a text, in OpenAI's form.
    create_completion / create_completion_stream => openai::CreateCompletion;
    /// Vectors of texts, in OpenAI's form.
    create_embeddings => openai::CreateEmbeddings;
    /// The next message of a chat, in Anthropic's form.
    create_message / create_message_stream => anthropic::CreateMessage;
    /// The tokens of a prompt, in Anthropic's form.
    count_message_tokens => anthropic::CountMessageTokens;
    /// A page of the caller's files.
    list_files => files::ListFiles;
    /// What is known about a file.
    get_file => files::GetFile;
    /// Removes a file.
    delete_file => files::DeleteFile;
    /// Begins a file that comes in parts.
    create_upload => files::CreateUpload;
    /// Makes a file of the parts of an upload.
    complete_upload => files::CompleteUpload;
    /// Gives an upload up.
    cancel_upload => files::CancelUpload;
    /// Makes a vector store, and reads files into it.
    create_vector_store => vector_stores::CreateVectorStore;
    /// A page of the caller's vector stores.
    list_vector_stores => vector_stores::ListVectorStores;
    /// One vector store.
    get_vector_store => vector_stores::GetVectorStore;
    /// Changes a vector store.
    update_vector_store => vector_stores::UpdateVectorStore;
    /// Removes a vector store; its files stay.
    delete_vector_store => vector_stores::DeleteVectorStore;
    /// The texts that fit a query best.
    search_vector_store => vector_stores::SearchVectorStore;
    /// Reads a file into a vector store.
    create_vector_store_file => vector_stores::CreateVectorStoreFile;
    /// A page of the files of a vector store.
    list_vector_store_files => vector_stores::ListVectorStoreFiles;
    /// How far a file of a vector store is.
    get_vector_store_file => vector_stores::GetVectorStoreFile;
    /// Changes the attributes of a file of a vector store.
    update_vector_store_file => vector_stores::UpdateVectorStoreFile;
    /// Takes a file out of a vector store; the file itself stays.
    delete_vector_store_file => vector_stores::DeleteVectorStoreFile;
    /// The text of a file of a vector store.
    get_vector_store_file_content => vector_stores::GetVectorStoreFileContent;
    /// Reads files into a vector store together.
    create_file_batch => vector_stores::CreateFileBatch;
    /// How far a batch of files is.
    get_file_batch => vector_stores::GetFileBatch;
    /// Gives up the files of a batch that are not read yet.
    cancel_file_batch => vector_stores::CancelFileBatch;
    /// A page of the files of a batch.
    list_batch_files => vector_stores::ListBatchFiles;
    /// All registered vector databases.
    list_vector_dbs => vector_dbs::ListVectorDbs;
    /// One registered vector database.
    get_vector_db => vector_dbs::GetVectorDb;
    /// Registers a vector database, or updates it.
    register_vector_db => vector_dbs::RegisterVectorDb;
    /// Removes a vector database.
    unregister_vector_db => vector_dbs::UnregisterVectorDb;
    /// Inserts chunks into a vector database.
    insert_chunks => vector_io::InsertChunks;
    /// The chunks of a vector database that fit best.
    query_chunks => vector_io::QueryChunks;
    /// Cuts documents into chunks, and inserts these.
    insert_documents => rag_tool::InsertDocuments;
    /// A context for a model, from the chunks that fit best.
    query_context => rag_tool::QueryContext;
    /// Documents by how well they fit a query, in the form of Cohere and Jina.
    create_rerank => rerank::CreateRerank;
    /// The same at the path of Cohere's second version.
    create_rerank_v2 => rerank::CreateRerankV2;
    /// Items by how well they fit a query, in the form of Llama Stack's successor.
    rerank => rerank::Rerank;
    /// All registered tool groups.
    list_tool_groups => tool_groups::ListToolGroups;
    /// One registered tool group.
    get_tool_group => tool_groups::GetToolGroup;
    /// Registers a tool group with its tools, or updates it.
    register_tool_group => tool_groups::RegisterToolGroup;
    /// Removes a tool group with its tools.
    unregister_tool_group => tool_groups::UnregisterToolGroup;
    /// All registered tools, or those of a group.
    list_tools => tool_groups::ListTools;
    /// One registered tool.
    get_tool => tool_groups::GetTool;
    /// The tools that can be called.
    list_runtime_tools => tool_runtime::ListRuntimeTools;
    /// Calls a tool.
    invoke_tool => tool_runtime::InvokeTool;
    /// All registered shields.
    list_shields => shields::ListShields;
    /// One registered shield.
    get_shield => shields::GetShield;
    /// Registers a shield, or updates it.
    register_shield => shields::RegisterShield;
    /// What a shield says about messages.
    run_shield => shields::RunShield;
    /// What a shield finds in texts and images, in the categories of OpenAI.
    create_moderation => moderations::CreateModeration;
    /// Makes an agent.
    create_agent => agents::CreateAgent;
    /// A page of the caller's agents.
    list_agents => agents::ListAgents;
    /// One agent.
    get_agent => agents::GetAgent;
    /// Removes an agent with all its sessions.
    delete_agent => agents::DeleteAgent;
    /// A page of the sessions of an agent.
    list_agent_sessions => agents::ListAgentSessions;
    /// Makes a session.
    create_agent_session => agents::CreateAgentSession;
    /// A session with its turns.
    get_agent_session => agents::GetAgentSession;
    /// Removes a session with its turns.
    delete_agent_session => agents::DeleteAgentSession;
    /// Lets an agent answer.
    create_agent_turn / create_agent_turn_stream => agents::CreateAgentTurn;
    /// Goes on with a turn.
    resume_agent_turn / resume_agent_turn_stream => agents::ResumeAgentTurn;
    /// A turn of a session.
    get_agent_turn => agents::GetAgentTurn;
    /// A step of a turn.
    get_agent_step => agents::GetAgentStep;
    /// Keeps an event that a program reports.
    log_event => telemetry::LogEvent;
    /// The traces that fit filters.
    query_traces => telemetry::QueryTraces;
    /// One trace.
    get_trace => telemetry::GetTrace;
    /// One span of a trace.
    get_span => telemetry::GetSpan;
    /// A span with those below it.
    get_span_tree => telemetry::GetSpanTree;
    /// The spans of the traces that fit filters.
    query_spans => telemetry::QuerySpans;
    /// Appends spans to a dataset.
    save_spans_to_dataset => telemetry::SaveSpansToDataset;
    /// All registered datasets.
    list_datasets => datasets::ListDatasets;
    /// One registered dataset.
    get_dataset => datasets::GetDataset;
    /// Registers or updates a dataset.
    register_dataset => datasets::RegisterDataset;
    /// Removes a dataset.
    unregister_dataset => datasets::UnregisterDataset;
    /// Rows of a dataset.
    iterrows => datasets::Iterrows;
    /// Appends rows to a dataset.
    append_rows => datasets::AppendRows;
    /// Rows of a dataset, in the form of older clients.
    get_rows_paginated => datasets::GetRowsPaginated;
    /// Appends rows to a dataset, as older clients do.
    append_dataset_rows => datasets::AppendDatasetRows;
}
