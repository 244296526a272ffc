"""Python tasks as they run: read by the parser, handed over as a worker does, ended by their own process."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import zlib

from reader import PYTHON, FileCase

HEAD = "from airflow.sdk import *\nfrom airflow.operators.python import *\nfrom airflow.exceptions import *\n"
DATES = {
    "logical_date": "2024-03-05T06:00:00+00:00", "data_interval_start": "2024-03-05T06:00:00+00:00",
    "data_interval_end": "2024-03-06T06:00:00+00:00", "run_after": "2024-03-06T06:00:00+00:00",
}


def packed(value):
    """As a worker packs it."""
    return base64.b64encode(zlib.compress(json.dumps(value).encode())).decode()


def runtime():
    """The files that a worker carries."""
    found = {}
    for folder in ("airflow", "fallback", "updraft_task"):
        for base, _, names in os.walk(os.path.join(PYTHON, folder)):
            for name in names:
                if name.endswith(".py"):
                    path = os.path.join(base, name)
                    with open(path, encoding="utf-8") as file:
                        found[os.path.relpath(path, PYTHON)] = file.read()
    return found


RUNTIME = packed(runtime())
with open(os.path.join(PYTHON, "updraft_task", "bootstrap.py"), encoding="utf-8") as _file:
    BOOTSTRAP = _file.read()


class End:
    """How a task ended."""

    def __init__(self, code, log, xcom):
        self.code, self.log, self.xcom = code, log, xcom


class Mailbox:
    """A server of SMTP that keeps what it is told; it takes one mail."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.commands, self.text = [], ""
        self.thread = threading.Thread(target=self._take, daemon=True)
        self.thread.start()

    def _take(self):
        with self.listener:
            peer, _ = self.listener.accept()
        with peer, peer.makefile("rb") as lines:
            peer.sendall(b"220 here\r\n")
            for line in lines:
                word = line.decode().strip()
                self.commands.append(word)
                if word == "data":
                    peer.sendall(b"354 go on\r\n")
                    for part in lines:
                        if part == b".\r\n":
                            break
                        self.text += part.decode()
                answers = {"EHLO": "250-here\r\n250 AUTH PLAIN", "AUTH": "235 in", "QUIT": "221 bye"}
                peer.sendall(answers.get(word.split(" ")[0].upper(), "250 ok").encode() + b"\r\n")


