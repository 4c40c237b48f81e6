#!/usr/bin/env python3
"""Holds the OpenAPI document against linters and generators, and uses the clients that come of it.

    cargo build
    python3 tests/generated_clients.py                   # target/debug/satchel
    python3 tests/generated_clients.py target/release/satchel

It needs Python 3.10, Node 20 and npm. The tools are installed with pip and npm into a directory of their own,
target/generated-clients. The server is started on a fresh directory and a free port. It fails when

- a recommended rule of Redocly or Spectral has an error or a warning (no rule is switched off),
- openapi-typescript, @hey-api/openapi-ts, openapi-python-client or datamodel-code-generator complains or leaves
  something out,
- what they write does not pass `tsc --strict` or `mypy --strict`,
- the clients of @hey-api/openapi-ts and openapi-python-client cannot register, sign in, create and list.
"""

import argparse
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import venv

ROOT = pathlib.Path(__file__).resolve().parent.parent
HOME = ROOT / "target/generated-clients"
# Versions of which the newest minor one is taken; of what is not 1.0 yet, one that runs on Node 20.
NODE_PACKAGES = [
    "@redocly/cli@2",
    "@stoplight/spectral-cli@6",
    "openapi-typescript@7",
    "@hey-api/openapi-ts@0.95.0",
    "typescript@5",
    "@types/node@20",
]
PYTHON_PACKAGES = [
    "openapi-python-client>=0.26,<0.30",
    "datamodel-code-generator[ruff]>=0.35,<1",
    "pydantic[email]>=2,<3",
    "mypy>=1.10",
    "ruff",
]
STEP_SECONDS = 300

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Failed(Exception):
    """What is wrong, in a sentence."""


def main():
    arguments = argparse.ArgumentParser(description="Lints the OpenAPI document and generates clients from it.")
    arguments.add_argument("binary", nargs="?", type=pathlib.Path, default=ROOT / "target/debug/satchel")
    given = arguments.parse_args()
    if not given.binary.is_file():
        raise Failed(f"there is no {given.binary}: run `cargo build` first, or name another")
    binary = given.binary.resolve()
    install()
    work = HOME / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    (work / "openapi.json").write_bytes(run([binary, "openapi"], work).encode())
    (work / "node_modules").symlink_to(HOME / "node_modules")
    lint(work)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        data = pathlib.Path(directory) / "data"
        confirm = [binary, "--data", data, "admin", "confirm", "ben@example.com"]
        with serving(binary, data) as house:
            typescript_types(work)
            typescript_client(work, house)
            python_client(work, house, confirm)
            python_models(work)
    print(f"Linters, generators and clients are content. What was generated: {work}")


def install():
    """Installs the tools, if they are not there in these versions."""
    HOME.mkdir(parents=True, exist_ok=True)
    wanted = json.dumps([NODE_PACKAGES, PYTHON_PACKAGES])
    mark = HOME / "installed.json"
    if mark.is_file() and mark.read_text() == wanted:
        return
    (HOME / "package.json").write_text('{ "name": "generated-clients", "private": true }')
    npm = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    run([*npm, *NODE_PACKAGES], HOME, seconds=900)
    venv.create(HOME / "python", with_pip=True, clear=True)
    run([python("python"), "-m", "pip", "install", "--quiet", *PYTHON_PACKAGES], HOME, seconds=900)
    mark.write_text(wanted)


def python(tool):
    return HOME / "python/bin" / tool


def node(tool):
    return HOME / "node_modules/.bin" / tool


def run(command, directory, seconds=STEP_SECONDS, **more):
    """What the command prints; it fails when the command does."""
    # The tools ask nobody for anything but what they are given.
    quiet = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "NO_COLOR": "1"}
    path = f"{HOME / 'python/bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, **quiet, "PATH": path, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", **more}
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        name = pathlib.Path(command[0]).name
        raise Failed(f"{name} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-6000:]}")
    return done.stdout


