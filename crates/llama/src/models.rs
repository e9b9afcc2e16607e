//! Meta's Llama models: their names, shapes, and the files that Meta publishes of them.

use crate::architecture::{self, Architecture};

/// A generation of models that share a prompt format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Llama2,
    Llama3,
    Llama31,
    Llama32,
    Llama33,
    /// Models that judge content.
    Safety,
}

/// How the numbers of the weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightFormat {
    Bf16,
    Fp8Mixed,
    Int8,
    Int4,
}

impl WeightFormat {
    /// The word that the reference uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bf16 => "bf16",
            Self::Fp8Mixed => "fp8-mixed",
            Self::Int8 => "int8",
            Self::Int4 => "int4",
        }
    }
}

/// Which files a published model consists of, beside its list of checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Files {
    /// Meta's own layout, with so many `consolidated` files.
    Consolidated(u32),
    /// Exactly these.
    Listed(&'static [&'static str]),
}

/// A model that Meta publishes.
#[derive(Debug, Clone, Copy)]
pub struct Model {
    /// The short name: `Llama3.1-8B-Instruct`, with `:variant` where there are several.
    pub descriptor: &'static str,
    /// The repository on Hugging Face.
    pub repository: &'static str,
    pub family: Family,
    pub weights: WeightFormat,
    /// The tokens that fit into a prompt and its answer together.
    pub context: u32,
    /// Nothing for a classifier without a decoder.
    pub architecture: Option<&'static Architecture>,
    files: Files,
}

/// The list of checksums that Meta publishes beside each model.
pub const CHECKLIST: &str = "checklist.chk";

impl Model {
    /// The model with this short name or repository, spelled exactly.
    pub fn find(name: &str) -> Option<&'static Self> {
        MODELS.iter().find(|model| model.descriptor == name || model.repository == name)
    }

    /// The model whose short name is nearest to `name`, if one is near.
    pub fn nearest(name: &str) -> Option<&'static Self> {
        let wanted = name.to_lowercase();
        let distance = |model: &&Self| {
            let short = distance(&wanted, &model.descriptor.to_lowercase());
            short.min(distance(&wanted, &model.repository.to_lowercase()))
        };
        let nearest = MODELS.iter().min_by_key(distance)?;
        // More than a third of the letters wrong is another word, not a slip.
        (distance(&nearest) * 3 <= wanted.chars().count()).then_some(nearest)
    }

    /// Whether the model was trained to hold conversations.
    pub fn is_instruct(&self) -> bool {
        self.descriptor.contains("Instruct") || self.descriptor.contains("-chat")
    }

    /// Whether the model reads images.
    pub fn sees(&self) -> bool {
        self.descriptor.contains("Vision")
    }

    /// Whether lists show the model unasked: those of the generations before 3.1 are left out, and
    /// so is the classifier for prompts.
    pub fn is_current(&self) -> bool {
        self.architecture.is_some() && !matches!(self.family, Family::Llama2 | Family::Llama3)
    }

    /// The context in thousands of tokens: `128K`.
    pub fn context_in_thousands(&self) -> String {
        format!("{}K", self.context / 1024)
    }

    /// One sentence on what the model is.
    pub fn description(&self) -> String {
        let (base, variant) =
            self.descriptor.split_once(':').map_or((self.descriptor, None), |(a, b)| (a, Some(b)));
        let name = base.replace("Llama3", "Llama 3").replace('-', " ");
        let kind = if self.family == Family::Safety {
            "model that judges content"
        } else if self.is_instruct() {
            "model for conversations"
        } else {
            "base model"
        };
        let variant = variant.map(|variant| format!(", variant {variant}")).unwrap_or_default();
        format!("{name}: {kind}, {} weights{variant}", self.weights.as_str())
    }

    /// The folder of the model on Meta's download host.
    pub fn meta_folder(&self) -> String {
        let large = self.descriptor.starts_with("Llama3.1-405B");
        if large {
            let kind = if self.is_instruct() { "-Instruct" } else { "" };
            let parts = match (self.descriptor.split_once(':'), self.files) {
                (Some(_), Files::Consolidated(parts)) => format!("-MP{parts}"),
                _ => String::new(),
            };
            return format!("Llama-3.1-405B{kind}{parts}");
        }
        match self.descriptor {
            "Llama-Guard-3-8B:int8" => "Llama-Guard-3-8B-INT8-HF".to_owned(),
            "Llama-Guard-2-8B" => "llama-guard-2".to_owned(),
            _ => {
                let name = self.repository.rsplit('/').next().unwrap_or_default();
                if self.family == Family::Llama2 { name.to_lowercase() } else { name.to_owned() }
            }
        }
    }

    /// The names of the files on Meta's download host, the list of checksums first.
    pub fn meta_files(&self) -> Vec<String> {
        let mut files = vec![CHECKLIST.to_owned()];
        match self.files {
            Files::Listed(names) => files.extend(names.iter().map(|name| (*name).to_owned())),
            Files::Consolidated(parts) => {
                files.extend(["tokenizer.model".to_owned(), "params.json".to_owned()]);
                if self.weights == WeightFormat::Fp8Mixed {
                    files.extend((0..parts).map(|part| format!("fp8_scales_{part}.pt")));
                }
                files.extend((0..parts).map(|part| format!("consolidated.{part:02}.pth")));
            }
        }
        files
    }

    /// The name of the folder that downloads go to: a colon is not allowed everywhere.
    pub fn folder(&self) -> String {
        self.descriptor.replace(':', "-")
    }
}

