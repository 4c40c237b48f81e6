#!/usr/bin/env python3
"""Runs a browser app from other ports and hosts against the server, in a real browser.

    cargo build
    python3 tests/browser_app.py                     # target/debug/satchel
    python3 tests/browser_app.py target/release/satchel --pictures /tmp/pictures

It needs what docs_page.py needs: Python 3.9, Chromium (or Chrome) and chromedriver, and no package. It starts the
server twice, in development and in production, and a little server for the app's page, and fails when

- README's example of a browser app does not do what it says, from any loopback origin,
- a page of this machine cannot send a method, a header or credentials in development, or cannot read a refusal, its
  headers or a large refused upload,
- a page of another host, or a file, can read an answer, or the log does not name it and the setting, once,
- in production a page that is named cannot call, or one that is not named can.

A picture of the app's page goes to `--pictures` (default: target/browser-app).
"""

import contextlib
import http.server
import json
import os
import pathlib
import re
import tempfile
import threading

from docs_page import PASSWORD, ROOT, USER, Browser, Failed, ask, called, free_port, process, run, until

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>app</title>
<body style="font: 16px system-ui; margin: 2rem"><h1>A browser app</h1><pre id="said"></pre></body></html>"""
STRANGER = "app.example"

# Sends a request as an app does, and gives what the app can read of the answer.
SEND = """
const [url, options, done] = arguments;
if (options.megabytes) options.body = 'x'.repeat(options.megabytes << 20);
fetch(url, options)
  .then(async response => {
    const text = await response.text();
    const json = text && response.headers.get('content-type')?.startsWith('application/json') ? JSON.parse(text) : null;
    return { status: response.status, json, headers: Object.fromEntries(response.headers) };
  })
  .catch(error => ({ blocked: String(error) }))
  .then(done);
"""
# Runs README's example as a module would be run, and gives what it logs.
EXAMPLE = """
const done = arguments[arguments.length - 1];
const said = [];
const console = { log: what => said.push(what) };
(async () => { %s })().then(
  () => { document.querySelector('#said').textContent = JSON.stringify(said, null, 2); done({ said }); },
  error => done({ error: String(error) }));
