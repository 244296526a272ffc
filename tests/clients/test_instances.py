"""Task instances, their tries, and what is done to them."""

import datetime

import pytest
from airflow_client.client import (
    BulkBodyBulkTaskInstanceBody,
    ClearTaskInstancesBody,
    DAGRunClearBody,
    PatchTaskInstanceBody,
    TaskInstancesBatchBody,
)

from conftest import V2, ended, finished, http, instance, name_of, refused, run_of, until

UTC = datetime.timezone.utc


def ids(answer):
    return [t.task_id for t in answer.task_instances]


def test_list(api, little):
    answer = api.TaskInstance.get_task_instances("little", little, order_by=["start_date"])
    assert ids(answer) == ["hello", "world", "end"] and answer.total_entries == 3
    assert answer.next_cursor is None and answer.total_entries_limit is None
    for t in answer.task_instances:
        assert (t.dag_id, t.dag_run_id, t.state, t.map_index) == ("little", little, "success", -1)
    assert [t.try_number for t in answer.task_instances[:2]] == [1, 1]


def test_a_task_without_work_has_a_try(api, little):
    assert api.TaskInstance.get_task_instance("little", little, "end").try_number == 1


def test_one(api, little):
    t = api.TaskInstance.get_task_instance("little", little, "world")
    assert (t.task_id, t.task_display_name, t.dag_display_name) == ("world", "world", "The little one")
    assert (t.state, t.operator, t.operator_name, t.pool, t.pool_slots, t.queue) == (
        "success", "BashOperator", "BashOperator", "default_pool", 1, "default",
    )
    assert t.priority_weight and t.executor_config == "{}" and t.note is None
    assert t.logical_date == datetime.datetime(2026, 3, 1, 6, 30, tzinfo=UTC)
    assert t.start_date <= t.end_date and t.duration == pytest.approx((t.end_date - t.start_date).total_seconds(), abs=1e-3)
    assert t.dag_version.version_number == 1
    assert t.id == api.TaskInstance.get_task_instance("little", little, "world").id, "its id stays"


def test_what_its_templates_became(api, little):
    fields = api.TaskInstance.get_task_instance("little", little, "hello").rendered_fields
    assert fields.get("bash_command") == f"for n in 1 2 3; do echo line $n of {little}; done"


def test_of_nothing_is_404(api, little):
    detail = refused(404, api.TaskInstance.get_task_instance, "little", little, "nope")
    assert detail == f"The Task Instance with dag_id: `little`, run_id: `{little}` and task_id: `nope` was not found"
    assert "run_id: `nope` was not found" in refused(404, api.TaskInstance.get_task_instances, "little", "nope")


@pytest.mark.parametrize(
    "filters, expected",
    [
        ({"task_id": "hello"}, ["hello"]),
        ({"task_display_name_pattern": "ORL"}, ["world"]),
        ({"task_display_name_prefix_pattern": "he|wo"}, ["hello", "world"]),
        ({"state": ["success"]}, ["end", "hello", "world"]),
        ({"state": ["failed", "none"]}, []),
        ({"pool": ["default_pool"]}, ["end", "hello", "world"]),
        ({"pool": ["other"]}, []),
        ({"pool_name_pattern": "FAULT"}, ["end", "hello", "world"]),
        ({"pool_name_prefix_pattern": "other"}, []),
        ({"queue": ["default"]}, ["end", "hello", "world"]),
        ({"queue_name_pattern": "nope"}, []),
        ({"executor": ["nope"]}, []),
        ({"operator": ["EmptyOperator"]}, ["end"]),
        ({"operator_name_pattern": "bash"}, ["hello", "world"]),
        ({"operator_name_prefix_pattern": "Empty"}, ["end"]),
        ({"map_index": [-1]}, ["end", "hello", "world"]),
        ({"map_index": [0]}, []),
        ({"try_number": [1]}, ["end", "hello", "world"]),
        ({"try_number": [2]}, []),
        ({"version_number": [1]}, ["end", "hello", "world"]),
        ({"version_number": [9]}, []),
        ({"duration_lt": 0.0}, []),
        ({"start_date_gte": datetime.datetime(2026, 1, 1, tzinfo=UTC)}, ["end", "hello", "world"]),
        ({"end_date_lt": datetime.datetime(2026, 1, 1, tzinfo=UTC)}, []),
        ({"logical_date_lt": datetime.datetime(2026, 3, 1, tzinfo=UTC)}, []),
        ({"run_after_gte": datetime.datetime(2026, 3, 1, tzinfo=UTC)}, ["end", "hello", "world"]),
        ({"updated_at_lt": datetime.datetime(2026, 1, 1, tzinfo=UTC)}, []),
        ({"rendered_map_index_pattern": "x"}, []),
        ({"dag_id_pattern": "ITTL"}, ["end", "hello", "world"]),
        ({"run_id_prefix_pattern": "nothing"}, []),
    ],
    ids=name_of,
)
def test_filter(api, little, filters, expected):
    answer = api.TaskInstance.get_task_instances("little", little, **filters)
    assert sorted(ids(answer)) == expected and answer.total_entries == len(expected)


