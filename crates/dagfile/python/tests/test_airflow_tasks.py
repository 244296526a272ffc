"""Tasks that only Airflow can run: they load, keep what was written, and say why."""

import base64
import json
import os
import re
import subprocess
import sys

from reader import FileCase

HEAD = "from datetime import datetime\nfrom airflow.sdk import *\nfrom airflow.operators.bash import BashOperator\n"


class AirflowTasks(FileCase):
    def tasks(self, text, **more):
        """The tasks by id."""
        return {task["task_id"]: task for task in self.dag(text, **more)["tasks"]}

    def say(self, text, message):
        """The file's mistake."""
        self.assertIn(message, self.error(text, "invalid")["message"])

    def test_any_operator_of_any_provider(self):
        tasks = self.tasks('''
            from airflow import DAG
            from airflow.contrib.operators.gcs_to_bq import GoogleCloudStorageToBigQueryOperator
            from airflow.operators.my_plugin import MyPluginOperator
            from airflow.providers.amazon.aws.hooks.s3 import S3Hook
            from airflow.providers.amazon.aws.operators import s3
            from airflow.providers.amazon.aws.sensors.s3 import S3KeySensor
            from airflow.providers.slack.notifications.slack import send_slack_notification
            with DAG("d", default_args={"retries": 2, "on_failure_callback": send_slack_notification(text="x")}):
                a = S3KeySensor(task_id="a", bucket_key="k", mode="reschedule", poke_interval=7)
                b = s3.S3ListOperator(task_id="b", bucket=a.output["x"], hook=S3Hook("c"))
                c = GoogleCloudStorageToBigQueryOperator(task_id="c", schema_fields=[{"name": b.output}])
                MyPluginOperator(task_id="e") << c
        ''')
        self.assertEqual({name: task["upstream"] for name, task in tasks.items()}, {"a": [], "b": ["a"], "c": ["b"], "e": ["c"]})
        self.assertEqual(tasks["a"]["run"], {
            "kind": "airflow", "reason": "S3KeySensor is Airflow's own code",
            "arguments": {"bucket_key": "k", "mode": "reschedule", "poke_interval": 7},
        })
        self.assertEqual(tasks["b"]["run"]["arguments"], {
            "bucket": "{{ task_instance.xcom_pull(task_ids='a', key='x') }}", "hook": "<S3Hook>"})
        self.assertEqual((tasks["b"]["operator"], tasks["b"]["operator_module"], tasks["b"]["retries"]),
                         ("S3ListOperator", "airflow.providers.amazon.aws.operators.s3", 2))

    def test_sensors_of_times_need_no_airflow(self):
        tasks = self.tasks(HEAD + """
from datetime import time, timedelta
from airflow.providers.standard.sensors.date_time import DateTimeSensor, DateTimeSensorAsync
from airflow.sensors.time_sensor import TimeSensor, TimeSensorAsync
from airflow.sensors.time_delta import TimeDeltaSensor, WaitSensor
from airflow.sensors.weekday import DayOfWeekSensor
from airflow.utils.weekday import WeekDay
class Own(TimeDeltaSensor):
    def poke(self, context):
        return True
with DAG("d"):
    a = DateTimeSensor(task_id="a", target_time="{{ data_interval_end.add(hours=1) }}", timeout=60, soft_fail=True)
    DateTimeSensorAsync(task_id="b", target_time=datetime(2026, 1, 1))
    TimeSensor(task_id="c", target_time=time(7, 30))
    TimeSensorAsync(task_id="e", target_time=time(7, 30))
    TimeDeltaSensor(task_id="f", delta=timedelta(hours=2), mode="reschedule")
    WaitSensor(task_id="g", time_to_wait=5)
    DayOfWeekSensor(task_id="h", week_day={WeekDay.SUNDAY, "Monday"}, use_task_logical_date=True)
    Own(task_id="i", delta=timedelta(1))
    TimeDeltaSensor(task_id="j", delta=a.output)
    TimeDeltaSensor.partial(task_id="k").expand(delta=[timedelta(1)])
    TimeDeltaSensor(task_id="l", delta=timedelta(1), never_fail=True)
""")
        run = {name: task["run"] for name, task in tasks.items()}
        week = 7 * 86400 * 1000
        self.assertEqual(run["a"], {
            "kind": "wait", "what": {"kind": "moment", "target_time": "{{ data_interval_end.add(hours=1) }}"},
            "poke_interval_ms": 60000, "timeout_ms": 60000, "soft_fail": True})
        self.assertEqual(run["b"], {
            "kind": "wait", "what": {"kind": "moment", "target_time": "2026-01-01T00:00:00"}, "poke_interval_ms": 60000})
        self.assertEqual((run["c"]["what"], run["c"]["timeout_ms"]), ({"kind": "time_of_day", "target_time": "07:30:00"}, week))
        self.assertNotIn("timeout_ms", run["e"])
        self.assertEqual((run["f"]["what"], run["f"]["timeout_ms"]), ({"kind": "delta", "delta_ms": 7200000}, week))
        self.assertEqual(run["g"]["what"], {"kind": "duration", "duration_ms": 300000})
        self.assertEqual(run["h"]["what"], {"kind": "weekday", "days": [1, 7], "of_logical_date": True})
        self.assertEqual([run[name]["reason"] for name in "ijkl"], [
            "Own has a method poke() of its own", "delta of j is known only when it runs", "TimeDeltaSensor is a mapped task",
            "TimeDeltaSensor has never_fail"])

    def test_branches_by_the_time(self):
        tasks = self.tasks(HEAD + """
from datetime import time
from airflow.operators.datetime import BranchDateTimeOperator
from airflow.operators.weekday import BranchDayOfWeekOperator
with DAG("d"):
    a = BranchDateTimeOperator(task_id="a", follow_task_ids_if_true=["b", "g"], follow_task_ids_if_false="c",
                               target_lower=time(22), target_upper=datetime(2026, 1, 1))
    with TaskGroup("g"):
        x = BashOperator(task_id="x", bash_command="true") >> BashOperator(task_id="y", bash_command="true")
    a >> [BashOperator(task_id="b", bash_command="true"), BashOperator(task_id="c", bash_command="true")]
    BranchDayOfWeekOperator(task_id="e", follow_task_ids_if_true="b", follow_task_ids_if_false="c", week_day="Sunday", use_task_logical_date=True)
""")
        self.assertEqual(tasks["a"]["run"], {
            "kind": "branch", "test": {"kind": "between", "lower": "22:00:00", "upper": "2026-01-01T00:00:00"},
            "if_true": ["b", "g.x"], "if_false": ["c"]})
        self.assertEqual(tasks["e"]["run"], {
            "kind": "branch", "test": {"kind": "weekday", "days": [7]}, "of_logical_date": True, "if_true": ["b"], "if_false": ["c"]})
        self.say(HEAD + """
from airflow.operators.weekday import BranchDayOfWeekOperator
with DAG("d"):
    BranchDayOfWeekOperator(task_id="e", follow_task_ids_if_true="nowhere", follow_task_ids_if_false=[], week_day=1)
""", "task e goes on with nowhere, which is no task of its DAG")

    def test_other_dags(self):
        tasks = self.tasks(HEAD + """
from datetime import timedelta
from airflow.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sensors.external_task import ExternalTaskSensor
from airflow.utils.state import DagRunState
with DAG("d"):
    b = BashOperator(task_id="b", bash_command="true")
    TriggerDagRunOperator(task_id="a", trigger_dag_id="other", conf={"n": b.output, "day": "{{ ds }}"}, wait_for_completion=True,
                          poke_interval=5, allowed_states=[DagRunState.SUCCESS], failed_states=[], logical_date=None)
    TriggerDagRunOperator(task_id="c", trigger_dag_id="other", trigger_run_id="x", conf={"k": 1}, reset_dag_run=True, note="why")
    ExternalTaskSensor(task_id="e", external_dag_id="o", external_task_ids=["x", "y"], failed_states=["failed"],
                       execution_delta=timedelta(hours=1), check_existence=True, poke_interval=30)
    ExternalTaskSensor(task_id="f", external_dag_id="{{ params.dag }}", deferrable=True)
    ExternalTaskSensor(task_id="g", external_dag_id="o", execution_date_fn=lambda date: date)
""")
        run = {name: task["run"] for name, task in tasks.items()}
        self.assertEqual(run["a"], {"kind": "wait", "poke_interval_ms": 5000, "what": {
            "kind": "run", "trigger_dag_id": "other", "wait_for_completion": True, "allowed_states": ["success"], "no_logical_date": True,
            "conf": "{ \"n\": {{ task_instance.xcom_pull(task_ids='b', key='return_value') | tojson }}, "
                    "\"day\": {% filter tojson %}{{ ds }}{% endfilter %}}"}})
        self.assertEqual(tasks["a"]["upstream"], ["b"])
        self.assertEqual(run["c"]["what"], {
            "kind": "run", "trigger_dag_id": "other", "trigger_run_id": "x", "conf": {"k": 1}, "reset_dag_run": True, "note": "why",
            "allowed_states": ["success"], "failed_states": ["failed"]})
        self.assertEqual(run["e"]["what"], {
            "kind": "external", "external_dag_id": "o", "external_task_ids": ["x", "y"], "allowed_states": ["success"],
            "failed_states": ["failed"], "execution_delta_ms": 3600000, "check_existence": True})
        self.assertEqual((run["f"]["what"]["external_dag_id"], run["f"]["poke_interval_ms"]), ("{{ params.dag }}", 2000))
        self.assertEqual(run["g"]["reason"], "execution_date_fn of task g is Python code")
        self.say(HEAD + """
from airflow.sensors.external_task import ExternalTaskSensor
with DAG("d"):
    ExternalTaskSensor(task_id="e", external_dag_id="o", allowed_states=["skipped"])
""", "allowed_states of task e has 'skipped'")

    def test_what_is_said(self):
        answer = self.read("from airflow import DAG\nfrom airflow.operators.python import PythonVirtualenvOperator\n"
                           "with DAG('d'):\n    PythonVirtualenvOperator(task_id='a', python_callable=print)\n")
        self.assertEqual([(warning["line"], warning["message"]) for warning in answer["warnings"]], [
            (4, "1 of 1 tasks of DAG d need an image with Airflow, and fail at once without one: a (PythonVirtualenvOperator)")])

    def test_classes_of_the_users_own(self):
        tasks = self.tasks(HEAD + '''
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.google.cloud.operators.kubernetes_engine import GKEStartPodOperator
from airflow.sensors.base import BaseSensorOperator
class Pod(KubernetesPodOperator):
    template_fields = KubernetesPodOperator.template_fields + ("mine",)
    def __init__(self, *, mine, **kwargs):
        super().__init__(image="i:" + mine, **kwargs)
        self.mine = mine
class Work(Pod):
    def execute(self, context):
        return 1
class Gke(GKEStartPodOperator):
    def __init__(self, project_id="p", **kwargs):
        super().__init__(project_id=project_id, **kwargs)
class Wait(BaseSensorOperator):
    template_fields = ("path",)
    def __init__(self, *, path, **kwargs):
        super().__init__(**kwargs)
        self.path = path
    def poke(self, context):
        return True
class Command(BashOperator):
    def pre_execute(self, context):
        pass
with DAG("d"):
    Pod(task_id="pod", mine="x")
    Work(task_id="work", mine="x")
    gke = Gke(task_id="gke", cluster_name="c", image="i")
    Wait(task_id="wait", path=gke.output)
    Command(task_id="command", bash_command="x")
''')
        self.assertEqual((tasks["pod"]["run"]["kind"], tasks["pod"]["run"]["image"]), ("pod", "i:x"))
        self.assertIn("mine", tasks["pod"]["template_fields"])
        self.assertEqual(tasks["work"]["run"]["reason"], "Work has a method execute() of its own")
        self.assertEqual(tasks["gke"]["run"]["arguments"], {"cluster_name": "c", "image": "i"})
        self.assertEqual((tasks["wait"]["upstream"], tasks["wait"]["template_fields"]), (["gke"], ["path"]))
        self.assertEqual(tasks["command"]["run"]["reason"], "Command has a method pre_execute() of its own")

    def test_functions(self):
        tasks = self.tasks(HEAD + '''
with DAG("d", default_args={"retries": 3}):
    @task
    def one(n, ti=None):
        """Words."""
        return n
    @task.branch(task_id="choose", retries=1)
    def two(x, *, y=2):
        return "one"
    @task.kubernetes(image="i", namespace="n")
    def three(): ...
    first = one(1)
    one(first["part"])
    two(first, y=[first])
    one.override(task_id="other", pool="p")(n=2)
    three()
''')
        self.assertEqual(list(tasks), ["one", "one__1", "choose", "other", "three"])
        self.assertEqual((tasks["one"]["doc_md"], tasks["one"]["retries"], tasks["one"]["operator"]), ("Words.", 3, "_PythonDecoratedOperator"))
        self.assertEqual((tasks["one__1"]["upstream"], tasks["choose"]["upstream"], tasks["choose"]["retries"]), (["one"], ["one"], 1))
        self.assertEqual(tasks["other"]["pool"], "p")
        self.assertEqual((tasks["three"]["run"]["kind"], tasks["three"]["run"]["image"]), ("pod", "i"))
        for call, words in [("one()", "lacks the argument n"), ("one(1, 2, 3)", "too many"), ("one(1, m=2)", "'m'")]:
            error = self.error(HEAD + "with DAG('d'):\n    @task\n    def one(n, ti=None): pass\n    %s\n" % call, "invalid")
            self.assertEqual(error["line"], 7)
            self.assertIn(words, error["message"])

    def test_functions_in_pods(self):
        given = HEAD + '''
def loudly(function):
    return function
with DAG("d", params={"x": 1}) as dag:
    first = BashOperator(task_id="first", bash_command="echo 1")
    @task.kubernetes(image="python:3", do_xcom_push=True, env_vars={"A": "b"})
    def whole(a, b=None, *, when: "pandas.DataFrame" = None):
        # Said in the pod.
        print("said")
        return {"a": a, "b": b, "when": when}
    whole([1, None, 2.5], b={"k {{": 'v "q" {'}, when="é")
    @task.kubernetes(image="python:3")
    @loudly
    def late(*args, **kwargs): ...
    @task.run_if(lambda context: True)
    @task.kubernetes(image="python:3")
    def perhaps(): ...
    perhaps.override(task_id="maybe")()
    late(first.output, {"day": "of {{ ds }}"}, x=dag.param("x"), y=first.output["part"])
'''
        tasks = self.tasks(given)
        run = tasks["whole"]["run"]
        env = {item["name"]: item["value"] for item in run["env_vars"]}
        self.assertEqual((run["image"], run["name"], run["cmds"][:2], env.pop("A")), ("python:3", "k8s-airflow-pod-whole", ["python", "-c"], "b"))
        script = base64.b64decode(env["__PYTHON_SCRIPT"]).decode()
        self.assertIn("# Said in the pod.", script)
        self.assertNotIn("task.kubernetes", script)
        place = os.path.join(self.root, "xcom", "return.json")
        env["__PYTHON_SCRIPT"] = base64.b64encode(script.replace("/airflow/xcom/return.json", place).encode()).decode()
        # What a template engine makes of it: nothing of this is an expression.
        env["__PYTHON_INPUT"] = re.sub("{% (end)?raw %}", "", env["__PYTHON_INPUT"])
        ran = subprocess.run([sys.executable, *run["cmds"][1:]], env=env, stdout=subprocess.PIPE, check=True)
        self.assertEqual(ran.stdout, b"said\n")
        with open(place) as file:
            self.assertEqual(json.load(file), {"a": [1, None, 2.5], "b": {"k {{": 'v "q" {'}, "when": "é"})

        env = {item["name"]: item["value"] for item in tasks["late"]["run"]["env_vars"]}
        fetched = "task_instance.xcom_pull(task_ids='first', key='%s') | tojson"
        self.assertEqual(env["__PYTHON_INPUT"], '{"args": [{{ %s }}, { "day": {%% filter tojson %%}of {{ ds }}{%% endfilter %%}}], '
                         '"kwargs": { "x": {{ params.x | tojson }}, "y": {{ %s }}}}' % (fetched % "return_value", fetched % "part"))
        self.assertIn("@loudly\ndef late", base64.b64decode(env["__PYTHON_SCRIPT"]).decode())
        self.assertEqual(tasks["late"]["upstream"], ["first"])
        self.assertEqual(tasks["maybe"]["run"]["reason"], "maybe has a condition (run_if or skip_if)")

        for call, words in [("pod(print)", "builtin_function"), ("pod(lambda: 1)", "lambda"), ("one(open)", "builtin_function"),
                            ("one(first.output.map(str))", "by map()"), ("task.kubernetes(cmds=['x'])(one.function)(1)", "given cmds")]:
            error = self.error(HEAD + '''
with DAG("d"):
    first = BashOperator(task_id="first", bash_command="x")
    pod = lambda function: task.kubernetes(image="i", task_id="t")(function)()
    @task.kubernetes(image="i")
    def one(n): ...
    %s
''' % call, "invalid")
            self.assertIn(words, error["message"])

    def test_mapped_tasks(self):
        tasks = self.tasks(HEAD + '''
with DAG("d"):
    @task(max_active_tis_per_dag=3)
    def one(n, m=1): ...
    start = one(0)
    many = one.partial(m=2).expand(n=start)
    BashOperator.partial(task_id="bash", retries=4, env=start).expand(bash_command=many.map(str).zip([1]))
    BashOperator.partial(task_id="more").expand_kwargs([{"bash_command": "x"}])
''')
        self.assertEqual({name: (task["upstream"], task["run"].get("expand")) for name, task in tasks.items()}, {
            "one": ([], None), "one__1": (["one"], ["n"]), "bash": (["one", "one__1"], ["bash_command"]),
            "more": ([], ["expand_kwargs"])})
        self.assertEqual((tasks["bash"]["operator"], tasks["bash"]["retries"], tasks["bash"]["run"]["reason"]),
                         ("BashOperator", 4, "BashOperator is a mapped task"))
        self.assertEqual(tasks["one__1"]["max_active_tis_per_dag"], 3)
        for call in ["BashOperator.partial(task_id='x').expand()", "BashOperator.expand(bash_command=['a'])",
                     "BashOperator.partial(task_id='x', env={}).expand(env=[{}])"]:
            self.assertEqual(self.error(HEAD + "with DAG('d'):\n    %s\n" % call, "invalid")["line"], 5)

    def test_mapped_groups(self):
        dag = self.dag(HEAD + '''
with DAG("d"):
    values = BashOperator(task_id="values", bash_command="x").output
    @task_group
    def group(a, b=1):
        with TaskGroup("inner"):
            first = BashOperator(task_id="first", bash_command=a)
        first >> BashOperator(task_id="second", bash_command="x")
    group.partial(b=2).expand(a=values)
''')
        self.assertEqual(dag["task_groups"], [{"group_id": "group", "is_mapped": True}, {"group_id": "group.inner", "parent": "group"}])
        tasks = {task["task_id"]: task for task in dag["tasks"]}
        self.assertEqual([task.get("task_group") for task in tasks.values()], [None, "group.inner", "group"])
        self.assertEqual([task["upstream"] for task in tasks.values()], [[], ["values"], ["group.inner.first"]])
        self.assertEqual(tasks["group.second"]["run"]["reason"], "group.second is in a mapped task group")

    def test_setup_and_teardown(self):
        tasks = self.tasks(HEAD + '''
def op(name):
    return BashOperator(task_id=name, bash_command="x")
with DAG("d"):
    @setup
    def open_(): ...
    @teardown(on_failure_fail_dagrun=True)
    def close(): ...
    with TaskGroup("g"):
        with open_() >> close():
            op("a") >> op("b")
    with op("c").as_teardown(setups=op("s")):
        op("e")
''')
        self.assertEqual({name: task["upstream"] for name, task in tasks.items()}, {
            "g.open_": [], "g.close": ["g.b", "g.open_"], "g.a": ["g.open_"], "g.b": ["g.a"],
            "s": [], "c": ["e", "s"], "e": ["s"]})
        self.assertEqual([name for name, task in tasks.items() if task.get("is_setup")], ["g.open_", "s"])
        self.assertEqual([(name, task["trigger_rule"]) for name, task in tasks.items() if task.get("is_teardown")],
                         [("g.close", "all_done_setup_success"), ("c", "all_done_setup_success")])
        self.assertEqual([name for name, task in tasks.items() if task.get("on_failure_fail_dagrun")], ["g.close"])
        # They run as what they are.
        self.assertEqual([tasks[name]["run"]["kind"] for name in ("s", "c", "g.a")], ["bash", "bash", "bash"])
        error = self.error(HEAD + "with DAG('d'):\n    with BashOperator(task_id='a', bash_command='x'):\n        pass\n", "invalid")
        self.assertIn("neither setup nor teardown", error["message"])

    def test_assets(self):
        answer = self.read(HEAD + '''
a, b = Asset("a"), Asset(name="b", uri="s3://b")
with DAG("one", schedule=[a, b]): pass
with DAG("two", schedule=a | (a & b)): pass
with DAG("three", schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable("0 1 * * 3", timezone="UTC"), assets=a)): pass
@asset(schedule="@daily")
def four(a): ...
from airflow.datasets import Dataset
with DAG("five", schedule=Dataset("x")): pass
''')
        self.assertEqual(answer["errors"], [])
        a, b = {"asset": {"name": "a", "uri": "a"}}, {"asset": {"name": "b", "uri": "s3://b"}}
        self.assertEqual([(dag["dag_id"], dag["schedule"]) for dag in answer["dags"]], [
            ("one", {"kind": "assets", "expression": {"all": [a, b]}}),
            ("two", {"kind": "assets", "expression": {"any": [a, {"all": [a, b]}]}}),
            ("three", {"kind": "cron", "expressions": ["0 1 * * 3"], "data_intervals": False}),
            ("four", {"kind": "cron", "expressions": ["@daily"]}),
            ("five", {"kind": "assets", "expression": {"asset": {"name": "x", "uri": "x"}}}),
        ])
        self.assertEqual(answer["dags"][3]["tasks"][0]["task_id"], "four")
        self.assertIn("DAG one is scheduled by assets, which nothing follows yet: it runs only when somebody triggers it",
                      [warning["message"] for warning in answer["warnings"]])


