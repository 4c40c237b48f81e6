//! contactbook: the pages that a person sees who follows the link of a letter.

use reqwest::multipart;
use serde_json::json;

use super::auth::{NOT_CONFIRMED, confirm, pair, sign_up};
use super::requests::RESET;
use super::reset::link;
use super::{log_in, member};
use crate::house::{Answer, House, PASSWORD, answer};

const NEW: &str = "another staple battery";
/// What a browser asks for.
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";

async fn browse(house: &House, path: &str) -> Answer {
    answer(house.request("GET", path).header("accept", BROWSER)).await
}

/// Sends the page's form as a browser does.
async fn submit(house: &House, path: &str, password: &str) -> Answer {
    let request = house.request("POST", path).header("accept", BROWSER);
    answer(request.header("origin", "null").form(&[("new_password", password)])).await
}

/// Holds an answer against the rules for every page; it has this status and heading.
#[track_caller]
fn is_page(answer: &Answer, status: u16, heading: &str) {
    assert_eq!(answer.status, status, "{}", answer.text);
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("referrer-policy"), "no-referrer");
    let policy: Vec<&str> = answer.header("content-security-policy").split("; ").collect();
    let [ref before @ .., style] =
        policy.iter().copied().filter(|it| !it.starts_with("style")).collect::<Vec<_>>()[..]
    else {
        panic!("{policy:?}")
    };
    assert_eq!(before, ["default-src 'none'", "form-action 'self'", "base-uri 'none'"]);
    assert_eq!(style, "frame-ancestors 'none'");
    let html = &answer.text;
    assert!(html.starts_with("<!doctype html>\n<html lang=\"en\">"), "{html}");
    assert!(html.contains("name=\"viewport\" content=\"width=device-width"), "{html}");
    assert_eq!(html.matches("<h1>").count(), 1, "{html}");
    assert!(html.contains(&format!("<h1>{heading}</h1>")), "{html}");
    assert!(html.contains(&format!("<title>{heading} · Satchel</title>")), "{html}");
    // It runs and loads nothing, and leads nowhere else.
    for none in [
        "<script",
        "javascript:",
        " on",
        "http:",
        "https:",
        "//",
        "src=",
        "href=",
        "url(",
        "@import",
        "{{",
        "<base",
    ] {
        let found = html.match_indices(none).find(|(at, _)| none != " on" || is_handler(&html[at + 1..]));
        assert!(found.is_none(), "{none:?} in {html}");
    }
}

/// Whether an attribute begins here that runs a script, such as `onclick=`.
fn is_handler(text: &str) -> bool {
    let name: String = text.chars().take_while(char::is_ascii_alphanumeric).collect();
    text[name.len()..].starts_with('=')
}

#[tokio::test]
async fn the_policy_allows_the_style_of_the_page_and_no_other() {
    use base64::Engine;
    use sha2::Digest;
    let house = House::new().await;
    let page = browse(&house, &format!("{RESET}/x")).await;
    let style = page.text.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
    let digest = base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(style));
    let allowed = format!("style-src 'sha256-{digest}';");
    let policy = page.header("content-security-policy");
    assert!(policy.contains(&allowed), "{policy}");
    assert_eq!(page.text.matches("style").count(), 2, "no style stands outside: {}", page.text);
}

#[tokio::test]
async fn the_link_to_confirm_shows_a_browser_a_button_and_only_the_button_confirms() {
    let house = House::new().await;
    let token = sign_up(&house, "ada").await;
    let path = format!("/api/email/confirm/{token}");
    let press = async |path: &str| {
        let request = house.request("POST", path).header("accept", BROWSER).header("origin", "null");
        answer(request.form(&[("", ""); 0])).await
    };
    // Programs that look into mails follow its links, some of them more than once.
    for _ in 0..2 {
        let page = browse(&house, &path).await;
        is_page(&page, 200, "Confirm your address");
        for part in
            ["<form method=\"post\">", "<button type=\"submit\" autofocus>Confirm this address</button>"]
        {
            assert_eq!(page.text.matches(part).count(), 1, "{part} in {}", page.text);
        }
        assert!(!page.text.contains(&token) && !page.text.contains("ada@"));
        log_in(&house, "ada@example.com", PASSWORD).await.refuses(401, NOT_CONFIRMED);
    }
    assert_eq!(answer(house.request("HEAD", &path).header("accept", BROWSER)).await.status, 200);
    is_page(&press(&path).await, 200, "Your address is confirmed");
    pair(&log_in(&house, "ada@example.com", PASSWORD).await);
    is_page(&press(&path).await, 200, "Your address is already confirmed");
    is_page(&browse(&house, &path).await, 200, "Your address is already confirmed");
    confirm(&house, &token).await.is(200, json!({ "message": "Your email is already confirmed" }));
    house.wait(7 * 24 * 3600);
    for (path, status) in [
        (path, 400),
        (format!("/api/email/confirm/{}", "A".repeat(43)), 400),
        (String::from("/api/email/confirm/x"), 422),
    ] {
        is_page(&browse(&house, &path).await, status, "This link does not work");
        is_page(&press(&path).await, status, "This link does not work");
    }
    let none = browse(&house, "/api/email/confirm/").await;
    is_page(&none, 404, "That did not work");
}

