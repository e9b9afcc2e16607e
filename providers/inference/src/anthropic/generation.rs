//! What the models of Anthropic can do, by the beginning of their names.

/// How a model is made to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thinks {
    /// It is not known to.
    Never,
    /// With a budget of tokens.
    WithBudget,
    /// As much as it finds right.
    Adaptively,
}

/// What a model can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Generation {
    pub(super) thinks: Thinks,
    /// Whether it keeps to a schema by itself.
    pub(super) output_format: bool,
}

const fn generation(thinks: Thinks, output_format: bool) -> Generation {
    Generation { thinks, output_format }
}

/// The first name that fits counts.
const GENERATIONS: &[(&str, Generation)] = &[
    ("claude-2", generation(Thinks::Never, false)),
    ("claude-instant", generation(Thinks::Never, false)),
    ("claude-3-7", generation(Thinks::WithBudget, false)),
    ("claude-3", generation(Thinks::Never, false)),
    ("claude-haiku-4-5", generation(Thinks::WithBudget, true)),
    ("claude-opus-4-0", generation(Thinks::WithBudget, false)),
    ("claude-opus-4-1", generation(Thinks::WithBudget, false)),
    ("claude-opus-4-2", generation(Thinks::WithBudget, false)),
    ("claude-opus-4-5", generation(Thinks::WithBudget, true)),
    ("claude-sonnet-4-0", generation(Thinks::WithBudget, false)),
    ("claude-sonnet-4-2", generation(Thinks::WithBudget, false)),
    ("claude-sonnet-4-5", generation(Thinks::WithBudget, true)),
    ("claude-", generation(Thinks::Adaptively, true)),
];

impl Generation {
    pub(super) fn of(model: &str) -> Self {
        let found = GENERATIONS.iter().find(|(start, _)| model.starts_with(start));
        // Models of other servers that speak the API.
        found.map_or(generation(Thinks::Never, false), |(_, generation)| *generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_abilities_of_a_model_follow_from_its_name() {
        for (model, thinks, output_format) in [
            ("claude-3-5-sonnet-latest", Thinks::Never, false),
            ("claude-3-7-sonnet-latest", Thinks::WithBudget, false),
            ("claude-sonnet-4-20250514", Thinks::WithBudget, false),
            ("claude-sonnet-4-5-20250929", Thinks::WithBudget, true),
            ("claude-opus-4-6", Thinks::Adaptively, true),
            ("qwen3", Thinks::Never, false),
        ] {
            assert_eq!(Generation::of(model), generation(thinks, output_format), "{model}");
        }
    }
}