class Absences(FileCase):
    def test_packages_that_are_not_needed(self):
        answer = self.read(HEAD + '''
from typing import List, Optional
import pandas_of_nobody as pd
import boto_of_nobody.session as session
from pydantic_of_nobody import BaseModel, Field
from tenacity_of_nobody import retry
try:
    import ujson_of_nobody as json
except ImportError:
    import json
import importlib.util
assert json.dumps(1) == "1" and importlib.util.find_spec("pandas_of_nobody2") is None
client = session.Session().client("s3")
class Config(BaseModel):
    x: int = Field(default=1)
@retry(times=3)
def f(frame: Optional[pd.DataFrame], more: List[pd.Series] = None) -> Optional[pd.DataFrame]:
    return isinstance(frame, pd.DataFrame) and client.get()
assert f.__name__ == "f" and not isinstance(1, pd.DataFrame)
with DAG("d"):
    task(f)(1)
''')
        self.assertEqual(answer["errors"], [])
        self.assertEqual(answer["dags"][0]["tasks"][0]["task_id"], "f")
        self.assertEqual([warning["message"] for warning in answer["warnings"]][:4], [
            "there is no module %s_of_nobody: the file is read without it" % name for name in ("pandas", "boto", "pydantic", "tenacity")])

    def test_packages_that_are_needed(self):
        for text in ["for x in pd.read_csv('x'):\n    pass", "if pd.read_csv('x'):\n    pass", "DAG('d_%s' % pd.x)", "x = pd.x + 1",
                     "DAG(f'd_{pd.x}')", "len(pd.x)"]:
            error = self.error(HEAD + "import pandas_of_nobody as pd  # dag\n" + text + "\n", "import")
            self.assertEqual(error["line"], 5, text)
            self.assertIn("there is no module pandas_of_nobody", error["message"])
            self.assertTrue(error["hint"])

    def test_names_that_only_workers_use(self):
        self.dag(HEAD + '''
from airflow.models import DagRun, TaskInstance, XCom
from airflow.utils.db import provide_session
from airflow.utils.session import create_session
from airflow.utils.email import send_email
from airflow.models.taskinstance import clear_task_instances
from airflow.providers.common.compat.sdk import TriggerRule as Rule, timezone
@provide_session
def f(context, session=None):
    send_email("a", "b", "c")
assert f.__name__ == "f" and Rule.ALL_DONE.value == "all_done" and timezone.datetime(2024, 1, 1)
with DAG("d", on_failure_callback=f):
    pass
''')
