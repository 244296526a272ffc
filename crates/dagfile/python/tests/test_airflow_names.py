"""Import paths and arguments of DAGs, tasks and schedules."""

import json

from reader import FileCase

PATHS = {
    "KubernetesPodOperator": ["airflow.providers.cncf.kubernetes.operators.pod",
                              "airflow.providers.cncf.kubernetes.operators.kubernetes_pod",
                              "airflow.contrib.operators.kubernetes_pod_operator"],
    "BashOperator": ["airflow.operators.bash", "airflow.operators.bash_operator", "airflow.providers.standard.operators.bash",
                     "airflow.operators"],
    "EmptyOperator": ["airflow.operators.empty", "airflow.providers.standard.operators.empty"],
    "DummyOperator": ["airflow.operators.dummy", "airflow.operators.dummy_operator"],
    "DAG": ["airflow", "airflow.models", "airflow.models.dag", "airflow.sdk"],
    "BaseOperator": ["airflow.models", "airflow.models.baseoperator", "airflow.sdk"],
    "chain": ["airflow.models.baseoperator", "airflow.sdk", "airflow.utils.helpers"],
    "cross_downstream": ["airflow.models.baseoperator", "airflow.sdk", "airflow.utils.helpers"],
    "Variable": ["airflow.models", "airflow.models.variable", "airflow.sdk"],
    "Param": ["airflow.models", "airflow.models.param", "airflow.sdk"],
    "dag": ["airflow.decorators", "airflow.sdk"],
    "task_group": ["airflow.decorators", "airflow.sdk"],
    "task": ["airflow.decorators", "airflow.sdk"],
    "TaskGroup": ["airflow.utils.task_group", "airflow.sdk"],
    "Label": ["airflow.utils.edgemodifier", "airflow.sdk"],
    "TriggerRule": ["airflow.utils.trigger_rule", "airflow.sdk"],
    "WeightRule": ["airflow.utils.weight_rule"],
    "State": ["airflow.utils.state"],
    "utcnow": ["airflow.utils.timezone"],
    "days_ago": ["airflow.utils.dates"],
    "CronTriggerTimetable": ["airflow.timetables.trigger", "airflow.sdk"],
    "MultipleCronTriggerTimetable": ["airflow.timetables.trigger"],
    "DeltaTriggerTimetable": ["airflow.timetables.trigger"],
    "CronDataIntervalTimetable": ["airflow.timetables.interval"],
    "DeltaDataIntervalTimetable": ["airflow.timetables.interval"],
    "AirflowException": ["airflow.exceptions"],
    "conf": ["airflow.configuration"],
    "BaseHook": ["airflow.hooks.base", "airflow.hooks.base_hook"],
    "Secret": ["airflow.providers.cncf.kubernetes.secret", "airflow.kubernetes.secret", "airflow.contrib.kubernetes.secret"],
}


def one(arguments, before=""):
    """A file with one DAG of these arguments and one task."""
    return """
from datetime import datetime, timedelta
from airflow import DAG
from airflow.operators.empty import EmptyOperator
%s
with DAG("d", %s) as dag:
    EmptyOperator(task_id="a")
""" % (before, arguments)


class ImportPaths(FileCase):
    def test_all_of_them(self):
        lines = ["from %s import %s" % (module, name) for name, modules in PATHS.items() for module in modules]
        self.dag("\n".join(lines) + "\nfrom airflow import DAG\nimport airflow.models\nfrom airflow.operators import bash_operator\n"
                 "with airflow.models.DAG('d') as made:\n    bash_operator.BashOperator(task_id='a', bash_command='true')\n")

    def test_lazily_from_the_package(self):
        self.dag("import airflow\nimport airflow.operators.bash\n"
                 "with airflow.models.DAG('d'):\n    airflow.operators.bash.BashOperator(task_id='a', bash_command='x')\n")

    def test_the_same_class_everywhere(self):
        self.dag("from airflow import DAG\nfrom airflow.sdk import DAG as other\nfrom airflow.models.dag import DAG as third\n"
                 "assert DAG is other is third\ndag = DAG('d')\n")


