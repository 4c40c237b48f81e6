#!/usr/bin/env python3
"""Opens the docs page in a real browser and uses it as a reader would.

    cargo build
    python3 tests/docs_page.py                       # target/debug/satchel
    python3 tests/docs_page.py target/release/satchel --pictures /tmp/pictures

It needs Python 3.9, Chromium (or Chrome) and chromedriver, and no package. `CHROMIUM` and `CHROMEDRIVER` name
them where they are not on the PATH. It starts the server on a fresh directory and a free port, and fails when

- the page asks any host but this server (what the browser asks for itself leads nowhere and is not counted),
- the console shows an error, or the content security policy is broken,
- our name, an API's group, or a tag of the document is missing,
- a token put into the page's bearer field does not bring the user's own profile back with "Test request", before and after
  the page is loaded again, or stays in the browser when it is taken out of the field,
- a sign-in on the page with address and password does not, or a password or a refresh token gets into the browser's storage.

Pictures of the page, wide and narrow, light and dark, go to `--pictures` (default: target/docs-page).
"""

import argparse
import base64
import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
WAIT_SECONDS = 20
WHOLE_SECONDS = 180
ME = "GET/api/v1.0/users/me"
PASSWORD = "correct horse battery staple"
USER = {"username": "ada", "email": "ada@example.com", "first_name": "Ada", "last_name": "Lovelace"}

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # W3C WebDriver §11


class Failed(Exception):
    """What the page does wrong, in a sentence."""


def ask(method, url, body=None, headers=None, timeout=WAIT_SECONDS):
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    with DIRECT.open(request, timeout=timeout) as answer:
        return json.load(answer)


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def until(what, look, seconds=WAIT_SECONDS):
    """Looks again and again; what it sees at last, unless the time is over first."""
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, Retry):
            seen = look()
            if seen:
                return seen
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {seconds} s")
        time.sleep(0.1)


class Retry(Exception):
    """The page is being redrawn."""


@contextlib.contextmanager
def process(command, **options):
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, **options)
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


class Browser:
    """A headless Chromium, spoken to by the WebDriver protocol."""

    def __init__(self, driver, chromium, profile, arguments=()):
        self.driver = driver
        options = {
            "binary": chromium,
            "args": [
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--disable-domain-reliability",
                "--disable-client-side-phishing-detection",
                "--disable-features=OptimizationHints,MediaRouter,AutofillServerCommunication",
                "--window-size=1440,1000",
                f"--user-data-dir={profile}",
                # Whoever is not this machine is behind a proxy that is not there.
                "--proxy-server=http://127.0.0.1:9",
                "--proxy-bypass-list=127.0.0.1",
                *arguments,
            ],
        }
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        answer = self.send("POST", "/session", {"capabilities": {"alwaysMatch": wanted}}, 60)
        self.session = "/session/" + answer["sessionId"]

    def send(self, method, path, body=None, timeout=WAIT_SECONDS):
        data = None if body is None else json.dumps(body).encode()
        try:
            return ask(method, self.driver + path, data, {"content-type": "application/json"}, timeout)["value"]
        except urllib.error.HTTPError as error:
            value = json.load(error)["value"]
            if value["error"] in ("stale element reference", "no such element", "element click intercepted"):
                raise Retry from error
            raise Failed(f"the browser: {value['message'].splitlines()[0]}") from error

    def do(self, path, body=None):
        return self.send("POST", self.session + path, body or {})

    def close(self):
        self.send("DELETE", self.session)

    def devtools(self, command, **parameters):
        return self.do("/goog/cdp/execute", {"cmd": command, "params": parameters})

    def script(self, text, *arguments):
        return self.do("/execute/sync", {"script": text, "args": list(arguments)})

    def find(self, xpath):
        """The first visible element."""
        for element in self.do("/elements", {"using": "xpath", "value": xpath}):
            if self.script("return arguments[0].checkVisibility()", element):
                return element
        return None

    def click(self, what, xpath):
        def once():
            element = self.find(xpath)
            if element is None:
                return False
            self.script("arguments[0].scrollIntoView({block: 'center'})", element)
            self.do(f"/element/{element[ELEMENT]}/click")
            return True

        until(what, once)

    def text(self):
        return self.script("return document.body.innerText")

    def picture(self, path):
        path.write_bytes(base64.b64decode(self.send("GET", self.session + "/screenshot")))

    def logs(self, kind):
        return self.do("/se/log", {"type": kind})


