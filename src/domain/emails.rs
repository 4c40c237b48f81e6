//! E-mail addresses: which ones the house takes, and the form in which they are one.

use std::borrow::Cow;
use std::fmt;

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use rusqlite::types::{ToSql, ToSqlOutput};

/// An e-mail address that the house takes: trimmed, its domain in A-labels (RFC 5890 §2.3.2.1) and lower case, at most 254
/// ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// Longest address, in characters (RFC 5321 §4.5.3.1.3, less its brackets).
    pub const LENGTH_MAX: usize = 254;

    /// Reads an address, or says in a sentence why it is none. `.test` counts only where `test_domains` says so.
    pub fn parse(text: &str, test_domains: bool) -> Result<Self, &'static str> {
        const TOO_LONG: &str = "The email address is too long.";
        let text = text.trim();
        if text.len() > bytes_max(text) {
            return Err(TOO_LONG);
        }
        let Some((local, domain)) = text.rsplit_once('@') else {
            return Err("An email address must have an @-sign.");
        };
        check_local(local)?;
        let domain = in_ascii(domain).ok_or(UNREADABLE_DOMAIN)?;
        check_domain(&domain, test_domains)?;
        let address = format!("{local}@{domain}");
        if address.len() > Self::LENGTH_MAX { Err(TOO_LONG) } else { Ok(Self(address)) }
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const UNREADABLE_DOMAIN: &str = "The part after the @-sign contains invalid characters or empty parts.";

/// An address as it is kept, if it is one that may be, to look for it: trimmed, the domain in A-labels.
pub fn as_kept(typed: &str) -> Cow<'_, str> {
    let typed = typed.trim();
    if typed.is_ascii() || typed.len() > bytes_max(typed) {
        return Cow::Borrowed(typed);
    }
    let converted =
        typed.rsplit_once('@').and_then(|(local, domain)| Some(format!("{local}@{}", in_ascii(domain)?)));
    converted.map_or(Cow::Borrowed(typed), Cow::Owned)
}

/// How many bytes an address may have as it is typed: a letter of the domain stands for at most four.
fn bytes_max(typed: &str) -> usize {
    if typed.is_ascii() { Email::LENGTH_MAX } else { 4 * Email::LENGTH_MAX }
}

/// A domain in A-labels and lower case (UTS 46, ToASCII, non-transitional).
fn in_ascii(domain: &str) -> Option<Cow<'_, str>> {
    Uts46::new()
        .to_ascii(domain.as_bytes(), AsciiDenyList::EMPTY, Hyphens::CheckFirstLast, DnsLength::Ignore)
        .ok()
}

/// The part before the @-sign: a dot-atom of RFC 5322 §3.2.3 of at most 64 characters.
fn check_local(local: &str) -> Result<(), &'static str> {
    if local.is_empty() {
        return Err("There must be something before the @-sign.");
    }
    if local.len() > 64 {
        return Err("The email address is too long before the @-sign.");
    }
    if local.starts_with('"') {
        return Err("The part before the @-sign must not be quoted.");
    }
    let is_atom = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    if !local.bytes().all(|byte| is_atom(byte) || byte == b'.') {
        return Err("The email address contains invalid characters before the @-sign.");
    }
    if local.starts_with('.') {
        return Err("An email address cannot start with a period.");
    }
    if local.ends_with('.') {
        return Err("An email address cannot have a period immediately before the @-sign.");
    }
    if local.contains("..") {
        return Err("An email address cannot have two periods in a row.");
    }
    Ok(())
}

