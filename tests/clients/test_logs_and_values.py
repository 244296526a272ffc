"""Logs, as JSON and line by line, and the values that tasks leave (XCom)."""

import datetime
import json

import pytest
from airflow_client.client import XComCreateBody, XComUpdateBody

from conftest import V2, finished, http, name_of, refused, until

NDJSON = "application/x-ndjson"


def log_path(dag_id, run_id, task_id, number=1):
    return f"{V2}/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{number}"


def events(answer):
    return [line.event for line in answer.content.actual_instance]


def whole_log(path):
    """Waits for the end of a log: it may be stored a moment after the end of its task."""
    return until("the log ends", lambda: (a := http("GET", path)).json["continuation_token"] is None and a)


def test_log(api, little):
    whole_log(log_path("little", little, "hello"))
    answer = api.TaskInstance.get_log("little", little, "hello", 1)
    said = events(answer)
    assert said[0] == "::group::Log message source details" and "::endgroup::" in said
    assert [e for e in said if e.startswith("line ")] == [f"line {n} of {little}" for n in (1, 2, 3)]
    assert answer.continuation_token is None
    line = next(entry for entry in answer.content.actual_instance if entry.event.startswith("line 1"))
    assert isinstance(line.timestamp, datetime.datetime)


def test_log_of_each_try(api, broken):
    for number in (1, 2):
        answer = api.TaskInstance.get_log("broken_heart", broken, "broken", number, full_content=True, map_index=-1)
        assert "oh no" in events(answer)
        assert any(f"attempt={number}.log" in event for event in events(answer))
    assert "TaskInstance not found" in refused(404, api.TaskInstance.get_log, "broken_heart", broken, "broken", 9)
    refused(404, api.TaskInstance.get_log, "broken_heart", broken, "nope", 1)


def test_log_of_what_never_began(api, broken):
    answer = http("GET", log_path("broken_heart", broken, "after", 1))
    assert answer.status == 404, "it has no try"


def test_log_line_by_line(little):
    path = log_path("little", little, "hello")
    whole_log(path)
    answer = http("GET", path, accept=NDJSON)
    assert answer.content_type == NDJSON
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [l["event"] for l in lines if l["event"].startswith("line ")] == [f"line {n} of {little}" for n in (1, 2, 3)]
    assert all(set(l) & {"timestamp"} for l in lines if l["event"].startswith("line "))
    assert "airflow-continuation-token" not in answer.headers
    assert [l["event"] for l in lines] == [l["event"] for l in http("GET", path).json["content"]]


def test_log_goes_on_from_its_token(api, sleeping):
    path = log_path("patient", sleeping, "sleep")
    until("it says something", lambda: "asleep" in http("GET", path).text)
    answer = api.TaskInstance.get_log("patient", sleeping, "sleep", 1)
    assert answer.continuation_token, "it runs: there may be more"
    rest = api.TaskInstance.get_log("patient", sleeping, "sleep", 1, token=answer.continuation_token)
    assert "asleep" not in events(rest) and rest.continuation_token
    lines = http("GET", path, accept=NDJSON)
    assert lines.headers["airflow-continuation-token"]
    more = http("GET", f"{path}?token={lines.headers['airflow-continuation-token']}", accept=NDJSON)
    assert more.status == 200 and "asleep" not in more.text


def test_log_with_a_wrong_token(little):
    answer = http("GET", log_path("little", little, "hello") + "?token=nonsense")
    assert answer.status == 400
    assert answer.json == {"detail": "Bad Signature. Please use only the tokens provided by the API."}


def test_log_is_no_plain_text(little):
    answer = http("GET", log_path("little", little, "hello"), accept="text/plain")
    assert answer.status == 406 and "application/x-ndjson" in answer.json["detail"]


def test_values(api, values):
    answer = api.XCom.get_xcom_entries("values", values, "give")
    [entry] = answer.xcom_entries
    assert answer.total_entries == 1
    assert (entry.key, entry.dag_id, entry.run_id, entry.task_id, entry.map_index) == ("return_value", "values", values, "give", -1)
    assert (entry.dag_display_name, entry.task_display_name) == ("values", "give")
    assert entry.timestamp and entry.run_after and entry.logical_date is None


