"""Runs: trigger, list, page, patch, delete, clear, wait, in bulk."""

import datetime
import json
import time

import pytest
import urllib3
from airflow_client.client import (
    BulkBodyBulkDAGRunBody,
    BulkDAGRunClearBody,
    ClearPartitionsBody,
    DAGRunClearBody,
    DAGRunPatchBody,
    DAGRunsBatchBody,
    TriggerDAGRunPostBody,
)

from conftest import URL, V2, ended, finished, http, instance, name_of, refused, run_of, start, until

UTC = datetime.timezone.utc


def at(day, month=2):
    return datetime.datetime(2026, month, day, tzinfo=UTC)


def ids(answer):
    return [run.dag_run_id for run in answer.dag_runs]


def test_trigger(api):
    run = api.DagRun.trigger_dag_run("little", TriggerDAGRunPostBody(conf={"who": "grace"}, note="by hand"))
    assert run.dag_run_id.startswith("manual__") and run.dag_run_id.endswith("+00:00")
    assert run.dag_run_id == "manual__" + run.run_after.isoformat()
    assert (run.dag_id, run.dag_display_name) == ("little", "The little one")
    assert (run.run_type, run.triggered_by) == ("manual", "rest_api")
    assert run.state in ("queued", "running", "success")
    assert (run.conf, run.note, run.logical_date) == ({"who": "grace"}, "by hand", None)
    assert (run.data_interval_start, run.data_interval_end) == (None, None)
    [version] = run.dag_versions
    assert (version.dag_id, version.version_number) == ("little", 1)
    over = ended("little", run.dag_run_id)
    assert over["state"] == "success" and over["start_date"] and over["end_date"] and over["duration"] > 0


def test_trigger_with_everything(api, name):
    body = TriggerDAGRunPostBody(
        dag_run_id=name,
        logical_date=datetime.datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC),
        data_interval_start=at(1, 5),
        data_interval_end=at(2, 5),
    )
    run = api.DagRun.trigger_dag_run("crowd", body)
    assert (run.dag_run_id, run.logical_date) == (name, body.logical_date)
    assert (run.data_interval_start, run.data_interval_end) == (at(1, 5), at(2, 5))


def test_trigger_for_later(api, name):
    soon = datetime.datetime.now(UTC) + datetime.timedelta(hours=1)
    run = api.DagRun.trigger_dag_run("crowd", TriggerDAGRunPostBody(dag_run_id=name, run_after=soon))
    assert run.state == "queued" and run.run_after == soon
    time.sleep(0.5)
    assert api.DagRun.get_dag_run("crowd", name).state == "queued"
    api.DagRun.patch_dag_run("crowd", name, DAGRunPatchBody(state="failed"))


def test_trigger_twice_is_409(api, little):
    detail = refused(409, api.DagRun.trigger_dag_run, "little", TriggerDAGRunPostBody(dag_run_id=little))
    assert detail["reason"] == "Unique constraint violation"
    again = TriggerDAGRunPostBody(logical_date=datetime.datetime(2026, 3, 1, 6, 30, tzinfo=UTC))
    assert refused(409, api.DagRun.trigger_dag_run, "little", again)["reason"] == "Unique constraint violation"


def test_trigger_of_nothing_is_404(api):
    assert refused(404, api.DagRun.trigger_dag_run, "nope", TriggerDAGRunPostBody()) == "Dag with dag_id: 'nope' not found"


@pytest.mark.parametrize("run_id", ["two words", "scheduled__2026-01-01T00:00:00+00:00", "a/b"])
def test_ids_of_runs_are_checked(api, run_id):
    assert run_id in refused(400, api.DagRun.trigger_dag_run, "little", TriggerDAGRunPostBody(dag_run_id=run_id))


@pytest.mark.parametrize("conf", [{"region": "mars"}, {"rows": 0}, {"rows": "many"}])
def test_params_are_checked(api, conf):
    detail = refused(400, api.DagRun.trigger_dag_run, "choosy", TriggerDAGRunPostBody(conf=conf))
    assert f"param {next(iter(conf))}" in detail