class Schedules(FileCase):
    def check(self, arguments, expected, before=""):
        self.assertEqual(self.dag(one(arguments, before))["schedule"], expected)

    def test_words(self):
        self.check("start_date=datetime(2024, 1, 1)", {"kind": "none"})
        self.check("schedule=None", {"kind": "none"})
        self.check("schedule_interval='@once'", {"kind": "once"})
        self.check("schedule='@continuous', max_active_runs=1", {"kind": "continuous"})
        self.check("schedule='@daily'", {"kind": "cron", "expressions": ["@daily"]})
        self.check("schedule_interval=' 0  6 * * * '", {"kind": "cron", "expressions": ["0 6 * * *"]})
        self.check("schedule=timedelta(minutes=90)", {"kind": "delta", "every_ms": 5400000})

    def test_timetables(self):
        before = ("from airflow.timetables.trigger import *\nfrom airflow.timetables.interval import *\n"
                  "from dateutil.relativedelta import relativedelta\nimport pendulum")
        self.check("schedule=CronTriggerTimetable('0 6 * * 1', timezone='Europe/Berlin')",
                   {"kind": "cron", "expressions": ["0 6 * * 1"], "data_intervals": False}, before)
        self.check("timetable=CronDataIntervalTimetable('0 6 * * 1', timezone=pendulum.timezone('UTC'))",
                   {"kind": "cron", "expressions": ["0 6 * * 1"], "data_intervals": True}, before)
        self.check("schedule=MultipleCronTriggerTimetable('0 6 * * 1', '0 7 * * *', timezone='UTC')",
                   {"kind": "cron", "expressions": ["0 6 * * 1", "0 7 * * *"], "data_intervals": False}, before)
        self.check("schedule=DeltaTriggerTimetable(timedelta(hours=1))", {"kind": "delta", "every_ms": 3600000, "data_intervals": False},
                   before)
        self.check("schedule=DeltaDataIntervalTimetable(pendulum.duration(hours=1))",
                   {"kind": "delta", "every_ms": 3600000, "data_intervals": True}, before)
        self.check("schedule=relativedelta(hours=2, days=1)", {"kind": "delta", "every_ms": 93600000}, before)

    def test_mistakes(self):
        error = self.error(one("schedule='@dayly'"), "invalid")
        self.assertEqual((error["hint"], error["line"], error["dag_id"]), ("did you mean @daily?", 6, "d"))
        self.assertIn("4 fields", self.error(one("schedule='* * * *'"), "invalid")["message"])
        self.error(one("schedule=7"), "invalid")
        self.error(one("schedule=timedelta(0)"), "invalid")
        self.error(one("schedule='@daily', schedule_interval='@daily'"), "invalid")
        self.error(one("schedule=relativedelta(months=1)", "from dateutil.relativedelta import relativedelta"), "unsupported")

    def test_time_zones(self):
        for start, name, utc in [
            ("datetime(2024, 7, 1, tzinfo=zoneinfo.ZoneInfo('Europe/Berlin'))", "Europe/Berlin", "2024-06-30T22:00:00Z"),
            ("pendulum.datetime(2024, 7, 1, tz='Asia/Tokyo')", "Asia/Tokyo", "2024-06-30T15:00:00Z"),
            ("pytz.timezone('America/New_York').localize(datetime(2024, 1, 1))", "America/New_York", "2024-01-01T05:00:00Z"),
            ("datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=2)))", "Etc/GMT-2", "2023-12-31T22:00:00Z"),
            ("datetime(2024, 1, 1, 1, 2, 3, 4000, timezone.utc)", "UTC", "2024-01-01T01:02:03.004000Z"),
            ("'2024-01-01'", "UTC", "2024-01-01T00:00:00Z"),
        ]:
            for how in ("start_date=%s", "default_args={'start_date': %s}"):
                dag = self.dag(one(how % start, "import pendulum, zoneinfo, pytz\nfrom datetime import timezone"))
                self.assertEqual((dag["timezone"], dag["start_date"]), (name, utc), start)
                self.assertNotIn("start_date", dag["tasks"][0])
        dag = self.dag(one("start_date=datetime(2024, 7, 1)"), env={"AIRFLOW__CORE__DEFAULT_TIMEZONE": "Europe/Berlin"})
        self.assertEqual((dag["timezone"], dag["start_date"]), ("Europe/Berlin", "2024-06-30T22:00:00Z"))


