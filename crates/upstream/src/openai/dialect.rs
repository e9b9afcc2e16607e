//! How an upstream differs from OpenAI, as data.

/// How an upstream differs from OpenAI's own API.
#[derive(Debug, Clone, Copy)]
pub struct Dialect {
    /// The name in messages.
    pub name: &'static str,
    /// The header that carries the key, in lower case, and what stands before the key in it.
    pub key_header: (&'static str, &'static str),
    /// The key of the provider-data header that carries the caller's own key, if one does.
    pub provider_data: Option<&'static str>,
    /// What ids of models begin with in this stack but not at the upstream.
    pub model_prefix: Option<&'static str>,
    /// What the ids of the models begin with that take `max_completion_tokens` only.
    pub completion_tokens_models: &'static [&'static str],
    /// Fields of requests with the names that the upstream uses for them.
    pub renamed: &'static [(&'static str, &'static str)],
    /// Fields of requests that the upstream refuses and that are left out.
    pub left_out: &'static [&'static str],
    /// Whether images at addresses are fetched here and sent inside the request, so that the
    /// upstream needs no way to the network and cannot be led to internal addresses.
    pub inline_images: bool,
    /// Whether the upstream writes vectors as numbers only; base64 is made of them here.
    pub float_vectors: bool,
    /// The header in which the upstream takes an id of the request.
    pub request_id: Option<&'static str>,
    /// Where the upstream lists its models, after the base URL.
    pub models_path: &'static str,
}

impl Dialect {
    /// OpenAI's API without additions.
    pub const OPENAI: Self = Self {
        name: "OpenAI",
        key_header: ("authorization", "Bearer "),
        provider_data: None,
        model_prefix: None,
        completion_tokens_models: &[],
        renamed: &[],
        left_out: &[],
        inline_images: false,
        float_vectors: false,
        request_id: None,
        models_path: "/models",
    };
}