def test_params_that_fit(api):
    run = api.DagRun.trigger_dag_run("choosy", TriggerDAGRunPostBody(conf={"region": "us", "rows": 3}))
    assert run.conf == {"region": "us", "rows": 3}


def test_half_an_interval_is_422(api):
    body = {"logical_date": "2026-05-05T00:00:00Z", "data_interval_start": "2026-05-05T00:00:00Z"}
    answer = http("POST", f"{V2}/dags/crowd/dagRuns", json=body)
    assert answer.status == 422
    assert "Either both data_interval_start and data_interval_end must be provided or both must be None" in answer.json["detail"][0]["msg"]


def test_a_paused_dag_takes_a_run_that_waits(api, name):
    run = api.DagRun.trigger_dag_run("chained", TriggerDAGRunPostBody(dag_run_id=name))
    time.sleep(0.5)
    assert (run.state, api.DagRun.get_dag_run("chained", name).state) == ("queued", "queued")
    api.DagRun.delete_dag_run("chained", name)


def test_get(api, little):
    run = api.DagRun.get_dag_run("little", little)
    assert (run.dag_run_id, run.state, run.note, run.conf) == (little, "success", "the first", {"who": "ada"})
    assert run.logical_date == run.data_interval_start == run.data_interval_end == datetime.datetime(2026, 3, 1, 6, 30, tzinfo=UTC)
    assert run.queued_at <= run.start_date <= run.end_date
    assert run.duration == pytest.approx((run.end_date - run.start_date).total_seconds(), abs=1e-3)
    assert run.last_scheduling_decision is not None and run.partition_key is None


def test_get_of_nothing_is_404(api):
    assert refused(404, api.DagRun.get_dag_run, "little", "nope") == "The DagRun with dag_id: `little` and run_id: `nope` was not found"


def test_ids_with_signs_in_them(api):
    run_id = api.DagRun.trigger_dag_run("crowd", TriggerDAGRunPostBody()).dag_run_id
    assert ":" in run_id and "+" in run_id
    assert api.DagRun.get_dag_run("crowd", run_id).dag_run_id == run_id


def test_list(api, crowd):
    answer = api.DagRun.get_dag_runs("crowd", run_id_prefix_pattern="crowd_", order_by=["logical_date"])
    assert ids(answer) == crowd and answer.total_entries == 7
    assert answer.next_cursor is None and answer.previous_cursor is None and answer.total_entries_limit is None


def test_list_is_in_the_order_in_which_runs_came(api, crowd):
    assert ids(api.DagRun.get_dag_runs("crowd", run_id_pattern="crowd_")) == crowd


def test_page_and_order(api, crowd):
    answer = api.DagRun.get_dag_runs("crowd", run_id_pattern="crowd_", order_by=["-logical_date"], limit=3, offset=2)
    assert ids(answer) == ["crowd_5", "crowd_4", "crowd_3"] and answer.total_entries == 7
    by_id = api.DagRun.get_dag_runs("crowd", run_id_pattern="crowd_", order_by=["-dag_run_id"], limit=2)
    assert ids(by_id) == ["crowd_7", "crowd_6"]


def test_order_by_each_column(api, crowd):
    columns = "id state dag_id run_id logical_date partition_date run_after start_date end_date updated_at conf duration dag_run_id"
    for column in columns.split():
        answer = api.DagRun.get_dag_runs("crowd", run_id_pattern="crowd_", order_by=[column])
        assert sorted(ids(answer)) == crowd, column


