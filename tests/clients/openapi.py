"""Every HTTP answer that a test gets is held against the OpenAPI file that the client's package ships.

`Recorder` keeps what came over the wire, before any client understood it; `problems` says what is wrong with one answer. Where the file
does not name a status (it cannot: 404 of a path that is not its own, 405, 501), an error must still have the shape of its
`HTTPExceptionResponse`. A success that it does not name is wrong.
"""

import dataclasses
import functools
import importlib.metadata
import json
import re
import urllib.parse

import jsonschema
import yaml


@dataclasses.dataclass
class Answer:
    """One answer: what was asked, and the bytes that came."""

    method: str
    url: str
    status: int
    content_type: str
    body: bytes

    @property
    def text(self):
        return self.body.decode()

    @property
    def json(self):
        return json.loads(self.body)

    def __str__(self):
        return f"{self.method} {self.url} answered {self.status}: {self.text[:400]}"


class Recorder:
    """The answers since the last `take`."""

    def __init__(self):
        self.answers = []
        self.total = 0

    def add(self, method, url, status, content_type, body):
        answer = Answer(method.upper(), url, status, content_type or "", body or b"")
        self.answers.append(answer)
        self.total += 1
        return answer

    def take(self):
        taken, self.answers = self.answers, []
        return taken


@functools.cache
def document():
    """The file of the installed client.

    Where Airflow's own file says "text or null", the client's says "text" and leaves the property out of `required`: its generator knows no
    other way to say it. Airflow's answers have the nulls, and the client's models take them. So what is not required may be null.
    `oneOf` is taken as `anyOf`: what told the members apart has got lost in the file, and every task instance is a "new task" of
    `ClearTaskInstanceCollectionResponse`, too.
    """
    [path] = [f for f in importlib.metadata.files("apache-airflow-client") if f.name == "v2.yaml"]
    whole = yaml.load(path.locate().read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    for schema in whole["components"]["schemas"].values():
        required = schema.get("required", [])
        for name, of in schema.get("properties", {}).items():
            if name not in required:
                schema["properties"][name] = {"anyOf": [of, {"type": "null"}]}
        loosen(schema)
    return whole


def loosen(schema):
    if isinstance(schema, dict):
        if "oneOf" in schema:
            schema["anyOf"] = schema.pop("oneOf")
        for part in schema.values():
            loosen(part)
    elif isinstance(schema, list):
        for part in schema:
            loosen(part)


@functools.cache
def templates():
    """The paths as patterns: those with more literal segments first."""
    found = [(path, re.compile(re.sub(r"\\{[^/]*?\\}", "[^/]+", re.escape(path)) + "/?$")) for path in document()["paths"]]
    return sorted(found, key=lambda pair: (pair[0].count("{"), -len(pair[0])))


@functools.cache
def validator(method, path, status, content_type):
    schema = document()["paths"][path][method]["responses"][status]["content"][content_type]["schema"]
    return validator_of(json.dumps(schema))


@functools.cache
def validator_of(schema):
    whole = {**json.loads(schema), "components": document()["components"]}
    return jsonschema.Draft202012Validator(whole, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)


def against(check, value):
    return [f"at {'/'.join(str(p) for p in e.absolute_path) or 'its top'}: {e.message[:300]}" for e in check.iter_errors(value)]


def problems(answer):
    """What is wrong with it; nothing when it is as the file says."""
    path = urllib.parse.urlsplit(answer.url).path
    template = next((template for template, pattern in templates() if pattern.match(path)), None)
    operation = document()["paths"].get(template, {}).get(answer.method.lower())
    media = answer.content_type.split(";")[0].strip().lower()
    declared = (operation or {}).get("responses", {}).get(str(answer.status))
    if declared is None:
        return undeclared(answer, media, operation)
    content = declared.get("content")
    if not content:
        return [f"{answer.status} has a body"] if answer.body else []
    if media not in content:
        return [f"is {media or 'of no type'}, not one of {', '.join(content)}"]
    if media == "application/x-ndjson":
        try:
            [json.loads(line) for line in answer.text.splitlines()]
        except ValueError as error:
            return [f"a line is no JSON: {error}"]
        return []
    if media == "text/plain":
        return []
    try:
        value = answer.json
    except ValueError as error:
        return [f"no JSON: {error}"]
    return against(validator(answer.method.lower(), template, str(answer.status), media), value)


def undeclared(answer, media, operation):
    if urllib.parse.urlsplit(answer.url).path.startswith("/auth/token"):
        return []
    if answer.status < 400:
        return [f"{answer.status} is no answer of this call"] if operation else []
    if answer.status >= 500 and answer.status not in (501, 503):
        return [f"{answer.status} is a fault of the server"]
    if media != "application/json":
        return [f"the error is {media or 'of no type'}, not JSON"]
    kind = "HTTPValidationError" if answer.status == 422 else "HTTPExceptionResponse"
    return against(validator_of(json.dumps({"$ref": f"#/components/schemas/{kind}"})), answer.json)