class Arguments(FileCase):
    def test_of_a_dag(self):
        dag = self.dag(one("""
            description="Words", start_date=datetime(2024, 1, 1), end_date=datetime(2025, 1, 1), catchup=True, tags={"b", "a", "b"},
            max_active_runs=2, concurrency=3, max_consecutive_failed_dag_runs=4, dagrun_timeout=timedelta(hours=1),
            is_paused_upon_creation=False, render_template_as_native_obj=True, doc_md="# Doc", owner_links={"me": "mailto:me@x.y"},
            params={"n": Param(3, type="integer", minimum=1, description="How many"), "s": "x"}, dag_display_name="The D",
            orientation="LR", default_view="grid", access_control={}, default_args={"owner": "me", "on_failure_callback": print,
            "params": {"z": 1}}""", "from airflow.sdk import Param"))
        expected = {
            "dag_id": "d", "display_name": "The D", "description": "Words", "doc_md": "# Doc", "tags": ["a", "b"],
            "owner_links": {"me": "mailto:me@x.y"}, "schedule": {"kind": "none"}, "timezone": "UTC", "start_date": "2024-01-01T00:00:00Z",
            "end_date": "2025-01-01T00:00:00Z", "catchup": True, "max_active_runs": 2, "max_active_tasks": 3,
            "max_consecutive_failed_dag_runs": 4, "dagrun_timeout_ms": 3600000, "is_paused_upon_creation": False,
            "params": {"n": {"value": 3, "schema": {"minimum": 1, "type": "integer"}, "description": "How many"}, "s": {"value": "x"},
                       "z": {"value": 1}},
            "default_args": {"owner": "me", "on_failure_callback": "<print>"}, "render_template_as_native_obj": True,
        }
        tasks = dag.pop("tasks")
        self.assertEqual(dag, expected)
        self.assertEqual((tasks[0]["owner"], tasks[0]["template_fields"] if "template_fields" in tasks[0] else []), ("me", []))

    def test_of_a_task(self):
        task = self.dag("""
            from datetime import datetime, timedelta
            from airflow.sdk import DAG, TriggerRule
            from airflow.utils.weight_rule import WeightRule
            from airflow.operators.bash import BashOperator
            with DAG("d", start_date=datetime(2024, 1, 1)) as dag:
                BashOperator(
                    task_id="a", bash_command="x", env={"B": 1, "A": None}, append_env=True, cwd="/tmp", skip_on_exit_code=[5, 4],
                    owner="me", retries=2, retry_delay=90, retry_exponential_backoff=True, max_retry_delay=timedelta(hours=1),
                    execution_timeout=timedelta(seconds=1.5), pool="p", pool_slots=2, queue="q", priority_weight=-3,
                    weight_rule=WeightRule.UPSTREAM, trigger_rule=TriggerRule.ALL_DONE, wait_for_downstream=True,
                    start_date=datetime(2024, 2, 1), end_date=datetime(2024, 3, 1), task_concurrency=7, task_display_name="The A",
                    doc_md="Words", params={"x": [1, {"y": None}]}, sla=timedelta(hours=2), on_failure_callback=print,
                )
        """)["tasks"][0]
        self.assertEqual(task, {
            "task_id": "a", "display_name": "The A", "run": {"kind": "bash", "bash_command": "x", "env": {"A": "", "B": "1"},
                                                             "append_env": True, "cwd": "/tmp", "skip_on_exit_code": [4, 5]},
            "operator": "BashOperator", "operator_module": "airflow.providers.standard.operators.bash", "owner": "me", "upstream": [],
            "trigger_rule": "all_done", "depends_on_past": True, "wait_for_downstream": True, "retries": 2, "retry_delay_ms": 90000,
            "retry_exponential_backoff_milli": 2000, "max_retry_delay_ms": 3600000, "execution_timeout_ms": 1500, "pool": "p",
            "pool_slots": 2, "queue": "q", "priority_weight": -3, "weight_rule": "upstream", "max_active_tis_per_dag": 7,
            "start_date": "2024-02-01T00:00:00Z", "end_date": "2024-03-01T00:00:00Z", "params": {"x": {"value": [1, {"y": None}]}},
            "doc_md": "Words", "template_fields": ["bash_command", "env", "cwd"],
        })

    def test_warnings_come_once_with_their_line(self):
        answer = self.read("""\
            from airflow import DAG
            from airflow.operators.bash import BashOperator
            with DAG("d", default_args={"on_failure_callback": print}, user_defined_macros={"x": 1}):
                for i in range(5):
                    BashOperator(task_id="a%d" % i, bash_command="x")
        """)
        self.assertEqual([warning["line"] for warning in answer["warnings"]], [3, 5])

    def test_equal_bytes_each_time(self):
        text = one("tags={'q', 'w', 'e', 'r', 't'}, default_args={'x': {'b', 'a', 'c'}, 'f': lambda: 1}, params={'p': object}",
                   "object = {'z', 'y'}")
        path = self.write("a.py", text)
        first = json.dumps(self.reader.ask(path, self.root)["dags"])
        for _ in range(5):
            other = type(self.reader)()
            self.assertEqual(json.dumps(other.ask(path, self.root)["dags"]), first)
            other.close()

    def test_what_the_installation_answers(self):
        answer = self.read("""
            from airflow.sdk import DAG, Variable
            from airflow.hooks.base import BaseHook
            from airflow.configuration import conf
            from airflow.operators.bash import BashOperator
            import os
            db, other = BaseHook.get_connection("db"), BaseHook.get_connection("uri")
            uri = (other.conn_type, other.host, other.port, other.password, other.schema)
            assert uri == ("postgres", "h", 5, "p w", "s"), other.get_uri()
            assert Variable.get("j", deserialize_json=True) == {"a": 1} and Variable.get("none", default_var=None) is None
            assert conf.getint("core", "parallelism") == 32 and conf.get("core", "dags_folder") == os.path.dirname(__file__)
            assert sorted(os.environ) == ["HOME", "LANG", "MINE", "PATH", "TZ"], os.environ
            with DAG("d"):
                BashOperator(task_id="a", bash_command=Variable.get("v") + db.host + db.extra_dejson["k"] + os.environ["MINE"])
        """, env={"MINE": "m"}, snapshot={"variables": {"v": "v", "j": '{"a": 1}'}, "connections": {
            "db": {"conn_type": "http", "host": "h", "extra": {"k": "k"}}, "uri": "postgres://u:p%20w@h:5/s"}})
        self.assertEqual(answer["errors"], [])
        self.assertEqual(answer["dags"][0]["tasks"][0]["run"]["bash_command"], "vhkm")
        self.assertEqual(answer["asked"], {"variables": ["j", "none", "v"], "connections": ["db", "uri"],
                                           "conf": ["core.dags_folder", "core.parallelism"]})
        error = self.error("from airflow.models import Variable, DAG\nVariable.get('nope')\n", "exception")
        self.assertEqual((error["message"], error["line"]), ("variable nope does not exist", 2))

    def test_what_files_do_not_get(self):
        snapshot = {
            "variables": {"region": "eu"}, "conf": {"acme.region": "us"},
            "connections": {"db": {"conn_type": "http", "host": "h", "password": "***", "extra": {"key": "k", "token": "***", "in": {"secret": "***"}}}},
            "withheld": {"variables": {"api_key": "it is secret by its name"}, "connections": {"broken": "it cannot be read"}},
            "capitals": {"variables": {"LOUD": "l", "REGION": "no"}, "connections": {"ENV": "http://e"}, "withheld": {"variables": {"MY_TOKEN": "secret"}}},
        }
        top = "from airflow.models import Variable, Connection, DAG\nfrom airflow.configuration import conf\n"
        answer = self.read(top + """
from airflow.hooks.base import BaseHook
db = BaseHook.get_connection("db")
assert (Variable.get("region"), Variable.get("loud"), conf.get("acme", "region")) == ("eu", "l", "us")
assert (db.host, db.extra_dejson["key"], db.extra_dejson.get("nope", 1), Connection.get("env").host) == ("h", "k", 1, "e")
DAG("d")
""", snapshot=snapshot)
        self.assertEqual(answer["errors"], [])
        for line, words in (
                ("Variable.get('api_key', 'x')", "variable api_key: it is secret by its name"),
                ("Variable.get('my_token', default_var=None)", "variable my_token: secret"),
                ("Connection.get('broken')", "connection broken: it cannot be read"),
                ("Connection.get('db').password", "the password of connection db is secret"),
                ("Connection.get('db').get_uri()", "the password of connection db is secret"),
                ("Connection.get('db').extra_dejson['token']", "token of the connection's extra is secret"),
                ("Connection.get('db').extra_dejson.get('in').get('secret')", "secret of the connection's extra is secret"),
        ):
            answer = self.read(top + line + "\n", snapshot=snapshot)
            self.assertIn(words, answer["errors"][0]["message"], line)
            self.assertEqual(answer["errors"][0]["line"], 3, line)
            self.assertIn("inside the task", answer["errors"][0]["hint"])
        answer = self.read(top + "Variable.get('region', 'x')\n", snapshot=dict(snapshot, withheld={"all": "the folder is gone"}))
        self.assertEqual(answer["errors"][0]["message"], "variable region: the folder is gone")

    def test_a_snapshot_counts_for_the_requests_after_it(self):
        text = "from airflow.models import Variable, DAG\ndag = DAG(Variable.get('id', 'none'))\n"
        asked = [self.read(text, snapshot=snapshot)["dags"][0]["dag_id"] for snapshot in ({"variables": {"id": "first"}}, None, {})]
        self.assertEqual(asked, ["first", "first", "none"])
