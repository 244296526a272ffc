"""Runs the real parser as the Rust side does, and hands files to it."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = os.path.dirname(HERE)
MAIN = os.path.join(PYTHON, "updraft_dagfile", "main.py")
SHARED = os.environ.get("UPDRAFT_SHARED", "/work/shared")
MODEL = os.path.join(PYTHON, "..", "..", "model", "src", "dag.rs")


class Reader:
    """One parser process."""

    def __init__(self, *arguments, preexec_fn=None, close_fds=True):
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", MAIN, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=preexec_fn, close_fds=close_fds,
        )
        self.next_id = 0

    def ask(self, path, root, **more):
        """Sends one request and waits for its answer."""
        self.next_id += 1
        # Without a snapshot the one before would count.
        request = dict({"id": self.next_id, "path": path, "root": root, "snapshot": {}}, **more)
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the parser is dead"
        answer = json.loads(line)
        assert answer["id"] == self.next_id, answer
        return answer

    def close(self):
        """Ends it, and checks that it ends well."""
        self.process.stdin.close()
        code = self.process.wait(10)
        self.process.stdout.close()
        return code


class FileCase(unittest.TestCase):
    """A folder of DAG files and a parser for each class of tests."""

    @classmethod
    def setUpClass(cls):
        cls.reader = Reader()

    @classmethod
    def tearDownClass(cls):
        assert cls.reader.close() == 0

    def setUp(self):
        self.root = os.path.realpath(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.root, True)

    def write(self, name, text):
        """Puts a file into the folder."""
        path = os.path.join(self.root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(text if isinstance(text, bytes) else textwrap.dedent(text).encode())
        return path

    def read(self, text, name="a.py", **more):
        """The answer for a file of this text."""
        return self.reader.ask(self.write(name, text), self.root, **more)

    def dag(self, text, **more):
        """The one DAG of a file without errors."""
        answer = self.read(text, **more)
        self.assertEqual(answer["errors"], [])
        self.assertEqual(len(answer["dags"]), 1, answer)
        check_shape(self, answer["dags"][0])
        return answer["dags"][0]

    def error(self, text, kind, **more):
        """The one error of a file."""
        answer = self.read(text, **more)
        self.assertEqual([error["kind"] for error in answer["errors"]], [kind], answer)
        return answer["errors"][0]


def _fields(name, model=MODEL):
    with open(model, encoding="utf-8") as file:
        text = file.read()
    body = re.search(r"pub struct %s \{\n(.*?)\n\}" % name, text, re.S).group(1)
    return set(re.findall(r"^    pub (\w+):", body, re.M))


_SHAPES = {name: _fields(name) for name in ("DagSpec", "TaskSpec", "TaskGroupSpec", "PodTask", "PythonTask", "AirflowTask", "EnvVar", "Param")}
_SHAPES.update({name: _fields(name, MODEL[:-3] + "/native.rs") for name in ("WaitTask", "BranchTask", "ExternalTasks", "TriggerRun")})


def check_shape(case, dag):
    """That the JSON has only the fields of the model's structs: the Rust side refuses others."""
    case.assertLessEqual(set(dag), _SHAPES["DagSpec"])
    case.assertLessEqual({"dag_id", "schedule", "tasks"}, set(dag))
    for param in list(dag.get("params", {}).values()) + [p for task in dag["tasks"] for p in task.get("params", {}).values()]:
        case.assertLessEqual(set(param), _SHAPES["Param"])
    for group in dag.get("task_groups", []):
        case.assertLessEqual(set(group), _SHAPES["TaskGroupSpec"])
    for task in dag["tasks"]:
        case.assertLessEqual(set(task), _SHAPES["TaskSpec"])
        run = task["run"]
        if run["kind"] == "pod":
            case.assertLessEqual(set(run) - {"kind"}, _SHAPES["PodTask"])
            for variable in run.get("env_vars", []):
                case.assertLessEqual(set(variable), _SHAPES["EnvVar"])
        elif run["kind"] == "python":
            case.assertLessEqual(set(run) - {"kind"}, _SHAPES["PythonTask"])
            case.assertIn(dag["code"]["file"], dag["code"]["files"])
        elif run["kind"] == "airflow":
            case.assertLessEqual(set(run) - {"kind"}, _SHAPES["AirflowTask"])
            case.assertTrue(run["reason"])
        elif run["kind"] == "bash":
            case.assertLessEqual(set(run), {"kind", "bash_command", "env", "append_env", "cwd", "skip_on_exit_code"})
        elif run["kind"] == "branch":
            case.assertLessEqual(set(run) - {"kind"}, _SHAPES["BranchTask"])
        elif run["kind"] == "wait":
            case.assertLessEqual(set(run) - {"kind"}, _SHAPES["WaitTask"])
            of = {"external": "ExternalTasks", "run": "TriggerRun"}.get(run["what"]["kind"])
            if of is not None:
                case.assertLessEqual(set(run["what"]) - {"kind"}, _SHAPES[of])
        else:
            case.assertEqual(run, {"kind": "empty"})
