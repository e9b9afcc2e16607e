//! What the names and numbers of letters in fonts mean.

use encoding_rs::{MACINTOSH, WINDOWS_1252};

/// The encodings that a font may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    Standard,
    Windows,
    Mac,
}

impl Base {
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        match name {
            b"WinAnsiEncoding" => Some(Self::Windows),
            b"MacRomanEncoding" => Some(Self::Mac),
            b"StandardEncoding" => Some(Self::Standard),
            _ => None,
        }
    }

    /// The character of a code.
    pub(super) fn character(self, code: u8) -> Option<char> {
        let encoding = match self {
            Self::Windows => WINDOWS_1252,
            Self::Mac => MACINTOSH,
            Self::Standard => return standard(code),
        };
        let text = [code];
        let (text, _) = encoding.decode_without_bom_handling(&text);
        text.chars().next().filter(|c| !c.is_control())
    }
}

/// Adobe's standard encoding, where it is not ASCII.
const STANDARD: &[(u8, char)] = &[
    (0x27, '\u{2019}'),
    (0x60, '\u{2018}'),
    (0xa1, '¡'),
    (0xa2, '¢'),
    (0xa3, '£'),
    (0xa4, '\u{2044}'),
    (0xa5, '¥'),
    (0xa6, 'ƒ'),
    (0xa7, '§'),
    (0xa8, '¤'),
    (0xa9, '\''),
    (0xaa, '\u{201c}'),
    (0xab, '«'),
    (0xac, '\u{2039}'),
    (0xad, '\u{203a}'),
    (0xae, '\u{fb01}'),
    (0xaf, '\u{fb02}'),
    (0xb1, '\u{2013}'),
    (0xb2, '†'),
    (0xb3, '‡'),
    (0xb4, '·'),
    (0xb6, '¶'),
    (0xb7, '•'),
    (0xb8, '\u{201a}'),
    (0xb9, '\u{201e}'),
    (0xba, '\u{201d}'),
    (0xbb, '»'),
    (0xbc, '…'),
    (0xbd, '‰'),
    (0xbf, '¿'),
    (0xc1, '`'),
    (0xc2, '´'),
    (0xc3, 'ˆ'),
    (0xc4, '˜'),
    (0xc5, '¯'),
    (0xc8, '¨'),
    (0xca, '˚'),
    (0xcb, '¸'),
    (0xd0, '\u{2014}'),
    (0xe1, 'Æ'),
    (0xe3, 'ª'),
    (0xe8, 'Ł'),
    (0xe9, 'Ø'),
    (0xea, 'Œ'),
    (0xeb, 'º'),
    (0xf1, 'æ'),
    (0xf5, 'ı'),
    (0xf8, 'ł'),
    (0xf9, 'ø'),
    (0xfa, 'œ'),
    (0xfb, 'ß'),
];

fn standard(code: u8) -> Option<char> {
    match STANDARD.binary_search_by_key(&code, |(code, _)| *code) {
        Ok(at) => Some(STANDARD[at].1),
        Err(_) => (0x20..0x7f).contains(&code).then_some(char::from(code)),
    }
}