/// The number of single-letter changes between two texts (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

const K: u32 = 1024;

const fn model(
    descriptor: &'static str,
    repository: &'static str,
    family: Family,
    context: u32,
    architecture: &'static Architecture,
    parts: u32,
) -> Model {
    Model {
        descriptor,
        repository,
        family,
        weights: WeightFormat::Bf16,
        context,
        architecture: Some(architecture),
        files: Files::Consolidated(parts),
    }
}

impl Model {
    const fn stored_as(self, weights: WeightFormat) -> Self {
        Self { weights, ..self }
    }

    const fn made_of(self, files: &'static [&'static str]) -> Self {
        Self { files: Files::Listed(files), ..self }
    }
}

use Family::{Llama2, Llama3, Llama31, Llama32, Llama33, Safety};
use WeightFormat::{Fp8Mixed, Int4, Int8};

/// Every model, in the order of the reference.
#[rustfmt::skip]
pub const MODELS: &[Model] = &[
    model("Llama-2-7b", "meta-llama/Llama-2-7b", Llama2, 4 * K, &architecture::LLAMA2_7B, 1),
    model("Llama-2-13b", "meta-llama/Llama-2-13b", Llama2, 4 * K, &architecture::LLAMA2_13B, 2),
    model("Llama-2-70b", "meta-llama/Llama-2-70b", Llama2, 4 * K, &architecture::LLAMA2_70B, 8),
    model("Llama-2-7b-chat", "meta-llama/Llama-2-7b-chat", Llama2, 4 * K, &architecture::LLAMA2_7B, 1),
    model("Llama-2-13b-chat", "meta-llama/Llama-2-13b-chat", Llama2, 4 * K, &architecture::LLAMA2_13B, 2),
    model("Llama-2-70b-chat", "meta-llama/Llama-2-70b-chat", Llama2, 4 * K, &architecture::LLAMA2_70B, 8),
    model("Llama-3-8B", "meta-llama/Llama-3-8B", Llama3, 8 * K, &architecture::LLAMA3_8B, 1),
    model("Llama-3-70B", "meta-llama/Llama-3-70B", Llama3, 8 * K, &architecture::LLAMA3_70B, 8),
    model("Llama-3-8B-Instruct", "meta-llama/Llama-3-8B-Instruct", Llama3, 8 * K, &architecture::LLAMA3_8B, 1),
    model("Llama-3-70B-Instruct", "meta-llama/Llama-3-70B-Instruct", Llama3, 8 * K, &architecture::LLAMA3_70B, 8),
    model("Llama3.1-8B", "meta-llama/Llama-3.1-8B", Llama31, 128 * K, &architecture::LLAMA31_8B, 1),
    model("Llama3.1-70B", "meta-llama/Llama-3.1-70B", Llama31, 128 * K, &architecture::LLAMA31_70B, 8),
    model("Llama3.1-405B:bf16-mp8", "meta-llama/Llama-3.1-405B", Llama31, 128 * K, &architecture::LLAMA31_405B, 8),
    model("Llama3.1-405B", "meta-llama/Llama-3.1-405B-FP8", Llama31, 128 * K, &architecture::LLAMA31_405B, 8).stored_as(Fp8Mixed),
    model("Llama3.1-405B:bf16-mp16", "meta-llama/Llama-3.1-405B", Llama31, 128 * K, &architecture::LLAMA31_405B_MP16, 16),
    model("Llama3.1-8B-Instruct", "meta-llama/Llama-3.1-8B-Instruct", Llama31, 128 * K, &architecture::LLAMA31_8B, 1),
    model("Llama3.1-70B-Instruct", "meta-llama/Llama-3.1-70B-Instruct", Llama31, 128 * K, &architecture::LLAMA31_70B, 8),
    model("Llama3.1-405B-Instruct:bf16-mp8", "meta-llama/Llama-3.1-405B-Instruct", Llama31, 128 * K, &architecture::LLAMA31_405B, 8),
    model("Llama3.1-405B-Instruct", "meta-llama/Llama-3.1-405B-Instruct-FP8", Llama31, 128 * K, &architecture::LLAMA31_405B, 8).stored_as(Fp8Mixed),
    model("Llama3.1-405B-Instruct:bf16-mp16", "meta-llama/Llama-3.1-405B-Instruct", Llama31, 128 * K, &architecture::LLAMA31_405B_MP16, 16),
    model("Llama3.2-1B", "meta-llama/Llama-3.2-1B", Llama32, 128 * K, &architecture::LLAMA32_1B, 1),
    model("Llama3.2-3B", "meta-llama/Llama-3.2-3B", Llama32, 128 * K, &architecture::LLAMA32_3B, 1),
    model("Llama3.2-11B-Vision", "meta-llama/Llama-3.2-11B-Vision", Llama32, 128 * K, &architecture::LLAMA32_11B_VISION_BASE, 1),
    model("Llama3.2-90B-Vision", "meta-llama/Llama-3.2-90B-Vision", Llama32, 128 * K, &architecture::LLAMA32_90B_VISION, 8),
    model("Llama3.2-1B-Instruct", "meta-llama/Llama-3.2-1B-Instruct", Llama32, 128 * K, &architecture::LLAMA32_1B, 1),
    model("Llama3.2-3B-Instruct", "meta-llama/Llama-3.2-3B-Instruct", Llama32, 128 * K, &architecture::LLAMA32_3B, 1),
    model("Llama3.2-1B-Instruct:int4-qlora-eo8", "meta-llama/Llama-3.2-1B-Instruct-QLORA_INT4_EO8", Llama32, 8 * K, &architecture::LLAMA32_1B, 1).stored_as(Int4),
    model("Llama3.2-1B-Instruct:int4-spinquant-eo8", "meta-llama/Llama-3.2-1B-Instruct-SpinQuant_INT4_EO8", Llama32, 8 * K, &architecture::LLAMA32_1B, 1).stored_as(Int4),
    model("Llama3.2-3B-Instruct:int4-qlora-eo8", "meta-llama/Llama-3.2-3B-Instruct-QLORA_INT4_EO8", Llama32, 8 * K, &architecture::LLAMA32_3B, 1).stored_as(Int4),
    model("Llama3.2-3B-Instruct:int4-spinquant-eo8", "meta-llama/Llama-3.2-3B-Instruct-SpinQuant_INT4_EO8", Llama32, 8 * K, &architecture::LLAMA32_3B, 1).stored_as(Int4),
    model("Llama3.2-11B-Vision-Instruct", "meta-llama/Llama-3.2-11B-Vision-Instruct", Llama32, 128 * K, &architecture::LLAMA32_11B_VISION, 1),
    model("Llama3.2-90B-Vision-Instruct", "meta-llama/Llama-3.2-90B-Vision-Instruct", Llama32, 128 * K, &architecture::LLAMA32_90B_VISION, 8),
    model("Llama3.3-70B-Instruct", "meta-llama/Llama-3.3-70B-Instruct", Llama33, 128 * K, &architecture::LLAMA31_70B, 8),
    model("Llama-Guard-3-11B-Vision", "meta-llama/Llama-Guard-3-11B-Vision", Safety, 128 * K, &architecture::LLAMA32_11B_VISION, 1),
    model("Llama-Guard-3-1B:int4", "meta-llama/Llama-Guard-3-1B-INT4", Safety, 128 * K, &architecture::GUARD3_1B_PRUNED, 1).stored_as(Int4).made_of(&[
        "llama_guard_3_1b_pruned_xnnpack.pte",
        "example-prompt.txt",
        "params.json",
        "tokenizer.model",
    ]),
    model("Llama-Guard-3-1B", "meta-llama/Llama-Guard-3-1B", Safety, 128 * K, &architecture::LLAMA32_1B, 1),
    model("Llama-Guard-3-8B", "meta-llama/Llama-Guard-3-8B", Safety, 128 * K, &architecture::LLAMA31_8B, 1),
    model("Llama-Guard-3-8B:int8", "meta-llama/Llama-Guard-3-8B-INT8", Safety, 128 * K, &architecture::LLAMA31_8B, 1).stored_as(Int8).made_of(&[
        "generation_config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]),
    model("Llama-Guard-2-8B", "meta-llama/Llama-Guard-2-8B", Safety, 4 * K, &architecture::LLAMA3_8B, 1),
    Model {
        descriptor: "Prompt-Guard-86M",
        repository: "meta-llama/Prompt-Guard-86M",
        family: Safety,
        weights: WeightFormat::Bf16,
        context: 2 * K,
        architecture: None,
        files: Files::Listed(&[
            "config.json",
            "model.safetensors",
            "special_tokens_map.json",
            "tokenizer.json",
            "tokenizer_config.json",
        ]),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_has_the_models_of_the_reference() {
        assert_eq!(MODELS.len(), 40);
        assert_eq!(MODELS.iter().filter(|model| model.is_current()).count(), 29);
        for (index, model) in MODELS.iter().enumerate() {
            let same = MODELS.iter().position(|other| other.descriptor == model.descriptor);
            assert_eq!(same, Some(index), "{}", model.descriptor);
            assert!(model.repository.starts_with("meta-llama/"), "{}", model.repository);
        }
    }

    #[test]
    fn a_model_is_found_by_short_name_and_repository_exactly() {
        let found = |name| Model::find(name).map(|model| model.descriptor);
        assert_eq!(found("Llama3.1-8B-Instruct"), Some("Llama3.1-8B-Instruct"));
        assert_eq!(found("meta-llama/Llama-3.1-8B-Instruct"), Some("Llama3.1-8B-Instruct"));
        assert_eq!(found("llama3.1-8b-instruct"), None);
    }

    #[test]
    fn the_nearest_name_is_offered_for_a_slip_and_none_for_another_word() {
        let nearest = |name| Model::nearest(name).map(|model| model.descriptor);
        assert_eq!(nearest("llama3.1-8b-instruct"), Some("Llama3.1-8B-Instruct"));
        assert_eq!(nearest("Llama-3.3-70B-Instruct"), Some("Llama3.3-70B-Instruct"));
        assert_eq!(nearest("Llama3.2-3B-Instrcut"), Some("Llama3.2-3B-Instruct"));
        assert_eq!(nearest("nope"), None);
        assert_eq!(nearest(""), None);
    }

    #[test]
    fn the_folders_and_files_are_those_of_the_download_host() {
        let check = |name: &str, folder: &str, count: usize, last: &str| {
            let model = Model::find(name).expect("the model is known");
            let files = model.meta_files();
            assert_eq!((model.meta_folder().as_str(), files.len()), (folder, count), "{name}");
            assert_eq!((files[0].as_str(), files[count - 1].as_str()), (CHECKLIST, last), "{name}");
        };
        check("Llama3.2-1B-Instruct", "Llama-3.2-1B-Instruct", 4, "consolidated.00.pth");
        check("Llama-2-13b-chat", "llama-2-13b-chat", 5, "consolidated.01.pth");
        check("Llama3.1-405B", "Llama-3.1-405B", 19, "consolidated.07.pth");
        check("Llama3.1-405B:bf16-mp16", "Llama-3.1-405B-MP16", 19, "consolidated.15.pth");
        let instruct = "Llama-3.1-405B-Instruct-MP8";
        check("Llama3.1-405B-Instruct:bf16-mp8", instruct, 11, "consolidated.07.pth");
        check("Llama-Guard-3-8B:int8", "Llama-Guard-3-8B-INT8-HF", 8, "tokenizer_config.json");
        check("Llama-Guard-2-8B", "llama-guard-2", 4, "consolidated.00.pth");
    }

    #[test]
    fn folders_have_no_colon() {
        let model = Model::find("Llama3.1-405B:bf16-mp8").unwrap();
        assert_eq!(model.folder(), "Llama3.1-405B-bf16-mp8");
        assert_eq!(model.context_in_thousands(), "128K");
        assert_eq!(
            model.description(),
            "Llama 3.1 405B: base model, bf16 weights, variant bf16-mp8"
        );
    }
}