@pytest.mark.parametrize(
    "filters, expected",
    [
        ({"logical_date_gte": at(3), "logical_date_lt": at(5)}, [3, 4]),
        ({"logical_date_gt": at(3), "logical_date_lte": at(5)}, [4, 5]),
        ({"run_after_gte": at(6)}, [6, 7]),
        ({"start_date_gte": at(1, 1), "end_date_gte": at(1, 1), "logical_date_lte": at(1)}, [1]),
        ({"state": ["success"], "logical_date_gte": at(7)}, [7]),
        ({"state": ["failed", "running"]}, []),
        ({"run_type": ["manual"], "logical_date_gte": at(7)}, [7]),
        ({"run_type": ["scheduled", "backfill"]}, []),
        ({"run_id_pattern": "WD_3"}, [3]),
        ({"run_id_pattern": "crowd_2|crowd_4"}, [2, 4]),
        ({"run_id_prefix_pattern": "crowd_5"}, [5]),
        ({"duration_gte": 0.0, "duration_lt": 0.000001}, []),
        ({"conf_contains": '"n": 6'}, [6]),
        ({"triggering_user_name_pattern": "nobody-of-that-name"}, []),
        ({"dag_version": [1], "logical_date_gte": at(7)}, [7]),
        ({"dag_version": [9]}, []),
        ({"bundle_version": "nope"}, []),
        ({"dag_id_pattern": "nothing"}, []),
        ({"dag_id_prefix_pattern": "crow", "logical_date_gte": at(7)}, [7]),
        ({"updated_at_gte": at(1, 1), "logical_date_gte": at(7)}, [7]),
        ({"updated_at_lt": at(1, 1)}, []),
        ({"partition_key_pattern": "x"}, []),
        ({"consuming_asset_pattern": "x"}, []),
    ],
    ids=name_of,
)
def test_filter(api, crowd, filters, expected):
    answer = api.DagRun.get_dag_runs("crowd", order_by=["logical_date"], **filters)
    assert [run for run in ids(answer) if run in crowd] == [f"crowd_{n}" for n in expected]
    if not expected:
        assert answer.total_entries == len(answer.dag_runs)


def test_all_dags(api, crowd, little, broken):
    found = {(run.dag_id, run.dag_run_id) for run in api.DagRun.get_dag_runs("~", limit=100, order_by=["-id"]).dag_runs}
    assert {("crowd", "crowd_7"), ("little", little), ("broken_heart", broken)} <= found
    assert set(ids(api.DagRun.get_dag_runs("~", dag_id_pattern="heart"))) >= {broken}
    assert {run.dag_id for run in api.DagRun.get_dag_runs("~", dag_id_pattern="heart").dag_runs} == {"broken_heart"}


@pytest.mark.parametrize("order", [["logical_date"], ["-logical_date"], ["state", "logical_date"], ["-run_after"], None])
def test_cursors(api, crowd, order):
    more = {"order_by": order} if order else {}
    whole = ids(api.DagRun.get_dag_runs("crowd", run_id_pattern="crowd_", **more))
    assert sorted(whole) == crowd
    cursor, pages, first = "", [], None
    while cursor is not None:
        page = api.DagRun.get_dag_runs("crowd", run_id_pattern="crowd_", limit=3, cursor=cursor, **more)
        pages.append(page)
        cursor = page.next_cursor
    assert [len(page.dag_runs) for page in pages] == [3, 3, 1]
    assert [run for page in pages for run in ids(page)] == whole
    assert pages[0].previous_cursor is None and pages[1].previous_cursor
    back = api.DagRun.get_dag_runs("crowd", run_id_pattern="crowd_", limit=3, cursor=pages[2].previous_cursor, **more)
    assert ids(back) == ids(pages[1])
    first = api.DagRun.get_dag_runs("crowd", run_id_pattern="crowd_", limit=3, cursor=back.previous_cursor, **more)
    assert ids(first) == ids(pages[0]) and first.previous_cursor is None


def test_a_cursor_stays_where_it_is_when_runs_are_added(api, crowd):
    query = {"run_id_pattern": "crowd_", "order_by": ["-run_after"], "limit": 2}
    page = api.DagRun.get_dag_runs("crowd", cursor="", **query)
    newest = start("crowd", run_id="crowd_new")
    try:
        assert ids(api.DagRun.get_dag_runs("crowd", cursor=page.next_cursor, **query)) == ["crowd_5", "crowd_4"]
        assert ids(page) == ["crowd_7", "crowd_6"]
    finally:
        ended("crowd", newest)
        http("DELETE", f"{V2}/dags/crowd/dagRuns/{newest}")