#[tokio::test]
async fn the_button_to_confirm_works_for_programs_too_and_is_counted_with_the_link() {
    let house =
        House::with(|config| config.contactbook.limits.confirm_email = "3/minute".parse().unwrap()).await;
    let token = sign_up(&house, "ada").await;
    let path = format!("/api/email/confirm/{token}");
    is_page(&browse(&house, &path).await, 200, "Confirm your address");
    let post = async || answer(house.request("POST", &path)).await;
    post().await.is(200, json!({ "message": "Email confirmed" }));
    post().await.is(200, json!({ "message": "Your email is already confirmed" }));
    assert_eq!(post().await.status, 429);
    is_page(&browse(&house, &path).await, 429, "Too many tries");
}

#[tokio::test]
async fn a_newer_letter_ends_the_button_of_the_older() {
    let house = House::new().await;
    let older = sign_up(&house, "ada").await;
    house.post("/api/auth/request_email", json!({ "email": "ada@example.com" })).await;
    let newer = house.letter().await.token().to_owned();
    let press = async |token: &str| {
        let request = house.request("POST", &format!("/api/email/confirm/{token}"));
        answer(request.header("accept", BROWSER)).await
    };
    is_page(&press(&older).await, 400, "This link does not work");
    is_page(&press(&newer).await, 200, "Your address is confirmed");
}

#[tokio::test]
async fn a_cache_is_told_that_the_answer_differs_by_what_is_accepted() {
    let house = House::new().await;
    let token = sign_up(&house, "ada").await;
    for path in
        [format!("/api/email/confirm/{token}"), String::from("/api/email/confirm/x"), format!("{RESET}/x")]
    {
        for accept in [BROWSER, "application/json"] {
            let response = house.request("GET", &path).header("accept", accept).send().await.unwrap();
            let vary: Vec<&str> =
                response.headers().get_all("vary").iter().map(|value| value.to_str().unwrap()).collect();
            assert!(vary.contains(&"accept"), "{path}, {accept}: {vary:?}");
        }
    }
}

#[tokio::test]
async fn who_does_not_ask_for_html_by_name_is_a_program() {
    let house = House::new().await;
    let token = sign_up(&house, "ada").await;
    let path = format!("/api/email/confirm/{token}");
    for accept in
        ["application/json", "*/*", "text/html;q=0.1,application/json", "text/html;q=0", "text/plain"]
    {
        for path in [path.as_str(), "/api/email/confirm/x", &format!("{RESET}/x")] {
            let said = answer(house.request("GET", path).header("accept", accept)).await;
            assert_eq!(said.header("content-type"), "application/json", "{accept}");
        }
    }
}

#[tokio::test]
async fn the_page_to_set_a_password_is_a_form_that_goes_where_it_came_from() {
    let house = House::new().await;
    member(&house, "ada").await;
    let link = link(&house, "ada@example.com").await;
    for accept in [BROWSER, "application/json", "*/*"] {
        let page = answer(house.request("GET", &link).header("accept", accept)).await;
        is_page(&page, 200, "Set a new password");
        assert_eq!(page.text.matches("<form method=\"post\">").count(), 1, "{}", page.text);
        assert_eq!(page.text.matches("<input ").count(), 1);
        for part in [
            "<label for=\"password\">",
            "id=\"password\"",
            "name=\"new_password\"",
            "type=\"password\"",
            "autocomplete=\"new-password\"",
            "minlength=\"8\"",
            "maxlength=\"256\"",
            " required ",
            "<button type=\"submit\">",
        ] {
            assert_eq!(page.text.matches(part).count(), 1, "{part} in {}", page.text);
        }
        assert!(!page.text.contains("role=\"alert\""), "{}", page.text);
        // Neither the token nor the address stands in it.
        assert!(!page.text.contains(link.rsplit('/').next().unwrap()) && !page.text.contains("ada@"));
    }
    let head = answer(house.request("HEAD", &link).header("accept", BROWSER)).await;
    assert_eq!((head.status, head.header("content-type")), (200, "text/html; charset=utf-8"));
}