/// The part after the @-sign: a host name of at least two labels (RFC 1123 §2.1) outside the reserved ones.
fn check_domain(domain: &str, test_domains: bool) -> Result<(), &'static str> {
    if domain.is_empty() {
        return Err("There must be something after the @-sign.");
    }
    if domain.starts_with('[') {
        return Err("A bracketed IP address after the @-sign is not allowed here.");
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if !domain.split('.').all(is_label) {
        return Err(UNREADABLE_DOMAIN);
    }
    let Some((_, top)) = domain.rsplit_once('.') else {
        return Err("The part after the @-sign is not valid. It should have a period.");
    };
    if top.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("The part after the @-sign is not valid. It is not within a valid top-level domain.");
    }
    let is_reserved = matches!(top, "local" | "invalid" | "localhost") || top == "test" && !test_domains;
    if is_reserved {
        return Err(
            "The part after the @-sign is a special-use or reserved name that cannot be used with email.",
        );
    }
    Ok(())
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ToSql for Email {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let parsed = Email::parse(text, false);
        assert_eq!(parsed.as_ref().map(Email::as_str).map_err(|reason| &**reason), expected, "{text}");
    }

    #[test]
    fn an_address_is_trimmed_and_its_domain_lower_cased() {
        check("  Ada.L+x@Example.COM ", Ok("Ada.L+x@example.com"));
        check("o'neil@a-b.example.org", Ok("o'neil@a-b.example.org"));
    }

    #[test]
    fn an_international_domain_is_kept_in_a_labels_whatever_way_it_is_written() {
        for (text, expected) in [
            ("Ada@Bücher.example", "Ada@xn--bcher-kva.example"),
            ("Ada@BU\u{308}CHER.example", "Ada@xn--bcher-kva.example"),
            ("Ada@XN--BCHER-KVA.Example", "Ada@xn--bcher-kva.example"),
            ("ada@bücher。example", "ada@xn--bcher-kva.example"),
            ("ada@ｅｘａｍｐｌｅ.com", "ada@example.com"),
            ("ada@例え.テスト.jp", "ada@xn--r8jz45g.xn--zckzah.jp"),
            ("ada@straße.example", "ada@xn--strae-oqa.example"),
            ("ada@пример.рф", "ada@xn--e1afmkfd.xn--p1ai"),
            ("ada@r3---x.example.com", "ada@r3---x.example.com"),
        ] {
            check(text, Ok(expected));
            assert_eq!(as_kept(&format!(" {text} ")).to_ascii_lowercase(), expected.to_ascii_lowercase());
        }
        for text in ["ada", "é", "é@", "@é", "é@xn--a.example\u{e9}", "ada@exa mple", "ada@x\u{200d}é"] {
            as_kept(text);
        }
        assert_eq!(as_kept(" ada@xn--a.example "), "ada@xn--a.example");
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        let reserved =
            "The part after the @-sign is a special-use or reserved name that cannot be used with email.";
        let invalid = "The part after the @-sign contains invalid characters or empty parts.";
        for (text, reason) in [
            ("ada", "An email address must have an @-sign."),
            ("@example.com", "There must be something before the @-sign."),
            ("ada@", "There must be something after the @-sign."),
            ("ada@localhost", "The part after the @-sign is not valid. It should have a period."),
            ("\"a b\"@example.com", "The part before the @-sign must not be quoted."),
            ("ada@[127.0.0.1]", "A bracketed IP address after the @-sign is not allowed here."),
            ("ada@x.local", reserved),
            ("ada@x.invalid", reserved),
            ("ada@x.localhost", reserved),
            ("ada@x.test", reserved),
            ("ada..b@example.com", "An email address cannot have two periods in a row."),
            (".ada@example.com", "An email address cannot start with a period."),
            ("ada.@example.com", "An email address cannot have a period immediately before the @-sign."),
            ("a b@example.com", "The email address contains invalid characters before the @-sign."),
            ("a@b@example.com", "The email address contains invalid characters before the @-sign."),
            ("ada@exa mple.com", invalid),
            ("ada@example..com", invalid),
            ("ada@-example.com", invalid),
            ("ada@example.com\r\nBcc: x", invalid),
            ("ada@xn--a.example", invalid),
            ("ada@bü cher.example", invalid),
            ("ada@bü\u{200d}cher.example", invalid),
            ("ada@-bücher.example", invalid),
            ("ada@\u{301}bücher.example", invalid),
            ("ada@bücher..example", invalid),
            ("ada@bücher", "The part after the @-sign is not valid. It should have a period."),
            ("ädä@example.com", "The email address contains invalid characters before the @-sign."),
            ("ada@x.ｔｅｓｔ", reserved),
            (
                "ada@127.0.0.1",
                "The part after the @-sign is not valid. It is not within a valid top-level domain.",
            ),
        ] {
            check(text, Err(reason));
        }
        assert!(Email::parse("ada@x.test", true).is_ok());
    }

    #[test]
    fn a_long_address_is_refused_at_once() {
        for hostile in
            [format!("{}@example.com", "a".repeat(50_000)), format!("a@{}.example", "ü".repeat(50_000))]
        {
            check(&hostile, Err("The email address is too long."));
            as_kept(&hostile);
        }
        let domain =
            format!("{}.{}.{}.{}.com", "b".repeat(63), "c".repeat(63), "d".repeat(63), "e".repeat(57));
        check(&format!("abc@{domain}"), Err("The email address is too long."));
        check(&format!("ab@{}.example", "ü".repeat(60)), Err(UNREADABLE_DOMAIN));
        let local = "a".repeat(64);
        let domain = format!("{}.{}.{}.com", "b".repeat(60), "c".repeat(60), "d".repeat(60));
        let longest = format!("{local}@{domain}");
        assert!(longest.len() <= Email::LENGTH_MAX);
        check(&longest, Ok(&longest));
    }
}
