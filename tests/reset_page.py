#!/usr/bin/env python3
"""Sets a new password in a real browser without JavaScript, from the letter to the first sign-in.

    cargo build
    python3 tests/reset_page.py                      # target/debug/satchel
    python3 tests/reset_page.py target/release/satchel --pictures /tmp/pictures

It needs what docs_page.py needs: Python 3.9, Chromium (or Chrome) and chromedriver, and no package. It starts the
server in an empty directory, signs somebody up, takes the links out of the letters and opens them, and fails when

- a page has not the heading that it should have, or more than one, or lacks its title or its language,
- the field has no label, or what is wrong with it is not told as an alert that belongs to it,
- a text cannot be told from its ground, be it light or dark,
- a page is too wide for a window of 320 pixels,
- a page asks any host but this server, or the console tells of a fault,
- the password that was set does not sign in, or the old one still does.

Pictures of the pages, wide and narrow, light and dark, go to `--pictures` (default: target/reset-page).
"""

import contextlib
import email
import email.policy
import json
import os
import pathlib
import re
import tempfile
import urllib.error
import urllib.parse

from docs_page import ELEMENT, Browser, Failed, ask, called, free_port, process, run, until

EMAIL = "ada@example.com"
OLD, NEW, WEAK = "correct horse battery staple", "another staple battery", "password1"
CONTRAST_MIN = 4.5  # WCAG 2.2, 1.4.3
FIELD = "//input[@name='new_password']"

# Every text that is seen, with its colour and that of the ground it stands on.
COLOURS = """
const ground = element => {
  for (let at = element; at; at = at.parentElement) {
    const colour = getComputedStyle(at).backgroundColor;
    if (colour !== 'rgba(0, 0, 0, 0)') return colour;
  }
  return 'rgb(255, 255, 255)';
};
return [...document.querySelectorAll('main *')]
  .filter(element => [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim()))
  .map(element => [element.textContent.trim(), getComputedStyle(element).color, ground(element)]);
"""


def main():
    given, chromium, driver = called("Sets a new password in a real browser.", "reset-page")

    with contextlib.ExitStack() as stack:
        beside = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        directory = beside / "empty"
        directory.mkdir()
        log = stack.enter_context(open(beside / "log", "wb"))
        port, driver_port = free_port(), free_port()
        house = f"http://127.0.0.1:{port}"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SATCHEL_")}
        environment["SATCHEL_AUTH__COMMON_PASSWORDS"] = "refuse"
        serve = [given.binary.resolve(), "--port", str(port)]
        stack.enter_context(process(serve, cwd=directory, env=environment, stdout=log, stderr=log))
        stack.enter_context(process([driver, f"--port={driver_port}"], stdout=log, stderr=log))
        until("the server answers", lambda: ask("GET", house + "/health"))
        until("chromedriver answers", lambda: ask("GET", f"http://127.0.0.1:{driver_port}/status"))
        browser = Browser(f"http://127.0.0.1:{driver_port}", chromium, beside / "profile")
        stack.callback(browser.close)
        visit(browser, house, directory, given.pictures)
    print(f"The pages are good. Pictures: {given.pictures}")


def visit(browser, house, directory, pictures):
    without_scripts(browser)
    try:
        confirms(browser, house, directory, pictures)
        resets(browser, house, directory, pictures)
    except Failed:
        browser.picture(pictures / "failed.png")
        raise
    asks_nobody_else(browser, house)
    complains_of_nothing(browser)


def without_scripts(browser):
    browser.devtools("Emulation.setScriptExecutionDisabled", value=True)
    browser.do("/url", {"url": "data:text/html,<title>still</title><script>document.title = 'ran'</script>"})
    if browser.script("return document.title") != "still":
        raise Failed("the browser runs scripts, though it was told not to")


def confirms(browser, house, directory, pictures):
    post(house, "/api/auth/signup", {"username": "ada.lovelace", "email": EMAIL, "password": OLD})
    link = letter(house, directory, "Confirm your e-mail address")
    if sign_in(house, OLD) != 401:
        raise Failed("somebody signs in before the address is confirmed")
    browser.do("/url", {"url": link})
    is_sound(browser, "Confirm your address", pictures / "confirm")
    if sign_in(house, OLD) != 401:
        raise Failed("the address is confirmed by looking at the page")
    browser.click("the button", "//button[@type='submit']")
    is_sound(browser, "Your address is confirmed", pictures / "confirmed")
    if sign_in(house, OLD) != 200:
        raise Failed("nobody signs in though the address is confirmed")


def resets(browser, house, directory, pictures):
    post(house, "/api/auth/reset_pwd", {"email": EMAIL})
    link = letter(house, directory, "Set a new password")
    browser.do("/url", {"url": link})
    is_sound(browser, "Set a new password", pictures / "form")
    is_labelled(browser)

    submit(browser, WEAK)
    alert = until("an alert", lambda: browser.find("//*[@role='alert']"))
    is_sound(browser, "Set a new password", pictures / "alert")
    is_labelled(browser)
    told = browser.script("return arguments[0].innerText", alert)
    if "most common" not in told:
        raise Failed(f"a common password is refused with {told!r}")
    field = browser.find(FIELD)
    described = browser.script("return (arguments[0].getAttribute('aria-describedby') ?? '').split(' ')", field)
    if browser.script("return arguments[0].id", alert) not in described:
        raise Failed(f"the alert does not belong to the field, which is described by {described}")
    if browser.script("return arguments[0].value", field):
        raise Failed("the page shows the password that was typed")

    submit(browser, NEW)
    until("the password is set", lambda: heading(browser) == "Your new password is set")
    is_sound(browser, "Your new password is set", pictures / "set")
    if (sign_in(house, OLD), sign_in(house, NEW)) != (401, 200):
        raise Failed("the new password does not sign in, or the old one still does")
    browser.do("/url", {"url": link})
    is_sound(browser, "This link does not work", pictures / "used")


