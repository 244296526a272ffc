"""Backfills: runs of the past, made at once."""

import datetime
import time

import pytest
from airflow_client.client import BackfillPostBody, DAGPatchBody

from conftest import V2, ended, finished, http, refused, until

UTC = datetime.timezone.utc


def at(day):
    return datetime.datetime(2026, 4, day, tzinfo=UTC)


def body(dag_id="daily", first=1, last=3, **fields):
    return BackfillPostBody(dag_id=dag_id, from_date=at(first), to_date=at(last), **fields)


def runs_of(api, dag_id="daily", **query):
    return api.DagRun.get_dag_runs(dag_id, order_by=["logical_date"], limit=100, **query).dag_runs


@pytest.fixture
def daily(api):
    """Nothing of `daily` is there before a test, and nothing after it."""

    def clean():
        for backfill in http("GET", f"{V2}/backfills?dag_id=daily").json.get("backfills", []):
            if backfill["completed_at"] is None:
                http("PUT", f"{V2}/backfills/{backfill['id']}/cancel")
        for run in http("GET", f"{V2}/dags/daily/dagRuns").json["dag_runs"]:
            if run["state"] in ("queued", "running"):
                http("PATCH", f"{V2}/dags/daily/dagRuns/{run['dag_run_id']}", json={"state": "failed"})
            http("DELETE", f"{V2}/dags/daily/dagRuns/{run['dag_run_id']}")

    clean()
    yield "daily"
    http("PATCH", f"{V2}/dags/daily", json={"is_paused": True})
    clean()


def test_dry_run(api, daily):
    answer = api.Backfill.create_backfill_dry_run(body())
    assert [b.logical_date for b in answer.backfills] == [at(1), at(2), at(3)] and answer.total_entries == 3
    assert all(b.partition_key is None and b.partition_date is None for b in answer.backfills)
    back = api.Backfill.create_backfill_dry_run(body(run_backwards=True))
    assert [b.logical_date for b in back.backfills] == [at(3), at(2), at(1)]
    assert runs_of(api) == [], "nothing is made"


def test_create(api, daily):
    made = api.Backfill.create_backfill(body(max_active_runs=2, dag_run_conf={"greeting": "ahoy"}))
    assert (made.dag_id, made.dag_display_name, made.from_date, made.to_date) == ("daily", "daily", at(1), at(3))
    assert (made.max_active_runs, made.reprocess_behavior, made.is_paused) == (2, "none", False)
    assert made.dag_run_conf == {"greeting": "ahoy"} and made.completed_at is None and made.created_at and made.updated_at
    runs = runs_of(api)
    assert [run.logical_date for run in runs] == [at(1), at(2), at(3)]
    for run in runs:
        assert (run.run_type, run.triggered_by, run.conf) == ("backfill", "backfill", {"greeting": "ahoy"})
        assert run.dag_run_id == f"backfill__{run.logical_date.isoformat()}"
    detail = refused(409, api.Backfill.create_backfill, body())
    assert detail == "There is already a running backfill for dag daily"
    api.Backfill.cancel_backfill(made.id)


def test_runs_of_a_backfill_run(api, daily):
    api.DAG.patch_dag("daily", DAGPatchBody(is_paused=False))
    made = api.Backfill.create_backfill(body())
    for run in runs_of(api, run_type=["backfill"]):
        assert ended("daily", run.dag_run_id)["state"] == "success"
    over = until("the backfill is complete", lambda: (b := api.Backfill.get_backfill(made.id)).completed_at and b)
    assert over.id == made.id
    assert refused(409, api.Backfill.pause_backfill, made.id) == "Backfill is already completed."
    assert refused(409, api.Backfill.unpause_backfill, made.id) == "Backfill is already completed."
    assert refused(409, api.Backfill.cancel_backfill, made.id) == "Backfill is already completed."


def test_pause_unpause_and_cancel(api, daily):
    made = api.Backfill.create_backfill(body())
    assert api.Backfill.pause_backfill(made.id).is_paused is True
    api.DAG.patch_dag("daily", DAGPatchBody(is_paused=False))
    time.sleep(1)
    assert {run.state for run in runs_of(api, run_type=["backfill"])} == {"queued"}, "a paused backfill starts nothing"
    assert api.Backfill.get_backfill(made.id).is_paused is True
    api.DAG.patch_dag("daily", DAGPatchBody(is_paused=True))
    assert api.Backfill.unpause_backfill(made.id).is_paused is False
    over = api.Backfill.cancel_backfill(made.id)
    assert over.completed_at is not None and over.is_paused is True
    assert {run.state for run in runs_of(api, run_type=["backfill"])} == {"failed"}


