//! Weakness: what speaks against a new password. Besides a list of common ones there are rules for those that people make
//! of a common one, of the keyboard, or of a repetition.

use std::sync::{LazyLock, Once};

use zeroize::Zeroizing;

use super::passwords::{PASSWORD_LEN_MAX, PASSWORD_LEN_MIN};
use crate::config::CommonPasswords;

/// Why a password is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weakness {
    /// It has fewer than 8 characters.
    TooShort,
    /// It has more than 256 characters.
    TooLong,
    /// It is among the 10,000 that people choose most, or made in a way that many choose.
    Common,
    /// It is the user's own e-mail address or name.
    OwnName,
}

/// What speaks against a new password: 8 to 256 code points of any kind, neither one of `own`, whatever the letter case,
/// nor common where these are refused (NIST SP 800-63B-4 §3.1.1.2). For sign-up, change and reset; a log-in asks nothing.
pub fn weakness(password: &str, own: &[&str], common: CommonPasswords) -> Option<Weakness> {
    // The bytes come first: counting a megabyte of characters is for nothing.
    if password.len() > 4 * PASSWORD_LEN_MAX {
        return Some(Weakness::TooLong);
    }
    match password.chars().count() {
        ..PASSWORD_LEN_MIN => return Some(Weakness::TooShort),
        PASSWORD_LEN_MIN..=PASSWORD_LEN_MAX => {}
        _ => return Some(Weakness::TooLong),
    }
    let lower = Zeroizing::new(password.to_lowercase());
    if own.iter().any(|name| name.to_lowercase() == *lower) {
        return Some(Weakness::OwnName);
    }
    let chars: Zeroizing<Vec<char>> = Zeroizing::new(lower.chars().collect());
    if !is_common(&chars) && !is_padded(&chars) {
        return None;
    }
    match common {
        CommonPasswords::Refuse => Some(Weakness::Common),
        CommonPasswords::Allow => {
            warn_of_common();
            None
        }
    }
}

/// Says once that common passwords are taken here.
fn warn_of_common() {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        tracing::warn!(
            "a password among the most common ones is taken here: auth.common_passwords = \"refuse\" would refuse it, as \
             production does by default"
        );
    });
}

/// Lower case and sorted: the build script writes them. Short ones are there for what is made of them.
static COMMON: LazyLock<Vec<&str>> =
    LazyLock::new(|| include_str!(concat!(env!("OUT_DIR"), "/common_passwords.txt")).lines().collect());

/// Rows of signs that are typed or said one after the other, in either direction.
static ROWS: LazyLock<Vec<Vec<char>>> = LazyLock::new(|| {
    let rows = [
        "abcdefghijklmnopqrstuvwxyz",
        "абвгдеёжзийклмнопрстуфхцчшщъыьэюя",
        "абвгдежзийклмнопрстуфхцчшщъыьэюя",
        "1234567890",
        "0123456789",
        "!@#$%^&*()_+",
        // QWERTY, QWERTZ, AZERTY, ЙЦУКЕН and Dvorak.
        "qwertyuiop[]",
        "asdfghjkl;'",
        "zxcvbnm,./",
        "qwertzuiopü+",
        "asdfghjklöä#",
        "yxcvbnm,.-",
        "azertyuiop",
        "qsdfghjklm",
        "wxcvbn,;:!",
        "йцукенгшщзхъ",
        "фывапролджэ",
        "ячсмитьбю",
        "pyfgcrl",
        "aoeuidhtns",
        "qjkxbmwvz",
        // Columns, alone and with the digits between the letters.
        "1qaz",
        "2wsx",
        "3edc",
        "4rfv",
        "5tgb",
        "6yhn",
        "7ujm",
        "qaz",
        "wsx",
        "edc",
        "1q2w3e4r5t6y7u8i9o0p",
        "q1w2e3r4t5y6u7i8o9p0",
    ];
    rows.into_iter().map(|row| row.chars().collect()).collect()
});

/// So many signs of a row in their order are no accident.
const RUN_LEN_MIN: usize = 3;
/// What is repeated and no longer than this is guessed, whatever it is.
const REPEATED_LEN_MAX: usize = 4;
/// So many signs around a word are tried by everybody who guesses.
const PADDING_LEN_MAX: usize = 6;
/// A shorter word with signs around it may be an accident.
const PADDED_LEN_MIN: usize = 4;

fn is_common(password: &[char]) -> bool {
    is_listed(password) || is_made_of_runs(password) || is_repeated(password)
}

fn is_listed(password: &[char]) -> bool {
    let word: Zeroizing<String> = Zeroizing::new(password.iter().collect());
    COMMON.binary_search(&word.as_str()).is_ok()
}

