"""From what the worker hands over to the task's end.

Ends, as the worker tells them apart by the exit code: 0 done, 198 failed for good (no retry), 199 to be skipped, anything else failed. What
it leaves for other tasks is in the XCom file, as `{"updraft": 1, "xcom": {key: value}}`.
"""

import json
import logging
import os
import shutil
import signal
import sys
import time
import traceback
import types

from airflow import _context, _finder, _missing, _python_tasks, _session
from airflow._dag import DAG
from airflow._problem import (AirflowFailException, AirflowRescheduleException, AirflowSensorTimeout, AirflowSkipException, TaskDeferred)
from updraft_task import context as contexts
from updraft_task import values

FINAL, SKIPPED = 198, 199
_OURS = (FINAL, SKIPPED)
# Of a pod: where its kubelet takes a value from, and how much. A worker's own processes may leave more.
_POD_XCOM, _POD_MOST = "/airflow/xcom/return.json", 4095
_PROCESS_MOST = 65536

log = logging.getLogger("airflow.task")


class Terminated(BaseException):
    """SIGTERM: runs every `finally` on its way out."""


class _Format(logging.Formatter):
    """Airflow's lines."""

    def formatTime(self, record, datefmt=None):
        moment = time.gmtime(record.created)
        return time.strftime("%Y-%m-%dT%H:%M:%S", moment) + ".%03d+0000" % record.msecs


def run(given, root, name):
    """Runs the task and ends the process."""
    _log_to_stdout()
    folder = os.path.dirname(root)
    try:
        code = _run(given, root, os.path.join(root, name))
    except Terminated:
        code = 143
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _flush()
    # Not sys.exit: threads of the author's that are no daemons would hold the process for ever.
    os._exit(code)


def _flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass


def _log_to_stdout():
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Format("[%(asctime)s] {%(filename)s:%(lineno)d} %(levelname)s - %(message)s"))
    logging.root.addHandler(handler)
    logging.root.setLevel(getattr(logging, os.environ.get("AIRFLOW__LOGGING__LOGGING_LEVEL", "INFO").upper(), logging.INFO))


def _run(given, root, path):
    task = None
    try:
        task = _task(given, root, path)
        made, ti = contexts.make(given, task)
        _context.running = made
        signal.signal(signal.SIGTERM, lambda *_: _terminate(task))
        result = _execute(given, task, made, ti)
        _push(task, ti, result)
        _leave(ti.pushed)
        return 0
    except Terminated:
        log.error("The task was told to end (SIGTERM)")
        raise
    except AirflowSkipException as problem:
        log.info("Skipping task: %s", problem)
        return SKIPPED
    except (AirflowFailException, AirflowSensorTimeout) as problem:
        _say(problem, root)
        log.error("The task fails for good: no retry follows a %s", type(problem).__name__)
        return FINAL
    except SystemExit as problem:
        return _exit_code(problem.code)
    except (TaskDeferred, AirflowRescheduleException) as problem:
        log.error("The task wants to %s, which is not supported: give it deferrable=False, or wait in a sensor",
                  "be deferred" if isinstance(problem, TaskDeferred) else "be rescheduled")
        return FINAL
    except BaseException as problem:
        _say(problem, root)
        return 1


def _terminate(task):
    # A second one ends at once.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        task.on_kill()
    finally:
        raise Terminated()


def _exit_code(code):
    if code is None or code == 0:
        return 0
    if not isinstance(code, int):
        log.error("%s", code)
        return 1
    log.error("Task failed due to SystemExit(%d)", code)
    # What means something else to the worker than to the author is 1.
    return code & 255 if code & 255 and code & 255 not in _OURS else 1