/// Names of letters that are not put together from others.
const NAMES: &[(&str, &str)] = &[
    ("AE", "Æ"),
    ("Delta", "Δ"),
    ("Eth", "Ð"),
    ("Euro", "€"),
    ("Gamma", "Γ"),
    ("Lambda", "Λ"),
    ("Lslash", "Ł"),
    ("OE", "Œ"),
    ("Omega", "Ω"),
    ("Oslash", "Ø"),
    ("Phi", "Φ"),
    ("Pi", "Π"),
    ("Psi", "Ψ"),
    ("Sigma", "Σ"),
    ("Theta", "Θ"),
    ("Thorn", "Þ"),
    ("Upsilon", "Υ"),
    ("Xi", "Ξ"),
    ("acute", "´"),
    ("ae", "æ"),
    ("alpha", "α"),
    ("ampersand", "&"),
    ("approxequal", "≈"),
    ("arrowdown", "↓"),
    ("arrowleft", "←"),
    ("arrowright", "→"),
    ("arrowup", "↑"),
    ("asciicircum", "^"),
    ("asciitilde", "~"),
    ("asterisk", "*"),
    ("at", "@"),
    ("backslash", "\\"),
    ("bar", "|"),
    ("beta", "β"),
    ("braceleft", "{"),
    ("braceright", "}"),
    ("bracketleft", "["),
    ("bracketright", "]"),
    ("breve", "˘"),
    ("brokenbar", "¦"),
    ("bullet", "•"),
    ("caron", "ˇ"),
    ("cedilla", "¸"),
    ("cent", "¢"),
    ("chi", "χ"),
    ("circumflex", "ˆ"),
    ("colon", ":"),
    ("comma", ","),
    ("copyright", "©"),
    ("currency", "¤"),
    ("dagger", "†"),
    ("daggerdbl", "‡"),
    ("degree", "°"),
    ("delta", "δ"),
    ("dieresis", "¨"),
    ("divide", "÷"),
    ("dollar", "$"),
    ("dotaccent", "˙"),
    ("dotlessi", "ı"),
    ("eight", "8"),
    ("element", "∈"),
    ("ellipsis", "…"),
    ("emdash", "—"),
    ("endash", "–"),
    ("epsilon", "ε"),
    ("equal", "="),
    ("equivalence", "≡"),
    ("eta", "η"),
    ("eth", "ð"),
    ("exclam", "!"),
    ("exclamdown", "¡"),
    ("existential", "∃"),
    ("ff", "ff"),
    ("ffi", "ffi"),
    ("ffl", "ffl"),
    ("fi", "fi"),
    ("five", "5"),
    ("fl", "fl"),
    ("florin", "ƒ"),
    ("four", "4"),
    ("fraction", "⁄"),
    ("gamma", "γ"),
    ("germandbls", "ß"),
    ("grave", "`"),
    ("greater", ">"),
    ("greaterequal", "≥"),
    ("guillemotleft", "«"),
    ("guillemotright", "»"),
    ("guilsinglleft", "‹"),
    ("guilsinglright", "›"),
    ("hungarumlaut", "˝"),
    ("hyphen", "-"),
    ("infinity", "∞"),
    ("integral", "∫"),
    ("iota", "ι"),
    ("kappa", "κ"),
    ("lambda", "λ"),
    ("less", "<"),
    ("lessequal", "≤"),
    ("logicalnot", "¬"),
    ("lslash", "ł"),
    ("macron", "¯"),
    ("minus", "−"),
    ("mu", "μ"),
    ("multiply", "×"),
    ("nine", "9"),
    ("notequal", "≠"),
    ("nu", "ν"),
    ("numbersign", "#"),
    ("oe", "œ"),
    ("ogonek", "˛"),
    ("omega", "ω"),
    ("one", "1"),
    ("onehalf", "½"),
    ("onequarter", "¼"),
    ("onesuperior", "¹"),
    ("ordfeminine", "ª"),
    ("ordmasculine", "º"),
    ("oslash", "ø"),
    ("paragraph", "¶"),
    ("parenleft", "("),
    ("parenright", ")"),
    ("partialdiff", "∂"),
    ("percent", "%"),
    ("period", "."),
    ("periodcentered", "·"),
    ("perthousand", "‰"),
    ("phi", "φ"),
    ("pi", "π"),
    ("plus", "+"),
    ("plusminus", "±"),
    ("product", "∏"),
    ("psi", "ψ"),
    ("question", "?"),
    ("questiondown", "¿"),
    ("quotedbl", "\""),
    ("quotedblbase", "„"),
    ("quotedblleft", "“"),
    ("quotedblright", "”"),
    ("quoteleft", "‘"),
    ("quoteright", "’"),
    ("quotesinglbase", "‚"),
    ("quotesingle", "'"),
    ("radical", "√"),
    ("registered", "®"),
    ("rho", "ρ"),
    ("section", "§"),
    ("semicolon", ";"),
    ("seven", "7"),
    ("sigma", "σ"),
    ("six", "6"),
    ("slash", "/"),
    ("space", " "),
    ("sterling", "£"),
    ("summation", "∑"),
    ("tau", "τ"),
    ("theta", "θ"),
    ("thorn", "þ"),
    ("three", "3"),
    ("threequarters", "¾"),
    ("threesuperior", "³"),
    ("tilde", "˜"),
    ("trademark", "™"),
    ("two", "2"),
    ("twosuperior", "²"),
    ("underscore", "_"),
    ("universal", "∀"),
    ("upsilon", "υ"),
    ("xi", "ξ"),
    ("yen", "¥"),
    ("zero", "0"),
    ("zeta", "ζ"),
];