#[tokio::test]
async fn the_form_comes_back_with_what_is_wrong_until_the_password_is_good() {
    let house = House::new().await;
    member(&house, "ada").await;
    let link = link(&house, "ada@example.com").await;
    for (weak, says) in [
        ("", "Please use at least 8 characters."),
        ("7 chars", "Please use at least 8 characters."),
        (&"x".repeat(257), "Please use at most 256 characters."),
        ("password1", "Password is among the most common ones. Please choose another one."),
        (
            "ada@example.com",
            "Password must not be your own e-mail address or username. Please choose another one.",
        ),
    ] {
        let again = submit(&house, &link, weak).await;
        is_page(&again, 422, "Set a new password");
        let alert = format!("<p class=\"wrong\" id=\"wrong\" role=\"alert\">{says}</p>");
        assert!(again.text.contains(&alert), "{}", again.text);
        assert!(
            again.text.contains("aria-invalid=\"true\"")
                && again.text.contains("aria-describedby=\"hint wrong\"")
        );
        assert!(weak.is_empty() || !again.text.contains(weak), "what was typed is not shown: {}", again.text);
    }
    is_page(&submit(&house, &link, NEW).await, 200, "Your new password is set");
    pair(&log_in(&house, "ada@example.com", NEW).await);
    // Sent again, as by a reload.
    is_page(&submit(&house, &link, NEW).await, 400, "This link does not work");
    is_page(&browse(&house, &link).await, 400, "This link does not work");
}

#[tokio::test]
async fn a_browser_may_send_the_form_as_multipart() {
    let house = House::new().await;
    member(&house, "ada").await;
    let link = link(&house, "ada@example.com").await;
    let send = async |password: &str| {
        let form = multipart::Form::new().text("new_password", password.to_owned());
        answer(house.request("POST", &link).header("accept", BROWSER).multipart(form)).await
    };
    is_page(&send("password1").await, 422, "Set a new password");
    is_page(&send(NEW).await, 200, "Your new password is set");
    pair(&log_in(&house, "ada@example.com", NEW).await);
}

#[tokio::test]
async fn a_form_without_the_field_or_too_large_gets_a_page_too() {
    let house = House::new().await;
    member(&house, "ada").await;
    let link = link(&house, "ada@example.com").await;
    let post = || house.request("POST", &link).header("accept", BROWSER);
    is_page(&answer(post().form(&[("x", "y")])).await, 422, "Set a new password");
    is_page(&answer(post()).await, 422, "Set a new password");
    is_page(&answer(post().form(&[("new_password", "x".repeat(2_000_000))])).await, 413, "That did not work");
    is_page(
        &answer(post().header("content-type", "multipart/form-data").body("x")).await,
        400,
        "This link does not work",
    );
    assert_eq!(house.get(&link).await.status, 200);
}

#[tokio::test]
async fn a_limit_and_a_wrong_method_are_told_on_a_page_too() {
    let house =
        House::with(|config| config.contactbook.limits.confirm_email = "1/minute".parse().unwrap()).await;
    let path = "/api/email/confirm/x";
    is_page(&browse(&house, path).await, 422, "This link does not work");
    let refused = browse(&house, path).await;
    is_page(&refused, 429, "Too many tries");
    assert_eq!(refused.header("retry-after"), "60");
    let wrong = answer(house.request("DELETE", path).header("accept", BROWSER)).await;
    is_page(&wrong, 405, "That did not work");
}

#[tokio::test]
async fn who_asks_for_a_letter_gets_json_even_in_a_browser() {
    let house =
        House::with(|config| config.contactbook.limits.request_reset = "1/minute".parse().unwrap()).await;
    let ask = async |body| answer(house.request("POST", RESET).header("accept", BROWSER).json(&body)).await;
    ask(json!({})).await.invalid(&[("missing", json!(["body", "email"]), "Field required")]);
    let refused = ask(json!({ "email": "ada@example.com" })).await;
    refused.is(429, json!({ "error": "Rate limit exceeded: 1 per 1 minute" }));
}

#[tokio::test]
async fn no_other_route_answers_a_browser_with_a_page() {
    let house = House::new().await;
    for path in
        ["/api/contacts/", "/api/auth/refresh_token", "/api/auth/signup", "/api/auth/nowhere", "/auth/me"]
    {
        let refused = browse(&house, path).await;
        assert_eq!(refused.header("content-type"), "application/json", "{path}");
    }
}