def test_filter_by_group(api, grouped):
    assert sorted(ids(api.TaskInstance.get_task_instances("grouped", grouped, task_group_id="block"))) == ["block.a", "block.b"]
    assert "nope" in refused(404, api.TaskInstance.get_task_instances, "grouped", grouped, task_group_id="nope")


def test_page_and_order(api, little):
    answer = api.TaskInstance.get_task_instances("little", little, order_by=["-start_date"], limit=1, offset=1)
    assert ids(answer) == ["world"] and answer.total_entries == 3
    columns = "id state duration start_date end_date map_index try_number logical_date run_after data_interval_start data_interval_end"
    for column in [*columns.split(), "rendered_map_index", "operator"]:
        assert len(ids(api.TaskInstance.get_task_instances("little", little, order_by=[column]))) == 3, column
    assert "surprise" in refused(400, api.TaskInstance.get_task_instances, "little", little, order_by=["surprise"])


def test_all_runs_and_all_dags(api, crowd, little, broken):
    answer = api.TaskInstance.get_task_instances("crowd", "~", run_id_pattern="crowd_", task_id="one", limit=100)
    assert {t.dag_run_id for t in answer.task_instances} == set(crowd) and answer.total_entries == 7
    answer = api.TaskInstance.get_task_instances("~", "~", limit=100, state=["failed"], dag_id_pattern="heart")
    assert {(t.dag_id, t.task_id) for t in answer.task_instances} == {("broken_heart", "broken")}


def test_a_run_of_any_dag_is_400(api, little):
    assert refused(400, api.TaskInstance.get_task_instances, "~", little) == "dag_id is required when dag_run_id is specified"


@pytest.mark.parametrize("order", [["start_date"], ["-start_date"], ["state", "-run_after"], None])
def test_cursors(api, crowd, order):
    query = {"run_id_pattern": "crowd_", **({"order_by": order} if order else {})}
    whole = [t.id for t in api.TaskInstance.get_task_instances("crowd", "~", limit=100, **query).task_instances]
    assert len(whole) == 14
    cursor, pages = "", []
    while cursor is not None:
        page = api.TaskInstance.get_task_instances("crowd", "~", limit=5, cursor=cursor, **query)
        pages.append([t.id for t in page.task_instances])
        cursor, last = page.next_cursor, page
    assert [len(page) for page in pages] == [5, 5, 4]
    assert [i for page in pages for i in page] == whole
    back = api.TaskInstance.get_task_instances("crowd", "~", limit=5, cursor=last.previous_cursor, **query)
    assert [t.id for t in back.task_instances] == pages[1]


def test_a_wrong_cursor_is_400(api, little):
    assert refused(400, api.TaskInstance.get_task_instances, "little", little, cursor="nonsense").startswith("Invalid cursor token")


def test_list_by_a_body(api, crowd, little, broken):
    body = dict(dag_ids=["crowd"], dag_run_ids=["crowd_2", "crowd_3"], task_ids=["one"])
    both = api.TaskInstance.get_task_instances_batch("~", "~", TaskInstancesBatchBody(**body)).task_instances
    # Which of the two began last is the machine's affair.
    last = max(both, key=lambda t: t.start_date)
    body = TaskInstancesBatchBody(**body, order_by="-start_date", page_limit=1)
    answer = api.TaskInstance.get_task_instances_batch("~", "~", body)
    assert [(t.dag_run_id, t.task_id) for t in answer.task_instances] == [(last.dag_run_id, "one")] and answer.total_entries == 2
    body = TaskInstancesBatchBody(dag_ids=["broken_heart", "little"], state=["upstream_failed"], pool=["default_pool"])
    assert set(ids(api.TaskInstance.get_task_instances_batch("~", "~", body))) == {"after"}
    body = TaskInstancesBatchBody(dag_ids=["little"], dag_run_ids=[little], state=[None])
    assert api.TaskInstance.get_task_instances_batch("~", "~", body).total_entries == 0