/// Accents at the end of names, and the combining character.
const ACCENTS: &[(&str, char)] = &[
    ("acute", '\u{301}'),
    ("breve", '\u{306}'),
    ("caron", '\u{30c}'),
    ("cedilla", '\u{327}'),
    ("circumflex", '\u{302}'),
    ("commaaccent", '\u{326}'),
    ("dieresis", '\u{308}'),
    ("dotaccent", '\u{307}'),
    ("grave", '\u{300}'),
    ("hungarumlaut", '\u{30b}'),
    ("macron", '\u{304}'),
    ("ogonek", '\u{328}'),
    ("ring", '\u{30a}'),
    ("tilde", '\u{303}'),
];

/// Letters with accents that are one character, in blocks that are in order of their code.
const COMPOSED: &str = "ÀÁÂÃÄÅÇÈÉÊËÌÍÎÏÑÒÓÔÕÖÙÚÛÜÝàáâãäåçèéêëìíîïñòóôõöùúûüýÿĀāĂăĄąĆćĈĉĊċČčĎďĒē\
    ĔĕĖėĘęĚěĜĝĞğĠġĢģĤĥĨĩĪīĬĭĮįİĴĵĶķĹĺĻļĽľŃńŅņŇňŌōŎŏŐőŔŕŖŗŘřŚśŜŝŞşŠšŢţŤťŨũŪūŬŭŮůŰűŲųŴŵŶŷŸŹźŻżŽž";

/// The letter and the accent of each of `COMPOSED`, in the same order.
const PARTS: &str = "A`A´AˆA˜A¨A˚C¸E`E´EˆE¨I`I´IˆI¨N˜O`O´OˆO˜O¨U`U´UˆU¨Y´\
    a`a´aˆa˜a¨a˚c¸e`e´eˆe¨i`i´iˆi¨n˜o`o´oˆo˜o¨u`u´uˆu¨y´y¨\
    A¯a¯A˘a˘A˛a˛C´c´CˆcˆC˙c˙CˇcˇDˇdˇE¯e¯E˘e˘E˙e˙E˛e˛EˇeˇGˆgˆG˘g˘G˙g˙G¸g¸HˆhˆI˜i˜I¯i¯I˘i˘I˛i˛I˙\
    JˆjˆK¸k¸L´l´L¸l¸LˇlˇN´n´N¸n¸NˇnˇO¯o¯O˘o˘O˝o˝R´r´R¸r¸RˇrˇS´s´SˆsˆS¸s¸SˇsˇT¸t¸TˇtˇU˜u˜U¯u¯U˘u˘U˚u˚U˝u˝U˛u˛\
    WˆwˆYˆyˆY¨Z´z´Z˙z˙Zˇzˇ";

/// The accent as a sign of its own, for `PARTS`.
fn sign(accent: char) -> char {
    match accent {
        '\u{300}' => '`',
        '\u{301}' => '´',
        '\u{302}' => 'ˆ',
        '\u{303}' => '˜',
        '\u{304}' => '¯',
        '\u{306}' => '˘',
        '\u{307}' => '˙',
        '\u{308}' => '¨',
        '\u{30a}' => '˚',
        '\u{30b}' => '˝',
        '\u{30c}' => 'ˇ',
        '\u{326}' | '\u{327}' => '¸',
        '\u{328}' => '˛',
        other => other,
    }
}

