//! From text to terms: the same for texts and for queries.

mod stop_words;

use crate::{Language, NGrams, StopWords, TextSettings};
use rust_stemmers::{Algorithm, Stemmer};
use std::collections::HashSet;
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

/// Changes whenever the same text becomes other terms; segments of another version are rebuilt.
pub(crate) const VERSION: u32 = 1;
/// Longer words are no words of a language, and are not indexed.
const MAX_WORD: usize = 255;

/// Turns texts into terms.
pub(crate) struct Analyzer {
    fold: bool,
    language: Option<Language>,
    stop_words: HashSet<String>,
    ngrams: Option<NGrams>,
}

fn algorithm(language: Language) -> Algorithm {
    match language {
        Language::Arabic => Algorithm::Arabic,
        Language::Danish => Algorithm::Danish,
        Language::Dutch => Algorithm::Dutch,
        Language::English => Algorithm::English,
        Language::Finnish => Algorithm::Finnish,
        Language::French => Algorithm::French,
        Language::German => Algorithm::German,
        Language::Greek => Algorithm::Greek,
        Language::Hungarian => Algorithm::Hungarian,
        Language::Italian => Algorithm::Italian,
        Language::Norwegian => Algorithm::Norwegian,
        Language::Portuguese => Algorithm::Portuguese,
        Language::Romanian => Algorithm::Romanian,
        Language::Russian => Algorithm::Russian,
        Language::Spanish => Algorithm::Spanish,
        Language::Swedish => Algorithm::Swedish,
        Language::Tamil => Algorithm::Tamil,
        Language::Turkish => Algorithm::Turkish,
    }
}

/// Whether words of this script are written without spaces, so that each character is a word to
/// the segmentation.
fn without_spaces(character: char) -> bool {
    matches!(character,
        '\u{0E00}'..='\u{0EFF}'       // Thai, Lao
        | '\u{1000}'..='\u{109F}'     // Burmese
        | '\u{1780}'..='\u{17FF}'     // Khmer
        | '\u{3040}'..='\u{30FF}'     // Hiragana, Katakana
        | '\u{3400}'..='\u{9FFF}'     // Han
        | '\u{F900}'..='\u{FAFF}'
        | '\u{20000}'..='\u{3FFFF}')
}

/// Letters that do not decompose into a letter and a mark.
fn plain(character: char) -> Option<&'static str> {
    Some(match character {
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'ø' => "o",
        'đ' | 'ð' => "d",
        'ł' => "l",
        'þ' => "th",
        'ı' => "i",
        'ς' => "σ",
        _ => return None,
    })
}

/// The words of a text as they stand there. Runs of a script without spaces are one word.
pub(crate) fn words_of<'t>(text: &'t str, mut visit: impl FnMut(&'t str)) {
    let mut run: Option<(usize, usize)> = None;
    for (start, word) in text.unicode_word_indices() {
        let end = start + word.len();
        if word.chars().next().is_some_and(without_spaces) {
            match &mut run {
                Some((_, until)) if *until == start => *until = end,
                other => {
                    if let Some((from, until)) = other.replace((start, end)) {
                        visit(&text[from..until]);
                    }
                }
            }
            continue;
        }
        if let Some((from, until)) = run.take() {
            visit(&text[from..until]);
        }
        visit(word);
    }
    if let Some((from, until)) = run {
        visit(&text[from..until]);
    }
}

impl Analyzer {
    pub(crate) fn new(settings: &TextSettings) -> Self {
        let TextSettings { language, stop_words, ngrams, fold } = settings;
        let mut analyzer =
            Self { fold: *fold, language: *language, stop_words: HashSet::new(), ngrams: *ngrams };
        analyzer.stop_words = match stop_words {
            StopWords::None => HashSet::new(),
            StopWords::Language => language
                .map(stop_words::of)
                .unwrap_or_default()
                .split_whitespace()
                .map(|word| analyzer.normal(word))
                .collect(),
            StopWords::List(words) => words.iter().map(|word| analyzer.normal(word)).collect(),
        };
        analyzer
    }

    /// The form in which words are compared, without regard to case and, if so set, to marks.
    fn normal(&self, word: &str) -> String {
        if word.is_ascii() {
            return word.to_ascii_lowercase();
        }
        if !self.fold {
            return word.to_lowercase().nfc().collect();
        }
        let mut plain_text = String::with_capacity(word.len());
        let marks = '\u{0300}'..='\u{036F}';
        for character in word.nfkd().filter(|character| !marks.contains(character)) {
            for lower in character.to_lowercase().filter(|lower| !marks.contains(lower)) {
                match plain(lower) {
                    Some(text) => plain_text.push_str(text),
                    None => plain_text.push(lower),
                }
            }
        }
        plain_text.nfc().collect()
    }