def test_pages_by_cursor_tell_how_many_they_count(api, crowd):
    page = api.DagRun.get_dag_runs("crowd", run_id_pattern="crowd_", cursor="", limit=2, offset=5)
    assert len(page.dag_runs) == 2, "the offset counts for nothing"
    assert page.total_entries == 7
    assert isinstance(page.total_entries_limit, int) and page.total_entries_limit >= 7


@pytest.mark.parametrize("cursor", ["nonsense", "~", "eA", "after-x"])
def test_a_wrong_cursor_is_400(api, crowd, cursor):
    assert refused(400, api.DagRun.get_dag_runs, "crowd", cursor=cursor).startswith("Invalid cursor token")


def test_a_cursor_of_another_order_is_400(api, crowd):
    page = api.DagRun.get_dag_runs("crowd", cursor="", limit=2, order_by=["logical_date"])
    detail = refused(400, api.DagRun.get_dag_runs, "crowd", cursor=page.next_cursor, order_by=["state", "logical_date"])
    assert detail == "Cursor token does not match current query shape"


def test_partition_dates_are_for_partitioned_dags(api):
    day = datetime.date(2026, 2, 1)
    detail = refused(400, api.DagRun.get_dag_runs, "~", partition_date_gte=day)
    assert detail == "partition_date_gte and partition_date_lte require a specific dag_id."
    detail = refused(400, api.DagRun.get_dag_runs, "crowd", partition_date_lte=day)
    assert detail == "Dag with dag_id: 'crowd' is not partitioned; partition_date_gte and partition_date_lte are not supported."


def test_list_by_a_body(api, crowd, little, broken):
    body = DAGRunsBatchBody(dag_ids=["crowd"], logical_date_gte=at(2), logical_date_lt=at(7), order_by="-logical_date", page_limit=2, page_offset=1)
    answer = api.DagRun.get_list_dag_runs_batch("~", body)
    assert ids(answer) == ["crowd_5", "crowd_4"] and answer.total_entries == 5
    answer = api.DagRun.get_list_dag_runs_batch("~", DAGRunsBatchBody(dag_ids=["little", "broken_heart"], states=["failed"]))
    assert {run.dag_id for run in answer.dag_runs} == {"broken_heart"}
    assert ids(api.DagRun.get_list_dag_runs_batch("~", DAGRunsBatchBody(conf_contains='"n": 3', dag_ids=["crowd"]))) == ["crowd_3"]


def test_a_body_of_a_list_is_checked():
    answer = http("POST", f"{V2}/dags/~/dagRuns/list", json={"surprise": 1, "page_limit": -1})
    assert answer.status == 422
    found = {(p["type"], tuple(p["loc"])) for p in answer.json["detail"]}
    assert found == {("greater_than_equal", ("body", "page_limit")), ("extra_forbidden", ("body", "surprise"))}


def test_note(api):
    run_id = finished("crowd")
    assert api.DagRun.patch_dag_run("crowd", run_id, DAGRunPatchBody(note="seen")).note == "seen"
    assert api.DagRun.get_dag_run("crowd", run_id).note == "seen"
    both = DAGRunPatchBody(note="again", state="failed")
    run = api.DagRun.patch_dag_run("crowd", run_id, both, update_mask=["note"])
    assert (run.note, run.state) == ("again", "success"), "the mask leaves the state out"
    answer = http("PATCH", f"{V2}/dags/crowd/dagRuns/{run_id}", json={"note": "x" * 1001})
    assert answer.status == 422 and answer.json["detail"][0]["loc"] == ["body", "note"]


def test_an_empty_note_is_none(api):
    run_id = finished("crowd", note="x")
    assert api.DagRun.patch_dag_run("crowd", run_id, DAGRunPatchBody(note="")).note is None


def test_mark_failed(api, sleeping):
    run = api.DagRun.patch_dag_run("patient", sleeping, DAGRunPatchBody(state="failed"))
    assert run.state == "failed"
    until("sleep is stopped", lambda: instance("patient", sleeping, "sleep")["state"] == "failed")
    assert instance("patient", sleeping, "later")["state"] == "skipped"


