//! Searches by services of the web, which are configured alike: a key, an address, and how many
//! results there are to be.

/// Declares a search: its configuration, and its provider with the `DOCS` of the module.
macro_rules! hosted_search {
    (
        provider $search:ident as $type:literal, $summary:literal;
        $(#[doc = $config_doc:literal])*
        config $config:ident with $key:literal at $url:expr;
        $(#[doc = $count_doc:literal])*
        count $count:ident;
    ) => {
        chaski_api::wire! {
            $(#[doc = $config_doc])*
            pub struct $config {
                /// The key. Without one callers send their own.
                pub api_key: Option<chaski_api::Secret>,
                $(#[doc = $count_doc])*
                pub $count: i64 = 3,
                /// Another address of the service.
                pub url: String = $url.to_owned(),
            }
        }

        impl chaski_provider::ProviderConfig for $config {
            fn sample(_dir: &str) -> serde_json::Value {
                serde_json::json!({ "api_key": $key, (stringify!($count)): 3 })
            }

            fn validate(&self, reader: &mut chaski_api::Reader) {
                $crate::search::check_count(reader, stringify!($count), self.$count);
            }
        }

        #[doc = concat!("The provider `", $type, "`.")]
        pub(crate) struct $search {
            $count: usize,
        }

        impl chaski_provider::Provider for $search {
            type Api = dyn chaski_provider::ToolRuntimeProvider;
            type Config = $config;
            const SPEC: chaski_provider::Spec = chaski_provider::Spec {
                docs: DOCS,
                provider_data: &[<Self as $crate::search::Service>::FACTS.key],
                ..chaski_provider::Spec::new(chaski_api::Api::ToolRuntime, $type, $summary)
            };

            async fn build(
                config: $config,
                deps: chaski_provider::Deps,
            ) -> chaski_api::Result<std::sync::Arc<Self::Api>> {
                let $count = usize::try_from(config.$count).unwrap_or_default();
                let (url, key) = (&config.url, config.api_key.as_ref());
                $crate::search::Searcher::provider(deps, url, key, Self { $count })
            }
        }
    };
}
pub(crate) use hosted_search;
