//! Text: the one form in which what people type is kept, and the key by which names are compared.
//!
//! Unicode changes neither for characters that it has given out, so that what is stored stays comparable when the tables of
//! a later version come.

use icu_normalizer::properties::CanonicalCombiningClassMap;
use icu_normalizer::{ComposingNormalizer, DecomposingNormalizer};
use unicase::UniCase;

/// The text in Unicode's normalization form C, in which the two ways to type an é are one.
pub fn nfc(text: &str) -> String {
    ComposingNormalizer::new_nfc().normalize(text).into_owned()
}

/// The key of a text: two texts with the same one are one name, and one that holds the key of another contains it.
///
/// Neither width counts (RFC 8265 §3.3.2) nor which kind of blank, nor how a sign is to be drawn (U+FE0E, U+FE0F), nor case, by full case folding (Unicode §3.13), nor the dot that stays of an `İ`,
/// nor the normal form. It has no `@` where the text has none: the full-width `＠` stays what it is.
pub fn key(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let nfd = DecomposingNormalizer::new_nfd();
    let classes = CanonicalCombiningClassMap::new();
    // Decomposed before it is folded (Unicode D145), and put in order after that.
    let drawn = text.chars().filter(|c| !matches!(c, '\u{FE0E}' | '\u{FE0F}'));
    let decomposed: String = nfd.normalize_iter(drawn.map(of_usual_width)).collect();
    let folded = UniCase::unicode(decomposed).to_folded_case();
    // Whether an i came before, and since then no mark that stands where a dot would.
    let mut on_i = false;
    let undotted = nfd.normalize_iter(folded.chars()).filter(|&c| {
        let dot = on_i && c == '\u{307}';
        on_i = dot || c == 'i' || on_i && !matches!(classes.get_u8(c), 0 | 230);
        !dot
    });
    ComposingNormalizer::new_nfc().normalize_iter(undotted).collect()
}