def _say(problem, root):
    """The traceback, without the frames that called the author's code."""
    step = problem.__traceback__
    while step is not None and not step.tb_frame.f_code.co_filename.startswith(root):
        step = step.tb_next
    if step is not None:
        problem = problem.with_traceback(step)
    text = "".join(traceback.format_exception(type(problem), problem, problem.__traceback__))
    log.error("Task failed with exception\n%s", text.replace(root + "/", "").rstrip())
    hint = getattr(problem, "hint", None)
    if hint:
        log.error("What to do: %s", hint)
    if isinstance(problem, FileNotFoundError) and str(problem.filename or "").startswith(root):
        log.error("Of the DAG folder a task has what the DAG file had imported or read when it was parsed: read the file at its top level")


def _task(given, root, path):
    """Loads the DAG file, and finds the task."""
    _finder.install()
    session = _session.Session(path, root, given.get("answers"), os.environ)
    session.folders = set()
    session.module_name = "unusual_prefix_%s" % os.path.basename(path)[:-3].replace(".", "_")
    _session.begin(session)
    sys.path[1:1] = [root] + ([os.path.dirname(path)] if os.path.dirname(path) != root else [])
    module = types.ModuleType(session.module_name)
    module.__file__ = path
    sys.modules[session.module_name] = module
    with open(path, "rb") as file:
        exec(compile(file.read(), path, "exec", dont_inherit=True), module.__dict__)
    # From here on what is missing is missing.
    _missing.running = True
    for dag in session.dags:
        if isinstance(dag, DAG) and dag.dag_id == given["dag_id"] and given["task_id"] in dag.task_dict:
            return dag.task_dict[given["task_id"]]
    raise RuntimeError("the DAG file defines no task %s of DAG %s when it is read here: what its DAGs are must not depend on where it is read"
                       % (given["task_id"], given["dag_id"]))


def _execute(given, task, made, ti):
    for condition, wanted, message in task._updraft_conditions:
        if bool(condition(made)) != wanted:
            raise AirflowSkipException(message or "its condition (%s) says so" % ("run_if" if wanted else "skip_if"))
    _python_tasks.fill(task, given.get("templates") or {}, ti, given.get("native", False))
    made["templates_dict"] = getattr(task, "templates_dict", None)
    task.pre_execute(made)
    result = task.execute(made)
    task.post_execute(made, result)
    return result


def _push(task, ti, result):
    """What the task returned, as Airflow keeps it."""
    if result is None or not task.do_xcom_push:
        return
    if _multiple_outputs(task):
        if not isinstance(result, dict):
            raise TypeError("multiple_outputs is set and the task returned a %s, not a dict" % type(result).__name__)
        wrong = next((key for key in result if not isinstance(key, str)), None)
        if wrong is not None:
            raise TypeError("multiple_outputs is set and the task returned a dict with the key %r, which is no text" % (wrong,))
        for key, value in result.items():
            ti.xcom_push(key, value)
    ti.xcom_push("return_value", result)


def _multiple_outputs(task):
    given = task._updraft_given.get("multiple_outputs")
    if given is not None or not hasattr(task, "custom_operator_name"):
        return bool(given)
    import typing

    try:
        returned = typing.get_type_hints(task.python_callable).get("return")
    except Exception:
        return False
    returned = typing.get_origin(returned) or returned
    import collections.abc

    return isinstance(returned, type) and issubclass(returned, collections.abc.Mapping)


def _leave(pushed):
    """Writes what was pushed where the worker takes it from."""
    if not pushed:
        return
    path = os.environ.get("UPDRAFT_XCOM_PATH")
    most = _PROCESS_MOST if path else _POD_MOST
    data = json.dumps({"updraft": 1, "xcom": pushed}, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
    if len(data) > most:
        sizes = sorted(((len(json.dumps(value)), key) for key, value in pushed.items()), reverse=True)
        raise ValueError("what the task leaves for others (XCom) is %d bytes long, and at most %d are kept; the largest is %s: store it elsewhere, "
                         "and return where it is" % (len(data), most, sizes[0][1]))
    path = path or _POD_XCOM
    if not os.path.isdir(os.path.dirname(path)):
        os.makedirs(os.path.dirname(path))
    with open(path, "wb") as file:
        file.write(data)


__all__ = ["run", "values"]