def test_tries(api, broken):
    answer = api.TaskInstance.get_task_instance_tries("broken_heart", broken, "broken")
    assert [(t.try_number, t.state, t.max_tries) for t in answer.task_instances] == [(1, "failed", 1), (2, "failed", 1)]
    assert answer.total_entries == 2
    assert all(t.start_date <= t.end_date for t in answer.task_instances)
    detail = refused(404, api.TaskInstance.get_task_instance_tries, "broken_heart", broken, "nope")
    assert "was not found" in detail


def test_one_try(api, broken):
    one = api.TaskInstance.get_task_instance_try_details("broken_heart", broken, "broken", 1)
    two = api.TaskInstance.get_task_instance_try_details("broken_heart", broken, "broken", 2)
    assert (one.try_number, two.try_number) == (1, 2) and one.end_date <= two.start_date
    assert one.dag_version.version_number == 1
    detail = refused(404, api.TaskInstance.get_task_instance_try_details, "broken_heart", broken, "broken", 9)
    assert "try_number: `9`" in detail and "was not found" in detail


def test_by_map_index(api, little):
    assert api.TaskInstance.get_mapped_task_instance("little", little, "hello", -1).task_id == "hello"
    detail = refused(404, api.TaskInstance.get_mapped_task_instance, "little", little, "hello", 3)
    assert "map_index: `3`" in detail
    assert [t.try_number for t in api.TaskInstance.get_mapped_task_instance_tries("little", little, "hello", -1).task_instances] == [1]
    assert api.TaskInstance.get_mapped_task_instance_try_details("little", little, "hello", 1, -1).try_number == 1
    assert "was not found" in refused(404, api.TaskInstance.get_mapped_task_instance_tries, "little", little, "hello", 3)


def test_a_task_that_is_not_mapped_has_no_list(api, little):
    assert refused(404, api.TaskInstance.get_mapped_task_instances, "little", little, "hello") == "Task id hello is not mapped"
    assert refused(404, api.TaskInstance.get_mapped_task_instances, "little", little, "nope") == "Task id nope not found"


def test_what_it_waits_for(api, sleeping):
    answer = api.TaskInstance.get_task_instance_dependencies("patient", sleeping, "later")
    assert answer.dependencies, "an upstream is not over"
    assert all(d.name and d.reason for d in answer.dependencies)
    by_map = api.TaskInstance.get_task_instance_dependencies_by_map_index("patient", sleeping, "later", -1)
    assert by_map.dependencies == answer.dependencies
    assert api.TaskInstance.get_task_instance_dependencies("patient", sleeping, "sleep").dependencies == [], "it runs"
    assert "was not found" in str(refused(404, api.TaskInstance.get_task_instance_dependencies, "patient", sleeping, "nope"))


def test_links(api, little):
    answer = api.TaskInstance.get_extra_links("little", little, "hello")
    assert (answer.extra_links, answer.total_entries) == ({}, 0)
    assert api.ExtraLinks.get_extra_links("little", little, "hello", map_index=-1) == answer
    assert refused(404, api.ExtraLinks.get_extra_links, "little", little, "nope") == "TaskInstance not found"


def test_external_log(api, little):
    detail = refused(400, api.TaskInstance.get_external_log_url, "little", little, "hello", 1)
    assert detail == "Task log handler does not support external logs."


def test_note(api):
    run_id = finished("little")
    answer = api.TaskInstance.patch_task_instance("little", run_id, "hello", PatchTaskInstanceBody(note="seen"), update_mask=["note"])
    assert [(t.task_id, t.note, t.state) for t in answer.task_instances] == [("hello", "seen", "success")] and answer.total_entries == 1
    assert api.TaskInstance.get_task_instance("little", run_id, "hello").note == "seen"
    both = PatchTaskInstanceBody(note="more", new_state="failed")
    [t] = api.TaskInstance.patch_task_instance("little", run_id, "hello", both, update_mask=["note"]).task_instances
    assert (t.note, t.state) == ("more", "success"), "the mask leaves the state out"


