//! The kinds of content that Llama Guard tells apart, as its model cards list them.

use chaski_api::openai::ModerationCategory;

/// A kind of content, by its code.
pub(super) type Category = (&'static str, &'static str);

/// Llama Guard 3 (1B, 8B and 11B Vision). The last one belongs to the 8B model alone.
pub(super) const OF_3: &[Category] = &[
    ("S1", "Violent Crimes"),
    ("S2", "Non-Violent Crimes"),
    ("S3", "Sex Crimes"),
    ("S4", "Child Exploitation"),
    ("S5", "Defamation"),
    ("S6", "Specialized Advice"),
    ("S7", "Privacy"),
    ("S8", "Intellectual Property"),
    ("S9", "Indiscriminate Weapons"),
    ("S10", "Hate"),
    ("S11", "Self-Harm"),
    ("S12", "Sexual Content"),
    ("S13", "Elections"),
    ("S14", "Code Interpreter Abuse"),
];

/// Llama Guard 2.
pub(super) const OF_2: &[Category] = &[
    ("S1", "Violent Crimes"),
    ("S2", "Non-Violent Crimes"),
    ("S3", "Sex Crimes"),
    ("S4", "Child Exploitation"),
    ("S5", "Specialized Advice"),
    ("S6", "Privacy"),
    ("S7", "Intellectual Property"),
    ("S8", "Indiscriminate Weapons"),
    ("S9", "Hate"),
    ("S10", "Self-Harm"),
    ("S11", "Sexual Content"),
];

/// The categories of OpenAI's moderations that a category, by its name, belongs to.
pub(super) fn of_openai(name: &str) -> &'static [ModerationCategory] {
    use ModerationCategory::{
        Harassment, Hate, Illicit, IllicitViolent, SelfHarm, Sexual, SexualMinors, Violence,
    };
    match name {
        "Violent Crimes" => &[Violence, Illicit, IllicitViolent],
        "Indiscriminate Weapons" => &[Illicit, IllicitViolent],
        "Non-Violent Crimes" | "Code Interpreter Abuse" => &[Illicit],
        "Sex Crimes" => &[Sexual, Illicit],
        "Child Exploitation" => &[Sexual, SexualMinors],
        "Defamation" => &[Harassment],
        "Hate" => &[Hate],
        "Self-Harm" => &[SelfHarm],
        "Sexual Content" => &[Sexual],
        _ => &[],
    }
}

/// A model of the family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Guard {
    /// The name that shields use, without the prefix of its publisher.
    pub(super) name: &'static str,
    pub(super) categories: &'static [Category],
    pub(super) sees_images: bool,
}

const PUBLISHER: &str = "meta-llama/";

/// All models of the family that can be asked.
pub(super) const GUARDS: &[Guard] = &[
    Guard { name: "Llama-Guard-3-8B", categories: OF_3, sees_images: false },
    Guard { name: "Llama-Guard-3-1B", categories: OF_3.split_at(13).0, sees_images: false },
    Guard { name: "Llama-Guard-3-11B-Vision", categories: OF_3.split_at(13).0, sees_images: true },
    Guard { name: "Meta-Llama-Guard-2-8B", categories: OF_2, sees_images: false },
];

impl Guard {
    /// The model that a shield of this id of the provider means.
    pub(super) fn named(id: &str) -> Option<Self> {
        let name = id.strip_prefix(PUBLISHER).unwrap_or(id);
        GUARDS.iter().copied().find(|guard| guard.name == name)
    }

    /// The id of its model, as the registry has it.
    pub(super) fn model(self) -> String {
        format!("{PUBLISHER}{}", self.name)
    }
}

/// The names that shields may have, as the reference lists them: a Python dictionary of both
/// spellings.
pub(super) fn allowed() -> String {
    let both = GUARDS.iter().flat_map(|guard| {
        let model = guard.model();
        [format!("'{}': '{model}'", guard.name), format!("'{model}': '{model}'")]
    });
    format!("{{{}}}", both.collect::<Vec<_>>().join(", "))
}
