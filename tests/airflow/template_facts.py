"""What Airflow's own Jinja makes of the texts of templates.py, as JSON: run it with the Python of a virtual environment that has Airflow.
`make test-airflow` does.

For every text what it becomes, or for an error its class, the line of the template, and the name that is undefined.
"""

import json
import os
import re
import sys
import tempfile
import traceback
import warnings
from datetime import datetime, timedelta
from types import SimpleNamespace

import templates

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp())
os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "CRITICAL"
os.environ["TZ"] = "UTC"
for key, value in templates.CONTEXT["variables"].items():
    os.environ["AIRFLOW_VAR_" + key.upper()] = value
for key, value in templates.CONTEXT["connections"].items():
    os.environ["AIRFLOW_CONN_" + key.upper()] = json.dumps(value)


def when(text):
    return datetime.fromisoformat(text) if text else None


def dag_and_task():
    from airflow.providers.standard.operators.bash import BashOperator
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG

    dag, task = dict(templates.CONTEXT["dag"]), dict(templates.CONTEXT["task"])
    dag["start_date"] = when(dag["start_date"])
    upstream = task.pop("upstream")
    task["retry_delay"] = timedelta(seconds=task.pop("retry_delay_seconds"))
    with DAG(**dag) as made:
        load = BashOperator(bash_command="true", **task)
        [EmptyOperator(task_id=one, owner=task["owner"]) for one in upstream] >> load
    return made, load


def context():
    """Airflow's own context; what it asks its server for is answered from the data."""
    from airflow.sdk.api.datamodels._generated import DagRun, TIRunContext
    from airflow.sdk.execution_time import context as execution_context
    from airflow.sdk.execution_time import task_runner

    dag, task = dag_and_task()
    facts = templates.CONTEXT["run"]
    run = DagRun(
        dag_id=dag.dag_id, run_id=facts["run_id"], run_type=facts["run_type"], state="running", conf=facts["conf"], end_date=None,
        consumed_asset_events=[], partition_key=None, triggering_user_name=facts["user"],
        **{name: when(facts[name]) for name in ("logical_date", "data_interval_start", "data_interval_end", "run_after", "start_date")},
    )
    xcoms = {(task_id, key): value for task_id, key, value in templates.CONTEXT["xcoms"]}

    class Instance(task_runner.RuntimeTaskInstance):
        def xcom_pull(self, task_ids=None, dag_id=None, key="return_value", default=None, **_):
            if isinstance(task_ids, (list, tuple)):
                return [xcoms[task_id, key] for task_id in task_ids if (task_id, key) in xcoms]
            return xcoms.get((task_ids, key), default)

    server = TIRunContext(dag_run=run, max_tries=templates.CONTEXT["max_tries"])
    instance = Instance.model_construct(
        id="0198a6f0-0000-7000-8000-000000000000", task=task, task_id=task.task_id, dag_id=dag.dag_id, run_id=run.run_id,
        try_number=templates.CONTEXT["try_number"], map_index=-1, max_tries=templates.CONTEXT["max_tries"],
        start_date=run.start_date, state="running", hostname="", rendered_map_index=None,
    )
    instance._ti_context_from_server = server
    previous = SimpleNamespace(**{name: when(text) for name, text in facts["previous"].items()})
    for module in (execution_context, task_runner):
        module.get_previous_dagrun_success = lambda ti_id: previous
    return task, instance.get_template_context()


def of_airflow_2(found):
    """The names that Airflow 3 has no more, with the values that Airflow 2 gave them (a cron DAG, a manual run)."""
    date = found["logical_date"]
    day = timedelta(days=1)
    ds = "%Y-%m-%d"
    old = {"execution_date": date, "test_mode": False, "prev_execution_date_success": found["prev_data_interval_start_success"],
           "next_execution_date": date + day, "prev_execution_date": date - day}
    for name, at in (("yesterday", date - day), ("tomorrow", date + day), ("prev", date - day), ("next", date + day)):
        old[name + "_ds"] = at.strftime(ds)
        old[name + "_ds_nodash"] = at.strftime("%Y%m%d")

    class Beside:
        def __init__(self, of, **more):
            self.__dict__.update(more)
            self._of = of

        def __getattr__(self, name):
            return getattr(self._of, name)

    old["dag_run"] = Beside(found["dag_run"], execution_date=date, external_trigger=True)
    old["ti"] = Beside(found["ti"], execution_date=date)
    return {**found, **old}


def of_error(error):
    """The class, the line in the template, and what is undefined."""
    import jinja2

    fact = {"error": type(error).__name__}
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<template>"]
    if isinstance(error, jinja2.TemplateSyntaxError):
        fact["line"] = error.lineno
    elif lines:
        fact["line"] = lines[0]
    if isinstance(error, jinja2.UndefinedError):
        names = re.findall(r"'([^']*)'", str(error))
        fact["name"] = names[-1] if names else None
    return fact


def main():
    warnings.simplefilter("ignore")
    # Files and Airflow print what they like.
    out = os.dup(1)
    os.dup2(2, 1)
    task, found = context()
    environment = task.get_template_env(task.dag)
    old = of_airflow_2(found)
    facts = []
    for about, text in templates.expressions():
        fact = {"about": about, "template": text}
        try:
            fact["text"] = environment.from_string(text).render(old if about == "airflow2" else found)
        except Exception as error:
            fact.update(of_error(error))
            if os.environ.get("SHOW_ERRORS") and about != "errors":
                print("%s: %s\n    %s" % (about, text, error), file=sys.stderr)
        if about == "errors" and "text" in fact and os.environ.get("SHOW_ERRORS"):
            print("no error: %s: %r" % (text, fact["text"]), file=sys.stderr)
        facts.append(fact)
    with os.fdopen(out, "w") as stdout:
        # A line for each, for those who look at differences.
        lines = ",\n".join(" " + json.dumps(fact, ensure_ascii=False) for fact in facts)
        head = '"context": %s,\n"ours": %s' % tuple(json.dumps(part, ensure_ascii=False) for part in (templates.CONTEXT, templates.OURS))
        stdout.write('{%s,\n"facts": [\n%s\n]}\n' % (head, lines))


main()
