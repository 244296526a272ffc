"""`@task.kubernetes`: a function that runs in a pod of its own. Its text and its arguments travel in the pod's environment."""

import ast
import base64
import inspect
import json
import textwrap

from airflow._pod import KubernetesPodOperator
from airflow._problem import InvalidArgument
from airflow._values import is_later, plain

# The names of Airflow's own operator.
_SCRIPT = "__PYTHON_SCRIPT"
_INPUT = "__PYTHON_INPUT"
_XCOM = "/airflow/xcom/return.json"

# Python as the first process of a container has no action for SIGTERM, and would be killed after the grace period instead of ending.
_COMMAND = """\
import base64, os, runpy, signal, sys, tempfile
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
path = os.path.join(tempfile.mkdtemp(), "task.py")
with open(path, "wb") as file:
    file.write(base64.b64decode(os.environ.pop("%s")))
runpy.run_path(path, run_name="__main__")
""" % _SCRIPT

_SCRIPT_TEXT = """\
from __future__ import annotations

%(source)s

def __updraft_main():
    import json
    import os

    given = json.loads(os.environ.pop("%(input)s"))
    result = %(name)s(*given["args"], **given["kwargs"])
%(end)s

__updraft_main()
"""

_GIVE = """\
    if result is not None:
        os.makedirs(os.path.dirname("%(xcom)s"), exist_ok=True)
        with open("%(xcom)s", "w") as file:
            json.dump(result, file)"""


class _KubernetesDecoratedOperator(KubernetesPodOperator):
    """A function's call as a pod."""

    __module__ = "airflow.providers.cncf.kubernetes.decorators.kubernetes"
    custom_operator_name = "@task.kubernetes"
    # Not cmds and arguments: they are made of the function.
    template_fields = ("op_args", "op_kwargs") + tuple(
        field for field in KubernetesPodOperator.template_fields if field not in ("cmds", "arguments"))

    def __init__(self, *, python_callable, op_args=None, op_kwargs=None, use_dill=False, name=None, cmds=None, arguments=None, **kwargs):
        if cmds or arguments:
            raise InvalidArgument("@task.kubernetes is given %s" % ("cmds" if cmds else "arguments"),
                                  "its command calls the function; use KubernetesPodOperator to run another")
        self.python_callable = python_callable
        self.op_args = op_args or ()
        self.op_kwargs = op_kwargs or {}
        self.use_dill = use_dill
        function = getattr(python_callable, "__name__", type(python_callable).__name__)
        super().__init__(name="k8s-airflow-pod-" + function if name is None else name, **kwargs)

    def _updraft_run(self):
        run = super()._updraft_run()
        where = " of task %s" % self.task_id
        given = '{"args": %s, "kwargs": %s}' % (
            json_template(list(self.op_args), "an argument" + where), json_template(dict(self.op_kwargs), "an argument" + where))
        source = function_source(self.python_callable, self.custom_operator_name, where)
        end = _GIVE % {"xcom": _XCOM} if self.do_xcom_push else "    del result"
        script = _SCRIPT_TEXT % {"source": source, "input": _INPUT, "name": self.python_callable.__name__, "end": end}
        run["cmds"] = ["python", "-c", _COMMAND]
        run["arguments"] = []
        run["env_vars"] = run["env_vars"] + [
            {"name": _SCRIPT, "value": base64.b64encode(script.encode()).decode()}, {"name": _INPUT, "value": given}]
        return run


def json_template(value, what):
    """A template that gives the value as JSON when the task runs: texts are rendered, values of other tasks keep their type."""
    if is_later(value):
        expression = value._updraft_expression() if hasattr(value, "_updraft_expression") else None
        if expression is None:
            raise InvalidArgument("%s is made of other tasks' values by %s()" % (what, getattr(value, "how", "expand")),
                                  "have a task of its own compute it, and use that task's value")
        return "{{ %s | tojson }}" % expression
    if isinstance(value, str):
        return _text_template(str(value))
    if isinstance(value, dict):
        # The blank keeps the brace from being read as the beginning of an expression.
        return "{ %s}" % ", ".join(
            "%s: %s" % (_verbatim(str(key)), json_template(inner, "%s (%s)" % (what, key))) for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return "[%s]" % ", ".join(json_template(inner, what) for inner in value)
    if value is None or isinstance(value, (bool, int, float)):
        return json.dumps(plain(value, what))
    raise InvalidArgument("%s is a %s, and pods get their arguments as JSON" % (what, type(value).__name__),
                          "give text, numbers, lists and dicts, and make the rest of them inside the function")


def _is_template(text):
    return any(mark in text for mark in ("{{", "{%", "{#"))


def _text_template(text):
    return "{% filter tojson %}" + text + "{% endfilter %}" if _is_template(text) else json.dumps(text)


def _verbatim(text):
    return "{% raw %}" + json.dumps(text) + "{% endraw %}" if _is_template(text) else json.dumps(text)


def function_source(function, decorator, where):
    """The text of a function without the decorator that made it a task."""
    if not inspect.isfunction(function) or function.__name__ == "<lambda>":
        raise InvalidArgument("what runs%s is a %s" % (where, "lambda" if inspect.isfunction(function) else type(function).__name__),
                              "write a function with def: its text is what the pod runs")
    try:
        text = textwrap.dedent(inspect.getsource(function))
        node = ast.parse(text).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        raise InvalidArgument("the text of %s()%s is not to be had" % (function.__name__, where),
                              "write it with def in a file of the DAG folder") from None
    lines = text.splitlines()
    kept = []
    for used in node.decorator_list:
        if not _makes_a_task(used, decorator):
            part = lines[used.lineno - 1:used.end_lineno]
            kept.extend(part)
    return "\n".join(kept + lines[node.lineno - 1:node.end_lineno])


def _makes_a_task(used, decorator):
    """Whether a decorator is `@task.kubernetes`, or one that says whether that runs, by whatever name the file has for `task`."""
    called = used.func if isinstance(used, ast.Call) else used
    return isinstance(called, ast.Attribute) and called.attr in (decorator.rsplit(".", 1)[-1], "run_if", "skip_if")