class serving:
    """A server on a fresh data directory; its URL."""

    def __init__(self, binary, data):
        self.binary, self.data = binary, data

    def __enter__(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        house = f"http://127.0.0.1:{port}"
        command = [self.binary, "--port", str(port), "--data", self.data]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SATCHEL_")}
        self.log = open(self.data.parent / "log", "wb")
        self.server = subprocess.Popen(
            command, cwd=self.data.parent, env=environment, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log
        )
        end = time.monotonic() + 20
        while True:
            try:
                DIRECT.open(house + "/health", timeout=5).close()
                return house
            except (urllib.error.URLError, ConnectionError):
                if time.monotonic() > end:
                    self.__exit__()
                    raise Failed("the server does not answer") from None
                time.sleep(0.1)

    def __exit__(self, *_):
        self.server.terminate()
        self.server.wait(30)
        self.log.close()


def lint(work):
    """Redocly's and Spectral's recommended rules, all of them: a warning counts."""
    (work / "redocly.yaml").write_text("extends:\n  - recommended\n")
    told = run_linter([node("redocly"), "lint", "openapi.json", "--format=json"], work)
    problems = json.loads(told[told.index("{") :])["problems"]
    report("Redocly", [f"{problem['ruleId']}: {problem['message']}" for problem in problems])
    (work / "spectral.yaml").write_text('extends: ["spectral:oas"]\n')
    told = run_linter([node("spectral"), "lint", "openapi.json", "-r", "spectral.yaml", "-f", "json", "-q"], work)
    problems = json.loads(told[told.index("[") :])
    report("Spectral", [f"{' > '.join(map(str, found['path']))}: {found['code']}" for found in problems])


def run_linter(command, work):
    """What a linter prints, whatever it found."""
    quiet = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "NO_COLOR": "1"}
    done = subprocess.run(
        command, cwd=work, env={**os.environ, **quiet}, capture_output=True, text=True, timeout=STEP_SECONDS
    )
    if not done.stdout.strip():
        raise Failed(f"{command[0].name} says nothing:\n{done.stderr[-3000:]}")
    return done.stdout


def report(linter, problems):
    if problems:
        raise Failed(f"{linter} has {len(problems)} complaints:\n" + "\n".join(problems[:40]))
    print(f"{linter}: nothing to complain of")


TSCONFIG = {
    "compilerOptions": {
        "strict": True,
        "target": "es2022",
        "module": "nodenext",
        "moduleResolution": "nodenext",
        "lib": ["es2022", "dom", "dom.iterable"],
        "types": ["node"],
        "outDir": "built",
        "noEmitOnError": True,
        "skipLibCheck": True,
    }
}

TYPES_STORY = """
import type { components, operations, paths } from "./openapi.js";

type Book = components["schemas"]["BookshelfBook"];
type Answer<Operation extends keyof operations, Status extends keyof operations[Operation]["responses"]> =
  operations[Operation]["responses"][Status] extends { content: { "application/json": infer Body } } ? Body : never;

export const role: components["schemas"]["Role"] = "moderator";
export const form: NonNullable<paths["/api/v1.0/auth/login"]["post"]["requestBody"]>["content"][
  "application/x-www-form-urlencoded"
] = { username: "ada@example.com", password: "correct horse battery staple" };
export const books: Answer<"bookshelf_list_books", 200> = [];
export const first: Book | undefined = books[0];
export const refused: Answer<"todolist_login", 401>["error"]["message"] = "";
"""

