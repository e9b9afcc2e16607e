//! The providers that the program contains, as data.

use crate::reference;
use chaski_api::{Api, Issue, Schemas};
use chaski_provider::{
    AgentsProvider, DatasetIoProvider, Entry, InferenceProvider, SafetyProvider, Spec,
    TelemetryProvider, ToolRuntimeProvider, VectorIoProvider,
};
use serde_json::Value;

/// The providers that the program contains, by what they implement.
#[derive(Clone, Copy, Default)]
pub struct Catalog {
    pub inference: &'static [Entry<dyn InferenceProvider>],
    pub vector_io: &'static [Entry<dyn VectorIoProvider>],
    pub tool_runtime: &'static [Entry<dyn ToolRuntimeProvider>],
    pub safety: &'static [Entry<dyn SafetyProvider>],
    pub agents: &'static [Entry<dyn AgentsProvider>],
    pub datasetio: &'static [Entry<dyn DatasetIoProvider>],
    pub telemetry: &'static [Entry<dyn TelemetryProvider>],
}

/// What can be said about a provider without knowing what it implements.
#[derive(Clone, Copy)]
pub struct Described {
    pub spec: Spec,
    /// The JSON schema of its settings.
    pub schema: fn(&mut Schemas) -> Value,
    /// Sample settings, for a distribution in the given folder.
    pub sample: fn(&str) -> Value,
    /// All problems of settings.
    pub check: fn(Value) -> Vec<Issue>,
}

impl<A: ?Sized> From<&Entry<A>> for Described {
    fn from(entry: &Entry<A>) -> Self {
        let Entry { spec, schema, sample, check, .. } = *entry;
        Self { spec, schema, sample, check }
    }
}

impl Catalog {
    /// All of them, of whatever API.
    pub fn all(&self) -> impl Iterator<Item = Described> {
        let inference = self.inference.iter().map(Described::from);
        let vector_io = self.vector_io.iter().map(Described::from);
        let tool_runtime = self.tool_runtime.iter().map(Described::from);
        let safety = self.safety.iter().map(Described::from);
        let agents = self.agents.iter().map(Described::from);
        let datasetio = self.datasetio.iter().map(Described::from);
        let telemetry = self.telemetry.iter().map(Described::from);
        let acting = tool_runtime.chain(safety).chain(agents);
        inference.chain(vector_io).chain(acting).chain(datasetio).chain(telemetry)
    }

    /// The provider of `api` that `provider_type` means.
    pub fn find(&self, api: Api, provider_type: &str) -> Option<Described> {
        self.all().find(|known| {
            known.spec.api == api
                && (known.spec.provider_type == provider_type
                    || known.spec.aliases.contains(&provider_type))
        })
    }

    /// The types that a configuration may name for `api`, whether the program contains them or
    /// not.
    pub fn known_types(&self, api: Api) -> Vec<&'static str> {
        let mut types = Vec::new();
        for known in self.all().filter(|known| known.spec.api == api) {
            types.push(known.spec.provider_type);
            types.extend(known.spec.aliases);
        }
        types.extend(
            reference::TYPES
                .iter()
                .filter(|known| known.api == api)
                .map(|known| known.provider_type),
        );
        types
    }
}
