"""Runs `airflowctl` as it is, and writes down what came over the wire, one JSON object a line, into the file that AIRFLOWCTL_ANSWERS names."""

import base64
import json
import os

import httpx
from airflowctl.__main__ import main

send = httpx.Client.send


def recorded(self, request, **kwargs):
    # Redirects and hooks come after this: they belong to the client.
    hooks, self.event_hooks = self.event_hooks, {"request": self.event_hooks["request"], "response": [note]}
    note.then = hooks["response"]
    try:
        return send(self, request, **kwargs)
    finally:
        self.event_hooks = hooks


def note(response):
    response.read()
    request = response.request
    line = {
        "method": request.method,
        "url": str(request.url),
        "status": response.status_code,
        "content_type": response.headers.get("content-type"),
        "body": base64.b64encode(response.content).decode(),
    }
    with open(os.environ["AIRFLOWCTL_ANSWERS"], "a") as answers:
        answers.write(json.dumps(line) + "\n")
    for hook in note.then:
        hook(response)


httpx.Client.send = recorded
main()