CLIENT_STORY = """
import { createClient } from "./hey/client/index.js";
import * as api from "./hey/sdk.gen.js";

const client = createClient({ baseUrl: process.argv[2]! });
const password = "correct horse battery staple";
const ada = { username: "ada", email: "ada@example.com", first_name: "Ada", last_name: "Lovelace", password };

async function done<Body>(answer: Promise<{ data?: Body; error?: unknown }>): Promise<Body> {
  const { data, error } = await answer;
  if (data === undefined) throw new Error(JSON.stringify(error));
  return data;
}

const registered = await done(api.bookshelfRegister({ client, body: ada }));
const tokens = await done(api.bookshelfLogin({ client, body: { username: ada.email, password } }));
client.setConfig({ auth: () => tokens.access_token });
const me = await done(api.bookshelfMe({ client }));
if (me.uuid !== registered.uuid || me.role !== "user") throw new Error(JSON.stringify(me));

const dune = {
  title: "Dune", author: "Frank Herbert", publisher: "Chilton Books", publish_date: "1965-08-01", pages: 412,
  language: "English",
};
const book = await done(api.bookshelfCreateBook({ client, body: dune }));
const update = { client, path: { book_uuid: book.uuid }, body: { pages: 500 } };
const changed = await done(api.bookshelfUpdateBook(update));
const books = await done(api.bookshelfListOwnBooks({ client, query: { limit: 10 } }));
if (changed.pages !== 500 || books.length !== 1 || books[0]!.title !== "Dune") throw new Error(JSON.stringify(books));

// The same token at another API.
const todo = await done(api.todolistCreateTodo({ client, body: { title: "Learn Rust", priority: "high" } }));
const todos = await done(api.todolistListTodos({ client, query: { completed: false } }));
if (todos.total !== 1 || todos.todos[0]!.id !== todo.id) throw new Error(JSON.stringify(todos));

const { error } = await api.bookshelfLogin({ client, body: { username: ada.email, password: "wrong" } });
if (!error || !("detail" in error) || error.detail !== "Invalid email or password") throw new Error(JSON.stringify(error));
await done(api.bookshelfLogout({ client }));
"""

PYTHON_STORY = '''
import subprocess
import sys
from datetime import date
from io import BytesIO

from satchel_client import AuthenticatedClient, Client
from satchel_client import models
from satchel_client.api.bookshelf_auth import bookshelf_login, bookshelf_logout, bookshelf_refresh
from satchel_client.api.bookshelf_books import bookshelf_create_book, bookshelf_list_own_books
from satchel_client.api.bookshelf_users import bookshelf_me
from satchel_client.api.contactbook_contacts import contactbook_create_contact, contactbook_update_avatar
from satchel_client.api.identity_auth import identity_login, identity_register
from satchel_client.api.store_items import store_create_item, store_list_items
from satchel_client.api.store_managers import store_login, store_register
from satchel_client.types import File

PASSWORD = "correct horse battery staple"

stranger = Client(base_url=sys.argv[1])
manager = models.StoreManagerCreate(name="Ben", email="ben@example.com", password_hash=PASSWORD)
assert isinstance(store_register.sync(client=stranger, body=manager), models.StoreManager)
form = models.LoginForm(username="ben@example.com", password=PASSWORD)
token = store_login.sync(client=stranger, body=form)
assert isinstance(token, models.StoreAccessToken), token
ben = AuthenticatedClient(base_url=sys.argv[1], token=token.access_token)

tea = models.StoreItemCreate(name="Green tea", category=models.Category.GROCERY, price_usd=19.99, in_stock=True)
item = store_create_item.sync(client=ben, body=tea)
assert isinstance(item, models.StoreItem) and item.category is models.Category.GROCERY, item
items = store_list_items.sync(client=ben)
assert items is not None and not isinstance(items, models.ErrorResponse | models.ValidationErrorResponse), items
listed = items[str(item.id)]
assert isinstance(listed, models.StoreItem) and listed == item, listed

pair = bookshelf_login.sync(client=stranger, body=form)
assert isinstance(pair, models.TokenPair), pair
renewed = bookshelf_refresh.sync(client=stranger, body=models.TokenRefresh(refresh_token=pair.refresh_token))
assert isinstance(renewed, models.TokenPair), renewed
client = AuthenticatedClient(base_url=sys.argv[1], token=renewed.access_token)
dune = models.BookshelfBookCreate(
    title="Dune", author="Frank Herbert", publisher="Chilton Books", publish_date=date(1965, 8, 1), pages=412,
    language="English",
)
book = bookshelf_create_book.sync(client=client, body=dune)
assert isinstance(book, models.BookshelfBook), book
books = bookshelf_list_own_books.sync(client=client, limit=10)
assert isinstance(books, list) and [found.uuid for found in books] == [book.uuid], books
me = bookshelf_me.sync(client=client)
assert isinstance(me, models.BookshelfUserWithBooks) and me.role is models.Role.USER, me

anew = models.IdentityRegister(email="cyd@example.com", password=PASSWORD)
assert isinstance(identity_register.sync(client=stranger, body=anew), models.IdentityRegistered)
wrong = identity_login.sync(client=stranger, body=models.LoginForm(username="cyd@example.com", password="wrong"))
assert isinstance(wrong, models.ErrorResponse) and wrong.detail == "Invalid credentials", wrong

# contactbook is for users with a confirmed address.
subprocess.run(sys.argv[2:], check=True, capture_output=True)
ada = models.ContactbookContactWrite(
    fullname="Ada Lovelace", email="a@example.com", phone_number=1, birthday=date(1815, 12, 10)
)
contact = contactbook_create_contact.sync(client=client, body=ada)
assert isinstance(contact, models.ContactbookContact), contact
upload = models.FileUpload(file=File(payload=BytesIO(b"no picture"), file_name="a.png", mime_type="image/png"))
refused = contactbook_update_avatar.sync(contact.id, client=client, body=upload)
assert isinstance(refused, models.ErrorResponse) and refused.detail == "Unsupported image", refused
assert isinstance(bookshelf_logout.sync(client=client), models.Message)
'''