def test_an_empty_note_is_none(api):
    run_id = finished("little")
    for note, kept in (("x", "x"), ("", None)):
        body = PatchTaskInstanceBody(note=note)
        assert api.TaskInstance.patch_task_instance("little", run_id, "hello", body, update_mask=["note"]).task_instances[0].note == kept


def test_mark(api):
    run_id = finished("little")
    [t] = api.TaskInstance.patch_task_instance("little", run_id, "hello", PatchTaskInstanceBody(new_state="failed")).task_instances
    assert (t.task_id, t.state) == ("hello", "failed")
    detail = refused(409, api.TaskInstance.patch_task_instance, "little", run_id, "hello", PatchTaskInstanceBody(new_state="failed"))
    assert detail == "Task id hello is already in failed state"
    [t] = api.TaskInstance.patch_task_instance_by_map_index("little", run_id, "hello", -1, PatchTaskInstanceBody(new_state="success")).task_instances
    assert t.state == "success"


def test_mark_with_what_is_downstream(api):
    run_id = finished("little")
    body = PatchTaskInstanceBody(new_state="failed", include_downstream=True)
    answer = api.TaskInstance.patch_task_instance("little", run_id, "world", body)
    # Airflow answers with the task that was named alone.
    assert ("world", "failed") in {(t.task_id, t.state) for t in answer.task_instances}
    states = {task: instance("little", run_id, task)["state"] for task in ("hello", "world", "end")}
    assert states == {"hello": "success", "world": "failed", "end": "failed"}
    body = PatchTaskInstanceBody(new_state="success", include_upstream=True)
    assert "end" in ids(api.TaskInstance.patch_task_instance("little", run_id, "end", body))
    assert {instance("little", run_id, task)["state"] for task in ("hello", "world", "end")} == {"success"}


def test_mark_what_runs(api, sleeping):
    api.TaskInstance.patch_task_instance("patient", sleeping, "sleep", PatchTaskInstanceBody(new_state="success"))
    assert ended("patient", sleeping)["state"] == "success"
    assert instance("patient", sleeping, "sleep")["state"] == "success"


@pytest.mark.parametrize("body", [{"new_state": "running"}, {"new_state": "happy"}, {"surprise": 1}, {"note": "x" * 1001}], ids=["running", "happy", "surprise", "note"])
def test_a_wrong_mark_is_422(little, body):
    answer = http("PATCH", f"{V2}/dags/little/dagRuns/{little}/taskInstances/hello", json=body)
    assert answer.status == 422 and answer.json["detail"][0]["loc"] == ["body", next(iter(body))]


def test_mark_of_nothing_is_404(api, little):
    for run_id, task_id in ((little, "nope"), ("nope", "hello")):
        refused(404, api.TaskInstance.patch_task_instance, "little", run_id, task_id, PatchTaskInstanceBody(new_state="failed"))


def test_mark_asks_first(api, little):
    body = PatchTaskInstanceBody(new_state="failed", include_downstream=True)
    answer = api.TaskInstance.patch_task_instance_dry_run("little", little, "world", body)
    assert sorted(ids(answer)) == ["end", "world"] and answer.total_entries == 2
    body = PatchTaskInstanceBody(new_state="failed")
    assert ids(api.TaskInstance.patch_task_instance_dry_run_by_map_index("little", little, "hello", -1, body)) == ["hello"]
    assert api.TaskInstance.patch_task_instance_dry_run("little", little, "hello", PatchTaskInstanceBody(new_state="success")).total_entries == 0
    assert instance("little", little, "world")["state"] == "success"


def test_group(api):
    run_id = finished("grouped")
    body = PatchTaskInstanceBody(new_state="failed", note="both")
    dry = api.TaskInstance.patch_task_group_instances_dry_run("grouped", run_id, "block", body)
    assert sorted(ids(dry)) == ["block.a", "block.b"] and instance("grouped", run_id, "block.a")["state"] == "success"
    answer = api.TaskInstance.patch_task_group_instances("grouped", run_id, "block", body)
    assert {t.task_id: (t.state, t.note) for t in answer.task_instances} == {"block.a": ("failed", "both"), "block.b": ("failed", "both")}
    detail = refused(409, api.TaskInstance.patch_task_group_instances, "grouped", run_id, "block", PatchTaskInstanceBody(new_state="failed"))
    assert detail == "All task instances in the group are already in failed state"
    detail = refused(404, api.TaskInstance.patch_task_group_instances, "grouped", run_id, "nope", body)
    assert detail == "Task group 'nope' not found in DAG 'grouped'"