def test_mark_success_and_queued(api):
    run_id = finished("broken_heart")
    assert api.DagRun.patch_dag_run("broken_heart", run_id, DAGRunPatchBody(state="success")).state == "success"
    assert instance("broken_heart", run_id, "broken")["state"] == "success"
    assert api.DagRun.patch_dag_run("broken_heart", run_id, DAGRunPatchBody(state="queued")).state in ("queued", "running", "success")
    ended("broken_heart", run_id)


def test_a_run_is_not_marked_running(api, little):
    answer = http("PATCH", f"{V2}/dags/little/dagRuns/{little}", json={"state": "running"})
    assert answer.status == 422 and answer.json["detail"][0]["loc"] == ["body", "state"]
    assert "was not found" in refused(404, api.DagRun.patch_dag_run, "little", "nope", DAGRunPatchBody(note="x"))


def test_delete(api):
    run_id = finished("crowd")
    api.DagRun.delete_dag_run("crowd", run_id)
    assert "was not found" in refused(404, api.DagRun.get_dag_run, "crowd", run_id)
    assert "was not found" in refused(404, api.DagRun.delete_dag_run, "crowd", run_id)


def test_a_running_run_is_not_deleted(api, sleeping):
    detail = refused(409, api.DagRun.delete_dag_run, "patient", sleeping)
    assert detail == f"The DagRun with dag_id: `patient` and run_id: `{sleeping}` cannot be deleted in running state"


def dry(answer):
    """What would be cleared. The client cannot read it, whoever answers: to its models every task instance is a new task as well."""
    assert answer.status == 200, answer.data
    return json.loads(answer.data)["task_instances"]


def test_clear_asks_first(api, little):
    tasks = dry(api.DagRun.clear_dag_run_without_preload_content("little", little, DAGRunClearBody(dry_run=True)))
    assert sorted(t["task_id"] for t in tasks) == ["end", "hello", "world"] and all(t["id"] for t in tasks)
    assert api.DagRun.get_dag_run("little", little).state == "success"
    assert http("POST", f"{V2}/dags/little/dagRuns/{little}/clear", json={}).json["total_entries"] == 3, "dry, unless told"


def test_clear(api):
    run_id = finished("little")
    answer = api.DagRun.clear_dag_run("little", run_id, DAGRunClearBody(dry_run=False, note="once more"))
    run = answer.actual_instance
    assert (run.dag_run_id, run.note) == (run_id, "once more") and run.state in ("queued", "running", "success")
    assert ended("little", run_id)["state"] == "success"
    assert instance("little", run_id, "hello")["try_number"] == 2


def test_clear_only_what_failed(api, broken):
    body = DAGRunClearBody(dry_run=True, only_failed=True)
    found = dry(api.DagRun.clear_dag_run_without_preload_content("broken_heart", broken, body))
    assert {t["task_id"]: t["state"] for t in found} == {"broken": "failed", "after": "upstream_failed"}
    assert "was not found" in refused(404, api.DagRun.clear_dag_run, "little", "nope", DAGRunClearBody())


def test_clear_only_what_is_new(api, little):
    body = DAGRunClearBody(dry_run=True, only_new=True)
    assert dry(api.DagRun.clear_dag_run_without_preload_content("little", little, body)) == []
    assert api.DagRun.clear_dag_run("little", little, body).actual_instance.total_entries == 0
    answer = http("POST", f"{V2}/dags/little/dagRuns/{little}/clear", json={"only_new": True, "only_failed": True})
    assert answer.status == 422
    assert "only_new and only_failed are mutually exclusive" in answer.json["detail"][0]["msg"]


def test_clear_many_asks_first(api, little):
    other = finished("little")
    body = BulkDAGRunClearBody.from_dict({"dag_runs": [{"dag_run_id": little}, {"dag_run_id": other}], "dry_run": True})
    tasks = dry(api.DagRun.clear_dag_runs_without_preload_content("little", body))
    assert len(tasks) == 6 and {t["dag_run_id"] for t in tasks} == {little, other}


