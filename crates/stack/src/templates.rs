//! The run configurations that are compiled in.

/// A named run configuration.
#[derive(Debug, Clone, Copy)]
pub struct Template {
    pub name: &'static str,
    /// One sentence for lists.
    pub description: &'static str,
    /// The text of its `run.yaml`.
    pub run_yaml: &'static str,
}

/// The template that runs when none is named.
pub const DEFAULT: &str = "starter";

/// All templates, the default first.
pub const ALL: &[Template] = &[Template {
    name: DEFAULT,
    description: "A model and an embedder in the process, and every remote provider that the environment has a key for",
    run_yaml: include_str!("../templates/starter.yaml"),
}];

/// The template called `name`.
pub fn find(name: &str) -> Option<&'static Template> {
    ALL.iter().find(|template| template.name == name)
}