/// Whether it is a common word with digits and signs around it.
fn is_padded(password: &[char]) -> bool {
    let is_padding = |sign: &&char| !sign.is_alphabetic();
    let before = password.iter().take_while(is_padding).count();
    let after = password.iter().rev().take_while(is_padding).count();
    if before == password.len() {
        return false;
    }
    // Some words have digits themselves.
    let most = |signs: usize| signs.min(PADDING_LEN_MAX);
    let is_listed_within = (0..=most(before)).any(|start| {
        (0..=most(after).min(PADDING_LEN_MAX - start)).any(|end| {
            let word = &password[start..password.len() - end];
            word.len() >= PADDED_LEN_MIN && is_listed(word)
        })
    });
    let (start, end) = (&password[..before], &password[password.len() - after..]);
    let word = &password[before..password.len() - after];
    let is_obvious =
        |padding: &[char]| padding.is_empty() || is_made_of_runs(padding) || is_repeated(padding);
    let is_thin = before + after <= PADDING_LEN_MAX || is_obvious(start) && is_obvious(end);
    is_listed_within || is_thin && word.len() >= PADDED_LEN_MIN && is_common(word)
}

/// Whether it is one run after the other.
fn is_made_of_runs(password: &[char]) -> bool {
    // Where runs may end that begin where others ended.
    let mut ends = vec![false; password.len() + 1];
    ends[0] = true;
    for start in 0..password.len() {
        if ends[start] {
            let longest = run(&password[start..]);
            (RUN_LEN_MIN..=longest).for_each(|length| ends[start + length] = true);
        }
    }
    ends[password.len()] && !password.is_empty()
}

/// The longest run at the beginning: of one sign, or of a row in either direction.
fn run(password: &[char]) -> usize {
    let Some(first) = password.first() else { return 0 };
    let one = password.iter().take_while(|sign| *sign == first).count();
    let rows = ROWS.iter().filter_map(|row| {
        let at = row.iter().position(|sign| sign == first)?;
        let along = |row: &mut dyn Iterator<Item = &char>| {
            password.iter().zip(row).take_while(|(a, b)| a == b).count()
        };
        Some(along(&mut row[at..].iter()).max(along(&mut row[..=at].iter().rev())))
    });
    rows.max().unwrap_or(0).max(one)
}

