//! What is fixed when an index is created.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// The most numbers a vector may have.
pub const MAX_DIMENSION: usize = 16_384;
/// The longest n-gram, in characters.
const MAX_NGRAM: usize = 16;

/// How an index measures and reads its chunks.
///
/// Dimension and metric stay what they were at creation. The settings of the text may change: the
/// index then reads its texts again when it is opened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// How many numbers each vector has.
    pub dimension: usize,
    #[serde(default)]
    pub metric: Metric,
    #[serde(default)]
    pub text: TextSettings,
    #[serde(default)]
    pub bm25: Bm25,
}

/// How near two vectors are, and what the score of a hit by vector is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The cosine of the angle, from -1 to 1.
    #[default]
    Cosine,
    /// The inner product.
    Dot,
    /// 1 / (1 + d) with the Euclidean distance d, from 0 to 1.
    L2,
}

/// How texts become terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TextSettings {
    /// Words are reduced to their stem by the rules of this language; by none if absent.
    pub language: Option<Language>,
    pub stop_words: StopWords,
    /// Words are found by their parts too.
    pub ngrams: Option<NGrams>,
    /// Letters with and without marks are the same (`é` and `e`).
    pub fold: bool,
}

impl Default for TextSettings {
    fn default() -> Self {
        Self {
            language: Some(Language::English),
            stop_words: StopWords::Language,
            ngrams: None,
            fold: true,
        }
    }
}

/// The languages whose stems are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    Arabic,
    Danish,
    Dutch,
    English,
    Finnish,
    French,
    German,
    Greek,
    Hungarian,
    Italian,
    Norwegian,
    Portuguese,
    Romanian,
    Russian,
    Spanish,
    Swedish,
    Tamil,
    Turkish,
}

/// Words that are too frequent to tell texts apart, and are left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopWords {
    None,
    /// Those of the language; there are lists for Dutch, English, French, German, Italian,
    /// Portuguese and Spanish.
    #[default]
    Language,
    /// These words, whatever their case.
    List(Vec<String>),
}

/// The lengths of the parts of words, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NGrams {
    pub min: usize,
    pub max: usize,
}

/// The two constants of BM25.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bm25 {
    /// How much the repetition of a word counts, 0 or more.
    pub k1: f32,
    /// How much the length of a text counts, from 0 to 1.
    pub b: f32,
}

impl Default for Bm25 {
    fn default() -> Self {
        Self { k1: 1.2, b: 0.75 }
    }
}

impl Settings {
    /// Cosine, English text.
    pub fn new(dimension: usize) -> Self {
        Self {
            dimension,
            metric: Metric::default(),
            text: TextSettings::default(),
            bm25: Bm25::default(),
        }
    }

    /// Whether an index can be made with these settings.
    pub fn check(&self) -> Result<()> {
        let Self { dimension, text, bm25, .. } = self;
        if !(1..=MAX_DIMENSION).contains(dimension) {
            return Err(Error::invalid(format!(
                "the dimension `{dimension}` is not possible; use 1 to {MAX_DIMENSION}"
            )));
        }
        if let Some(NGrams { min, max }) = text.ngrams
            && !(1 <= min && min <= max && max <= MAX_NGRAM)
        {
            return Err(Error::invalid(format!(
                "n-grams of `{min}` to `{max}` characters are not possible; use 1 to {MAX_NGRAM}, \
                 the smaller number first"
            )));
        }
        let Bm25 { k1, b } = bm25;
        if !(k1.is_finite() && *k1 >= 0.0 && (0.0..=1.0).contains(b)) {
            return Err(Error::invalid(format!(
                "`k1` {k1} and `b` {b} are not possible; use a `k1` of 0 or more and a `b` from 0 \
                 to 1"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut Settings), part: &str) {
        let mut settings = Settings::new(3);
        change(&mut settings);
        let error = settings.check().unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }

    #[test]
    fn impossible_settings_are_refused_with_their_value() {
        assert!(Settings::new(1).check().is_ok());
        assert!(Settings::new(MAX_DIMENSION).check().is_ok());
        refused(|settings| settings.dimension = 0, "`0`");
        refused(|settings| settings.dimension = MAX_DIMENSION + 1, "`16385`");
        refused(|settings| settings.text.ngrams = Some(NGrams { min: 3, max: 2 }), "`3` to `2`");
        refused(|settings| settings.text.ngrams = Some(NGrams { min: 0, max: 2 }), "`0` to `2`");
        refused(|settings| settings.bm25.k1 = f32::NAN, "NaN");
        refused(|settings| settings.bm25.b = 1.5, "1.5");
    }

    #[test]
    fn settings_are_read_with_defaults() {
        let settings: Settings = serde_json::from_str(r#"{"dimension": 7}"#).unwrap();
        assert_eq!(settings, Settings::new(7));
        let text = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<Settings>(&text).unwrap(), settings);
    }
}
