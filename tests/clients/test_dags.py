"""DAGs, their tasks, sources, versions, statistics, import errors."""

import datetime
import json
import pathlib
import os

import pytest
from airflow_client.client import DAGPatchBody, DagRunState, DagWarningType

from conftest import V2, finished, http, name_of, refused, run_of, until

OURS = ["broken_heart", "choosy", "chained", "crowd", "daily", "grouped", "little", "patient", "values"]


def ids(answer):
    return [dag.dag_id for dag in answer.dags]


def test_list(api):
    answer = api.DAG.get_dags(tags=["clients"])
    assert ids(answer) == sorted(OURS), "by dag_id, unless asked otherwise"
    assert answer.total_entries == len(OURS)


def test_page_and_order(api):
    whole = ids(api.DAG.get_dags(tags=["clients"], order_by=["-dag_id"]))
    assert whole == sorted(OURS, reverse=True)
    page = api.DAG.get_dags(tags=["clients"], order_by=["-dag_id"], limit=3, offset=2)
    assert ids(page) == whole[2:5]
    assert page.total_entries == len(OURS), "of all pages"
    assert ids(api.DAG.get_dags(tags=["clients"], offset=100)) == []


def test_limit_zero_is_no_page(api):
    answer = api.DAG.get_dags(limit=0)
    assert answer.dags == [] and answer.total_entries >= len(OURS)


def test_order_by_two(api):
    answer = api.DAG.get_dags(tags=["clients"], order_by=["is_paused", "-dag_id"])
    assert ids(answer)[-2:] == ["daily", "chained"], "the paused ones last"


@pytest.mark.parametrize(
    "filters, expected",
    [
        ({"tags": ["greeting", "clients"], "tags_match_mode": "all"}, ["little"]),
        ({"tags": ["greeting", "nothing"], "tags_match_mode": "any"}, ["little"]),
        ({"tags": ["nothing"]}, []),
        ({"owners": ["grace"]}, ["little"]),
        ({"paused": True}, ["chained", "daily"]),
        ({"dag_id_pattern": "ITTL"}, ["little"]),
        ({"dag_id_pattern": "little|crowd"}, ["crowd", "little"]),
        ({"dag_id_pattern": "l%tle"}, ["little"]),
        ({"dag_id_pattern": "l_ttle"}, ["little"]),
        ({"dag_id_prefix_pattern": "ch"}, ["chained", "choosy"]),
        ({"dag_id_prefix_pattern": "CH"}, []),
        ({"dag_id_prefix_pattern": "cho|val"}, ["choosy", "values"]),
        ({"dag_display_name_pattern": "little one"}, ["little"]),
        ({"dag_display_name_prefix_pattern": "The li"}, ["little"]),
        ({"bundle_name": "no-such-bundle"}, []),
        ({"has_import_errors": True}, []),
        ({"has_asset_schedule": True}, []),
        ({"is_favorite": True}, []),
    ],
    ids=name_of,
)
def test_filter(api, filters, expected):
    assert [i for i in ids(api.DAG.get_dags(**filters)) if i in OURS] == expected


def test_filter_by_the_last_run(api, broken, little):
    found = ids(api.DAG.get_dags(last_dag_run_state=DagRunState.FAILED))
    assert "broken_heart" in found and "little" not in found


def test_filter_by_any_run(api, broken, little):
    found = ids(api.DAG.get_dags(dag_run_state=["failed"]))
    assert "broken_heart" in found and "little" not in found


def test_filter_by_the_dates_of_any_run(api, broken, little):
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    assert ids(api.DAG.get_dags(dag_run_start_date_gte=soon)) == []
    found = ids(api.DAG.get_dags(dag_run_end_date_lt=soon))
    assert {"broken_heart", "little"} <= set(found) and "daily" not in found


def test_one(api):
    dag = api.DAG.get_dag("little")
    assert (dag.dag_id, dag.dag_display_name, dag.description) == ("little", "The little one", "three tasks, one after another")
    assert dag.owners == ["ada", "grace"]
    assert [(t.name, t.dag_id, t.dag_display_name) for t in dag.tags] == [
        ("clients", "little", "The little one"),
        ("greeting", "little", "The little one"),
    ]
    assert (dag.max_active_runs, dag.max_active_tasks) == (7, 16)
    assert (dag.is_paused, dag.is_stale, dag.has_import_errors, dag.is_backfillable) == (False, False, False, False)
    assert dag.timetable_summary is None or dag.timetable_summary == "None"
    assert dag.relative_fileloc == "little.py" and dag.fileloc.endswith("/little.py")
    assert dag.bundle_name == "dags-folder"
    assert dag.file_token
    assert dag.next_dagrun_run_after is None


