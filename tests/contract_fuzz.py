#!/usr/bin/env python3
"""Fuzzes a running server by its own OpenAPI document, with schemathesis.

    cargo build
    python3 tests/contract_fuzz.py                   # target/debug/satchel, 20 examples for each operation
    python3 tests/contract_fuzz.py target/release/satchel --max-examples 200 --seed 7

It needs Python 3.10. schemathesis is installed with pip into an environment of its own, target/contract-fuzz. The
server is started on a fresh directory and a free port; a user signs in first, and then an administrator, for one
run each. It fails on a 500, and on a status, media type, header or body that the document does not tell. The seed
is printed, and a failure comes with the curl command that repeats it.

Not held against it: what the document forbids and the server takes, and the other way round. The clients that
we stand in for rely on lax input (`"12"` for a number), and rules such as "not your own name" are none of JSON
Schema's.
"""

import argparse
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import venv

ROOT = pathlib.Path(__file__).resolve().parent.parent
HOME = ROOT / "target/contract-fuzz"
PACKAGES = ["schemathesis>=4,<5"]
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_headers_conformance,response_schema_conformance,allow_header_conformance"
)
# They would end the run's own session or account.
SUICIDAL = [
    "bookshelf_logout", "bookshelf_logout_all", "store_logout", "todolist_logout", "identity_logout",
    "bookshelf_change_password", "identity_delete_me",
]
# They find users by small numbers. The last administrator cannot be taken away.
SUICIDAL_FOR_USERS = ["todolist_delete_user", "todolist_update_user"]
# What contactbook allows in a minute is soon used up.
LIMITED = [
    "signup", "login", "refresh_token", "request_email", "request_reset", "show_reset", "reset_password",
    "confirm_email", "list_contacts", "create_contact", "list_birthdays", "find_contact", "update_contact",
    "delete_contact", "update_avatar",
]
PASSWORD = "correct horse battery staple"
RUN_SECONDS = 600

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def main():
    arguments = argparse.ArgumentParser(description="Fuzzes a server by its own OpenAPI document.")
    arguments.add_argument("binary", nargs="?", type=pathlib.Path, default=ROOT / "target/debug/satchel")
    arguments.add_argument("--max-examples", type=int, default=20, help="of each operation [20]")
    arguments.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    given = arguments.parse_args()
    if not given.binary.is_file():
        sys.exit(f"there is no {given.binary}: run `cargo build` first, or name another")
    tool = schemathesis()
    binary = given.binary.resolve()
    print(f"seed {given.seed}")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        house, data = f"http://127.0.0.1:{port}", pathlib.Path(directory) / "data"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SATCHEL_")}
        environment |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        environment |= {f"SATCHEL_CONTACTBOOK__LIMITS__{name.upper()}": "off" for name in LIMITED}
        with open(pathlib.Path(directory) / "log", "w+b") as log:
            command = [binary, "--port", str(port), "--data", data]
            server = subprocess.Popen(command, cwd=directory, env=environment, stdout=log, stderr=log)
            try:
                wait(house)
                register(house, "ada")
                administer(binary, data, directory, environment, "create", "root@example.com")
                for name in ("ada", "root"):
                    administer(binary, data, directory, environment, "confirm", f"{name}@example.com")
                # Both at once: the log-ins that follow are fuzzed, and soon too many.
                tokens = [sign_in(house, name) for name in ("ada", "root")]
                spared = [SUICIDAL + SUICIDAL_FOR_USERS, SUICIDAL]
                codes = [
                    fuzz(tool, house, token, spare, given, directory, environment)
                    for token, spare in zip(tokens, spared)
                ]
                alive = server.poll() is None
            finally:
                server.terminate()
                server.wait(30)
            log.seek(0)
            faults = [line for line in log.read().decode(errors="replace").splitlines() if "ERROR" in line]
    print(*faults, sep="\n")
    if any(codes) or faults or not alive:
        sys.exit("contract_fuzz: the server said what its document does not")
    print("The server keeps to its document.")


def schemathesis():
    tool = HOME / ("Scripts/schemathesis.exe" if os.name == "nt" else "bin/schemathesis")
    if not tool.exists():
        venv.create(HOME, with_pip=True)
        python = tool.with_name("python.exe" if os.name == "nt" else "python")
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True, timeout=600)
    return tool


def ask(url, body=None, headers=None):
    request = urllib.request.Request(url, data=body, headers=headers or {})
    with DIRECT.open(request, timeout=20) as answer:
        return json.load(answer)


def wait(house):
    end = time.monotonic() + 20
    while True:
        try:
            return ask(house + "/health")
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > end:
                sys.exit("contract_fuzz: the server does not answer")
            time.sleep(0.1)


def register(house, name):
    user = {"username": name, "email": f"{name}@example.com", "first_name": "A", "last_name": "B"}
    body = json.dumps({**user, "password": PASSWORD}).encode()
    ask(house + "/api/v1.0/auth/register", body, {"content-type": "application/json"})


def administer(binary, data, directory, environment, verb, email):
    command = [binary, "--data", data, "admin", verb, *(["--email", email] if verb == "create" else [email])]
    command += ["--password-stdin"] if verb == "create" else []
    subprocess.run(command, input=PASSWORD.encode(), cwd=directory, env=environment, check=True, timeout=60)


def sign_in(house, name):
    form = {"username": f"{name}@example.com", "password": PASSWORD}
    return ask(house + "/api/v1.0/auth/login", urllib.parse.urlencode(form).encode())["access_token"]


def fuzz(tool, house, token, spare, given, directory, environment):
    command = [tool, "run", house + "/openapi.json", "--url", house, "--no-color", "--continue-on-failure"]
    command += ["--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--warnings", "off"]
    command += ["--max-examples", str(given.max_examples), "--seed", str(given.seed)]
    command += ["--header", f"Authorization: Bearer {token}"]
    for operation in spare:
        command += ["--exclude-operation-id", operation]
    return subprocess.run(command, cwd=directory, env=environment, timeout=RUN_SECONDS).returncode


if __name__ == "__main__":
    main()
