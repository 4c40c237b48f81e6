#!/usr/bin/env python3
"""Holds the OpenAPI document against the standard and against our own rules.

    cargo build
    python3 tests/openapi_valid.py                   # target/debug/satchel
    python3 tests/openapi_valid.py target/release/satchel

It needs Python 3.9. The validators, openapi-spec-validator and jsonschema, are taken as they are installed;
where they are not, they are installed with pip into an environment of their own, target/openapi-valid.

The standard: OpenAPI 3.1, by openapi-spec-validator. Our rules: every operation has a summary, a known tag, an
id that no other has, and a success with an example; every refusal has an example; every parameter and every
field of a body has one; every example fits its schema; an operation that may answer 401 names its security, and
one that needs a token may answer 401; no component is there in vain.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import venv

ROOT = pathlib.Path(__file__).resolve().parent.parent
HOME = ROOT / "target/openapi-valid"
PACKAGES = ["openapi-spec-validator", "jsonschema[format-nongpl]"]

try:
    import jsonschema
    import openapi_spec_validator
    import rfc3339_validator  # noqa: F401  (one of the packages that know the formats)
except ImportError:
    if pathlib.Path(sys.prefix).resolve() == HOME.resolve():
        raise
    python = HOME / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        venv.create(HOME, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True, timeout=300)
    sys.exit(subprocess.run([python, *sys.argv], timeout=300).returncode)

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def main():
    arguments = argparse.ArgumentParser(description="Holds the OpenAPI document against the standard.")
    arguments.add_argument("binary", nargs="?", type=pathlib.Path, default=ROOT / "target/debug/satchel")
    binary = arguments.parse_args().binary
    if not binary.is_file():
        sys.exit(f"there is no {binary}: run `cargo build` first, or name another")
    printed = subprocess.run([binary.resolve(), "openapi"], check=True, capture_output=True, timeout=60)
    document = json.loads(printed.stdout)

    faults = []
    for error in openapi_spec_validator.OpenAPIV31SpecValidator(document).iter_errors():
        faults.append(f"the standard: {'/'.join(map(str, error.absolute_path))}: {error.message}")
    rules = Rules(document, faults)
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                rules.operation(f"{method.upper()} {path}", item[method])
    rules.components()
    for fault in faults:
        print(fault, file=sys.stderr)
    if faults:
        sys.exit(f"openapi_valid: {len(faults)} faults")
    print(f"The document is good: {rules.operations} operations, {rules.examples} examples.")


class Rules:
    def __init__(self, document, faults):
        self.document, self.faults = document, faults
        self.ids, self.used, self.operations, self.examples = set(), set(), 0, 0

    def resolve(self, thing):
        while "$ref" in thing:
            room, name = thing["$ref"].split("/")[-2:]
            thing = self.document["components"][room][name]
        return thing

    def operation(self, where, operation):
        self.operations += 1
        for field in ("summary", "operationId", "tags", "responses"):
            if not operation.get(field):
                self.faults.append(f"{where}: no {field}")
        if operation.get("operationId") in self.ids:
            self.faults.append(f"{where}: {operation['operationId']} is another's id")
        self.ids.add(operation.get("operationId"))
        known = {tag["name"] for tag in self.document["tags"]}
        self.faults += [f"{where}: unknown tag {tag}" for tag in operation.get("tags", []) if tag not in known]

        for parameter in map(self.resolve, operation.get("parameters", [])):
            at = f"{where}, {parameter['in']} {parameter['name']}"
            self.check_examples(at, parameter, parameter["schema"])
        body = operation.get("requestBody", {})
        if body and not body.get("description"):
            self.faults.append(f"{where}: the body has no description")
        for media_type, content in body.get("content", {}).items():
            at = f"{where}, {media_type}"
            self.check_examples(at, content, content["schema"])
            for name, field in self.resolve(content["schema"])["properties"].items():
                self.check_examples(f"{at}, {name}", {}, field)

        responses = operation.get("responses", {})
        if not any(status.startswith("2") for status in responses):
            self.faults.append(f"{where}: nothing is said of its success")
        for status, response in responses.items():
            response = self.resolve(response)
            for name, header in response.get("headers", {}).items():
                header = self.resolve(header)
                self.check_examples(f"{where}, {status}, {name}", header, header["schema"])
            if not response.get("content") and status not in ("204", "304"):
                self.faults.append(f"{where}, {status}: no content")
            for media_type, content in response.get("content", {}).items():
                if media_type.startswith("image/"):
                    continue  # a picture cannot be shown in JSON
                self.check_examples(f"{where}, {status}", content, content["schema"])

        ways = operation["security"]
        needs_token = {} not in ways and any("bearer" in way for way in ways)
        if needs_token and "401" not in responses:
            self.faults.append(f"{where}: it needs a token, and never answers 401")

    def check_examples(self, where, holder, schema):
        found = [example["value"] for example in map(self.resolve, holder.get("examples", {}).values())]
        found += [holder["example"]] if "example" in holder else []
        found += self.resolve(schema).get("examples", [])
        if not found:
            self.faults.append(f"{where}: no example")
        whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
        whole["components"] = self.document["components"]
        validator = jsonschema.Draft202012Validator(
            whole, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
        )
        for example in found:
            self.examples += 1
            for error in validator.iter_errors(example):
                self.faults.append(f"{where}: the example does not fit: {error.message}")

    def components(self):
        text = json.dumps(self.document)
        for room, things in self.document["components"].items():
            for name in things:
                if room == "securitySchemes":
                    is_used = f'{{"{name}": []}}' in text
                else:
                    is_used = f'"#/components/{room}/{name}"' in text
                if not is_used:
                    self.faults.append(f"components/{room}/{name} is there in vain")


if __name__ == "__main__":
    main()
