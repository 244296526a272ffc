"""What the installation says of itself: the audit log and the jobs."""

import datetime

import pytest
from airflow_client.client import DAGPatchBody

from conftest import V2, finished, http, name_of, refused


@pytest.fixture(scope="module")
def logged():
    """Three entries that are this module's own."""
    run_id = finished("crowd", run_id="logged_1")
    for note in ("one", "two"):
        http("PATCH", f"{V2}/dags/crowd/dagRuns/{run_id}", json={"note": note})
    return run_id


def test_audit(api, logged):
    answer = api.EventLog.get_event_logs(run_id=logged, order_by=["event_log_id"])
    assert [e.event for e in answer.event_logs] == ["trigger_dag_run", "patch_dag_run", "patch_dag_run"] and answer.total_entries == 3
    entry = answer.event_logs[0]
    assert (entry.dag_id, entry.run_id, entry.task_id) == ("crowd", logged, None)
    assert entry.owner and entry.when and entry.dag_display_name == "crowd"
    assert api.EventLog.get_event_log(entry.event_log_id) == entry
    assert refused(404, api.EventLog.get_event_log, 99999999) == "The Event Log with id: `99999999` not found"


def test_audit_names_dags_as_people_do(api):
    api.DAG.patch_dag("little", DAGPatchBody(is_paused=False))
    [entry] = api.EventLog.get_event_logs(dag_id="little", event="patch_dag", order_by=["-when"], limit=1).event_logs
    assert entry.dag_display_name == "The little one"


@pytest.mark.parametrize(
    "filters, count",
    [
        ({"event": "patch_dag_run"}, 2),
        ({"event": "nope"}, 0),
        ({"dag_id": "crowd"}, 3),
        ({"dag_id": "little"}, 0),
        ({"task_id": "one"}, 0),
        ({"owner": "nobody-of-that-name"}, 0),
        ({"map_index": 3}, 0),
        ({"try_number": 3}, 0),
        ({"included_events": ["patch_dag_run", "nope"]}, 2),
        ({"excluded_events": ["patch_dag_run"]}, 1),
        ({"before": datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)}, 0),
        ({"after": datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)}, 3),
        ({"dag_id_pattern": "ROW"}, 3),
        ({"event_pattern": "TRIGGER"}, 1),
        ({"event_prefix_pattern": "patch"}, 2),
        ({"run_id_pattern": "nope"}, 0),
        ({"run_id_prefix_pattern": "logged"}, 3),
        ({"owner_pattern": "nobody-of-that-name"}, 0),
        ({"owner_prefix_pattern": "nobody-of-that-name"}, 0),
        ({"task_id_pattern": "x"}, 0),
        ({"task_id_prefix_pattern": "x"}, 0),
        ({"dag_id_prefix_pattern": "cr"}, 3),
    ],
    ids=name_of,
)
def test_filter_the_audit(api, logged, filters, count):
    assert api.EventLog.get_event_logs(run_id=logged, **filters).total_entries == count


def test_page_the_audit(api, logged):
    newest = api.EventLog.get_event_logs(run_id=logged, order_by=["-when"], limit=2, offset=1)
    assert [e.event for e in newest.event_logs] == ["patch_dag_run", "trigger_dag_run"] and newest.total_entries == 3
    for column in "id dttm dag_id task_id run_id event logical_date owner extra when event_log_id".split():
        assert api.EventLog.get_event_logs(run_id=logged, order_by=[column]).total_entries == 3, column


def test_jobs(api):
    answer = api.Job.get_jobs()
    assert answer.total_entries == len(answer.jobs)
    kinds = {job.job_type: job for job in answer.jobs}
    assert {"SchedulerJob", "DagProcessorJob"} <= set(kinds)
    scheduler = kinds["SchedulerJob"]
    assert scheduler.state == "running" and scheduler.latest_heartbeat >= scheduler.start_date and scheduler.hostname
    assert [job.job_type for job in api.Job.get_jobs(job_type="SchedulerJob").jobs] == ["SchedulerJob"]
    assert api.Job.get_jobs(hostname="nowhere").jobs == [] and api.Job.get_jobs(job_state="failed").jobs == []
    assert len(api.Job.get_jobs(is_alive=True).jobs) == answer.total_entries
    assert len(api.Job.get_jobs(limit=1, offset=1).jobs) == 1


def test_filter_and_order_jobs(api):
    later = datetime.datetime(2126, 1, 1, tzinfo=datetime.timezone.utc)
    assert api.Job.get_jobs(start_date_gte=later).jobs == [] and api.Job.get_jobs(executor_class="nope").jobs == []
    ids = [job.id for job in api.Job.get_jobs(order_by=["-id"]).jobs]
    assert ids == sorted(ids, reverse=True) and len(ids) >= 2
    assert "surprise" in refused(400, api.Job.get_jobs, order_by=["surprise"])
