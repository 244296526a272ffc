"""What the tests share: the clients, the runs that they read, the check of every answer, and the list of what the server cannot do yet.

The server is started by run.sh, which says in the environment where it is.
"""

import datetime
import functools
import importlib
import inspect
import os
import pathlib
import pkgutil
import time
import types
import uuid

import airflow_client.client as airflow
import airflow_client.client.api as apis
import pydantic
import pytest
import urllib3
from airflow_client.client.exceptions import ApiException

import methods
import openapi

URL = os.environ["UPDRAFT_TEST_URL"]
GUARDED_URL = os.environ["UPDRAFT_TEST_GUARDED_URL"]
PASSWORD = os.environ["UPDRAFT_TEST_PASSWORD"]
HERE = pathlib.Path(__file__).parent
V2 = "/api/v2"

RECORDER = openapi.Recorder()
# Methods of the client that the test now running has called.
CALLED = set()
# Answers that fixtures got; test_whole.py looks at them.
OUTSIDE = []


def not_yet():
    lines = (line.split("#")[0].strip() for line in (HERE / "not-yet.txt").read_text().splitlines())
    return {line for line in lines if line}


def short(item):
    """`file.py::test`, as the lists of methods.py and not-yet.txt have it."""
    return item.nodeid.split("/")[-1]


def pytest_collection_modifyitems(config, items):
    missing = not_yet()
    known = {short(item) for item in items}
    # A part of the suite cannot tell whether a name is of the other part.
    config.whole = not config.option.keyword and all("::" not in arg and not arg.endswith(".py") for arg in config.args)
    if config.whole and missing - known:
        raise pytest.UsageError(f"not-yet.txt names what is no test: {', '.join(sorted(missing - known))}")
    for item in items:
        if short(item) in missing:
            # A mistake of the test itself is not what the list is for.
            expected = (AssertionError, ApiException, pydantic.ValidationError, pytest.fail.Exception)
            item.add_marker(pytest.mark.xfail(reason="not yet", strict=True, raises=expected))


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem):
    """Holds every answer of a test against the OpenAPI file, and the test to the calls that methods.py says it makes."""
    CALLED.clear()
    OUTSIDE.extend(RECORDER.take())
    try:
        result = yield
    finally:
        answers = RECORDER.take()
    wrong = [f"{answer}\n    {problem}" for answer in answers for problem in openapi.problems(answer)]
    assert not wrong, "answers that the client's OpenAPI file does not allow:\n" + "\n".join(wrong)
    promised = {method for method, test in methods.TESTED.items() if test == short(pyfuncitem)}
    assert promised <= CALLED, f"methods.py says that this test calls {', '.join(sorted(promised - CALLED))}"
    return result


def api_classes():
    """The API classes of the client, by name."""
    found = {}
    for module in pkgutil.iter_modules(apis.__path__):
        for name, thing in vars(importlib.import_module(f"{apis.__name__}.{module.name}")).items():
            if name.endswith("Api") and inspect.isclass(thing):
                found[name] = thing
    return found


def methods_of(cls):
    """Its calls: each has two more forms, with another way of handing over the answer."""
    others = ("_with_http_info", "_without_preload_content")
    return [n for n, f in vars(cls).items() if inspect.isfunction(f) and not n.startswith("_") and not n.endswith(others)]


def watch_calls():
    """Notes which methods are called, in any of their forms. What they do is left alone."""

    def noting(function, name):
        @functools.wraps(function)
        def noted(*args, **kwargs):
            CALLED.add(name)
            return function(*args, **kwargs)

        return noted

    for class_name, cls in api_classes().items():
        for method in methods_of(cls):
            for form in (method, method + "_with_http_info", method + "_without_preload_content"):
                setattr(cls, form, noting(getattr(cls, form), f"{class_name}.{method}"))


watch_calls()


def client_of(url, token=None):
    """The client as its documentation makes it. What comes over the wire is recorded."""
    configuration = airflow.Configuration(host=url)
    if token is not None:
        configuration.access_token = token
    client = airflow.ApiClient(configuration)
    request = client.rest_client.request

    def recorded(method, url, *args, **kwargs):
        answer = request(method, url, *args, **kwargs)
        RECORDER.add(method, url, answer.status, answer.headers.get("content-type"), answer.read())
        return answer

    client.rest_client.request = recorded
    return client


def suite(client):
    """All API classes on one client: `api.DagRun.get_dag_runs(…)`."""
    return types.SimpleNamespace(**{name.removesuffix("Api"): cls(client) for name, cls in api_classes().items()})


POOL = urllib3.PoolManager(retries=False, timeout=30)