def submit(browser, password):
    field = until("the field", lambda: browser.find(FIELD))
    browser.do(f"/element/{field[ELEMENT]}/value", {"text": password})
    browser.click("the button", "//button[@type='submit']")


def is_labelled(browser):
    field = browser.find(FIELD)
    label = browser.send("GET", f"{browser.session}/element/{field[ELEMENT]}/computedlabel")
    if label != "New password":
        raise Failed(f"the field is called {label!r}")
    if not browser.script("return arguments[0].labels.length === 1", field):
        raise Failed("the field has not one label")
    if not browser.script("return document.activeElement === arguments[0]", field):
        raise Failed("one cannot type at once: the field has not the focus")


def heading(browser):
    return browser.script("return document.querySelector('h1')?.innerText")


def is_sound(browser, expected, picture):
    """Holds the page against what is true of every page, in two widths and two shades."""
    until(f"the heading {expected!r}", lambda: heading(browser) == expected)
    seen = browser.script(
        "return [document.title, document.documentElement.lang, document.querySelectorAll('h1').length]"
    )
    if seen != [f"{expected} · Satchel", "en", 1]:
        raise Failed(f"title, language and headings are {seen}")
    for width, height in ((1440, 900), (320, 640)):
        for shade in ("light", "dark"):
            metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
            browser.devtools("Emulation.setDeviceMetricsOverride", **metrics)
            feature = [{"name": "prefers-color-scheme", "value": shade}]
            browser.devtools("Emulation.setEmulatedMedia", features=feature)
            browser.picture(picture.with_name(f"{picture.name}-{shade}-{width}.png"))
            over = browser.script("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
            if over > 0 or browser.script("return innerWidth") != width:
                raise Failed(f"{expected!r} is {over} px too wide for a window of {width} px")
            is_legible(browser, expected, shade)
    browser.devtools("Emulation.clearDeviceMetricsOverride")
    browser.devtools("Emulation.setEmulatedMedia", features=[])


def is_legible(browser, page, shade):
    texts = browser.script(COLOURS)
    if not texts:
        raise Failed(f"{page!r} has no text")
    for text, ink, ground in texts:
        lighter, darker = sorted((luminance(ink), luminance(ground)), reverse=True)
        contrast = (lighter + 0.05) / (darker + 0.05)
        if contrast < CONTRAST_MIN:
            raise Failed(f"{page!r}, {shade}: {text!r} has a contrast of {contrast:.1f} ({ink} on {ground})")
    is_dark = luminance(texts[0][2]) < 0.2
    if is_dark != (shade == "dark"):
        raise Failed(f"{page!r} stands on {texts[0][2]} for a reader who prefers {shade}")


def luminance(colour):
    """The relative luminance of `rgb(…)` (WCAG 2.2)."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear))


def post(house, path, body):
    try:
        return ask("POST", house + path, json.dumps(body).encode(), {"content-type": "application/json"})
    except urllib.error.HTTPError as error:
        raise Failed(f"{path} answers {error.code}: {error.read().decode()}") from error


def sign_in(house, password):
    """The status of a sign-in."""
    form = urllib.parse.urlencode({"username": EMAIL, "password": password}).encode()
    try:
        tokens = ask("POST", house + "/api/auth/login", form)
        ask("GET", house + "/api/contacts/", headers={"authorization": "Bearer " + tokens["access_token"]})
    except urllib.error.HTTPError as error:
        return error.code
    return 200


def letter(house, directory, subject):
    """The link of the letter with this subject."""

    def look():
        for path in directory.rglob("*.eml"):
            message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            if message["Subject"] == subject and message["To"] == EMAIL:
                return message.get_body(("plain",)).get_content()
        return None

    text = until(f"the letter {subject!r}", look)
    links = [line for line in text.splitlines() if line.startswith(house + "/")]
    if len(links) != 1:
        raise Failed(f"the letter {subject!r} has the links {links}")
    return links[0]


def asks_nobody_else(browser, house):
    urls = set()
    for entry in browser.logs("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            urls.add(message["params"]["request"]["url"])
    # The browser's own first tab has addresses of its own.
    own = ("data:", "about:", "chrome:", "chrome-extension:")
    asked = sorted(urllib.parse.urlsplit(url).path for url in urls if url.startswith(house + "/"))
    strangers = sorted(url for url in urls if not url.startswith((house + "/", *own)))
    if strangers:
        raise Failed(f"other hosts were asked: {strangers}")
    beside = [path for path in asked if not re.fullmatch(r"/api/(auth/reset_pwd|email/confirm)/[\w-]{43}", path)]
    if beside or len(asked) != 2:
        raise Failed(f"besides the two links, the pages asked for {beside}: {len(asked)} addresses in all")


def complains_of_nothing(browser):
    entries = [entry for entry in browser.logs("browser") if entry["level"] in ("SEVERE", "WARNING")]
    # That an answer was a refusal is a line of its own, and some were.
    faults = [entry["message"] for entry in entries if "responded with a status of 4" not in entry["message"]]
    if faults:
        raise Failed("the console: " + "\n".join(faults))


if __name__ == "__main__":
    run(main)