def test_one_with_a_schedule(api):
    dag = api.DAG.get_dag("chained")
    assert dag.timetable_summary == "0 0 * * *"
    assert dag.timetable_description == "At 00:00"
    assert (dag.timetable_periodic, dag.timetable_partitioned, dag.is_backfillable) == (True, False, True)
    today = datetime.datetime.now(datetime.timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    assert dag.next_dagrun_logical_date == today == dag.next_dagrun_run_after


def test_unknown_dags_are_404(api):
    assert refused(404, api.DAG.get_dag, "nope") == "Dag with dag_id: 'nope' not found"
    for call in (api.DAG.get_dag_details, api.Task.get_tasks, api.DagRun.get_dag_runs, api.DagVersion.get_dag_versions):
        assert "nope" in refused(404, call, "nope")
    assert "nope" in refused(404, api.DAG.patch_dag, "nope", DAGPatchBody(is_paused=True))


def test_details(api):
    dag = api.DAG.get_dag_details("little")
    assert dag.dag_id == "little"
    assert dag.doc_md == "# Little\n\nIt says hello."
    assert dag.start_date == datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    assert (dag.catchup, dag.timezone, dag.end_date) == (False, "UTC", None)
    assert dag.latest_dag_version.version_number == 1
    assert dag.default_args == {"owner": "ada"}
    assert dag.is_favorite is False
    choosy = api.DAG.get_dag_details("choosy")
    assert choosy.params["region"]["value"] == "eu"
    assert choosy.params["region"]["schema"] == {"type": "string", "enum": ["eu", "us"]}


def test_pause_and_unpause(api):
    assert api.DAG.patch_dag("grouped", DAGPatchBody(is_paused=True)).is_paused is True
    assert api.DAG.get_dag("grouped").is_paused is True
    assert api.DAG.patch_dag("grouped", DAGPatchBody(is_paused=False), update_mask=["is_paused"]).is_paused is False
    assert api.DAG.get_dag("grouped").is_paused is False


def test_nothing_else_is_patched(api):
    detail = refused(400, api.DAG.patch_dag, "little", DAGPatchBody(is_paused=False), update_mask=["description"])
    assert detail.startswith("Only `is_paused` field can be updated through the REST API")
    answer = http("PATCH", f"{V2}/dags/little", json={"is_paused": False, "description": "other"})
    assert answer.status == 422 and answer.json["detail"][0]["type"] == "extra_forbidden"


def test_pause_many(api):
    answer = api.DAG.patch_dags(DAGPatchBody(is_paused=True), dag_id_pattern="little|grouped")
    assert sorted(ids(answer)) == ["grouped", "little"] and answer.total_entries == 2
    assert all(dag.is_paused for dag in answer.dags)
    answer = api.DAG.patch_dags(DAGPatchBody(is_paused=False), dag_id_prefix_pattern="little|grouped")
    assert sorted(ids(answer)) == ["grouped", "little"]
    assert not api.DAG.get_dag("little").is_paused


def test_pause_many_without_a_pattern_is_none(api):
    answer = api.DAG.patch_dags(DAGPatchBody(is_paused=False), tags=["greeting"])
    assert (answer.dags, answer.total_entries) == ([], 0), "`~` is for all"
    answer = api.DAG.patch_dags(DAGPatchBody(is_paused=False), tags=["greeting"], dag_id_pattern="~")
    assert ids(answer) == ["little"]


def test_tags(api):
    answer = api.DAG.get_dag_tags()
    assert {"clients", "greeting"} <= set(answer.tags) and answer.total_entries == len(answer.tags)
    assert api.DAG.get_dag_tags(tag_name_pattern="REET").tags == ["greeting"]
    page = api.DAG.get_dag_tags(limit=1, offset=1)
    assert page.tags == [sorted(answer.tags)[1]] and page.total_entries == answer.total_entries


def test_tags_in_another_order(api):
    assert api.DAG.get_dag_tags(order_by=["-name"], tag_name_prefix_pattern="greet|client").tags == ["greeting", "clients"]


def test_favorites(api):
    api.DAG.favorite_dag("choosy")
    try:
        assert ids(api.DAG.get_dags(is_favorite=True)) == ["choosy"]
        assert "choosy" not in ids(api.DAG.get_dags(is_favorite=False))
        assert api.DAG.get_dag_details("choosy").is_favorite is True
        assert refused(409, api.DAG.favorite_dag, "choosy")["reason"] == "Unique constraint violation"
    finally:
        api.DAG.unfavorite_dag("choosy")
    assert ids(api.DAG.get_dags(is_favorite=True)) == []
    assert refused(409, api.DAG.unfavorite_dag, "choosy") == "Dag is not marked as favorite"
    assert refused(404, api.DAG.favorite_dag, "nope") == "Dag with id 'nope' not found"


def write_dag(name, tasks=1):
    path = pathlib.Path(os.environ["UPDRAFT_TEST_DAGS"]) / f"{name}.yaml"
    lines = "".join(f"  t{n}: {{ bash_command: 'true' }}\n" for n in range(tasks))
    # Whole or not at all: the folder is being watched.
    path.with_suffix(".tmp").write_text(f"dag_id: {name}\nstart_date: 2026-01-01\nschedule: null\ntasks:\n{lines}")
    path.with_suffix(".tmp").rename(path)
    return path


@pytest.fixture
def passing(api, name):
    """A DAG that is written for one test, and its file."""
    path = write_dag(name)
    until("the new DAG is there", lambda: http("GET", f"{V2}/dags/{name}").status == 200)
    yield name, path
    path.unlink(missing_ok=True)


def test_stale_dags_are_left_out(api, passing):
    name, path = passing
    assert name in ids(api.DAG.get_dags())
    path.unlink()
    until("its DAG is stale", lambda: api.DAG.get_dag(name).is_stale)
    assert name not in ids(api.DAG.get_dags())
    assert name in ids(api.DAG.get_dags(exclude_stale=False))
    assert name in refused(404, api.DagRun.trigger_dag_run, name, {"logical_date": None})


def test_delete(api, passing):
    name, path = passing
    run_id = finished(name)
    path.unlink()
    until("its DAG is stale", lambda: api.DAG.get_dag(name).is_stale)
    api.DAG.delete_dag(name)
    assert "not found" in refused(404, api.DAG.get_dag, name)
    assert "not found" in refused(404, api.DagRun.get_dag_run, name, run_id)
    assert name not in ids(api.DAG.get_dags(exclude_stale=False))
    assert refused(404, api.DAG.delete_dag, name) == f"Dag with id: {name} was not found"


def test_a_deleted_dag_whose_file_is_there_comes_back(api, passing):
    name, _ = passing
    run_id = finished(name)
    api.DAG.delete_dag(name)
    until("the file is read again", lambda: http("GET", f"{V2}/dags/{name}").status == 200, timeout=90)
    assert "not found" in refused(404, api.DagRun.get_dag_run, name, run_id)


def test_what_runs_is_not_deleted(api, sleeping):
    assert refused(409, api.DAG.delete_dag, "patient") == "Task instances of dag with id: 'patient' are still running"
    assert run_of("patient", sleeping)["state"] == "running"


def test_versions(api, passing):
    name, _ = passing
    write_dag(name, tasks=2)
    until("its second version is there", lambda: api.DagVersion.get_dag_versions(name).total_entries == 2)
    assert [v.version_number for v in api.DagVersion.get_dag_versions(name, order_by=["-version_number"]).dag_versions] == [2, 1]
    assert [v.version_number for v in api.DagVersion.get_dag_versions(name, version_number=2).dag_versions] == [2]
    page = api.DagVersion.get_dag_versions(name, limit=1, offset=1)
    assert [v.version_number for v in page.dag_versions] == [2] and page.total_entries == 2
    assert len(api.DagVersion.get_dag_versions("~", limit=100).dag_versions) > 2
    assert api.DagVersion.get_dag_versions(name, bundle_name="nope").total_entries == 0


def test_one_version(api):
    version = api.DagVersion.get_dag_version("little", 1)
    assert (version.dag_id, version.version_number, version.bundle_name) == ("little", 1, "dags-folder")
    assert version.dag_display_name == "The little one"
    detail = refused(404, api.DagVersion.get_dag_version, "little", 99)
    assert detail == "The DagVersion with dag_id: `little` and version_number: `99` was not found"


def test_source(api):
    source = api.DagSource.get_dag_source("little")
    assert (source.dag_id, source.version_number, source.dag_display_name) == ("little", 1, "The little one")
    assert 'dag_display_name="The little one"' in source.content
    assert api.DagSource.get_dag_source("little", version_number=1).content == source.content
    plain = http("GET", f"{V2}/dagSources/little", accept="text/plain")
    assert plain.text == source.content
    assert "was not found" in refused(404, api.DagSource.get_dag_source, "nope")
    assert "was not found" in refused(404, api.DagSource.get_dag_source, "little", version_number=99)


def test_source_as_nothing_that_is_there():
    answer = http("GET", f"{V2}/dagSources/little", accept="image/png")
    assert answer.status == 406
    assert answer.json == {"detail": "Only application/json or text/plain is supported"}


def test_statistics(api, broken, crowd):
    answer = api.DagStats.get_dag_stats(dag_ids=["crowd", "broken_heart"])
    counts = {dag.dag_id: {s.state: s.count for s in dag.stats} for dag in answer.dags}
    assert set(counts) == {"crowd", "broken_heart"} and answer.total_entries == 2
    assert counts["crowd"]["success"] >= 7 and counts["broken_heart"]["failed"] >= 1
    for states in counts.values():
        assert list(states) == ["queued", "running", "success", "failed"], "each state, the counts that are 0 too"
    assert "little" not in counts


def test_tasks(api):
    answer = api.Task.get_tasks("little")
    assert [t.task_id for t in answer.tasks] == ["end", "hello", "world"] and answer.total_entries == 3
    assert [t.task_id for t in api.Task.get_tasks("little", order_by="-task_id").tasks] == ["world", "hello", "end"]
    assert "surprise" in refused(400, api.Task.get_tasks, "little", order_by="surprise")


def test_one_task(api):
    task = api.Task.get_task("little", "hello")
    assert (task.task_id, task.owner, task.pool, task.trigger_rule) == ("hello", "ada", "default_pool", "all_success")
    assert (task.operator_name, task.class_ref["class_name"]) == ("BashOperator", "BashOperator")
    assert task.downstream_task_ids == ["world"]
    assert task.is_mapped is False
    assert api.Task.get_task("little", "world").priority_weight == 5
    assert refused(404, api.Task.get_task, "little", "nope") == "Task with id nope was not found"
    assert "not found" in refused(404, api.Task.get_task, "nope", "hello")


def test_import_errors(api):
    answer = api.ImportError.get_import_errors()
    [error] = [e for e in answer.import_errors if e.filename == "wrong.py"]
    assert "this file is wrong on purpose" in error.stack_trace
    assert error.bundle_name == "dags-folder"
    assert api.ImportError.get_import_error(error.import_error_id) == error
    assert [e.filename for e in api.ImportError.get_import_errors(filename_pattern="WRONG").import_errors] == ["wrong.py"]
    assert api.ImportError.get_import_errors(filename_pattern="nothing").total_entries == 0
    assert api.ImportError.get_import_errors(limit=1, offset=answer.total_entries).import_errors == []
    detail = refused(404, api.ImportError.get_import_error, 99999)
    assert detail == "The ImportError with import_error_id: `99999` was not found"


def test_import_errors_by_name(api):
    assert api.ImportError.get_import_errors(filename="wrong.py").total_entries == 1
    assert api.ImportError.get_import_errors(filename="wrong").total_entries == 0
    assert api.ImportError.get_import_errors(bundle_name="nope").total_entries == 0
    assert api.ImportError.get_import_errors(filename_prefix_pattern="wro").total_entries == 1


def test_warnings(api):
    answer = api.DagWarning.list_dag_warnings()
    assert answer.total_entries == len(answer.dag_warnings)
    assert api.DagWarning.list_dag_warnings(dag_id="little", warning_type=DagWarningType("asset conflict")).dag_warnings == []
    assert refused(400, api.DagWarning.list_dag_warnings, order_by=["surprise"])


def test_a_pool_that_is_not_there_is_a_warning(api, name):
    path = pathlib.Path(os.environ["UPDRAFT_TEST_DAGS"]) / f"{name}.yaml"
    path.write_text(f"dag_id: {name}\nstart_date: 2026-01-01\nschedule: null\ntasks:\n  t: {{ bash_command: 'true', pool: {name}_pool }}\n")
    try:
        until("the new DAG is there", lambda: http("GET", f"{V2}/dags/{name}").status == 200)
        warnings = api.DagWarning.list_dag_warnings(dag_id=name).dag_warnings
        assert len(warnings) == 1
        warning = warnings[0]
        assert (warning.dag_id, warning.warning_type) == (name, "non-existent pool")
        assert f"{name}_pool" in warning.message
    finally:
        path.unlink()


def test_a_dag_whose_file_is_broken_now(api, passing):
    name, path = passing
    path.write_text("dag_id: [\n")
    until("it has an import error", lambda: api.DAG.get_dag(name).has_import_errors)
    assert name in ids(api.DAG.get_dags(has_import_errors=True))
    assert api.ImportError.get_import_errors(filename=path.name).total_entries == 1
    assert json.loads(http("GET", f"{V2}/dags/{name}").body)["is_stale"] is False, "its last good version stays"