    /// The terms of a word. What they are does not depend on the words around it.
    pub(crate) fn terms(&self, word: &str, mut term: impl FnMut(&str)) {
        if word.chars().next().is_some_and(without_spaces) {
            return characters_and_pairs(&self.normal(word), term);
        }
        if word.len() > MAX_WORD {
            return;
        }
        let word = self.normal(word);
        let parts: Vec<&str> = word
            .split(|character: char| !character.is_alphanumeric() && !mark(character))
            .filter(|part| !part.is_empty())
            .collect();
        if let [part] = parts[..] {
            return self.term(part, &mut term);
        }
        // `user's` and `l'amour` are one word with an ending or an article, `os.path` is a name
        // whose parts are words too.
        let apostrophes = word.contains(['\'', '\u{2019}']);
        for part in &parts {
            if !apostrophes || part.chars().nth(1).is_some() {
                self.term(part, &mut term);
            }
        }
        if !apostrophes && !parts.is_empty() {
            term(&word);
        }
    }

    fn term(&self, word: &str, term: &mut impl FnMut(&str)) {
        if self.stop_words.contains(word) {
            return;
        }
        match self.language {
            Some(language) => term(&Stemmer::create(algorithm(language)).stem(word)),
            None => term(word),
        }
        let Some(NGrams { min, max }) = self.ngrams else { return };
        let starts: Vec<usize> =
            word.char_indices().map(|(start, _)| start).chain([word.len()]).collect();
        let mut ngram = String::new();
        for length in min..=max.min(starts.len().saturating_sub(1)) {
            for window in starts.windows(length + 1) {
                // The sign keeps parts of words apart from words.
                ngram.clear();
                ngram.push('~');
                ngram.push_str(&word[window[0]..window[length]]);
                term(&ngram);
            }
        }
    }

    /// All terms of a text, in order.
    pub(crate) fn all_terms(&self, text: &str) -> Vec<String> {
        let mut terms = Vec::new();
        words_of(text, |word| self.terms(word, |term| terms.push(term.to_owned())));
        terms
    }
}

/// Marks that belong to the letter before them, such as vowels of Indian scripts.
fn mark(character: char) -> bool {
    unicode_normalization::char::is_combining_mark(character)
}

/// Without a dictionary, characters and pairs of neighbours stand for the words of a script
/// without spaces.
fn characters_and_pairs(run: &str, mut term: impl FnMut(&str)) {
    let starts: Vec<usize> =
        run.char_indices().map(|(start, _)| start).chain([run.len()]).collect();
    for length in [1, 2] {
        for window in starts.windows(length + 1) {
            term(&run[window[0]..window[length]]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(settings: impl std::borrow::Borrow<TextSettings>, text: &str) -> String {
        Analyzer::new(settings.borrow()).all_terms(text).join(" ")
    }

    fn plain() -> TextSettings {
        TextSettings { language: None, stop_words: StopWords::None, ngrams: None, fold: true }
    }

    #[test]
    fn words_are_stemmed_and_frequent_ones_left_out() {
        let english = TextSettings::default();
        assert_eq!(terms(english.clone(), "The Runners were running!"), "runner run");
        assert_eq!(terms(english, "the user's file isn't there"), "user file isn");
        let german = TextSettings { language: Some(Language::German), ..TextSettings::default() };
        assert_eq!(terms(german, "Die Häuser und der Fußball"), "haus fussball");
        let none = TextSettings { stop_words: StopWords::None, ..TextSettings::default() };
        assert_eq!(terms(none, "to be"), "to be");
        let own = TextSettings { stop_words: StopWords::List(vec!["Foo".into()]), ..plain() };
        assert_eq!(terms(own, "foo the bar"), "the bar");
    }

    #[test]
    fn marks_and_forms_are_folded_only_if_so_set() {
        assert_eq!(
            terms(plain(), "Café CAFE\u{301} Ångström ﬁn Łódź"),
            "cafe cafe angstrom fin lodz"
        );
        let exact = TextSettings { fold: false, ..plain() };
        assert_eq!(terms(exact, "Café CAFE\u{301}"), "café café");
    }

    #[test]
    fn names_are_found_whole_and_by_their_parts() {
        assert_eq!(terms(plain(), "os.path.join(a)"), "os path join os.path.join a");
        assert_eq!(terms(plain(), "snake_case 3.14"), "snake case snake_case 3 14 3.14");
    }

    #[test]
    fn parts_of_words_are_terms_if_so_set() {
        let ngrams = TextSettings { ngrams: Some(NGrams { min: 2, max: 3 }), ..plain() };
        assert_eq!(terms(ngrams.clone(), "naïf"), "naif ~na ~ai ~if ~nai ~aif");
        assert_eq!(terms(ngrams, "a"), "a");
    }

    #[test]
    fn every_script_gives_terms() {
        assert_eq!(terms(plain(), "東京 と"), "東 京 東京 と");
        assert_eq!(terms(plain(), "Привет, мир"), "привет мир");
        assert_eq!(terms(plain(), "हिन्दी"), "हिन्दी");
        assert_eq!(terms(plain(), "🦀 ... --- \u{0}"), "");
        assert!(!terms(plain(), "ภาษาไทย").is_empty());
        assert!(!terms(plain(), "한국어 العربية").is_empty());
    }

    #[test]
    fn what_is_no_word_is_not_indexed() {
        assert_eq!(terms(plain(), &"x".repeat(10_000)), "");
        assert_eq!(terms(plain(), ""), "");
    }
}