class PythonTasks(FileCase):
    def start(self, dag, task_id, *, templates=None, xcoms=None, answers=None, params=None, environment=None, **more):
        """The process of a task, and where its values go."""
        given = dict({
            "dag_id": dag["dag_id"], "task_id": task_id, "try_number": 2, "max_tries": 3, "semantics": "3", "dates": DATES,
            "run": {"run_id": "manual__1", "run_type": "manual", "conf": {"who": "me"}}, "params": params or {}, "xcoms": xcoms or {},
            "templates": templates or {}, "answers": answers or {}}, **more)
        folder = tempfile.mkdtemp()
        path = os.path.join(folder, "xcom.json")
        code = packed(dag["code"])
        variables = {"PATH": os.environ["PATH"], "UPDRAFT_XCOM_PATH": path, "UPDRAFT_ATTEMPT_DIR": folder, "UPDRAFT_PYTHON_INPUT_0": packed(given),
                     "UPDRAFT_PYTHON_CODE_0": code[:100], "UPDRAFT_PYTHON_CODE_1": code[100:], "UPDRAFT_PYTHON_RUNTIME_0": RUNTIME}
        for at in range(1, len(RUNTIME) // 90000 + 1):
            variables["UPDRAFT_PYTHON_RUNTIME_%d" % at] = RUNTIME[at * 90000:(at + 1) * 90000]
        variables["UPDRAFT_PYTHON_RUNTIME_0"] = RUNTIME[:90000]
        variables.update(environment or {})
        variables = {name: value for name, value in variables.items() if value is not None}
        child = subprocess.Popen([sys.executable, "-c", BOOTSTRAP], env=variables, cwd=folder, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT)
        return child, path, folder

    def finish(self, child, path, folder):
        """Its end."""
        log = child.communicate(timeout=60)[0].decode()
        xcom = None
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                made = json.load(file)
            self.assertEqual(made["updraft"], 1)
            xcom = made["xcom"]
        self.assertEqual([name for name in os.listdir(folder) if name.startswith("updraft-task-")], [], "its folder is left")
        return End(child.returncode, log, xcom)

    def run_task(self, text, task_id, **given):
        """The end of one task of the one DAG of a file."""
        dag = self.dag(text) if isinstance(text, str) else text
        return self.finish(*self.start(dag, task_id, **given))

    def test_functions_get_what_they_ask_for(self):
        self.write("helper.py", "NAME = 'helper'\n")
        self.write("inner/late.py", "NAME = 'late'\n")
        self.write("inner/__init__.py", "")
        dag = self.dag(HEAD + """
import helper
def work(day, ds, ti, params, *, limit=3, **context):
    import inner.late
    print("printed", day, ds, ti.try_number, params["p"], limit, context["dag_run"].conf, context["ts_nodash"])
    print(context["logical_date"].strftime("%H"), get_current_context()["run_id"], helper.NAME, inner.late.NAME)
    ti.xcom_push(key="extra", value={"a": (1, 2)})
    return [day, limit]
with DAG("d", params={"p": 1}):
    PythonOperator(task_id="t", python_callable=work, op_args=["{{ ds }}"], op_kwargs={"limit": 5})
""")
        self.assertEqual(sorted(dag["code"]["files"]), ["a.py", "helper.py", "inner/__init__.py", "inner/late.py"])
        self.assertEqual(dag["tasks"][0]["run"]["templates"], {"op_args[0]": "{{ ds }}"})
        end = self.run_task(dag, "t", templates={"op_args[0]": "2024-03-05"}, params={"p": 7})
        self.assertEqual(end.code, 0, end.log)
        self.assertIn("printed 2024-03-05 2024-03-05 2 7 5 {'who': 'me'} 20240305T060000\n06 manual__1 helper late\n", end.log)
        self.assertRegex(end.log, r"\[20\d\d-.*\+0000\] \{.*\} INFO - Done. Returned value was: \['2024-03-05', 5\]")
        self.assertEqual(end.xcom, {"extra": {"a": [1, 2]}, "return_value": ["2024-03-05", 5]})

    def test_values_of_other_tasks(self):
        dag = self.dag(HEAD + """
import datetime
@task
def first() -> dict: return {"n": 1, "day": datetime.date(2024, 1, 2)}
@task
def second(n, day, rows, ti):
    assert day == datetime.date(2024, 1, 2) and rows == [2, 4], (day, rows)
    assert ti.xcom_pull(task_ids=["first", "none"], key="n") == [1, None]
    assert ti.xcom_pull("first")["n"] == n
    return n + 1
with DAG("d"):
    made = first()
    @task
    def rows(): return [1, 2]
    second(made["n"], made["day"], rows().map(lambda row: row * 2))
""")
        left = self.run_task(dag, "first").xcom
        self.assertEqual(set(left), {"n", "day", "return_value"})
        end = self.run_task(dag, "second", xcoms={"first": left, "rows": {"return_value": [1, 2]}})
        self.assertEqual((end.code, end.xcom), (0, {"return_value": 2}), end.log)

    def test_ends(self):
        dag = self.dag(HEAD + """
import sys
def raises(): raise ValueError("no rows")
def skips(): raise AirflowSkipException("nothing new")
def final(): raise AirflowFailException("wrong password")
def leaves(code): sys.exit(code)
def large(): return "x" * 70000
def odd(): return object()
def none(): return None
with DAG("d"):
    for function in (raises, skips, final, large, odd, none):
        PythonOperator(task_id=function.__name__, python_callable=function)
    for code in (0, 3, 199):
        PythonOperator(task_id="exit_%d" % code, python_callable=leaves, op_args=[code])
    PythonOperator(task_id="quiet", python_callable=lambda: 1, do_xcom_push=False)
""")
        for task_id, code, words in (
                ("raises", 1, "ValueError: no rows"), ("skips", 199, "Skipping task: nothing new"), ("final", 198, "no retry follows"),
                ("exit_0", 0, ""), ("exit_3", 3, "SystemExit(3)"), ("exit_199", 1, ""), ("large", 1, "at most 65536 are kept"),
                ("odd", 1, "the value return_value is a object"), ("none", 0, ""), ("quiet", 0, "")):
            end = self.run_task(dag, task_id)
            self.assertEqual(end.code, code, end.log)
            self.assertIn(words, end.log)
            self.assertIsNone(end.xcom)
        self.assertNotIn("updraft_task", self.run_task(dag, "raises").log)
        # Of a pod, what the kubelet takes is less.
        self.assertIn("at most 4095 are kept", self.run_task(dag, "large", environment={"UPDRAFT_XCOM_PATH": None}).log)

    def test_sigterm_runs_what_is_to_be_done_at_the_end(self):
        dag = self.dag(HEAD + """
import time
def waits():
    try:
        print("ready", flush=True)
        time.sleep(600)
    finally:
        print("cleaned up")
with DAG("d"):
    PythonOperator(task_id="t", python_callable=waits)
""")
        child, path, folder = self.start(dag, "t")
        line = child.stdout.readline()
        self.assertEqual(line, b"ready\n")
        child.send_signal(signal.SIGTERM)
        end = self.finish(child, path, folder)
        self.assertEqual(end.code, 143)
        self.assertIn("cleaned up", end.log)

    def test_branches_say_who_is_followed(self):
        dag = self.dag(HEAD + """
from airflow.operators.empty import EmptyOperator
def answers(value): return value
with DAG("d") as dag:
    a, b, join = EmptyOperator(task_id="a"), EmptyOperator(task_id="b"), EmptyOperator(task_id="join")
    with TaskGroup("g") as g:
        inner = EmptyOperator(task_id="inner")
    for name, value in (("one", "a"), ("list", ["a", "b"]), ("none", None), ("group", "g"), ("wrong", "c"), ("number", [3])):
        choice = BranchPythonOperator(task_id=name, python_callable=answers, op_args=[value])
        choice >> [a, b, g, join]
    a >> join
    short = ShortCircuitOperator(task_id="short", python_callable=answers, op_args=[0])
    only = ShortCircuitOperator(task_id="only", python_callable=answers, op_args=[[]], ignore_downstream_trigger_rules=False)
    on = ShortCircuitOperator(task_id="on", python_callable=answers, op_args=[1])
    [short, only, on] >> a
""")
        self.assertTrue(all(task["run"].get("decides") for task in dag["tasks"] if task["run"]["kind"] == "python"))
        for task_id, decision in (
                ("one", {"followed": ["a", "join"]}), ("list", {"followed": ["a", "b", "join"]}), ("none", {"followed": []}),
                ("group", {"followed": ["g.inner"]}), ("short", {"skipped": ["a", "join"]}), ("only", {"skipped": ["a"]}), ("on", None)):
            end = self.run_task(dag, task_id)
            self.assertEqual(end.code, 0, end.log)
            self.assertEqual((end.xcom or {}).get("skipmixin_key"), decision, task_id)
        for task_id in ("wrong", "number"):
            end = self.run_task(dag, task_id)
            self.assertEqual(end.code, 1)
            self.assertIn("right after it are: a, b, g.inner, join", end.log)

    def test_sensors_look_until_they_see(self):
        dag = self.dag(HEAD + """
import os
from airflow.sensors.python import PythonSensor
from airflow.sensors.bash import BashSensor
from airflow.sensors.filesystem import FileSensor
from airflow.sensors.base import BaseSensorOperator
looks = []
def third(n): looks.append(1); return len(looks) == n
class Own(BaseSensorOperator):
    def poke(self, context): return True
with DAG("d"):
    fast = {"poke_interval": 0.01}
    PythonSensor(task_id="python", python_callable=third, op_args=[3], **fast)
    PythonSensor(task_id="late", python_callable=lambda: False, timeout=0.05, **fast)
    PythonSensor(task_id="soft", python_callable=lambda: False, timeout=0.05, soft_fail=True, mode="reschedule", **fast)
    BashSensor(task_id="bash", bash_command="echo looked; [ -e seen ] || test {{ ds }} = 2024-03-05", **fast)
    FileSensor(task_id="file", filepath="/etc/host*", **fast)
    FileSensor(task_id="nofile", filepath="/no/such/file", timeout=0.05, **fast)
    Own(task_id="own")
    @task.sensor(poke_interval=0.01, timeout=5)
    def decorated() -> PokeReturnValue: return PokeReturnValue(is_done=True, xcom_value={"at": 1})
    decorated()
""")
        for task_id, code, xcom in (("python", 0, None), ("late", 198, None), ("soft", 199, None), ("file", 0, None), ("nofile", 198, None),
                                    ("own", 0, None), ("decorated", 0, {"return_value": {"at": 1}})):
            end = self.run_task(dag, task_id)
            self.assertEqual((end.code, end.xcom), (code, xcom), end.log)
        end = self.run_task(dag, "bash", templates={"bash_command": "echo looked; test 2024-03-05 = 2024-03-05"})
        self.assertEqual(end.code, 0, end.log)
        self.assertIn("looked\n", end.log)

    def test_operators_of_the_authors_own(self):
        dag = self.dag(HEAD + """
from airflow.models import BaseOperator
from airflow.operators.bash import BashOperator
class Own(BaseOperator):
    template_fields = ("text",)
    def __init__(self, *, text, **kwargs):
        super().__init__(**kwargs)
        self.text = text
    def execute(self, context): return self.text + context["ds"]
class Loud(BashOperator):
    def execute(self, context):
        return super().execute(context).upper()
with DAG("d"):
    Own(task_id="own", text="{{ x }}")
    Loud(task_id="loud", bash_command="echo hello")
    @task.bash
    def line(): return "echo made; exit 99"
    line()
    @task.run_if(lambda context: context["run_id"] == "other")
    @task
    def sometimes(): return 1
    sometimes()
""")
        end = self.run_task(dag, "own", templates={"text": "rendered "})
        self.assertEqual(end.xcom, {"return_value": "rendered 2024-03-05"}, end.log)
        self.assertEqual(self.run_task(dag, "loud").xcom, {"return_value": "HELLO"})
        self.assertEqual(self.run_task(dag, "line").code, 199)
        self.assertEqual(self.run_task(dag, "sometimes").code, 199)

    def test_variables_and_connections(self):
        dag = self.dag(HEAD + """
from airflow.hooks.base import BaseHook
def reads():
    return [Variable.get("there"), Variable.get("gone", default_var="x"), BaseHook.get_connection("db").host]
def computes(): return Variable.get("th" + "ere2", default_var="x")
def secret(): return BaseHook.get_connection("db").password
with DAG("d"):
    for function in (reads, computes, secret):
        PythonOperator(task_id=function.__name__, python_callable=function)
""")
        answers = {"variables": {"there": "here"}, "connections": {"db": {"conn_type": "x", "host": "h", "password": "***"}},
                   "existing": {"variables": ["there2"]}}
        self.assertEqual(self.run_task(dag, "reads", answers=answers).xcom, {"return_value": ["here", "x", "h"]})
        for task_id, words in (("computes", "the variable there2 is not passed to this task"), ("secret", "is secret")):
            end = self.run_task(dag, task_id, answers=answers)
            self.assertEqual(end.code, 1)
            self.assertIn(words, end.log)

    def test_what_is_not_there_says_so(self):
        dag = self.dag(HEAD + """
import no_such_package
from airflow.providers.postgres.hooks.postgres import PostgresHook
def uses(): return no_such_package.read()
def imports(): import no_such_either
def hooks(): return PostgresHook("x")
def reads(): open(__file__.replace("a.py", "other.sql"))
with DAG("d"):
    for function in (uses, imports, hooks, reads):
        PythonOperator(task_id=function.__name__, python_callable=function)
""")
        kinds = {task["task_id"]: task["run"] for task in dag["tasks"]}
        self.assertEqual(kinds["hooks"]["reason"], "the code of hooks uses airflow.providers.postgres.hooks.postgres.PostgresHook")
        for task_id, words in (("uses", "there is no module no_such_package"), ("imports", "No module named 'no_such_either'"),
                               ("reads", "read the file at its top level")):
            end = self.run_task(dag, task_id)
            self.assertEqual(end.code, 1, end.log)
            self.assertIn(words, end.log)

    def test_code_has_a_limit(self):
        import random

        chance = random.Random(1)
        self.write("large.py", "X = '%s'\n" % "".join(chance.choice("0123456789abcdefghijklmnopqrstuvwxyz") for _ in range(600000)))
        error = self.error(HEAD + "import large\nwith DAG('d'):\n    PythonOperator(task_id='t', python_callable=print)\n", "invalid")
        self.assertIn("the largest: large.py (585 KiB)", error["message"])
        # Without a Python task nothing is kept.
        dag = self.dag(HEAD + "import large\nfrom airflow.operators.empty import EmptyOperator\nwith DAG('d'):\n    EmptyOperator(task_id='t')\n")
        self.assertNotIn("code", dag)

    def test_mail_is_handed_in_as_airflow_does(self):
        self.write("report.html", "<b>{{ ds }}</b>")
        dag = self.dag("""
from airflow import DAG
from airflow.operators.email import EmailOperator
from airflow.operators.python import PythonOperator
from airflow.utils.email import send_email
with DAG("d"):
    EmailOperator(task_id="mail", to="a@x.org; b@x.org", cc=["c@x.org"], subject="for {{ ds }}", html_content="report.html")
    EmailOperator(task_id="named", to="a@x.org", subject="s", html_content="h", conn_id="my_smtp", from_email="me@x.org")
    PythonOperator(task_id="by_hand", python_callable=lambda: send_email("a@x.org", "s", "h"))
""")
        self.assertEqual({task["task_id"]: task["run"]["kind"] for task in dag["tasks"]}, dict.fromkeys(("mail", "named", "by_hand"), "python"))
        self.assertEqual(dag["tasks"][0]["run"]["templates"], {"subject": "for {{ ds }}", "html_content": "<b>{{ ds }}</b>"})
        box = Mailbox()
        conf = {"smtp.smtp_host": "127.0.0.1", "smtp.smtp_port": str(box.port), "smtp.smtp_starttls": "False", "smtp.smtp_mail_from": "us@x.org"}
        end = self.run_task(dag, "mail", templates={"subject": "for 2024-03-05", "html_content": "<b>2024-03-05</b>"}, answers={"conf": conf})
        self.assertEqual(end.code, 0, end.log)
        box.thread.join(10)
        self.assertEqual([word for word in box.commands if word[:4] in ("mail", "rcpt", "AUTH")],
                         ["mail FROM:<us@x.org>", "rcpt TO:<a@x.org>", "rcpt TO:<b@x.org>", "rcpt TO:<c@x.org>"])
        for part in ("Subject: for 2024-03-05\r\n", "To: a@x.org, b@x.org\r\n", "CC: c@x.org\r\n", 'text/html; charset="utf-8"'):
            self.assertIn(part, box.text)
        self.assertIn(base64.b64encode(b"<b>2024-03-05</b>").decode(), box.text)
        # The connection has a host, and so says all by itself; its password comes from the task's own environment.
        box = Mailbox()
        uri = "smtp://user:secret@127.0.0.1:%d/?disable_ssl=true&disable_tls=true&from_email=they%%40x.org" % box.port
        end = self.run_task(dag, "named", environment={"AIRFLOW_CONN_MY_SMTP": uri}, answers={"conf": {"smtp.smtp_host": "not.asked"}})
        self.assertEqual(end.code, 0, end.log)
        box.thread.join(10)
        self.assertIn("mail FROM:<me@x.org>", box.commands)
        self.assertIn("AUTH PLAIN " + base64.b64encode(b"\0user\0secret").decode(), box.commands)
        # Nobody is there: the error says where it looked and who said so.
        end = self.run_task(dag, "by_hand", answers={"conf": {"smtp.smtp_host": "127.0.0.1", "smtp.smtp_port": "1"}})
        self.assertNotEqual(end.code, 0)
        self.assertIn("no mail was sent by 127.0.0.1:1: [Errno 111] Connection refused (this server is of [smtp] of the configuration", end.log)
        end = self.run_task(dag, "named")
        self.assertIn("connection my_smtp does not exist", end.log)