def main():
    given, chromium, driver = called("Opens the docs page in a real browser.", "docs-page")

    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        log = stack.enter_context(open(directory / "log", "wb"))
        port, driver_port = free_port(), free_port()
        house = f"http://127.0.0.1:{port}"
        serve = [given.binary.resolve(), "--port", str(port), "--data", directory / "data"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SATCHEL_")}
        stack.enter_context(process(serve, cwd=directory, env=environment, stdout=log, stderr=log))
        stack.enter_context(process([driver, f"--port={driver_port}"], stdout=log, stderr=log))
        until("the server answers", lambda: ask("GET", house + "/health"))
        until("chromedriver answers", lambda: ask("GET", f"http://127.0.0.1:{driver_port}/status"))
        browser = Browser(f"http://127.0.0.1:{driver_port}", chromium, directory / "profile")
        stack.callback(browser.close)
        visit(browser, house, given.pictures)
    print(f"The docs page is good. Pictures: {given.pictures}")


def called(about, pictures):
    """What the script was called with, Chromium and its driver."""
    arguments = argparse.ArgumentParser(description=about)
    arguments.add_argument("binary", nargs="?", type=pathlib.Path, default=ROOT / "target/debug/satchel")
    arguments.add_argument("--pictures", type=pathlib.Path, default=ROOT / "target" / pictures)
    given = arguments.parse_args()
    chromium = tool("CHROMIUM", "chromium", "chromium-browser", "google-chrome", "chrome")
    driver = tool("CHROMEDRIVER", "chromedriver")
    if not given.binary.is_file():
        raise Failed(f"there is no {given.binary}: run `cargo build` first, or name another")
    given.pictures.mkdir(parents=True, exist_ok=True)
    return given, chromium, driver


def run(main, seconds=WHOLE_SECONDS):
    """Runs a script for so long at most; its failure is one line under its name."""
    late = threading.Timer(seconds, lambda: (print("It took too long.", file=sys.stderr), os._exit(1)))
    late.daemon = True
    late.start()
    try:
        main()
    except Failed as failed:
        sys.exit(f"{pathlib.Path(sys.argv[0]).stem}: {failed}")


def tool(variable, *names):
    path = os.environ.get(variable) or next(filter(None, map(shutil.which, names)), None)
    if path is None or not pathlib.Path(path).is_file():
        raise Failed(f"{names[0]} is not installed (looked for {', '.join(names)}); install it or set {variable}")
    return path


def visit(browser, house, pictures):
    document = ask("GET", house + "/openapi.json")
    token = sign_in(house)
    note = "addEventListener('securitypolicyviolation', e => (window.broken ??= []).push(e.violatedDirective + ' ' + e.blockedURI))"
    browser.devtools("Page.addScriptToEvaluateOnNewDocument", source=note)
    browser.do("/url", {"url": house + "/"})
    try:
        looks_right(browser, house, document)
        shades_and_widths(browser, house, pictures)
        asks_with_token(browser, house, token, pictures)
        signs_in_on_the_page(browser, house, pictures)
        keeps_no_password(browser)
    except Failed:
        browser.picture(pictures / "failed.png")
        raise
    asks_nobody_else(browser, house)
    complains_of_nothing(browser)


def sign_in(house):
    registration = json.dumps({**USER, "password": PASSWORD}).encode()
    ask("POST", house + "/api/v1.0/auth/register", registration, {"content-type": "application/json"})
    form = urllib.parse.urlencode({"username": USER["email"], "password": PASSWORD}).encode()
    return ask("POST", house + "/api/v1.0/auth/login", form)["access_token"]


def looks_right(browser, house, document):
    until("the page is drawn", lambda: document["info"]["title"] in browser.text())
    at = browser.script("return location.pathname")
    if at != "/scalar":
        raise Failed(f"/ leads to {at}, not to /scalar")
    title = browser.script("return document.title")
    if "Satchel" not in title:
        raise Failed(f"the title is {title!r}")
    icon = browser.script("return document.querySelector('link[rel~=icon]').href")
    if icon != house + "/scalar/icon.svg":
        raise Failed(f"the icon is {icon}")
    shown = {tag["name"]: tag["x-displayName"] for tag in document["tags"]}
    for group in document["x-tagGroups"]:
        until(f"the group {group['name']!r} in the side bar", lambda: side_bar(browser, group["name"]))
        if not side_bar(browser, group["name"], shown[group["tags"][0]]):
            browser.click(f"the group {group['name']!r}", f"//aside//a[normalize-space(.)='{group['name']}']")
        for tag in group["tags"]:
            name = shown[tag]
            until(f"the tag {tag!r} in the side bar as {name!r}", lambda: side_bar(browser, group["name"], name))


def side_bar(browser, group, tag=None):
    """The entry of a group, or of a tag in it: several groups have a tag of the same name."""
    entry = f"//aside//li[div/a[normalize-space(.)='{group}']]"
    return browser.find(entry if tag is None else f"{entry}//a[normalize-space(.)='{tag}']")


def shades_and_widths(browser, house, pictures):
    for width, height in ((1440, 1000), (390, 844)):
        for shade in ("light", "dark"):
            browser.devtools(
                "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
            )
            feature = [{"name": "prefers-color-scheme", "value": shade}]
            browser.devtools("Emulation.setEmulatedMedia", features=feature)
            # Not a reload: that would keep the place in the page.
            browser.do("/url", {"url": "about:blank"})
            browser.do("/url", {"url": house + "/scalar"})
            until("the page is drawn", lambda: "Satchel" in browser.text() and browser.find("//h1"))
            time.sleep(1)
            browser.picture(pictures / f"{shade}-{width}.png")
            body = browser.script("return document.body.className")
            if shade not in body:
                raise Failed(f"the page is {body!r} for a reader who prefers {shade}")
            over = browser.script("return document.documentElement.scrollWidth - innerWidth")
            if over > 0:
                raise Failed(f"at {width} px the page is {over} px too wide")
    browser.devtools("Emulation.clearDeviceMetricsOverride")
    browser.devtools("Emulation.setEmulatedMedia", features=[])


FIELD = "//input[@placeholder='Token']"
ALL_AWAY = "\ue009a\ue000\ue003"  # Control and A, then backspace (W3C WebDriver §17.4.2)


def asks_with_token(browser, house, token, pictures):
    browser.do("/url", {"url": "about:blank"})
    browser.do("/url", {"url": house + "/scalar"})
    browser.click("the bearer field", FIELD)
    browser.do(f"/element/{browser.find(FIELD)[ELEMENT]}/value", {"text": token})
    gets_the_profile(browser, "bookshelf", "users", ME)
    browser.picture(pictures / "answer.png")

    browser.do("/url", {"url": "about:blank"})
    browser.do("/url", {"url": house + "/scalar"})
    until("the bearer field", lambda: browser.find(FIELD))
    browser.picture(pictures / "loaded-again.png")
    gets_the_profile(browser, "bookshelf", "users", ME)
    browser.picture(pictures / "answer-again.png")

    browser.do("/url", {"url": "about:blank"})
    browser.do("/url", {"url": house + "/scalar"})
    browser.click("the bearer field", FIELD)
    browser.do(f"/element/{browser.find(FIELD)[ELEMENT]}/value", {"text": ALL_AWAY})
    kept = "return JSON.stringify(localStorage) + JSON.stringify(sessionStorage)"
    until("a token that was taken out of the field leaves the browser's storage", lambda: token not in browser.script(kept))


def signs_in_on_the_page(browser, house, pictures):
    """At one API, with address and password; then another API is asked."""
    browser.do("/url", {"url": "about:blank"})
    browser.do("/url", {"url": house + "/scalar"})
    choice = "//*[@role='option'][normalize-space(.)='{}']"
    browser.click("the choice of schemes", "//button[contains(., 'Selected Auth Type')]")
    browser.click("the sign-in of bookshelf", choice.format("bookshelf_login"))
    browser.click("the bearer token, to leave it", choice.format("bearer"))
    browser.script("document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape', bubbles: true}))")
    for hint, text in (("janedoe", USER["email"]), ("********", PASSWORD)):
        field = f"//*[@placeholder='{hint}' or @data-placeholder='{hint}']"
        browser.click(f"the field with the hint {hint}", field)
        browser.do(f"/element/{browser.find(field)[ELEMENT]}/value", {"text": text})
    browser.picture(pictures / "sign-in.png")
    browser.click("the button to sign in", "//button[normalize-space(.)='Authorize']")
    until("the page has a token", lambda: "Clear tokens" in browser.text())
    gets_the_profile(browser, "todolist", "auth", "GET/v1/auth/me")
    browser.picture(pictures / "signed-in.png")


def keeps_no_password(browser):
    if PASSWORD in browser.script("return JSON.stringify(localStorage)"):
        raise Failed("the password is in the browser's storage")
    # Whatever the page's script writes of a sign-in.
    write = """
        const [long] = arguments;
        const names = ['password', 'refresh-token', 'client-secret'].map(name => ['x-scalar-secret-' + name, long]);
        localStorage.setItem('tried', JSON.stringify({ a: { 'x-scalar-secret-token': 'short', ...Object.fromEntries(names) } }));
        const kept = localStorage.getItem('tried');
        localStorage.removeItem('tried');
        return kept;
    """
    kept = browser.script(write, 'not "to be\\ kept')
    if "to be" in kept or json.loads(kept)["a"]["x-scalar-secret-token"] != "short":
        raise Failed(f"the browser's storage takes {kept}")


def gets_the_profile(browser, group, tag, operation):
    if not browser.find(f"//aside//a[@href='#tag/{group}-{tag}']"):
        browser.click(f"the group {group}", f"//aside//a[@href='#tag-group/{group}']")
    browser.click(f"the tag {tag}", f"//aside//a[@href='#tag/{group}-{tag}']")
    browser.click(f"{operation} in the side bar", f"//aside//a[contains(@href, '{operation}')]")
    browser.click("its button", f"//*[contains(@id, '{operation}')]//button[contains(., 'Test Request')]")
    browser.click("the send button", "//*[@role='dialog']//button[contains(., 'Send')]")
    shown = "return document.querySelector('[role=dialog]').innerText"
    for wanted in ("200 OK", USER["first_name"], USER["email"]):
        until(f"{wanted} among the answer", lambda: wanted in browser.script(shown))


def asks_nobody_else(browser, house):
    urls = set()
    for entry in browser.logs("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            urls.add(message["params"]["request"]["url"])
    # The browser's own first tab has addresses of its own.
    inside = (house + "/", "data:", "blob:" + house, "about:", "chrome:", "chrome-extension:")
    strangers = sorted(url for url in urls if not url.startswith(inside))
    if strangers:
        raise Failed(f"other hosts were asked: {strangers}")
    if not any(url.startswith(house) for url in urls):
        raise Failed("the browser noted no request at all: this script no longer sees them")


def complains_of_nothing(browser):
    broken = browser.script("return window.broken ?? []")
    if broken:
        raise Failed(f"the content security policy was broken: {broken}")
    faults = [entry["message"] for entry in browser.logs("browser") if entry["level"] in ("SEVERE", "WARNING")]
    if faults:
        raise Failed("the console: " + "\n".join(faults))


if __name__ == "__main__":
    run(main)
