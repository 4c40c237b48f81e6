//! Names: what may be one, what no two users share, an address and a username, and how a user is found by the latter.
//!
//! Usernames are compared by [`text::key`]. Users who had names of one key before that was so have all kept them: the oldest
//! has the key, and each of the younger the key with an `@` and the user's number, which no username has. Such a user is found
//! by the exact spelling.

use icu_properties::props::{BidiControl, DefaultIgnorableCodePoint, GeneralCategory};
use icu_properties::{CodePointMapData, CodePointSetData};
use rusqlite::named_params;

use super::addresses;
use super::emails::Email;
use super::users::{NewUser, UserId};
use crate::clock::Timestamp;
use crate::db::Read;
use crate::error::{Act, Refusal, Result};
use crate::text;

/// More bytes than any username has, in whatever form it is typed: of its 100 characters each is made of four at most.
const BYTES_MAX: usize = 100 * 4 * 4;

/// What usernames are compared by. A text that is too long to be one is its own key: to fold it would cost too much.
pub(super) fn username_key(username: &str) -> String {
    if username.len() > BYTES_MAX { username.to_owned() } else { text::key(username) }
}

/// Why a text in normal form is no username, in a sentence: it has an `@`, something that cannot be seen, or a blank at an end.
/// Other blanks and signs are its owner's affair.
pub fn unfit_username(name: &str) -> Option<&'static str> {
    if name.contains(['@', '＠']) {
        return Some("Username must not contain '@'");
    }
    if name.contains(is_control) {
        return Some("Username must not contain control characters");
    }
    if name.contains(turns_text) {
        return Some("Username must not contain characters that set the direction of text");
    }
    if has_unseen(name) {
        return Some("Username must not contain zero-width characters");
    }
    let ends_blank = name.starts_with(char::is_whitespace) || name.ends_with(char::is_whitespace);
    ends_blank.then_some("Username must not begin or end with a blank")
}

/// Why nobody can be called by this name, in a sentence.
pub fn unfit_name(name: &str) -> Option<&'static str> {
    if name.contains(is_control) {
        return Some("Name must not contain control characters");
    }
    name.contains(turns_text).then_some("Name must not contain characters that set the direction of text")
}

/// Controls, and the characters that end a line or paragraph.
fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

fn turns_text(c: char) -> bool {
    CodePointSetData::new::<BidiControl>().contains(c)
}

/// Whether a character of the name has no width. A sign may say how it is to be drawn (❤️): a letter has no choice.
fn has_unseen(name: &str) -> bool {
    let ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>();
    let category = CodePointMapData::<GeneralCategory>::new();
    let mut after_sign = false;
    name.chars().any(|c| {
        let chosen = after_sign && matches!(c, '\u{FE0E}' | '\u{FE0F}');
        after_sign = matches!(category.get(c), GeneralCategory::OtherSymbol | GeneralCategory::MathSymbol);
        // The braille sign without a dot is a blank to the eye.
        !chosen && (c == '\u{2800}' || ignorable.contains(c) || category.get(c) == GeneralCategory::Format)
    })
}

/// Refuses the address or name of a user to be that another has; the address is looked at first.
pub fn refuse_taken(db: &Read, new: &NewUser, now: Timestamp) -> Result<()> {
    refuse_taken_names(db, Act::Create, Some(&new.email), new.username.as_deref(), UserId(0), now)
}

/// Whether another than `own` has this address, or has it reserved.
pub(super) fn is_email_taken(db: &Read, email: &str, own: UserId, now: Timestamp) -> Result<bool> {
    let sql = "select 1 from users where email = :email and deleted_at is null and id <> :own";
    let params = named_params! { ":email": email, ":own": own };
    Ok(db.one(sql, params, |_| Ok(()))?.is_some() || addresses::is_reserved(db, email, own, now)?)
}

/// Refuses names that another than `own` has. Nobody else writes while a transaction looks, so that the table's
/// own rules are never broken.
pub(super) fn refuse_taken_names(
    db: &Read,
    act: Act,
    email: Option<&Email>,
    username: Option<&str>,
    own: UserId,
    now: Timestamp,
) -> Result<()> {
    if let Some(email) = email
        && is_email_taken(db, email.as_str(), own, now)?
    {
        return Err(Refusal::EmailTaken(act, email.as_str().to_owned()).into());
    }
    if let Some(username) = username {
        let key = username_key(username);
        let namesakes = namesakes(db, &key)?;
        let is_own = namesakes.iter().any(|namesake| namesake.id == own && namesake.has_key);
        // Whoever has the key may spell it otherwise, but not as a younger namesake does, in whatever case:
        // by the rule before this one those were one name, and the way back to it stays open.
        let mut others = namesakes.iter().filter(|namesake| namesake.id != own);
        let is_taken = others
            .any(|other| !is_own || text::nfc(&other.username).to_lowercase() == username.to_lowercase());
        if is_taken || is_shown_for_another(db, &key, own)? {
            return Err(Refusal::UsernameTaken(username.to_owned()).into());
        }
    }
    Ok(())
}

/// Whether a user without a username is shown by this one.
fn is_shown_for_another(db: &Read, key: &str, own: UserId) -> Result<bool> {
    let sql = "select 1 from users where id = :id and id <> :own and username is null and deleted_at is null";
    let params = named_params! { ":id": id_in_shown_username(key), ":own": own };
    Ok(db.one(sql, params, |_| Ok(()))?.is_some())
}

