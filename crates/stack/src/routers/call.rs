//! The requests of inference as the router sees them, whatever they ask for.

use super::metered::Answer;
use chaski_api::{
    Error, Result,
    anthropic::MessagesRequest,
    models::ModelType,
    openai::{Body, ChatRequest, EmbeddingRequest, RerankRequest, TextCompletionRequest},
};
use chaski_provider::{
    ChatReply, Context, EmbeddingReply, Inference, MessagesReply, RerankReply, TextReply,
};
use futures_util::{FutureExt, future::BoxFuture};

/// A request that is handed to the provider of its model.
pub(crate) trait Call: Clone + Send + Sync + 'static {
    type Answer: Answer;
    /// What the model must do.
    const WANTED: ModelType;
    /// The name of what is asked for.
    const NAME: &'static str;
    /// The name of the span of a call.
    const SPAN: &'static str;

    /// The request as it came.
    fn body(&self) -> &Body;
    fn model(&self) -> &str;
    fn set_model(&mut self, id: &str);
    /// Whether the answer is wanted as a stream.
    fn streams(&self) -> bool;
    /// Gives it to a provider, or to whatever stands in its place.
    fn send<'a>(
        self,
        provider: &'a dyn Inference,
        cx: &'a Context,
    ) -> BoxFuture<'a, Result<Self::Answer>>;
}

/// The requests, the methods of [`Inference`] that take them, and the answers.
macro_rules! calls {
    ($($request:ty => $method:ident -> $answer:ty, $wanted:ident, $span:literal;)*) => {
        $(impl Call for $request {
            type Answer = $answer;
            const WANTED: ModelType = ModelType::$wanted;
            const NAME: &'static str = stringify!($method);
            const SPAN: &'static str = concat!("InferenceRouter.", $span);

            fn body(&self) -> &Body {
                &self.body
            }
            fn model(&self) -> &str {
                self.model()
            }
            fn set_model(&mut self, id: &str) {
                self.set_model(id);
            }
            fn streams(&self) -> bool {
                self.stream()
            }
            fn send<'a>(
                self,
                provider: &'a dyn Inference,
                cx: &'a Context,
            ) -> BoxFuture<'a, Result<$answer>> {
                Inference::$method(provider, cx, self)
            }
        })*
    };
}

calls! {
    ChatRequest => chat -> ChatReply, Llm, "chat_completion";
    TextCompletionRequest => completion -> TextReply, Llm, "completion";
    EmbeddingRequest => embeddings -> EmbeddingReply, Embedding, "embeddings";
    RerankRequest => rerank -> RerankReply, Rerank, "rerank";
}

/// A request in the form of Anthropic's API, for providers that speak it.
#[derive(Clone)]
pub(crate) struct Message {
    /// In place of the model that the request names.
    pub(crate) model: String,
    pub(crate) request: MessagesRequest,
}

impl Call for Message {
    type Answer = MessagesReply;
    const WANTED: ModelType = ModelType::Llm;
    const NAME: &'static str = "messages";
    const SPAN: &'static str = "InferenceRouter.messages";

    fn body(&self) -> &Body {
        &self.request.body
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn set_model(&mut self, id: &str) {
        id.clone_into(&mut self.model);
    }

    fn streams(&self) -> bool {
        self.request.stream()
    }

    fn send<'a>(
        self,
        provider: &'a dyn Inference,
        cx: &'a Context,
    ) -> BoxFuture<'a, Result<MessagesReply>> {
        async move {
            let answer = provider.messages(cx, &self.model, &self.request).await?;
            answer.ok_or_else(|| {
                Error::unsupported("this provider does not speak Anthropic's Messages API")
            })
        }
        .boxed()
    }
}
