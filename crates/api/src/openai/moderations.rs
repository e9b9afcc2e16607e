//! Moderations (OpenAI API, "Moderations").

use crate::wire::{Reader, Schemas, Wire};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// Declares the categories, and what an answer has for each of them: whether it applies, its score
/// and the kinds of input it was found in.
macro_rules! categories {
    ($($(#[doc = $doc:literal])* $field:ident $variant:ident = $name:literal, sees $($kind:ident)+;)*) => {
        crate::wire! {
            /// What content may be about.
            pub enum ModerationCategory { $($(#[doc = $doc])* $variant = $name),* }

            /// Whether each category applies.
            pub struct ModerationCategories { $($(#[doc = $doc])* pub $field as $name: bool = false),* }

            /// How likely each category applies, from 0 to 1.
            pub struct ModerationScores { $($(#[doc = $doc])* pub $field as $name: f64 = 0.0),* }

            /// The kinds of input that each category was looked for in.
            pub struct ModerationInputTypes {
                $($(#[doc = $doc])* pub $field as $name: Vec<ModerationInputType> = Vec::new()),*
            }
        }

        impl ModerationResult {
            /// A result in which `found` apply. `kinds` are the kinds of input that were judged.
            ///
            /// A shield says whether, and not how likely: a score is 1 or 0.
            pub fn of(found: &[ModerationCategory], kinds: &[ModerationInputType]) -> Self {
                let applies = |category| found.contains(&category);
                let score = |category| if applies(category) { 1.0 } else { 0.0 };
                let seen = |sees: &[ModerationInputType]| {
                    kinds.iter().copied().filter(|kind| sees.contains(kind)).collect()
                };
                Self {
                    flagged: !found.is_empty(),
                    categories: ModerationCategories {
                        $($field: applies(ModerationCategory::$variant)),*
                    },
                    category_scores: ModerationScores {
                        $($field: score(ModerationCategory::$variant)),*
                    },
                    category_applied_input_types: ModerationInputTypes {
                        $($field: seen(&[$(ModerationInputType::$kind),+])),*
                    },
                    user_message: None,
                    metadata: Map::new(),
                }
            }
        }
    };
}

categories! {
    /// Harassment.
    harassment Harassment = "harassment", sees Text;
    /// Harassment with violence.
    harassment_threatening HarassmentThreatening = "harassment/threatening", sees Text;
    /// Hate because of what people are.
    hate Hate = "hate", sees Text;
    /// Hate with violence.
    hate_threatening HateThreatening = "hate/threatening", sees Text;
    /// Wrongdoing, or advice for it.
    illicit Illicit = "illicit", sees Text;
    /// Wrongdoing with violence or weapons.
    illicit_violent IllicitViolent = "illicit/violent", sees Text;
    /// Self-harm.
    self_harm SelfHarm = "self-harm", sees Text Image;
    /// The intent to harm oneself.
    self_harm_intent SelfHarmIntent = "self-harm/intent", sees Text Image;
    /// Advice how to harm oneself.
    self_harm_instructions SelfHarmInstructions = "self-harm/instructions", sees Text Image;
    /// Sexual content.
    sexual Sexual = "sexual", sees Text Image;
    /// Sexual content with people under 18.
    sexual_minors SexualMinors = "sexual/minors", sees Text;
    /// Violence.
    violence Violence = "violence", sees Text Image;
    /// Violence in detail.
    violence_graphic ViolenceGraphic = "violence/graphic", sees Text Image;
}

crate::wire! {
    /// A kind of input.
    pub enum ModerationInputType {
        Text = "text",
        Image = "image",
    }

    /// Where an image is.
    pub struct ModerationImage {
        /// An address, or a `data:` address with the image itself.
        pub url: String,
    }

    /// An image to judge.
    pub struct ModerationImagePart {
        /// The image.
        pub image_url: ModerationImage,
    }

    /// A text to judge.
    pub struct ModerationTextPart {
        /// The text.
        pub text: String,
    }

    /// A part of what is judged together.
    pub union ModerationPart by "type" {
        Text(ModerationTextPart) = "text",
        Image(ModerationImagePart) = "image_url",
    }

    /// Content to judge (OpenAI API, "Create moderation").
    pub struct ModerationRequest {
        /// A text, a list of texts with a result each, or a list of texts and images with one result.
        pub input: ModerationInput,
        /// The registered shield. Unless given, it is the one that is configured, else the first that
        /// judges what is said, else the first against attacks, else the first of all. The names of
        /// OpenAI's own models (`omni-moderation-...`, `text-moderation-...`) mean that one too.
        pub model: Option<String>,
    }

    /// What was found in one input.
    pub struct ModerationResult {
        /// Whether there is an objection, in a category of OpenAI or not.
        pub flagged: bool,
        /// Whether each category applies.
        pub categories: ModerationCategories,
        /// 1 for a category that applies, 0 for the others: shields do not say how likely it is.
        pub category_scores: ModerationScores,
        /// The kinds of input that each category was looked for in.
        pub category_applied_input_types: ModerationInputTypes,
        /// What the shield tells the user in place of an answer.
        pub user_message: Option<String>,
        /// What the shield says about its objection; `violation_type` names what was found.
        pub metadata: Map<String, Value> = Map::new(),
    }

    /// What was found, a result per input.
    pub struct ModerationResponse {
        /// An id, unique to the request.
        pub id: String,
        /// The shield.
        pub model: String,
        /// The results, in the order of the inputs.
        pub results: Vec<ModerationResult>,
    }
}

/// What is judged: one text, several by themselves, or texts and images together.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ModerationInput {
    Text(String),
    Texts(Vec<String>),
    Parts(Vec<ModerationPart>),
}

impl Wire for ModerationInput {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self::Text(text)),
            Value::Array(items) if items.iter().all(Value::is_string) => {
                Vec::read(Value::Array(items), reader).map(Self::Texts)
            }
            Value::Array(items) if items.iter().all(Value::is_object) => {
                Vec::read(Value::Array(items), reader).map(Self::Parts)
            }
            Value::Array(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Object(_) => reader.issue(
                "moderation_input",
                "Input should be a text, a list of texts, or a list of parts with `type` `text` or \
                 `image_url`",
            ),
        }
    }
    fn schema(schemas: &mut Schemas) -> Value {
        json!({ "anyOf": [
            { "type": "string" },
            { "type": "array", "items": { "type": "string" } },
            Vec::<ModerationPart>::schema(schemas),
        ] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_a_text_or_texts_or_parts() {
        let read = |input: Value| {
            let request = ModerationRequest::from_json(json!({ "input": input }));
            request.map(|request| request.input).map_err(|issues| issues[0].to_string())
        };
        assert_eq!(read(json!("a")), Ok(ModerationInput::Text("a".to_owned())));
        assert_eq!(read(json!(["a"])), Ok(ModerationInput::Texts(vec!["a".to_owned()])));
        let image =
            json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,aGk=" } });
        let parts = read(json!([{ "type": "text", "text": "a" }, image])).unwrap();
        assert!(matches!(&parts, ModerationInput::Parts(parts) if parts.len() == 2));
        for wrong in [json!(5), json!(["a", { "type": "text", "text": "b" }]), json!({})] {
            assert!(read(wrong).unwrap_err().starts_with("input: Input should be a text"));
        }
        assert!(read(json!([{ "type": "audio" }])).unwrap_err().contains("audio"));
    }

    #[test]
    fn a_result_has_every_category_and_says_where_it_was_looked_for() {
        let kinds = [ModerationInputType::Text, ModerationInputType::Image];
        let result = ModerationResult::of(&[ModerationCategory::SelfHarm], &kinds);
        let result = serde_json::to_value(result).unwrap();
        assert_eq!(result["flagged"], true);
        for category in ModerationCategory::ALL {
            let name = category.as_str();
            let applies = *category == ModerationCategory::SelfHarm;
            assert_eq!(result["categories"][name], applies, "{name}");
            let score = if applies { 1.0 } else { 0.0 };
            assert_eq!(result["category_scores"][name], score, "{name}");
        }
        let looked = &result["category_applied_input_types"];
        assert_eq!(looked["self-harm"], json!(["text", "image"]));
        assert_eq!(looked["hate"], json!(["text"]));
    }
}