/// Whether it is something short or common over and over again, blanks and signs between it or not.
fn is_repeated(password: &[char]) -> bool {
    let repeats =
        |length: &usize| password.iter().skip(*length).zip(password).all(|(later, earlier)| later == earlier);
    let shortest = (1..=password.len() / 2).find(repeats);
    let is_guessed =
        |word: &[char]| word.len() <= REPEATED_LEN_MAX || is_listed(word) || is_made_of_runs(word);
    if shortest.is_some_and(|length| is_guessed(&password[..length])) {
        return true;
    }
    let mut words = password.split(|sign| !sign.is_alphanumeric()).filter(|word| !word.is_empty());
    words.next().is_some_and(|first| {
        let rest: Vec<_> = words.collect();
        !rest.is_empty() && is_guessed(first) && rest.iter().all(|word| *word == first)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weakness(password: &str, own: &[&str]) -> Option<Weakness> {
        super::weakness(password, own, CommonPasswords::Refuse)
    }

    #[test]
    fn where_common_passwords_are_taken_everything_else_is_refused_as_ever() {
        let own = ["ann.other@example.com", "password1"];
        let check = |password: &str, expected| {
            assert_eq!(super::weakness(password, &own, CommonPasswords::Allow), expected, "{password:?}");
        };
        check("password123", None);
        check("aaaaaaaa", None);
        check("1234567", Some(Weakness::TooShort));
        check(&"x".repeat(257), Some(Weakness::TooLong));
        check("Ann.Other@Example.com", Some(Weakness::OwnName));
        check("PASSWORD1", Some(Weakness::OwnName));
    }

    #[test]
    fn a_weak_password_is_refused_for_its_reason() {
        let own = ["Ann.Other@Example.com", "annother99"];
        let check = |password: &str, expected| assert_eq!(weakness(password, &own), expected, "{password:?}");
        check("", Some(Weakness::TooShort));
        check("1234567", Some(Weakness::TooShort));
        check("ÄÖÜäöü€", Some(Weakness::TooShort));
        check("ÄÖÜßéè€𝄞", None);
        check("a b\tc\nd\0", None);
        check(&"xkzqv".repeat(51), None);
        check(&"xkzqv".repeat(52), Some(Weakness::TooLong));
        check(&"𝄞clavs".repeat(42), None);
        check(&"x".repeat(256), Some(Weakness::Common));
        check(&"x".repeat(257), Some(Weakness::TooLong));
        check(&"𝄞".repeat(257), Some(Weakness::TooLong));
        check(&"x".repeat(1_000_000), Some(Weakness::TooLong));
        check("password", Some(Weakness::Common));
        check("PassWord", Some(Weakness::Common));
        check("ann.other@example.com", Some(Weakness::OwnName));
        check("ANNOTHER99", Some(Weakness::OwnName));
        check("annother99!", None);
    }

    #[test]
    fn the_list_of_common_passwords_is_sorted_and_long() {
        assert!(COMMON.len() > 9_000, "{}", COMMON.len());
        assert!(COMMON.is_sorted());
        let long = COMMON.iter().filter(|password| password.chars().count() >= PASSWORD_LEN_MIN);
        assert!(long.clone().count() > 3_000);
        assert!(long.clone().all(|password| weakness(password, &[]) == Some(Weakness::Common)));
    }

    #[test]
    fn what_is_made_by_rule_is_common() {
        for password in [
            // Runs, both ways, one after the other.
            "123456789012345",
            "1234567890",
            "0123456789",
            "98765432",
            "987654321",
            "0987654321",
            "abcdefghij",
            "zyxwvuts",
            "ABCDEFGH",
            "abcd1234",
            "1234abcd",
            "abc123abc",
            "abcdefgh12345678",
            "абвгдежз",
            "12344321",
            // Keyboards.
            "qwertyuiop",
            "poiuytrewq",
            "qwertyuiopasdfgh",
            "asdfghjkl",
            "zxcvbnmasdf",
            "qwertzui",
            "azertyuiop",
            "qsdfghjklm",
            "йцукенгш",
            "фывапролдж",
            "qwerty123456",
            "123qweasd",
            "1qaz2wsx",
            "1qaz2wsx3edc",
            "zaq1xsw2",
            "1q2w3e4r5t",
            "q1w2e3r4",
            "!@#$%^&*",
            "qweasdzxc",
            "aoeuidhtns",
            // Repetitions.
            "aaaaaaaa",
            "        ",
            "11111111",
            "abababab",
            "abcabcabc",
            "12121212",
            "aaaabbbb",
            "passwordpassword",
            "dragondragon",
            "monkeymonkeymonkey",
            "letmeinletmein",
            "password password",
            "test-test-test",
            "xY7!xY7!",
            "qwertyqwerty",
            "𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞",
            // A word with something around it.
            "letmein123",
            "password2024!",
            "Password1!",
            "password ",
            "!!password!!",
            "123password",
            "dragon2024",
            "monkey123456789",
            "sunshine!!!!!!!!",
            "qwertyuiop123!",
            "passwordpassword1",
            "abcdefgh2024",
            "admin12345",
        ] {
            assert_eq!(weakness(password, &[]), Some(Weakness::Common), "{password:?}");
        }
    }

    #[test]
    fn what_only_looks_a_little_like_it_is_taken() {
        for password in [
            "correct horse battery staple",
            "nanoseconds of wire",
            "a long way to Cambridge",
            "a secret of mine",
            "correcthorse",
            "dragonfly monkey",
            "dragon monkey",
            "tiger-2981-xkqz",
            "my dog ate 12 pies",
            "blue42Giraffe!",
            "password for the shed",
            "passwordless",
            "qwertyuiop is a row",
            "abc of gardening",
            "12345 main street",
            "9f86d081884c7d65",
            "8HkQz!2vRt",
            "x7#Lq9$w",
            "h4rDt0Gu3ss",
            "19841216Yvonne",
            "zqxjkvbp1",
            "7391846205",
            "tr0ub4dor&3",
            "Elbe-Ufer 17",
            "пароль для сарая",
            "正確な馬の電池だよ",
            "ünïcödé wörds",
            "kzv kzp kzq",
            "aXb7aXb8",
            "love83920471",
            "83920471love",
            "qwopaslm",
            "mnbgtrfd",
        ] {
            assert_eq!(weakness(password, &[]), None, "{password:?}");
        }
    }

    #[test]
    fn what_is_random_is_taken() {
        // A generator of its own, so that the same passwords come every time (Knuth, MMIX).
        let mut state = 1_u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let signs: Vec<char> =
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!-_#".chars().collect();
        for _ in 0..20_000 {
            let password: String = (0..10).map(|_| signs[random(signs.len())]).collect();
            assert_eq!(weakness(&password, &[]), None, "{password:?}");
        }
    }

    #[test]
    fn the_longest_password_is_judged_in_no_time() {
        let begun = std::time::Instant::now();
        for password in [
            "abc".repeat(85),
            "qwertyuiop".repeat(25) + "\u{1}",
            "a".repeat(255) + "\u{1}",
            "1".repeat(128) + &"!".repeat(128),
            "1".repeat(100) + "a" + &"!".repeat(100),
            "a-".repeat(128),
        ] {
            weakness(&password, &[]);
        }
        assert!(begun.elapsed() < std::time::Duration::from_millis(500), "{:?}", begun.elapsed());
    }
}