def test_clear_asks_first(api, broken):
    body = ClearTaskInstancesBody(dag_run_id=broken, dry_run=True, only_failed=True)
    answer = api.TaskInstance.post_clear_task_instances("broken_heart", body)
    assert sorted(ids(answer)) == ["after", "broken"] and answer.total_entries == 2
    assert http("POST", f"{V2}/dags/broken_heart/clearTaskInstances", json={"dag_run_id": broken}).json["total_entries"] == 2
    assert run_of("broken_heart", broken)["state"] == "failed"


def test_clear(api):
    run_id = finished("little")
    body = ClearTaskInstancesBody.from_dict(
        {"dag_run_id": run_id, "dry_run": False, "only_failed": False, "task_ids": ["world"], "include_downstream": True, "note": "again"}
    )
    answer = api.TaskInstance.post_clear_task_instances("little", body)
    assert sorted(ids(answer)) == ["end", "world"]
    assert ended("little", run_id)["state"] == "success"
    tries = {task: instance("little", run_id, task)["try_number"] for task in ("hello", "world")}
    assert tries == {"hello": 1, "world": 2}
    assert instance("little", run_id, "world")["note"] == "again"


def test_clear_of_one_map_index(api):
    run_id = finished("little")
    body = ClearTaskInstancesBody.from_dict({"dag_run_id": run_id, "only_failed": False, "task_ids": [["hello", -1]]})
    assert ids(api.TaskInstance.post_clear_task_instances("little", body)) == ["hello"]


def test_clear_by_dates(api, crowd):
    dates = {"start_date": datetime.datetime(2026, 2, 3, tzinfo=UTC), "end_date": datetime.datetime(2026, 2, 4, tzinfo=UTC)}
    body = ClearTaskInstancesBody.from_dict({"only_failed": False, "task_ids": ["one"], **dates})
    answer = api.TaskInstance.post_clear_task_instances("crowd", body)
    assert sorted(t.dag_run_id for t in answer.task_instances) == ["crowd_3", "crowd_4"]
    body = ClearTaskInstancesBody.from_dict({"dag_run_id": "crowd_6", "include_future": True, "only_failed": False, "task_ids": ["one"]})
    found = {t.dag_run_id for t in api.TaskInstance.post_clear_task_instances("crowd", body).task_instances}
    assert {"crowd_6", "crowd_7"} <= found and not found & {"crowd_1", "crowd_5"}


def test_what_runs_is_not_cleared_when_told_so(api, sleeping):
    body = ClearTaskInstancesBody(dag_run_id=sleeping, dry_run=False, only_failed=False, prevent_running_task=True)
    assert refused(409, api.TaskInstance.post_clear_task_instances, "patient", body)
    assert instance("patient", sleeping, "sleep")["state"] == "running"


@pytest.mark.parametrize(
    "body, text",
    [
        ({"only_failed": True, "only_running": True}, "only_failed and only_running both are set to True"),
        ({"start_date": "2026-02-02T00:00:00Z", "end_date": "2026-02-01T00:00:00Z"}, "end_date is sooner than start_date"),
        ({"dag_run_id": "x", "start_date": "2026-02-02T00:00:00Z"}, "Exactly one of dag_run_id or"),
        ({"task_ids": []}, "task_ids list should have at least 1 element."),
    ],
    ids=["failed-and-running", "dates-turned-round", "run-and-date", "no-tasks"],
)
def test_a_wrong_clear_is_422(body, text):
    answer = http("POST", f"{V2}/dags/little/clearTaskInstances", json=body)
    assert answer.status == 422 and text in answer.json["detail"][0]["msg"]


def test_clear_of_nothing_is_404(api, little):
    assert "nope" in refused(404, api.TaskInstance.post_clear_task_instances, "nope", ClearTaskInstancesBody())
    detail = refused(404, api.TaskInstance.post_clear_task_instances, "little", ClearTaskInstancesBody(dag_run_id="nope"))
    assert "nope" in detail and "not found" in detail