/// A space for every blank (general category Zs), and what Unicode decomposes characters of full or half width to
/// (Unicode §5.18, block U+FF00).
fn of_usual_width(c: char) -> char {
    const KATAKANA: [char; 63] = [
        '。', '「', '」', '、', '・', 'ヲ', 'ァ', 'ィ', 'ゥ', 'ェ', 'ォ', 'ャ', 'ュ', 'ョ', 'ッ', 'ー', 'ア',
        'イ', 'ウ', 'エ', 'オ', 'カ', 'キ', 'ク', 'ケ', 'コ', 'サ', 'シ', 'ス', 'セ', 'ソ', 'タ', 'チ', 'ツ',
        'テ', 'ト', 'ナ', 'ニ', 'ヌ', 'ネ', 'ノ', 'ハ', 'ヒ', 'フ', 'ヘ', 'ホ', 'マ', 'ミ', 'ム', 'メ', 'モ',
        'ヤ', 'ユ', 'ヨ', 'ラ', 'リ', 'ル', 'レ', 'ロ', 'ワ', 'ン', '\u{3099}', '\u{309A}',
    ];
    const SIGNS: [char; 15] =
        ['¢', '£', '¬', '¯', '¦', '¥', '₩', '\u{FFE7}', '│', '←', '↑', '→', '↓', '■', '○'];
    let from =
        |usual: char, first: char| char::from_u32(usual as u32 + (c as u32 - first as u32)).unwrap_or(c);
    match c {
        '\u{A0}' | '\u{1680}' | '\u{2000}'..='\u{200A}' | '\u{202F}' | '\u{205F}' | '\u{3000}' => ' ',
        '＠' => c,
        '！'..='～' => from('!', '！'),
        '｟'..='｠' => from('⦅', '｟'),
        '｡'..='ﾟ' => KATAKANA[c as usize - '｡' as usize],
        '\u{FFA0}' => '\u{3164}',
        'ﾡ'..='ﾾ' => from('ㄱ', 'ﾡ'),
        'ￂ'..='ￇ' => from('ㅏ', 'ￂ'),
        'ￊ'..='ￏ' => from('ㅕ', 'ￊ'),
        'ￒ'..='ￗ' => from('ㅛ', 'ￒ'),
        'ￚ'..='ￜ' => from('ㅡ', 'ￚ'),
        '￠'..='￮' => SIGNS[c as usize - '￠' as usize],
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use icu_properties::CodePointMapData;
    use icu_properties::props::GeneralCategory;
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(key(text), expected, "{text}");
        for form in [nfc(text), nfd(text), key(text)] {
            assert_eq!(key(&form), expected, "{form} of {text}");
        }
    }

    fn nfd(text: &str) -> String {
        DecomposingNormalizer::new_nfd().normalize(text).into_owned()
    }

    #[test]
    fn a_name_has_one_key_whatever_its_case_width_and_normal_form() {
        for (text, expected) in [
            ("", ""),
            ("Ada_9 +", "ada_9 +"),
            ("İnci", "inci"),
            ("INCI", "inci"),
            ("I\u{307}NCI\u{307}", "inci"),
            ("ınci", "ınci"),
            ("i\u{307}\u{301}", "í"),
            ("i\u{307}\u{307}", "i"),
            ("i\u{323}\u{307}", "ị"),
            ("i\u{301}\u{307}", "í\u{307}"),
            ("j\u{307}", "j\u{307}"),
            ("René", "rené"),
            ("RENE\u{301}", "rené"),
            ("Straße", "strasse"),
            ("STRAẞE", "strasse"),
            ("ſtraſſe", "strasse"),
            ("ΟΔΥΣΣΕΥΣ", "οδυσσευσ"),
            ("Οδυσσευς", "οδυσσευσ"),
            ("ᾼ", "αι"),
            ("ﬁﬂ", "fifl"),
            ("ŉ", "ʼn"),
            ("Ⅷ K Å", "ⅷ k å"),
            ("ＡＤＡ９～", "ada9~"),
            ("a\u{3000}b", "a b"),
            ("a＠b", "a＠b"),
            ("ｶﾞﾝﾀﾞﾑ｡", "ガンダム。"),
            ("ﾡￂￜ", "ㄱㅏㅣ"),
            ("￥￦￣￮", "¥₩¯○"),
            ("² ª ①", "² ª ①"),
            ("ꭰ", "Ꭰ"),
            ("𐐀dams", "𐐨dams"),
            ("❤\u{fe0f} 🦀", "❤ 🦀"),
            ("c+\u{fe0e}+", "c++"),
            ("Ada\u{a0}\u{2009}King", "ada  king"),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn every_character_of_another_width_is_what_unicode_decomposes_it_to() {
        let nfkd = DecomposingNormalizer::new_nfkd();
        let compatible = |c: char| nfkd.normalize(c.encode_utf8(&mut [0; 4])).into_owned();
        let category = CodePointMapData::<GeneralCategory>::new();
        for c in '\0'..='\u{FFFF}' {
            let usual = of_usual_width(c);
            if category.get(c) == GeneralCategory::SpaceSeparator {
                assert_eq!(usual, ' ', "{c:?}");
                continue;
            }
            let is_wide = matches!(c, '\u{FF00}'..='\u{FFEF}') && c != '＠';
            assert_eq!(usual != c, is_wide && compatible(c) != c.to_string(), "{c:?} is {usual:?}");
            assert_eq!(compatible(usual), compatible(c), "{c:?} is {usual:?}");
        }
    }

    #[test]
    fn of_each_character_the_key_is_its_own_key_and_that_of_its_other_cases() {
        // Beyond the second plane nothing has a case.
        for c in '\0'..='\u{1FFFF}' {
            let text = format!("x{c}");
            check(&text, &key(&text));
            assert_eq!(key(&text.to_lowercase()), key(&text), "{c:?}");
            // In capitals a dotless ı is an I.
            if !matches!(c, 'ı') {
                assert_eq!(key(&text.to_uppercase()), key(&text), "{c:?}");
            }
            assert_eq!(key(&text).contains('@'), c == '@', "{c:?}");
        }
    }

    proptest! {
        #[test]
        fn a_key_is_the_key_of_every_form(text in "[iIİı\u{300}-\u{345}jJa-eσΣςßẞЙｶﾞＡ가ㄱ\u{1100}-\u{11ff}ΐᾳ]{0,12}|\\PC{0,12}") {
            check(&text, &key(&text));
            prop_assert_eq!(key(&text.to_lowercase()), key(&text));
        }
    }
}
