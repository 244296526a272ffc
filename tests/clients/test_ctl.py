"""`airflowctl` against the server: list, trigger, pause, pools, variables, connections. With the password, as its users have one."""

import base64
import json
import os
import pathlib
import subprocess
import sys

import pytest

from conftest import GUARDED_URL, HERE, PASSWORD, RECORDER, V2, ended, http

HOME = pathlib.Path(os.environ["UPDRAFT_TEST_WORK"]) / "airflowctl"


def run(*words, fails=False):
    """What a command prints."""
    answers = HOME / "answers"
    answers.write_text("")
    # Without a keyring of the desktop it keeps its token in a file, in its debug mode.
    environment = {
        **os.environ, "AIRFLOW_HOME": str(HOME), "HOME": str(HOME), "AIRFLOW_CLI_DEBUG_MODE": "true", "AIRFLOW_CLI_API_RETRIES": "1",
        "AIRFLOWCTL_ANSWERS": str(answers), "NO_COLOR": "1", "COLUMNS": "500",
    }
    done = subprocess.run([sys.executable, HERE / "ctl.py", *words], env=environment, capture_output=True, text=True, timeout=120)
    for line in answers.read_text().splitlines():
        answer = json.loads(line)
        RECORDER.add(answer["method"], answer["url"], answer["status"], answer["content_type"], base64.b64decode(answer["body"]))
    said = done.stderr + done.stdout
    assert (done.returncode != 0) == fails, f"airflowctl {' '.join(map(str, words))}: exit {done.returncode}\n{said[-2000:]}"
    return said


def data(*words):
    """The rows that a command prints, after what it says of its debug mode. All in them is text."""
    said = run(*words)
    starts = [at for at in (said.find("\n["), said.find("\n{")) if at >= 0]
    assert starts, f"no JSON: {said}"
    found = json.JSONDecoder(strict=False).raw_decode(said[min(starts) + 1 :])[0]
    return found if isinstance(found, list) else [found]


@pytest.fixture(scope="module", autouse=True)
def login():
    HOME.mkdir(exist_ok=True)
    assert "Login successful" in run("auth", "login", "--username", "admin", "--password", PASSWORD, "--api-url", GUARDED_URL)


def test_login_with_a_wrong_password():
    said = run("auth", "login", "--username", "admin", "--password", "wrong-password", "--api-url", GUARDED_URL, "-e", "other", fails=True)
    assert "Login failed" in said


def test_version():
    assert "3." in run("version", "--remote")


def test_dags():
    listed = {dag["dag_id"] for dag in data("dags", "list")}
    assert {"little", "crowd", "daily"} <= listed
    assert data("dags", "get", "little")[0]["dag_display_name"] == "The little one"
    assert data("dags", "get-details", "little")[0]["doc_md"].startswith("# Little")
    assert "nope" in run("dags", "get", "nope", fails=True)


def test_other_forms():
    assert "dag_id: little" in run("dags", "list", "-o", "yaml")
    assert "little" in run("dags", "list", "-o", "plain")
    assert "default_pool" in run("pools", "get", "default_pool", "-o", "table")


def test_pause_and_unpause():
    run("dags", "pause", "grouped")
    assert http("GET", f"{V2}/dags/grouped").json["is_paused"] is True
    run("dags", "unpause", "grouped")
    assert http("GET", f"{V2}/dags/grouped").json["is_paused"] is False


def test_trigger(name):
    # Its --conf takes no value at all, and neither do its options for times: their types cannot be made of text.
    [made] = data("dags", "trigger", "little", "--dag-run-id", name, "--note", "from afar")
    assert made["dag_run_id"] == name
    assert ended("little", name)["state"] == "success"
    [found] = data("dagrun", "get", "little", name)
    assert (found["state"], found["note"], found["triggering_user_name"]) == ("success", "from afar", "admin")


def test_runs(crowd):
    [page] = data("dagrun", "list", "--dag-id", "crowd", "--state", "success", "--limit", "3")
    assert len(page["dag_runs"]) == 3


def test_more_of_dags():
    assert "wrong.py" in run("dags", "list-import-errors")
    assert data("dags", "list-version", "little")[0]["version_number"] == "1"
    assert "2026" in run("dags", "next-execution", "chained")