def typescript_types(work):
    run([node("openapi-typescript"), "openapi.json", "-o", "openapi.ts"], work)
    (work / "package.json").write_text('{ "type": "module", "private": true }')
    (work / "types.ts").write_text(TYPES_STORY)
    (work / "tsconfig.json").write_text(json.dumps({**TSCONFIG, "files": ["types.ts"]}))
    run([node("tsc"), "-p", "."], work)
    print("openapi-typescript: good")


def typescript_client(work, house):
    (work / "openapi-ts.config.mjs").write_text(
        "export default { input: './openapi.json', output: { path: 'hey', module: { extension: '.js' } },"
        " plugins: ['@hey-api/typescript', '@hey-api/client-fetch', '@hey-api/sdk'], logs: { file: false } };"
    )
    run([node("openapi-ts"), "-f", "openapi-ts.config.mjs"], work)
    (work / "client.ts").write_text(CLIENT_STORY)
    (work / "tsconfig.json").write_text(json.dumps({**TSCONFIG, "files": ["client.ts"]}))
    run([node("tsc"), "-p", "."], work)
    run(["node", "built/client.js", house], work)
    print("@hey-api/openapi-ts: good")


def python_client(work, house, confirm):
    generate = [python("openapi-python-client"), "generate", "--path", "openapi.json", "--output-path", "python"]
    # It knows no pictures: they are bytes like others.
    overrides = {"image/jpeg": "application/octet-stream", "image/png": "application/octet-stream"}
    (work / "python.json").write_text(json.dumps({"content_type_overrides": overrides}))
    # A body or an answer that it has to leave out is a warning.
    run([*generate, "--config", "python.json", "--fail-on-warning"], work)
    (work / "python/story.py").write_text(PYTHON_STORY)
    run([python("mypy"), "--strict", "satchel_client", "story.py"], work / "python")
    run([python("python"), "story.py", house, *confirm], work / "python")
    print("openapi-python-client: good")


def python_models(work):
    generate = [python("datamodel-codegen"), "--input", "openapi.json", "--input-file-type", "openapi"]
    generate += ["--output-model-type", "pydantic_v2.BaseModel", "--target-python-version", "3.10"]
    # As type checkers need it: bounds as annotations, defaults as members of their lists.
    generate += ["--use-annotated", "--set-default-enum-member"]
    run([*generate, "--output", "satchel_models.py"], work)
    (work / "story.py").write_text(
        "import satchel_models as models\n"
        "update = models.BookshelfAdminUserUpdate(first_name='Ada')\n"
        "assert update.role is None, update.role\n"
        "assert models.Role.moderator.value == 'moderator'\n"
        "assert models.BookshelfUser.model_fields['role'].is_required()\n"
    )
    checks = ["--strict", "--config-file", "mypy.ini"]
    (work / "mypy.ini").write_text("[mypy]\nplugins = pydantic.mypy\n")
    run([python("mypy"), *checks, "satchel_models.py", "story.py"], work)
    run([python("python"), "story.py"], work)
    print("datamodel-code-generator: good")


if __name__ == "__main__":
    try:
        main()
    except Failed as failed:
        sys.exit(f"generated_clients: {failed}")
