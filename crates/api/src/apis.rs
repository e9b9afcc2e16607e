//! The names of the APIs, and which of them answers for which.

use crate::wire;

wire! {
    /// A part of the stack that is served, configured and listed under one name.
    pub enum Api {
        /// What is configured, with health.
        Providers = "providers",
        /// Chat, completion and embeddings.
        Inference = "inference",
        /// Running shields over messages.
        Safety = "safety",
        /// Agents, sessions and turns.
        Agents = "agents",
        /// Inserting and querying chunks.
        VectorIo = "vector_io",
        /// Reading and appending dataset rows.
        DatasetIo = "datasetio",
        /// Scoring rows.
        Scoring = "scoring",
        /// Running benchmarks.
        Eval = "eval",
        /// Fine-tuning.
        PostTraining = "post_training",
        /// Running tools.
        ToolRuntime = "tool_runtime",
        /// Traces, metrics and events.
        Telemetry = "telemetry",
        /// The registered models.
        Models = "models",
        /// The registered shields.
        Shields = "shields",
        /// The registered vector databases.
        VectorDbs = "vector_dbs",
        /// The registered datasets.
        Datasets = "datasets",
        /// The registered scoring functions.
        ScoringFunctions = "scoring_functions",
        /// The registered benchmarks.
        Benchmarks = "benchmarks",
        /// The registered tool groups.
        ToolGroups = "tool_groups",
        /// Files of callers.
        Files = "files",
        /// Health, version and routes.
        Inspect = "inspect",
    }
}

impl Api {
    /// The APIs that can stand under `providers:` in a run configuration.
    pub const PROVIDABLE: [Self; 10] = [
        Self::Inference,
        Self::Safety,
        Self::Agents,
        Self::VectorIo,
        Self::DatasetIo,
        Self::Scoring,
        Self::Eval,
        Self::PostTraining,
        Self::ToolRuntime,
        Self::Telemetry,
    ];

    /// The pairs of (resource table, the behaviour routed through it).
    pub const ROUTED: [(Self, Self); 7] = [
        (Self::Models, Self::Inference),
        (Self::Shields, Self::Safety),
        (Self::VectorDbs, Self::VectorIo),
        (Self::Datasets, Self::DatasetIo),
        (Self::ScoringFunctions, Self::Scoring),
        (Self::Benchmarks, Self::Eval),
        (Self::ToolGroups, Self::ToolRuntime),
    ];

    /// The providable API that answers for this one: `models` is answered by `inference`.
    pub fn behaviour(self) -> Self {
        Self::ROUTED
            .iter()
            .find(|(table, _)| *table == self)
            .map_or(self, |(_, behaviour)| *behaviour)
    }
}