def test_clear_many(api):
    one, other = finished("crowd"), finished("crowd")
    runs = [{"dag_run_id": one, "dag_id": "crowd"}, {"dag_run_id": other, "dag_id": "crowd"}, {"dag_run_id": one, "dag_id": "crowd"}]
    answer = api.DagRun.clear_dag_runs("~", BulkDAGRunClearBody.from_dict({"dag_runs": runs, "dry_run": False}))
    assert ids(answer.actual_instance) == [one, other], "each once, in the order of the request"
    assert answer.actual_instance.total_entries == 2
    for run_id in (one, other):
        assert ended("crowd", run_id)["state"] == "success"
        assert instance("crowd", run_id, "one")["try_number"] >= 1


@pytest.mark.parametrize(
    "dag_id, body, status, text",
    [
        ("~", {"dag_runs": [{"dag_run_id": "a"}]}, 400, "When the URL dag_id is '~', every entry must provide a concrete dag_id"),
        ("little", {"dag_runs": [{"dag_run_id": "a", "dag_id": "crowd"}]}, 400, "does not match the URL dag_id 'little'"),
        ("little", {"dag_runs": [{"dag_run_id": "nope"}]}, 404, "The DagRun with dag_id: `little` and run_id: `nope` was not found"),
        ("~", {"partition_key": "x"}, 400, "Partition selectors require a concrete dag_id; '~' is not supported."),
    ],
    ids=["no-dag", "another-dag", "no-run", "partitions-of-all"],
)
def test_clear_many_of_what_is_not_there(api, dag_id, body, status, text):
    assert text in refused(status, api.DagRun.clear_dag_runs, dag_id, BulkDAGRunClearBody.from_dict(body))


def test_clear_many_of_nothing_is_422():
    answer = http("POST", f"{V2}/dags/little/clearDagRuns", json={"dag_runs": []})
    assert answer.status == 422
    assert "Exactly one of dag_runs (non-empty), partition_key, or a partition date window" in answer.json["detail"][0]["msg"]


def test_clear_partitions(api, little):
    answer = api.DagRun.clear_dag_run_partitions("little", ClearPartitionsBody(run_id=little, dry_run=True))
    assert (answer.dag_runs_cleared, answer.task_instances_cleared, answer.dry_run) == (0, 0, True), "no run here has one"
    assert "nope" in refused(404, api.DagRun.clear_dag_run_partitions, "nope", ClearPartitionsBody(run_id="x"))
    answer = http("POST", f"{V2}/dags/little/clearPartitions", json={})
    assert answer.status == 422
    assert "Exactly one of run_id, partition_key, or a partition date window" in answer.json["detail"][0]["msg"]


def test_asset_events_of_a_run_without_assets(api, little):
    answer = api.DagRun.get_upstream_asset_events("little", little)
    assert (answer.asset_events, answer.total_entries) == ([], 0)
    assert "was not found" in refused(404, api.DagRun.get_upstream_asset_events, "little", "nope")


def test_wait(api, values):
    """The client asks for JSON and can read nothing else, so that is what it gets, once. From Airflow this call gets lines, and fails."""
    assert api.DagRun.wait_dag_run_until_finished("values", values, 1.0, result=["give"]) == {
        "state": "success",
        "results": {"give": {"answer": 42}},
    }


def test_wait_by_its_other_name(api):
    run_id = start("little")
    assert api.Experimental.wait_dag_run_until_finished("little", run_id, 0.1) == {"state": "success"}


def test_wait_line_by_line(api, values):
    run_id = start("little")
    answer = api.DagRun.wait_dag_run_until_finished_without_preload_content(
        "little", run_id, 0.2, _headers={"Accept": "application/x-ndjson"}
    )
    lines = [json.loads(line) for line in answer.data.decode().splitlines()]
    assert lines[-1] == {"state": "success"}
    assert all(set(line) == {"state"} and line["state"] in ("queued", "running") for line in lines[:-1])
    answer = http("GET", f"{V2}/dags/values/dagRuns/{values}/wait?interval=1&result=give&result=nope", accept="application/x-ndjson")
    assert answer.content_type == "application/x-ndjson"
    assert answer.json == {"state": "success", "results": {"give": {"answer": 42}}}, "a task without a value is left out"


