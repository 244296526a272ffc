"""Who may ask, and how an answer looks that is none: 401, 403, 404, 405, 410, 422."""

import pytest

from conftest import GUARDED_URL, PASSWORD, URL, V2, client_of, http, refused, suite


def test_version_needs_no_token(api):
    for url in (URL, GUARDED_URL):
        version = suite(client_of(url)).Version.get_version()
        assert version.version.startswith("3."), "tools ask whether this is Airflow 3"
        assert "updraft" in version.git_version


def test_health_needs_no_token():
    health = suite(client_of(GUARDED_URL)).Monitor.get_health()
    assert health.metadatabase.status == "healthy"
    assert health.scheduler.status == "healthy"
    assert health.scheduler.latest_scheduler_heartbeat
    assert health.dag_processor.status == "healthy"
    # There is none.
    assert health.triggerer.status is None


@pytest.mark.parametrize("path", ["/auth/token", "/auth/token/cli"])
def test_a_token_for_the_password(path):
    answer = http("POST", path, json={"username": "admin", "password": PASSWORD}, url=GUARDED_URL)
    assert answer.status == 201, "clients take nothing else"
    token = answer.json["access_token"]
    assert suite(client_of(GUARDED_URL, token)).DAG.get_dags().total_entries > 0


@pytest.mark.parametrize("path", ["/auth/token", "/auth/token/cli"])
def test_no_token_for_another_password(path):
    for body in ({"username": "admin", "password": "wrong-password"}, {"username": "root", "password": PASSWORD}):
        answer = http("POST", path, json=body, url=GUARDED_URL)
        assert (answer.status, answer.json) == (401, {"detail": "Invalid credentials"})


def test_a_login_without_its_fields_is_422():
    answer = http("POST", "/auth/token", json={"username": "admin"}, url=GUARDED_URL)
    assert answer.status == 422
    assert [(p["type"], p["loc"]) for p in answer.json["detail"]] == [("missing", ["body", "password"])]


def test_without_a_token_401():
    assert refused(401, suite(client_of(GUARDED_URL)).DAG.get_dags) == "Not authenticated"


@pytest.mark.parametrize("path", ["/dags", "/pools", "/variables", "/connections", "/dags/little/dagRuns", "/eventLogs", "/nothing"])
def test_every_path_is_guarded(path):
    answer = http("GET", V2 + path, url=GUARDED_URL)
    assert (answer.status, answer.json) == (401, {"detail": "Not authenticated"})


def test_a_wrong_token_is_403():
    assert refused(403, suite(client_of(GUARDED_URL, "no-token-of-ours")).DAG.get_dags) == "Invalid JWT token"


def test_the_run_knows_who_triggered_it(guarded, name):
    run = guarded.DagRun.trigger_dag_run("crowd", {"logical_date": None, "dag_run_id": name})
    assert run.triggering_user_name == "admin"


def test_unknown_paths_are_404():
    for path in (f"{V2}/nothing", f"{V2}/dags/little/nothing", "/nothing"):
        answer = http("GET", path)
        assert (answer.status, answer.json) == (404, {"detail": "Not Found"})


def test_unknown_methods_are_405():
    answer = http("PUT", f"{V2}/dags/little")
    assert (answer.status, answer.json) == (405, {"detail": "Method Not Allowed"})


def test_airflow_2_is_gone():
    answer = http("GET", "/api/v1/dags")
    assert answer.status == 410
    assert "/api/v2" in answer.json["detail"]


@pytest.mark.parametrize(
    "query, kind, name",
    [
        ("limit=-1", "greater_than_equal", "limit"),
        ("limit=x", "int_parsing", "limit"),
        ("offset=-1", "greater_than_equal", "offset"),
        ("paused=maybe", "bool_parsing", "paused"),
    ],
)
def test_a_wrong_parameter_is_422(query, kind, name):
    answer = http("GET", f"{V2}/dags?{query}")
    assert answer.status == 422
    [problem] = answer.json["detail"]
    assert (problem["type"], problem["loc"], problem["input"]) == (kind, ["query", name], query.split("=")[1])
    assert problem["msg"]


def test_a_wrong_date_is_422():
    answer = http("GET", f"{V2}/dags/little/dagRuns?run_after_gte=yesterday")
    assert answer.status == 422
    assert answer.json["detail"][0]["loc"] == ["query", "run_after_gte"]


def test_a_wrong_state_is_422():
    answer = http("GET", f"{V2}/dags/little/dagRuns?state=happy")
    assert answer.status == 422, "Airflow: Invalid value for state. Valid values are …"


def test_a_body_that_is_no_json_is_422():
    answer = http("POST", f"{V2}/dags/little/dagRuns", body="{", headers={"Content-Type": "application/json"})
    assert answer.status == 422
    assert answer.json["detail"][0]["type"] == "json_invalid"
    assert answer.json["detail"][0]["loc"][0] == "body"


def test_no_body_is_422():
    answer = http("POST", f"{V2}/dags/little/dagRuns")
    assert answer.status == 422
    assert [(p["type"], p["loc"]) for p in answer.json["detail"]] == [("missing", ["body"])]


def test_unknown_and_missing_fields_are_422():
    answer = http("POST", f"{V2}/dags/little/dagRuns", json={"surprise": 1})
    assert answer.status == 422
    found = {(p["type"], tuple(p["loc"])) for p in answer.json["detail"]}
    assert found == {("missing", ("body", "logical_date")), ("extra_forbidden", ("body", "surprise"))}


def test_a_field_of_another_type_is_422():
    answer = http("PATCH", f"{V2}/dags/little", json={"is_paused": {}})
    assert answer.status == 422
    assert answer.json["detail"][0]["loc"] == ["body", "is_paused"]


def test_ordering_by_what_is_no_column_is_400(api):
    detail = refused(400, api.DAG.get_dags, order_by=["surprise"])
    assert detail.startswith("Ordering with 'surprise' is disallowed or the attribute does not exist on the model")


def test_ordering_by_too_much_is_400(api):
    detail = refused(400, api.DAG.get_dags, order_by=["dag_id"] * 11)
    assert detail.startswith("Ordering with more than 10 parameters is not allowed")