@pytest.mark.parametrize(
    "filters, count",
    [
        ({"xcom_key": "return_value"}, 1),
        ({"xcom_key": "nope"}, 0),
        ({"xcom_key_pattern": "TURN"}, 1),
        ({"xcom_key_prefix_pattern": "nope"}, 0),
        ({"map_index": -1}, 1),
        ({"map_index": 0}, 0),
        ({"map_index_filter": 3}, 0),
        ({"task_id_pattern": "IV"}, 1),
        ({"task_id_prefix_pattern": "nope"}, 0),
        ({"run_id_pattern": "values_"}, 1),
        ({"run_id_prefix_pattern": "nope"}, 0),
        ({"dag_display_name_pattern": "VALUE"}, 1),
        ({"dag_display_name_prefix_pattern": "nope"}, 0),
        ({"run_after_lt": datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)}, 0),
        ({"logical_date_gte": datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)}, 0),
    ],
    ids=name_of,
)
def test_filter_values(api, values, filters, count):
    answer = api.XCom.get_xcom_entries("values", values, "give", **filters)
    assert (len(answer.xcom_entries), answer.total_entries) == (count, count)


def test_values_of_all(api, values):
    found = {(e.dag_id, e.run_id, e.task_id) for e in api.XCom.get_xcom_entries("~", "~", "~", limit=100).xcom_entries}
    assert ("values", values, "give") in found


def test_value(api, values):
    native = api.XCom.get_xcom_entry("values", "give", values, "return_value").actual_instance
    assert (native.key, native.value) == ("return_value", {"answer": 42})
    answer = http("GET", f"{V2}/dags/values/dagRuns/{values}/taskInstances/give/xcomEntries/return_value?stringify=true")
    assert json.loads(answer.json["value"]) == {"answer": 42}
    assert refused(404, api.XCom.get_xcom_entry, "values", "give", values, "nope") == "XCom entry with key: `nope` not found"
    assert api.XCom.get_xcom_entry("values", "give", values, "return_value", deserialize=True).actual_instance.value == {"answer": 42}


def test_make_change_and_delete_a_value(api):
    run_id = finished("values")
    made = api.XCom.create_xcom_entry("values", "give", run_id, XComCreateBody(key="by/hand", value=[1, {"two": None}]))
    assert (made.key, made.value, made.map_index, made.task_id) == ("by/hand", [1, {"two": None}], -1, "give")
    again = XComCreateBody(key="by/hand", value=1)
    detail = refused(409, api.XCom.create_xcom_entry, "values", "give", run_id, again)
    assert detail == "The XCom with key: `by/hand` with mentioned task instance already exists."
    assert api.XCom.update_xcom_entry("values", "give", run_id, "by/hand", XComUpdateBody(value="text")).value == "text"
    assert api.XCom.get_xcom_entry("values", "give", run_id, "by/hand").actual_instance.value == "text"
    keys = [e.key for e in api.XCom.get_xcom_entries("values", run_id, "give", order_by=["-key"]).xcom_entries]
    assert keys == ["return_value", "by/hand"]
    api.XCom.delete_xcom_entry("values", "give", run_id, "by/hand")
    missing = "The XCom with key: `by/hand` with mentioned task instance doesn't exist."
    assert refused(404, api.XCom.delete_xcom_entry, "values", "give", run_id, "by/hand") == missing
    assert refused(404, api.XCom.update_xcom_entry, "values", "give", run_id, "by/hand", XComUpdateBody(value=1)) == missing


def test_values_have_a_place(api, values):
    body = XComCreateBody(key="k", value=1)
    assert refused(404, api.XCom.create_xcom_entry, "values", "nope", values, body) == "Task with ID: `nope` not found in dag: `values`"
    assert refused(404, api.XCom.create_xcom_entry, "values", "give", "nope", body) == "Dag Run with ID: `nope` not found for dag: `values`"
    answer = http("POST", f"{V2}/dags/values/dagRuns/{values}/taskInstances/give/xcomEntries", json={"key": "k", "value": {"__classname__": "x"}})
    assert answer.status == 422 and answer.json["detail"][0]["loc"] == ["body", "value"]