def test_wait_streams(sleeping):
    answer = urllib3.request("GET", f"{URL}{V2}/dags/patient/dagRuns/{sleeping}/wait?interval=0.1", preload_content=False, retries=False)
    lines = answer.stream(64)
    assert json.loads(next(lines)) == {"state": "running"}, "before the run ends"
    answer.close()


def test_wait_is_checked(little):
    answer = http("GET", f"{V2}/dags/little/dagRuns/{little}/wait")
    assert answer.status == 422
    assert (answer.json["detail"][0]["type"], answer.json["detail"][0]["loc"]) == ("missing", ["query", "interval"])
    answer = http("GET", f"{V2}/dags/little/dagRuns/{little}/wait?interval=0")
    assert answer.status == 422 and answer.json["detail"][0]["type"] == "greater_than"
    answer = http("GET", f"{V2}/dags/little/dagRuns/nope/wait?interval=1")
    assert answer.status == 404 and "nope" in answer.json["detail"]


def bulk(*actions):
    return BulkBodyBulkDAGRunBody.from_dict({"actions": list(actions)})


def test_bulk(api):
    one, other = finished("crowd"), finished("crowd")
    update = {"action": "update", "entities": [{"dag_run_id": one, "state": "failed", "note": "no good"}, {"dag_run_id": other, "note": "fine"}]}
    answer = api.DagRun.bulk_dag_runs("crowd", bulk(update))
    assert sorted(answer.update.success) == sorted([f"crowd.{one}", f"crowd.{other}"]) and answer.update.errors == []
    assert answer.create is None and answer.delete is None, "what was not asked for"
    assert (run_of("crowd", one)["state"], run_of("crowd", one)["note"]) == ("failed", "no good")
    assert (run_of("crowd", other)["state"], run_of("crowd", other)["note"]) == ("success", "fine")
    delete = {"action": "delete", "entities": [one, {"dag_run_id": other}]}
    answer = api.DagRun.bulk_dag_runs("crowd", bulk(delete))
    assert sorted(answer.delete.success) == sorted([f"crowd.{one}", f"crowd.{other}"])
    assert http("GET", f"{V2}/dags/crowd/dagRuns/{one}").status == 404


def test_bulk_makes_nothing(api):
    answer = api.DagRun.bulk_dag_runs("crowd", bulk({"action": "create", "entities": [{"dag_run_id": "x"}]}))
    assert answer.create.success == []
    error = {"error": "Dag Runs bulk create is not supported. Use the trigger Dag Run endpoint instead.", "status_code": 405}
    assert answer.create.errors == [error]


def test_bulk_of_what_is_not_there(api):
    run_id = finished("crowd")
    entities = [{"dag_run_id": run_id, "note": "x"}, {"dag_run_id": "nope", "note": "x"}]
    answer = api.DagRun.bulk_dag_runs("crowd", bulk({"action": "update", "entities": entities}))
    assert answer.update.success == [] and answer.update.errors[0]["status_code"] == 404
    assert run_of("crowd", run_id)["note"] is None, "all of an action or nothing"
    skip = {"action": "update", "entities": entities, "action_on_non_existence": "skip"}
    answer = api.DagRun.bulk_dag_runs("crowd", bulk(skip))
    assert answer.update.success == [f"crowd.{run_id}"] and answer.update.errors == []


def test_bulk_in_all_dags(api, sleeping):
    run_id = finished("crowd")
    entities = [{"dag_run_id": run_id, "dag_id": "crowd"}, {"dag_run_id": sleeping, "dag_id": "patient"}, run_id]
    answer = api.DagRun.bulk_dag_runs("~", bulk({"action": "delete", "entities": entities}))
    assert answer.delete.success == [f"crowd.{run_id}"]
    assert sorted(e["status_code"] for e in answer.delete.errors) == [400, 409]


def test_bulk_is_checked():
    answer = http("PATCH", f"{V2}/dags/crowd/dagRuns", json={"actions": [{"action": "update"}], "more": 1})
    assert answer.status == 422
    assert ["body", "more"] in [p["loc"] for p in answer.json["detail"]]