/// A letter with an accent, as one character where there is one.
fn composed(letter: char, accent: char) -> String {
    let sign = sign(accent);
    let mut parts = PARTS.chars().filter(|c| !c.is_whitespace());
    let mut characters = COMPOSED.chars().filter(|c| !c.is_whitespace());
    while let (Some(base), Some(mark), Some(character)) =
        (parts.next(), parts.next(), characters.next())
    {
        if base == letter && mark == sign {
            return character.to_string();
        }
    }
    format!("{letter}{accent}")
}

/// The text of a letter by its name in a font.
pub(super) fn named(name: &str) -> Option<String> {
    // What follows a dot says how the letter is drawn: `a.sc`.
    let name = name.split('.').next().filter(|name| !name.is_empty())?;
    if name.contains('_') {
        return name.split('_').map(named).collect();
    }
    let mut characters = name.chars();
    if let (Some(letter), None) = (characters.next(), characters.next()) {
        return Some(letter.to_string());
    }
    if let Ok(at) = NAMES.binary_search_by(|(entry, _)| (*entry).cmp(name)) {
        return Some(NAMES[at].1.to_owned());
    }
    if let Some(digits) = name.strip_prefix("uni")
        && digits.len() >= 4
        && digits.len() % 4 == 0
        && digits.is_ascii()
    {
        let units: Option<Vec<u16>> = (0..digits.len())
            .step_by(4)
            .map(|at| u16::from_str_radix(digits.get(at..at + 4)?, 16).ok())
            .collect();
        return units.and_then(|units| String::from_utf16(&units).ok());
    }
    if let Some(digits) = name.strip_prefix('u').filter(|digits| (4..=6).contains(&digits.len()))
        && let Ok(code) = u32::from_str_radix(digits, 16)
    {
        return char::from_u32(code).map(String::from);
    }
    let letter = name.chars().next()?;
    let accent = name.get(letter.len_utf8()..)?;
    let (_, accent) = ACCENTS.iter().find(|(entry, _)| *entry == accent)?;
    Some(composed(letter, *accent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted() {
        assert!(NAMES.is_sorted_by(|a, b| a.0 < b.0));
        assert!(STANDARD.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn every_composed_letter_has_its_parts() {
        let parts = PARTS.chars().filter(|c| !c.is_whitespace()).count();
        assert_eq!(parts, COMPOSED.chars().filter(|c| !c.is_whitespace()).count() * 2);
        for (letter, accent, wanted) in [
            ('e', '\u{301}', "é"),
            ('Z', '\u{30c}', "Ž"),
            ('s', '\u{327}', "ş"),
            ('ű', '\u{301}', "ű\u{301}"),
        ] {
            assert_eq!(composed(letter, accent), wanted);
        }
    }

    #[test]
    fn letters_are_known_by_name() {
        for (name, wanted) in [
            ("A", Some("A")),
            ("germandbls", Some("ß")),
            ("ffi", Some("ffi")),
            ("f_i", Some("fi")),
            ("odieresis", Some("ö")),
            ("scaron", Some("š")),
            ("Lslash", Some("Ł")),
            ("uni20AC", Some("€")),
            ("uniD83DDE00", Some("😀")),
            ("u1F600", Some("😀")),
            ("one.oldstyle", Some("1")),
            ("g123", None),
            (".notdef", None),
        ] {
            assert_eq!(named(name).as_deref(), wanted, "{name}");
        }
    }

    #[test]
    fn encodings_differ() {
        assert_eq!(Base::Windows.character(0x80), Some('€'));
        assert_eq!(Base::Mac.character(0x80), Some('Ä'));
        assert_eq!(Base::Standard.character(0x27), Some('’'));
        assert_eq!(Base::Standard.character(0x80), None);
    }
}
