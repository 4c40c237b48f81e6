#!/usr/bin/env python3
"""Sends bodies that are answered before they are read, with clients as people use them: each answer must arrive.

    cargo build
    python3 tests/clients.py                         # target/debug/satchel
    python3 tests/clients.py target/release/satchel --times 50

It starts the server in an empty directory. Node's `fetch` (Node 18), Python's `http.client` and Java's `HttpClient` (Java 17)
send 64 KiB, 6 MB and 12 MB, with a length and chunked, 20 times each, to a route that asks for a token (401), to one that is not
there (404) and to one that takes less (413). A client that is not installed is left out and named; the script fails when an answer
is lost, is another one, or when no client was there. Python 3.9 or later, and no package.
"""

import argparse
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from docs_page import ROOT, Failed, ask, free_port, process, run, until

SIZES = (64 * 1024, 6_000_000, 12_000_000)
FRAMINGS = ("length", "chunked")
WITHOUT_TOKEN, NOWHERE, TOO_LARGE = "/api/v1.0/books/", "/nowhere", "/api/v1.0/auth/register"
CLIENT_SECONDS = 300
WHOLE_SECONDS = 1000

# Each client reads [[path, size, framing], …] from its stdin and prints the status of each answer, or what went wrong.
NODE = """
const [port] = process.argv.slice(2);
const cases = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const chunks = size => new ReadableStream({
  start(stream) {
    for (let at = 0; at < size; at += 65536) stream.enqueue(Buffer.alloc(Math.min(65536, size - at), 'x'));
    stream.close();
  },
});
(async () => {
  for (const [path, size, framing] of cases) {
    const body = framing === 'chunked' ? { body: chunks(size), duplex: 'half' } : { body: Buffer.alloc(size, 'x') };
    const headers = { 'content-type': 'application/json' };
    try {
      const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method: 'POST', headers, ...body });
      await answer.text();
      console.log(answer.status);
    } catch (error) {
      console.log(`${error} ${error.cause ?? ''}`.replaceAll('\\n', ' '));
    }
  }
})();
"""

JAVA = """
import java.io.ByteArrayInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.Arrays;
import java.util.Scanner;

public class Sender {
    public static void main(String[] arguments) {
        HttpClient client = HttpClient.newHttpClient();
        Scanner cases = new Scanner(System.in);
        while (cases.hasNext()) {
            String path = cases.next();
            byte[] body = new byte[cases.nextInt()];
            Arrays.fill(body, (byte) 'x');
            HttpRequest.BodyPublisher publisher = cases.next().equals("chunked")
                ? HttpRequest.BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(body))
                : HttpRequest.BodyPublishers.ofByteArray(body);
            HttpRequest request = HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + arguments[0] + path))
                .header("content-type", "application/json").POST(publisher).build();
            try {
                HttpResponse<String> answer = client.send(request, HttpResponse.BodyHandlers.ofString());
                System.out.println(answer.statusCode());
            } catch (Exception error) {
                System.out.println(error);
            }
        }
    }
}
"""


def main():
    arguments = argparse.ArgumentParser(description="Sends bodies that are answered before they are read.")
    arguments.add_argument("binary", nargs="?", type=pathlib.Path, default=ROOT / "target/debug/satchel")
    arguments.add_argument("--times", type=int, default=20)
    given = arguments.parse_args()
    if not given.binary.is_file():
        raise Failed(f"there is no {given.binary}: run `cargo build` first, or name another")

    with contextlib.ExitStack() as stack:
        beside = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        directory = beside / "empty"
        directory.mkdir()
        log = stack.enter_context(open(beside / "log", "wb"))
        port = free_port()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SATCHEL_")}
        serve = [given.binary.resolve(), "--port", str(port)]
        stack.enter_context(process(serve, cwd=directory, env=environment, stdout=log, stderr=log))
        until("the server answers", lambda: ask("GET", f"http://127.0.0.1:{port}/health"))
        lost = [send(*client, port, given.times) for client in clients(beside)]
    if sum(lost):
        raise Failed(f"{sum(lost)} answers did not arrive")
    print("Every answer arrived.")


def clients(beside):
    """The name of each client that is there, and what sends by it."""
    yield "Python http.client", by_python
    node, java = shutil.which("node"), shutil.which("java")
    if node:
        script = beside / "send.js"
        script.write_text(NODE)
        yield "Node fetch", lambda port, cases: by_command([node, script, str(port)], json.dumps(cases))
    else:
        print("LEFT OUT: Node fetch (there is no node)")
    if java:
        source = beside / "Sender.java"
        source.write_text(JAVA)
        lines = lambda cases: "\n".join(f"{path} {size} {framing}" for path, size, framing in cases)
        yield "Java HttpClient", lambda port, cases: by_command([java, source, str(port)], lines(cases))
    else:
        print("LEFT OUT: Java HttpClient (there is no java)")


def send(name, by, port, times):
    """Sends every case so many times; prints how many answers arrived, and gives how many did not."""
    lost = 0
    for size in SIZES:
        for framing in FRAMINGS:
            # A server takes 512 KiB where it reads the body.
            refusals = [(WITHOUT_TOKEN, "401"), (NOWHERE, "404"), *([(TOO_LARGE, "413")] if size > 524_288 else [])]
            wanted = [refusals[n % len(refusals)] for n in range(times)]
            found = by(port, [[path, size, framing] for path, _ in wanted])
            found += ["nothing"] * (times - len(found))
            others = [f"{path}: {found}" for (path, status), found in zip(wanted, found) if found != status]
            print(f"{name:18} {size:>10} {framing:8} {times - len(others)} of {times}", *sorted(set(others))[:3], sep="  ")
            lost += len(others)
    return lost


def by_python(port, cases):
    connection, found = http.client.HTTPConnection("127.0.0.1", port, timeout=30), []
    for path, size, framing in cases:
        chunks = (b"x" * min(65_536, size - at) for at in range(0, size, 65_536))
        body = chunks if framing == "chunked" else b"x" * size
        try:
            connection.request("POST", path, body, {"content-type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            found.append(str(answer.status))
        except (OSError, http.client.HTTPException) as error:
            found.append(repr(error))
            connection.close()
    connection.close()
    return found


def by_command(command, cases):
    done = subprocess.run(command, input=cases, capture_output=True, text=True, timeout=CLIENT_SECONDS)
    return (done.stdout + done.stderr).splitlines()


if __name__ == "__main__":
    run(main, WHOLE_SECONDS)