def http(method, path, *, url=URL, json=None, body=None, token=None, accept=None, headers=None):
    """A request that no client would send: what is not valid, what is not JSON, without a token."""
    headers = dict(headers or {})
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    if accept is not None:
        headers["Accept"] = accept
    given = {"json": json} if json is not None else {"body": body}
    answer = POOL.request(method, url + path, headers=headers, **given)
    recorded = RECORDER.add(method, url + path, answer.status, answer.headers.get("content-type"), answer.data)
    recorded.headers = answer.headers
    return recorded


def refused(status, call, *args, **kwargs):
    """Calls, demands that status, and returns what the server says about it."""
    with pytest.raises(ApiException) as caught:
        call(*args, **kwargs)
    assert caught.value.status == status, f"{caught.value.status} instead of {status}: {caught.value.body}"
    return openapi.json.loads(caught.value.body)["detail"]


def until(what, get, timeout=30):
    """Asks until the answer is there."""
    end = time.monotonic() + timeout
    while True:
        found = get()
        if found:
            return found
        assert time.monotonic() < end, f"{what}: not within {timeout} seconds"
        time.sleep(0.05)


def start(dag_id, run_id=None, **fields):
    """Triggers a run, and returns its id. What fixtures do is not what is tested: they ask by hand."""
    body = {"logical_date": None, "dag_run_id": run_id or f"{dag_id}_{uuid.uuid4().hex[:8]}", **fields}
    answer = http("POST", f"{V2}/dags/{dag_id}/dagRuns", json=body)
    assert answer.status == 200, answer
    return body["dag_run_id"]


def run_of(dag_id, run_id):
    return http("GET", f"{V2}/dags/{dag_id}/dagRuns/{run_id}").json


def ended(dag_id, run_id):
    """Waits for the end of a run, and returns it."""
    return until(f"{dag_id} {run_id} ends", lambda: (r := run_of(dag_id, run_id))["state"] in ("success", "failed") and r)


def instance(dag_id, run_id, task_id):
    return http("GET", f"{V2}/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}").json


def finished(dag_id, **fields):
    """A run of its own, at its end."""
    run_id = start(dag_id, **fields)
    ended(dag_id, run_id)
    return run_id


def name_of(value):
    """The name of a case whose filters are a dict."""
    if not isinstance(value, dict):
        return ""
    return "-".join(key if isinstance(of, datetime.datetime) else f"{key}={of}".replace(" ", "") for key, of in value.items())


@pytest.fixture(scope="session", autouse=True)
def server():
    """Waits for the DAGs."""
    wanted = {"little", "broken_heart", "patient", "crowd", "daily", "chained", "grouped", "choosy", "values"}

    def there():
        listed = {dag["dag_id"] for dag in http("GET", f"{V2}/dags").json["dags"]}
        return wanted <= listed and http("GET", f"{V2}/importErrors").json["total_entries"] > 0

    until("the DAGs are read", there)


@pytest.fixture(scope="session")
def token():
    return http("POST", "/auth/token", json={"username": "admin", "password": PASSWORD}, url=GUARDED_URL).json["access_token"]


@pytest.fixture(scope="session")
def api():
    """The client."""
    return suite(client_of(URL))


@pytest.fixture(scope="session")
def guarded(token):
    """The client, where there is a password."""
    return suite(client_of(GUARDED_URL, token))


@pytest.fixture(scope="session")
def little():
    """A run of `little` that is over and that nobody changes."""
    return finished("little", run_id="little_1", conf={"who": "ada"}, note="the first", logical_date="2026-03-01T06:30:00Z")


@pytest.fixture(scope="session")
def broken():
    """A run that failed."""
    return finished("broken_heart", run_id="broken_1")


@pytest.fixture(scope="session")
def values():
    """A run that left a value."""
    return finished("values", run_id="values_1")


@pytest.fixture(scope="session")
def crowd():
    """Seven runs, a day apart, from the second of February 2026."""
    ids = [f"crowd_{n}" for n in range(1, 8)]
    for n, run_id in enumerate(ids, 1):
        start("crowd", run_id=run_id, logical_date=f"2026-02-0{n}T00:00:00Z", conf={"n": n})
    for run_id in ids:
        assert ended("crowd", run_id)["state"] == "success"
    return ids


@pytest.fixture(scope="session")
def grouped():
    return finished("grouped", run_id="grouped_1")


@pytest.fixture
def sleeping():
    """A run whose task is running. It is ended after the test."""
    run_id = start("patient")
    until("sleep runs", lambda: instance("patient", run_id, "sleep")["state"] == "running")
    yield run_id
    if run_of("patient", run_id).get("state") in ("queued", "running"):
        http("PATCH", f"{V2}/dags/patient/dagRuns/{run_id}", json={"state": "failed"})
        until("sleep is stopped", lambda: instance("patient", run_id, "sleep").get("state") not in ("running", "queued"))


@pytest.fixture
def name():
    """A name that nobody else uses."""
    return f"x{uuid.uuid4().hex[:10]}"
