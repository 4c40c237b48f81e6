//! contactbook: what the pages say that a person sees who follows the link of a letter.

use salvo::http::StatusCode;

use crate::domain::auth::passwords::{PASSWORD_LEN_MAX, PASSWORD_LEN_MIN};
use crate::html::escape;
use crate::http::answer::{No, Why};
use crate::http::pages::page;
use crate::http::validate::Invalid;

/// The field of the form, as it is sent.
pub const NEW_PASSWORD: &str = "new_password";

/// The form for a new password. It is sent to the address that it was read from.
pub fn reset_form() -> String {
    form("Set a new password", "", None)
}

/// The form that puts an address back and sets a new password with it.
pub fn restore_form() -> String {
    let what = "<p>Your former e-mail address becomes the address of your account again, and everybody is signed \
                out. Choose a new password, since somebody else may know the present one.</p>\n";
    form("Put your address back", what, None)
}

/// That the address was put back.
pub fn email_restored() -> String {
    let main = "<p>You can sign in with it and your new password now. Everybody else is signed out.</p>";
    page("Your address is back", main)
}

fn form(title: &str, what: &str, wrong: Option<&str>) -> String {
    let (alert, described, invalid) = match wrong {
        None => (String::new(), "hint", ""),
        Some(wrong) => {
            let alert = format!("<p class=\"wrong\" id=\"wrong\" role=\"alert\">{}</p>\n", escape(wrong));
            (alert, "hint wrong", " aria-invalid=\"true\"")
        }
    };
    let main = format!(
        r#"{what}<form method="post">
{alert}<label for="password">New password</label>
<p class="hint" id="hint">At least {PASSWORD_LEN_MIN} characters of any kind. A few words in a row make a good one.</p>
<input id="password" name="{NEW_PASSWORD}" type="password" autocomplete="new-password" required minlength="{PASSWORD_LEN_MIN}" maxlength="{PASSWORD_LEN_MAX}" aria-describedby="{described}"{invalid} autofocus>
<button type="submit">Set password</button>
</form>"#
    );
    page(title, &main)
}

/// That the password was set.
pub fn password_updated() -> String {
    let main =
        "<p>You can sign in with it now. Everybody who was signed in with the old one is signed out.</p>";
    page("Your new password is set", main)
}

/// The button that confirms an address. It is sent to the address that it was read from.
pub fn confirm_form() -> String {
    let main = r#"<p>Press the button if you gave us this address. If you did not, close this page: nothing is changed.</p>
<form method="post">
<button type="submit" autofocus>Confirm this address</button>
</form>"#;
    page("Confirm your address", main)
}

/// That the address is confirmed now.
pub fn email_confirmed() -> String {
    confirmed("Your address is confirmed")
}

/// That it was confirmed before.
pub fn email_already_confirmed() -> String {
    confirmed("Your address is already confirmed")
}

fn confirmed(title: &str) -> String {
    page(title, "<p>You can sign in now, and close this page.</p>")
}

/// That something was not done, and what may help.
pub fn refused(no: &No<'_>) -> String {
    if let Why::Invalid(faults) = no.why
        && let Some(fault) =
            faults.iter().find(|fault| fault.loc.first().is_some_and(|part| part.to_string() == "body"))
    {
        return form("Set a new password", "", Some(&what_is_wrong(fault)));
    }
    let (title, text) = match no.status {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => (
            "This link does not work",
            "It was used before, its time is over, or a newer letter has taken its place. Ask for a new letter, \
             and use the link in the newest one.",
        ),
        StatusCode::TOO_MANY_REQUESTS => ("Too many tries", "Please wait a minute, and try again."),
        StatusCode::SERVICE_UNAVAILABLE => {
            ("We are busy", "Nothing was changed. Please try again in a moment.")
        }
        StatusCode::REQUEST_TIMEOUT => (
            "That took too long",
            "It may have been done all the same. Please try to sign in, and else follow the link again.",
        ),
        _ => ("That did not work", "Nothing was changed. Please try again later."),
    };
    page(title, &format!("<p>{text}</p>"))
}

fn what_is_wrong(fault: &Invalid) -> String {
    match &*fault.kind {
        "string_too_long" => format!("Please use at most {PASSWORD_LEN_MAX} characters."),
        "value_error" => {
            let rule = fault.msg.strip_prefix("Value error, ").unwrap_or(&fault.msg);
            format!("{rule}. Please choose another one.")
        }
        // Too short, or none at all.
        _ => format!("Please use at least {PASSWORD_LEN_MIN} characters."),
    }
}