def test_list(api, daily):
    first = api.Backfill.create_backfill(body(first=1, last=1))
    api.Backfill.cancel_backfill(first.id)
    second = api.Backfill.create_backfill(body(first=5, last=5))
    api.Backfill.cancel_backfill(second.id)
    answer = api.Backfill.list_backfills("daily", order_by=["-id"], limit=2)
    assert [b.id for b in answer.backfills] == [second.id, first.id] and answer.total_entries >= 2
    assert api.Backfill.list_backfills("nope").total_entries == 0
    assert http("GET", f"{V2}/backfills").status == 422, "dag_id is required"
    assert refused(400, api.Backfill.list_backfills, "daily", order_by=["from_date"])


def test_of_nothing_is_404(api):
    for call in (api.Backfill.get_backfill, api.Backfill.pause_backfill, api.Backfill.unpause_backfill, api.Backfill.cancel_backfill):
        assert refused(404, call, 999999) == "Backfill not found"
    assert refused(404, api.Backfill.create_backfill, body(dag_id="nope")) == "Could not find dag nope"
    assert refused(404, api.Backfill.create_backfill_dry_run, body(dag_id="nope")) == "Could not find dag nope"


@pytest.mark.parametrize("behavior, expected", [("none", [2]), ("failed", [2, 3]), ("completed", [1, 2, 3])], ids=["none", "failed", "completed"])
def test_what_is_done_again(api, daily, behavior, expected):
    """The first day has a success, the second no run, the third a failure."""
    api.DAG.patch_dag("daily", DAGPatchBody(is_paused=False))
    for day in (1, 3):
        finished("daily", logical_date=at(day).isoformat(), run_id=f"mine_{day}")
    api.DAG.patch_dag("daily", DAGPatchBody(is_paused=True))
    http("PATCH", f"{V2}/dags/daily/dagRuns/mine_3", json={"state": "failed"})
    wanted = body(reprocess_behavior=behavior)
    dry = api.Backfill.create_backfill_dry_run(wanted)
    assert [b.logical_date.day for b in dry.backfills] == expected
    made = api.Backfill.create_backfill(wanted)
    found = runs_of(api, run_type=["backfill"])
    assert [run.logical_date.day for run in found if run.logical_date <= at(3)] == expected
    again = [run.dag_run_id for run in found if run.dag_run_id.startswith("mine_")]
    assert again == [f"mine_{day}" for day in expected if day != 2], "a run that is done again keeps its id"
    assert {run.state for run in found} == {"queued"}
    api.Backfill.cancel_backfill(made.id)


@pytest.mark.parametrize(
    "fields, text",
    [
        ({"from_date": "2026-04-03T00:00:00Z", "to_date": "2026-04-01T00:00:00Z"}, "must not be after to_date"),
        ({"from_date": "2126-04-01T00:00:00Z", "to_date": "2126-04-03T00:00:00Z"}, "Backfill cannot be executed for future dates."),
        ({"dag_id": "little"}, "little has a non-periodic schedule that does not support backfills"),
        ({"dag_id": "chained", "run_backwards": True, "reprocess_behavior": "failed"}, "cannot be run in reverse"),
        ({"dag_id": "chained"}, "You must set reprocess behavior to reprocess completed or reprocess failed."),
    ],
    ids=["turned-round", "future", "no-schedule", "backwards", "depends-on-past"],
)
def test_a_wrong_backfill_is_422(fields, text):
    given = {"dag_id": "daily", "from_date": "2026-04-01T00:00:00Z", "to_date": "2026-04-03T00:00:00Z", **fields}
    for path in ("/backfills", "/backfills/dry_run"):
        answer = http("POST", V2 + path, json=given)
        assert answer.status == 422, answer
        assert text in str(answer.json["detail"])


def test_a_backfill_without_a_run_is_422(daily):
    given = {"dag_id": "daily", "from_date": "2026-04-01T01:00:00Z", "to_date": "2026-04-01T02:00:00Z"}
    answer = http("POST", f"{V2}/backfills", json=given)
    assert answer.status == 422 and "No runs to create for Dag daily" in str(answer.json["detail"])
    assert http("POST", f"{V2}/backfills/dry_run", json=given).json == {"backfills": [], "total_entries": 0}


@pytest.mark.parametrize(
    "fields, field",
    [({"surprise": 1}, "surprise"), ({"reprocess_behavior": "all"}, "reprocess_behavior"), ({"from_date": None}, "from_date"), ({"max_active_runs": "x"}, "max_active_runs")],
    ids=["surprise", "reprocess_behavior", "from_date", "max_active_runs"],
)
def test_backfills_are_checked(fields, field):
    given = {"dag_id": "daily", "from_date": "2026-04-01T00:00:00Z", "to_date": "2026-04-03T00:00:00Z", **fields}
    answer = http("POST", f"{V2}/backfills", json=given)
    assert answer.status == 422 and answer.json["detail"][0]["loc"] == ["body", field]
