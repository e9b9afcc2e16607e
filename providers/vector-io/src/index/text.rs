//! How the index reads texts, as it is configured.

use chaski_api::{
    Reader,
    retrieval::Share,
    wire::{AtLeastNumber, Between},
};
use chaski_index::{Bm25, Language, NGrams, Settings, StopWords, TextSettings};

chaski_api::wire! {
    /// A language whose endings are known, or `none`.
    pub enum TextLanguage {
        None = "none",
        Arabic = "arabic",
        Danish = "danish",
        Dutch = "dutch",
        English = "english",
        Finnish = "finnish",
        French = "french",
        German = "german",
        Greek = "greek",
        Hungarian = "hungarian",
        Italian = "italian",
        Norwegian = "norwegian",
        Portuguese = "portuguese",
        Romanian = "romanian",
        Russian = "russian",
        Spanish = "spanish",
        Swedish = "swedish",
        Tamil = "tamil",
        Turkish = "turkish",
    }

    /// How texts are read for the search by words. When it changes, all texts are read again at the
    /// next start.
    pub struct TextConfig {
        /// The language of the texts: words with other endings are the same word.
        pub language: TextLanguage = TextLanguage::English,
        /// The words that are too frequent to be looked for; those of the language unless given.
        pub stop_words: Option<Vec<String>>,
        /// Letters with and without marks (`é` and `e`) are the same.
        pub fold: bool = true,
        /// Words are found by their parts, of so many characters at least; not unless given.
        pub min_ngram: Option<Between<1, MOST_NGRAM>>,
        /// The most characters of such parts; as `min_ngram` unless given.
        pub max_ngram: Option<Between<1, MOST_NGRAM>>,
        /// How much the repetition of a word counts.
        pub k1: AtLeastNumber<0> = AtLeastNumber(1.2),
        /// How much the length of a text counts, from 0 to 1.
        pub b: Share = Share(0.75),
    }
}

/// The longest parts of words.
const MOST_NGRAM: i64 = 16;

impl TextLanguage {
    fn language(self) -> Option<Language> {
        // Both are named alike.
        serde_json::from_value(self.as_str().into()).ok()
    }
}

impl TextConfig {
    /// The lengths of the parts by which words are found.
    fn ngrams(&self) -> Option<NGrams> {
        let length = |number: &Between<1, MOST_NGRAM>| usize::try_from(number.0).ok();
        let min = self.min_ngram.as_ref().and_then(length)?;
        Some(NGrams { min, max: self.max_ngram.as_ref().and_then(length).unwrap_or(min) })
    }

    /// Reports lengths that do not belong together.
    pub(crate) fn validate(&self, reader: &mut Reader) {
        let (min, max) = (self.min_ngram.map(|min| min.0), self.max_ngram.map(|max| max.0));
        let fits = match (min, max) {
            (Some(min), Some(max)) => min <= max,
            (None, Some(_)) => false,
            (_, None) => true,
        };
        if !fits {
            reader.key("max_ngram", |reader| {
                reader.issue::<()>("ngram", "`min_ngram` is needed, and must not be greater")
            });
        }
    }

    /// Puts them into the settings of an index.
    pub(crate) fn apply(&self, settings: &mut Settings) {
        #[expect(clippy::cast_possible_truncation, reason = "small numbers")]
        let narrow = |number: f64| number as f32;
        settings.text = TextSettings {
            language: self.language.language(),
            stop_words: self.stop_words.clone().map_or(StopWords::Language, StopWords::List),
            ngrams: self.ngrams(),
            fold: self.fold,
        };
        settings.bm25 = Bm25 { k1: narrow(self.k1.0), b: narrow(self.b.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_api::Wire;
    use serde_json::{Value, json};

    fn settings(config: Value) -> Settings {
        let mut settings = Settings::new(3);
        TextConfig::from_json(config).unwrap().apply(&mut settings);
        settings
    }

    #[test]
    fn nothing_given_means_the_defaults_of_the_index() {
        assert_eq!(settings(json!({})), Settings::new(3));
    }

    #[test]
    fn all_of_it_can_be_set() {
        let set = settings(json!({
            "language": "german", "stop_words": ["und"], "fold": false, "min_ngram": 3,
            "max_ngram": 4, "k1": 0.9, "b": 0.5,
        }));
        assert_eq!(
            set.text,
            TextSettings {
                language: Some(Language::German),
                stop_words: StopWords::List(vec!["und".to_owned()]),
                ngrams: Some(NGrams { min: 3, max: 4 }),
                fold: false,
            }
        );
        assert_eq!(set.bm25, Bm25 { k1: 0.9, b: 0.5 });
        assert_eq!(settings(json!({ "language": "none" })).text.language, None);
        let same = settings(json!({ "min_ngram": 2 })).text.ngrams;
        assert_eq!(same, Some(NGrams { min: 2, max: 2 }));
    }

    #[test]
    fn every_language_is_one_of_the_index() {
        for language in TextLanguage::ALL {
            assert_eq!(language.language().is_none(), *language == TextLanguage::None);
        }
    }

    #[test]
    fn lengths_of_parts_belong_together() {
        let issues = |config: Value| {
            let mut reader = Reader::rooted("text");
            TextConfig::from_json(config).unwrap().validate(&mut reader);
            reader.finish(Some(())).is_err()
        };
        assert!(issues(json!({ "max_ngram": 3 })));
        assert!(issues(json!({ "min_ngram": 4, "max_ngram": 3 })));
        assert!(!issues(json!({ "min_ngram": 3, "max_ngram": 3 })));
    }
}