/// One of the users whose names have the same key.
struct Namesake {
    id: UserId,
    username: String,
    has_key: bool,
}

const HAS_KEY: &str = "select id, username from users where username_key = :key";
// The sign after @ is A.
const YOUNGER: &str =
    "select id, username from users where username_key > :key || '@' and username_key < :key || 'A'";

/// The users whose names have this key: first who has it, then the others, the oldest first.
fn namesakes(db: &Read, key: &str) -> Result<Vec<Namesake>> {
    let find = |sql, has_key| {
        db.all(sql, named_params! { ":key": key }, |row| {
            Ok(Namesake { id: row.get(0)?, username: row.get(1)?, has_key })
        })
    };
    let mut namesakes = find(HAS_KEY, true)?;
    let mut younger = find(YOUNGER, false)?;
    younger.sort_by_key(|namesake| namesake.id.0);
    namesakes.append(&mut younger);
    Ok(namesakes)
}

/// The user with this username: spelled exactly so, else in the other normal form, else in any spelling.
pub(super) fn find_by_username(db: &Read, username: &str) -> Result<Option<UserId>> {
    let namesakes = namesakes(db, &username_key(username))?;
    if namesakes.len() < 2 {
        return Ok(namesakes.first().map(|namesake| namesake.id));
    }
    let spelled = text::nfc(username);
    let exact = namesakes.iter().find(|namesake| namesake.username == username);
    let found = exact
        .or_else(|| namesakes.iter().find(|namesake| text::nfc(&namesake.username) == spelled))
        .or(namesakes.first());
    Ok(found.map(|namesake| namesake.id))
}

/// The number of the user who is shown by this name while there is no other: see `User::shown_username`.
fn id_in_shown_username(key: &str) -> Option<i64> {
    key.strip_prefix("user_")?.parse().ok().filter(|id| key == format!("user_{id}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tests::refuse_scan;

    #[test]
    fn a_text_that_is_no_username_is_not_folded() {
        let long = "İ".repeat(200_000);
        assert_eq!(username_key(&long), long);
        assert_eq!(username_key(&"İ".repeat(100)), "i".repeat(100));
        assert_eq!(username_key(&"I\u{307}\u{323}".repeat(100)), "ị".repeat(100));
    }

    #[test]
    fn who_has_a_name_is_found_by_an_index() {
        refuse_scan(HAS_KEY);
        refuse_scan(YOUNGER);
    }

    #[test]
    fn a_username_has_nothing_that_cannot_be_seen_and_no_blank_at_an_end() {
        for name in [
            "ada",
            "Ada L. King",
            "a  b",
            "a\u{a0}b",
            "★ada★",
            "❤\u{fe0f}",
            "☎\u{fe0e} ada",
            "↔\u{fe0f}a",
            "a+b=c",
            "René",
            "R\u{301}",
            "علي رضا",
            "🦀🦀",
            "李小龙",
            "\u{e000}",
            "\u{378}",
        ] {
            assert_eq!(unfit_username(name), None, "{name:?}");
        }
        for (names, sentence) in [
            (&["a@b", "＠ada"][..], "Username must not contain '@'"),
            (
                &["a\0b", "\tada", "ada\n", "a\u{7f}", "a\u{85}", "a\u{9f}b", "a\u{2028}b", "a\u{2029}b"],
                "Username must not contain control characters",
            ),
            (
                &["\u{202e}ada", "a\u{200e}", "a\u{200f}b", "a\u{61c}b", "a\u{2066}b\u{2069}", "a\u{202c}"],
                "Username must not contain characters that set the direction of text",
            ),
            (
                &[
                    "a\u{200b}da",
                    "a\u{200c}",
                    "a\u{200d}",
                    "a\u{2060}",
                    "\u{feff}a",
                    "a\u{ad}b",
                    "a\u{180e}b",
                    "a\u{34f}b",
                    "a\u{3164}",
                    "a\u{115f}",
                    "a\u{fe0f}",
                    "1\u{fe0f}",
                    "❤\u{fe0f}\u{fe0f}",
                    "\u{fe0f}",
                    "a\u{e0100}",
                    "a\u{e0061}",
                    "a\u{fff9}b",
                    "👩\u{200d}👧",
                ],
                "Username must not contain zero-width characters",
            ),
            (
                &[" ada", "ada ", "\u{a0}ada", "ada\u{3000}", " ", "\u{2003}a"],
                "Username must not begin or end with a blank",
            ),
        ] {
            for name in names {
                assert_eq!(unfit_username(name), Some(sentence), "{name:?}");
            }
        }
    }

    #[test]
    fn a_name_to_be_called_by_has_no_controls_and_turns_no_text() {
        for name in ["", " ", " Zoë ", "علی\u{200c}رضا", "👩\u{200d}👧", "a\u{ad}b", "a@b", "\u{feff}"]
        {
            assert_eq!(unfit_name(name), None, "{name:?}");
        }
        for name in ["a\nb", "\u{1b}[2J", "\u{85}", "a\u{2028}b"] {
            assert_eq!(unfit_name(name), Some("Name must not contain control characters"), "{name:?}");
        }
        for name in ["\u{202e}ada", "a\u{200f}", "\u{2067}"] {
            let sentence = "Name must not contain characters that set the direction of text";
            assert_eq!(unfit_name(name), Some(sentence), "{name:?}");
        }
    }
}
