//! Templates: what the letters say. Nothing that a stranger typed is in them but the address they go to.

use std::time::Duration;

use crate::domain::auth::proofs::Purpose;
use crate::domain::letters::Link;
use crate::html::escape;

/// What one letter says.
pub struct Words {
    /// The subject.
    pub subject: &'static str,
    /// The address that the letter is about, with the token in it, if it has one.
    pub link: Option<String>,
    /// The letter for readers of plain text.
    pub text: String,
    /// The same for readers of HTML; it loads nothing from anywhere.
    pub html: String,
}

/// What differs between the letters.
struct Form {
    path: &'static str,
    subject: &'static str,
    why: &'static str,
    button: &'static str,
    otherwise: &'static str,
}

fn form(purpose: Purpose, has_link: bool) -> Form {
    match (purpose, has_link) {
        (Purpose::ConfirmEmail, _) => Form {
            path: "/api/email/confirm/",
            subject: "Confirm your e-mail address",
            why: "This address was given to us as somebody's own. If it was you, please\nconfirm it:",
            button: "Confirm this address",
            otherwise: "If it was not you, you need not do anything: the address stays\nunconfirmed.",
        },
        (Purpose::ResetPassword, _) => Form {
            path: "/api/auth/reset_pwd/",
            subject: "Set a new password",
            why: "Somebody asked for a new password for the account with this address.\nIf it was you, set it here:",
            button: "Set a new password",
            otherwise: "If it was not you, you need not do anything: your password stays as it\nis.",
        },
        (Purpose::RestoreEmail, true) => Form {
            path: "/api/email/restore/",
            subject: "Your e-mail address was changed",
            why: "The account that had this address has another one now. If you did not\nchange it, somebody else did. \
                  Put this address back and set a new password\nhere, which signs everybody out:",
            button: "Put this address back",
            otherwise: "If you changed it, you need not do anything.",
        },
        (Purpose::RestoreEmail, false) => Form {
            path: "",
            subject: "Your e-mail address was changed",
            why: "The account that had this address has another one now.",
            button: "",
            otherwise: "If you did not change it, look for an earlier letter about a change of\nyour address: \
                        the link in it puts that address back.",
        },
        (Purpose::PasswordChanged, _) => Form {
            path: "",
            subject: "Your password was changed",
            why: "The password of the account with this address was changed, and everybody\nwho was signed in \
                  to it was signed out.",
            button: "",
            otherwise: "If you did not change it, somebody else did: ask for a letter to set a\nnew one.",
        },
    }
}

/// The words of a letter for `email`; its link begins with `public_url`.
pub fn words(purpose: Purpose, public_url: &str, email: &str, link: Option<&Link>) -> Words {
    let Form { path, subject, why, button, otherwise } = form(purpose, link.is_some());
    let (site, to) = (escape(public_url), escape(email));
    let (address, link_text, link_html) = match link {
        None => (None, String::new(), String::new()),
        Some(Link { token, lifetime }) => {
            let (address, good_for) = (format!("{public_url}{path}{token}"), span(*lifetime));
            let text = format!("{address}\n\nThe link is good for {good_for}, once.\n\n");
            let href = escape(&address);
            let html = format!(
                r#"<p><a href="{href}">{button}</a></p>
<p>Or copy this address into your browser:<br>
{href}</p>
<p>The link is good for {good_for}, once.</p>
"#
            );
            (Some(address), text, html)
        }
    };
    let text = format!(
        "Hello,

this is Satchel at {public_url}, writing to {email}.

{why}

{link_text}{otherwise}
"
    );
    let html = format!(
        r#"<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{subject}</title></head>
<body style="font-family: sans-serif; line-height: 1.5; max-width: 36em; margin: 2em auto; padding: 0 1em">
<div style="overflow-wrap: anywhere; word-break: break-word">
<p>Hello,</p>
<p>this is Satchel at {site}, writing to {to}.</p>
<p>{why}</p>
{link_html}<p>{otherwise}</p>
</div>
</body>
</html>
"#,
        why = escape(why),
        otherwise = escape(otherwise),
    );
    Words { subject, link: address, text, html }
}

/// A length of time in the largest unit that it is whole in.
fn span(time: Duration) -> String {
    let minutes = time.as_secs() / 60;
    let (count, unit) = match minutes {
        _ if minutes >= 2880 && minutes.is_multiple_of(1440) => (minutes / 1440, "day"),
        _ if minutes > 0 && minutes.is_multiple_of(60) => (minutes / 60, "hour"),
        _ => (minutes, "minute"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_told_in_the_largest_whole_unit() {
        for (minutes, expected) in [
            (1, "1 minute"),
            (59, "59 minutes"),
            (60, "1 hour"),
            (90, "90 minutes"),
            (24 * 60, "24 hours"),
            (36 * 60, "36 hours"),
            (7 * 24 * 60, "7 days"),
        ] {
            assert_eq!(span(Duration::from_secs(minutes * 60)), expected);
        }
    }

    #[test]
    fn what_is_typed_by_others_is_no_html() {
        let email = "a&b'<img/src=x>\"@example.com";
        let link = Link { token: "t0k-en_".into(), lifetime: Duration::from_secs(60) };
        let words = words(Purpose::ConfirmEmail, "https://a.example/x&y'", email, Some(&link));
        assert!(words.html.contains("a&amp;b&#39;&lt;img/src=x&gt;&quot;@example.com"), "{}", words.html);
        assert!(words.html.contains("\"https://a.example/x&amp;y&#39;/api/email/confirm/t0k-en_\""));
        assert!(words.text.contains(email));
    }

    /// Tried in a browser: without it a letter was 1169 pixels wide on a screen of 500.
    #[test]
    fn an_address_that_is_wider_than_a_phone_wraps() {
        let link = Link { token: "t".repeat(43), lifetime: Duration::from_secs(60) };
        let html = words(Purpose::ConfirmEmail, "https://a.example", "ada@example.com", Some(&link)).html;
        let body =
            html.split_once("<div style=\"overflow-wrap: anywhere; word-break: break-word\">").unwrap().1;
        assert!(body.contains("ada@example.com") && body.contains(&link.token), "{html}");
    }

    #[test]
    fn a_letter_loads_nothing() {
        let link = Link { token: "token".into(), lifetime: Duration::from_secs(60) };
        for (purpose, link) in [
            (Purpose::ConfirmEmail, Some(&link)),
            (Purpose::ResetPassword, Some(&link)),
            (Purpose::RestoreEmail, Some(&link)),
            (Purpose::RestoreEmail, None),
            (Purpose::PasswordChanged, None),
        ] {
            let words = words(purpose, "https://a.example", "ada@example.com", link);
            for what in ["src", "url(", "<link", "<script", "@import", "<img"] {
                assert!(!words.html.contains(what), "{what}");
            }
            let addresses = if link.is_some() { 3 } else { 1 };
            assert_eq!(words.html.matches("https://").count(), addresses, "the site once, a link twice");
            assert!(words.text.lines().all(|line| line.len() < 80), "{}", words.text);
            assert!(words.text.is_ascii() && words.html.is_ascii(), "it needs no encoding");
        }
    }
}
