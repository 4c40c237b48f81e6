//! Templates: what the letters say. Nothing that a stranger typed is in them but the address they go to.

use std::time::Duration;

use crate::domain::auth::proofs::Purpose;
use crate::html::escape;

/// What one letter says.
pub struct Words {
    /// The subject.
    pub subject: &'static str,
    /// What the letter is about: the token is in it.
    pub link: String,
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

fn form(purpose: Purpose) -> Form {
    match purpose {
        Purpose::ConfirmEmail => Form {
            path: "/api/email/confirm/",
            subject: "Confirm your e-mail address",
            why: "This address was given to us as somebody's own. If it was you, please\nconfirm it:",
            button: "Confirm this address",
            otherwise: "If it was not you, you need not do anything: the address stays\nunconfirmed.",
        },
        Purpose::ResetPassword => Form {
            path: "/api/auth/reset_pwd/",
            subject: "Set a new password",
            why: "Somebody asked for a new password for the account with this address.\nIf it was you, set it here:",
            button: "Set a new password",
            otherwise: "If it was not you, you need not do anything: your password stays as it\nis.",
        },
    }
}

/// The words of a letter for `email`, with a link that begins with `public_url`.
pub fn words(purpose: Purpose, public_url: &str, email: &str, token: &str, lifetime: Duration) -> Words {
    let Form { path, subject, why, button, otherwise } = form(purpose);
    let link = format!("{public_url}{path}{token}");
    let good_for = span(lifetime);
    let text = format!(
        "Hello,

this is Satchel at {public_url}, writing to {email}.

{why}

{link}

The link is good for {good_for}, once.

{otherwise}
"
    );
    let (site, to, href) = (escape(public_url), escape(email), escape(&link));
    let html = format!(
        r#"<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{subject}</title></head>
<body style="font-family: sans-serif; line-height: 1.5; max-width: 36em; margin: 2em auto; padding: 0 1em">
<p>Hello,</p>
<p>this is Satchel at {site}, writing to {to}.</p>
<p>{why}</p>
<p><a href="{href}">{button}</a></p>
<p>Or copy this address into your browser:<br>
{href}</p>
<p>The link is good for {good_for}, once.</p>
<p>{otherwise}</p>
</body>
</html>
"#,
        why = escape(why),
        otherwise = escape(otherwise),
    );
    Words { subject, link, text, html }
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
        let words =
            words(Purpose::ConfirmEmail, "https://a.example/x&y'", email, "t0k-en_", Duration::from_secs(60));
        assert!(words.html.contains("a&amp;b&#39;&lt;img/src=x&gt;&quot;@example.com"), "{}", words.html);
        assert!(words.html.contains("\"https://a.example/x&amp;y&#39;/api/email/confirm/t0k-en_\""));
        assert!(words.text.contains(email));
    }

    #[test]
    fn a_letter_loads_nothing() {
        for purpose in [Purpose::ConfirmEmail, Purpose::ResetPassword] {
            let words =
                words(purpose, "https://a.example", "ada@example.com", "token", Duration::from_secs(60));
            for what in ["src", "url(", "<link", "<script", "@import", "<img"] {
                assert!(!words.html.contains(what), "{what}");
            }
            assert_eq!(words.html.matches("https://").count(), 3, "the site once, the link twice");
            assert!(words.text.is_ascii() && words.html.is_ascii(), "it needs no encoding");
        }
    }
}