"""


class Page(http.server.BaseHTTPRequestHandler):
    """The app's page, at any path and for any host."""

    def do_GET(self):
        body = PAGE.encode()
        self.send_response(200)
        self.send_header("content-type", "text/html; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class App:
    """The app's page, opened at an origin, and the server that it asks."""

    def __init__(self, browser, house):
        self.browser, self.house = browser, house

    def open(self, url):
        self.browser.do("/url", {"url": url})

    def run(self, script, *arguments):
        return self.browser.do("/execute/async", {"script": script, "args": list(arguments)})

    def send(self, method, path, token=None, **options):
        headers = options.pop("headers", {})
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if "json" in options:
            headers["Content-Type"] = "application/json"
            options["body"] = json.dumps(options.pop("json"))
        return self.run(SEND, self.house + path, {"method": method, "headers": headers, **options})

    def reads(self, status, method, path, token=None, **options):
        answer = self.send(method, path, token, **options)
        if answer.get("status") != status:
            raise Failed(f"{method} {path} is {answer}, not {status}")
        return answer

    def is_blocked(self, what):
        answer = self.send("GET", "/health")
        if "blocked" not in answer:
            raise Failed(f"{what} reads {answer}")


def main():
    given, chromium, driver = called("Runs a browser app against the server.", "browser-app")

    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        port, driver_port = free_port(), free_port()
        pages = [served(stack, host, port) for host in ("127.0.0.1", "::1")]
        if not any(pages):
            raise Failed("the app's page cannot be served")
        driver_log = stack.enter_context(open(directory / "driver.log", "wb"))
        stack.enter_context(process([driver, f"--port={driver_port}"], stdout=driver_log, stderr=driver_log))
        until("chromedriver answers", lambda: ask("GET", f"http://127.0.0.1:{driver_port}/status"))
        more = [f"--host-resolver-rules=MAP {STRANGER} 127.0.0.1", f"--proxy-bypass-list=127.0.0.1;[::1];localhost;{STRANGER}"]
        browser = Browser(f"http://127.0.0.1:{driver_port}", chromium, directory / "profile", more)
        stack.callback(browser.close)
        try:
            house, log = start(stack, given.binary, directory / "development", {})
            in_development(App(browser, house), port, pages[1], directory, log, given.pictures)
            stranger = f"http://{STRANGER}:{port}"
            settings = {
                "SATCHEL_ENVIRONMENT": "production",
                "SATCHEL_SERVER__PUBLIC_URL": "https://books.example.org",
                "SATCHEL_SERVER__CORS_ORIGINS": stranger,
                "SATCHEL_MAIL__TRANSPORT": "off",
            }
            house, log = start(stack, given.binary, directory / "production", settings)
            in_production(App(browser, house), port, stranger, log)
        except Failed:
            browser.picture(given.pictures / "failed.png")
            raise
    print(f"A browser app may call. Pictures: {given.pictures}")


def served(stack, host, port):
    """Serves the app's page there, if there is such an address."""
    kind = type("Server", (http.server.ThreadingHTTPServer,), {"address_family": 10 if ":" in host else 2})
    try:
        server = kind((host, port), Page)
    except OSError:
        return False
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stack.callback(server.shutdown)
    return True


def start(stack, binary, directory, settings):
    """A server of its own: where it is, and its log."""
    directory.mkdir()
    log = directory / "log"
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SATCHEL_")}
    to = stack.enter_context(open(log, "wb"))
    serve = [binary.resolve(), "--port", str(port), "--data", directory / "data"]
    stack.enter_context(process(serve, cwd=directory, env={**environment, **settings}, stdout=to, stderr=to))
    house = f"http://127.0.0.1:{port}"
    until("the server answers", lambda: ask("GET", house + "/health"))
    return house, log


def example(house):
    """README's example, with this server's address."""
    blocks = re.findall(r"```js\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    if len(blocks) != 1 or "http://127.0.0.1:8000" not in blocks[0]:
        raise Failed(f"README has {len(blocks)} examples of a browser app, or none that asks the server")
    return EXAMPLE % blocks[0].replace("http://127.0.0.1:8000", house)


def in_development(app, port, has_ipv6, directory, log, pictures):
    app.open(f"http://localhost:{port}/")
    registration = {**USER, "password": PASSWORD}
    app.reads(201, "POST", "/api/v1.0/auth/register", json=registration)
    origins = [f"http://localhost:{port}", f"http://127.0.0.1:{port}", f"http://shop.localhost:{port}"]
    origins += [f"http://[::1]:{port}"] if has_ipv6 else []
    for count, origin in enumerate(origins, 1):
        app.open(origin + "/")
        ended = app.run(example(app.house))
        if "said" not in ended or len(ended["said"][0]) != count:
            raise Failed(f"README's example, from {origin}: {ended}")
    app.browser.picture(pictures / "example.png")

    app.open(origins[0] + "/")
    form = {"headers": {"Content-Type": "application/x-www-form-urlencoded"}}
    body = f"username={USER['email']}&password={PASSWORD.replace(' ', '+')}"
    token = app.reads(200, "POST", "/api/v1.0/auth/login", body=body, **form)["json"]["access_token"]
    app.reads(200, "GET", "/api/v1.0/users/me", token, credentials="include", headers={"X-Anything": "at all"})
    app.reads(200, "PATCH", "/v1/todos/1", token, json={"is_completed": True})
    app.reads(204, "DELETE", "/v1/todos/2", token)
    app.reads(200, "PUT", "/users/profile", token, json={"first_name": "Ada", "last_name": "Lovelace"})

    refused = app.reads(401, "GET", "/api/v1.0/users/me", "wrong")
    for name in ("www-authenticate", "x-request-id", "x-process-time"):
        if not refused["headers"].get(name):
            raise Failed(f"{name} cannot be read: {refused}")
    app.reads(404, "GET", "/nowhere", token)
    app.reads(405, "DELETE", "/health", token)
    app.reads(422, "POST", "/v1/todos", token, json={})
    app.reads(413, "POST", "/v1/todos", token, megabytes=3, headers={"Content-Type": "application/json"})
    for _ in range(3):
        limited = app.send("POST", "/api/auth/request_email", json={"email": USER["email"]})
    if limited.get("status") != 429 or not limited["headers"].get("retry-after"):
        raise Failed(f"a limit cannot be read: {limited}")

    for _ in range(2):
        app.open(f"http://{STRANGER}:{port}/")
        app.is_blocked("a page of another host")
        page = directory / "page.html"
        page.write_text(PAGE)
        app.open(page.as_uri())
        app.is_blocked("a file")
    # What the server's own page sends is no affair of another origin.
    app.open(app.house + "/scalar")
    app.reads(200, "PATCH", "/v1/todos/1", token, json={"is_completed": False})
    told(log, [f"http://{STRANGER}:{port}", "null"])


def in_production(app, port, stranger, log):
    app.open(stranger + "/")
    app.reads(201, "POST", "/api/v1.0/auth/register", json={**USER, "password": PASSWORD}, credentials="include")
    app.reads(401, "GET", "/v1/todos", "wrong")
    app.open(f"http://localhost:{port}/")
    app.is_blocked("a page of this machine")
    told(log, [f"http://localhost:{port}"])


def told(log, origins):
    """Says that the log tells of exactly these, each once."""
    lines = [line for line in log.read_text().splitlines() if "server.cors_origins" in line]
    if len(lines) != len(origins) or not all(origin in line for origin, line in zip(origins, lines)):
        raise Failed(f"the log tells of {lines}, not of {origins}")


if __name__ == "__main__":
    run(main)