def test_past_and_future_need_a_date(api, broken):
    detail = refused(400, api.TaskInstance.post_clear_task_instances, "broken_heart", ClearTaskInstancesBody(dag_run_id=broken, include_past=True))
    assert detail.startswith("Cannot use include_past or include_future with no logical_date")


def test_delete(api):
    run_id = finished("little")
    api.TaskInstance.delete_task_instance("little", run_id, "end")
    assert "was not found" in refused(404, api.TaskInstance.get_task_instance, "little", run_id, "end")
    assert sorted(ids(api.TaskInstance.get_task_instances("little", run_id))) == ["hello", "world"]
    assert "was not found" in refused(404, api.TaskInstance.delete_task_instance, "little", run_id, "end")


def test_a_deleted_instance_is_waited_for_by_nobody(api):
    run_id = finished("little")
    api.TaskInstance.delete_task_instance("little", run_id, "world")
    api.DagRun.clear_dag_run("little", run_id, DAGRunClearBody(dry_run=False))
    assert ended("little", run_id)["state"] == "success"
    assert instance("little", run_id, "hello")["try_number"] == 2
    assert instance("little", run_id, "end")["state"] == "skipped", "what it needed is removed"


def test_what_runs_is_not_deleted(api, sleeping):
    assert "running state" in refused(409, api.TaskInstance.delete_task_instance, "patient", sleeping, "sleep")
    assert instance("patient", sleeping, "sleep")["state"] == "running"


def bulk(*actions):
    return BulkBodyBulkTaskInstanceBody.from_dict({"actions": list(actions)})


def test_bulk_update(api):
    run_id = finished("little")
    entities = [{"task_id": "hello", "new_state": "failed"}, {"task_id": "world", "map_index": -1, "new_state": "skipped", "note": "not needed"}]
    answer = api.TaskInstance.bulk_task_instances("little", run_id, bulk({"action": "update", "entities": entities}))
    assert sorted(answer.update.success) == [f"little.{run_id}.hello[-1]", f"little.{run_id}.world[-1]"] and answer.update.errors == []
    assert answer.create is None and answer.delete is None
    assert instance("little", run_id, "hello")["state"] == "failed"
    assert (instance("little", run_id, "world")["state"], instance("little", run_id, "world")["note"]) == ("skipped", "not needed")


def test_bulk_delete(api):
    run_id = finished("little")
    delete = {"action": "delete", "entities": ["end", {"task_id": "world", "map_index": -1}]}
    answer = api.TaskInstance.bulk_task_instances("little", run_id, bulk(delete))
    assert sorted(answer.delete.success) == [f"little.{run_id}.end[-1]", f"little.{run_id}.world[-1]"]
    assert ids(api.TaskInstance.get_task_instances("little", run_id)) == ["hello"]


def test_bulk_in_all_runs(api):
    run_id = finished("little")
    entities = [{"task_id": "hello", "dag_id": "little", "dag_run_id": run_id, "note": "x"}, {"task_id": "world", "note": "x"}]
    answer = api.TaskInstance.bulk_task_instances("~", "~", bulk({"action": "update", "entities": entities}))
    assert answer.update.success == [f"little.{run_id}.hello[-1]"]
    [error] = answer.update.errors
    assert error["status_code"] == 400 and "must be specified in request body for task_id: world" in error["error"]


def test_bulk_of_what_is_not_there(api, little):
    create = {"action": "create", "entities": [{"task_id": "x"}]}
    update = {"action": "update", "entities": [{"task_id": "nope", "note": "x"}]}
    answer = api.TaskInstance.bulk_task_instances("little", little, bulk(create, update))
    assert answer.create.errors == [{"error": "Task instances bulk create is not supported", "status_code": 405}]
    assert answer.update.errors == [
        {"error": f"No task instances found for dag_id: little, run_id: {little}, task_id: nope", "status_code": 404}
    ]
    skip = {**update, "action_on_non_existence": "skip"}
    answer = api.TaskInstance.bulk_task_instances("little", little, bulk(skip))
    assert (answer.update.success, answer.update.errors) == ([], [])


def test_a_run_that_is_waited_for(api, sleeping):
    until("it is seen", lambda: api.TaskInstance.get_task_instances("patient", "~", state=["running"]).total_entries >= 1)