def test_jobs():
    assert {"SchedulerJob"} <= {job["job_type"] for job in data("jobs", "list")}


def test_warnings():
    run("dags", "list-warning")


def test_pools(name):
    assert "default_pool" in {pool["name"] for pool in data("pools", "list")}
    assert data("pools", "create", "--name", name, "--slots", "3", "--description", "of ctl")[0]["slots"] == "3"
    assert data("pools", "get", name)[0]["description"] == "of ctl"
    run("pools", "delete", name)
    assert http("GET", f"{V2}/pools/{name}").status == 404


def test_update_a_pool(name):
    http("POST", f"{V2}/pools", json={"name": name, "slots": 1, "description": "of ctl"})
    assert data("pools", "update", "--pool", name, "--slots", "5", "--description", "other", "--include-deferred")[0]["slots"] == "5"
    http("DELETE", f"{V2}/pools/{name}")


def test_export_and_import_pools(name):
    file = HOME / "pools.json"
    assert "pool(s)" in run("pools", "export", file)
    assert "default_pool" in {pool["name"] for pool in json.loads(file.read_text())}
    file.write_text(json.dumps([{"name": name, "slots": 2, "description": "d", "include_deferred": False}]))
    run("pools", "import", file)
    assert http("GET", f"{V2}/pools/{name}").json["slots"] == 2
    assert "already exist" in run("pools", "import", "-a", "fail", file, fails=True)
    file.write_text(json.dumps([{"name": name, "slots": 4}]))
    # As with the other imports: what is there is written over unless something else is said.
    run("pools", "import", file)
    assert http("GET", f"{V2}/pools/{name}").json["slots"] == 4
    run("pools", "import", "-a", "skip", file)
    http("DELETE", f"{V2}/pools/{name}")


def test_no_variables_and_no_connections():
    assert isinstance(run("variables", "list"), str)
    assert isinstance(run("connections", "list"), str)


def test_variables(name):
    assert data("variables", "create", "--key", name, "--value", "one", "--description", "of ctl")[0]["value"] == "one"
    assert data("variables", "get", name)[0]["description"] == "of ctl"
    assert data("variables", "update", "--key", name, "--value", "two")[0]["value"] == "two"
    assert name in {v["key"] for v in data("variables", "list")}
    run("variables", "delete", name)
    assert http("GET", f"{V2}/variables/{name}").status == 404
    assert "not found" in run("variables", "get", name, fails=True)


def test_import_variables(name):
    file = HOME / "variables.json"
    file.write_text(json.dumps({f"{name}_1": "one", f"{name}_2": {"value": {"a": 1}, "description": "d"}}))
    run("variables", "import", file)
    assert http("GET", f"{V2}/variables/{name}_1").json["value"] == "one"
    assert json.loads(http("GET", f"{V2}/variables/{name}_2").json["value"]) == {"a": 1}
    run("variables", "import", "-a", "fail", file, fails=True)
    run("variables", "import", "-a", "overwrite", file)
    for n in (1, 2):
        http("DELETE", f"{V2}/variables/{name}_{n}")


def test_connections(name):
    words = ["--connection-id", name, "--conn-type", "postgres", "--host", "db", "--port", "5432", "--login", "ada", "--password", "hunter2"]
    made = data("connections", "create", *words)[0]
    assert (made["connection_id"], made["conn_type"], made["password"]) == (name, "postgres", "***")
    assert data("connections", "get", name)[0]["host"] == "db"
    assert data("connections", "update", "--connection-id", name, "--conn-type", "mysql", "--host", "other")[0]["host"] == "other"
    assert name in {c["connection_id"] for c in data("connections", "list")}
    run("connections", "delete", name)
    assert http("GET", f"{V2}/connections/{name}").status == 404


def test_import_connections(name):
    file = HOME / "connections.json"
    file.write_text(json.dumps({name: {"conn_type": "http", "host": "x", "port": 80}}))
    run("connections", "import", file)
    assert http("GET", f"{V2}/connections/{name}").json["port"] == 80
    http("DELETE", f"{V2}/connections/{name}")
