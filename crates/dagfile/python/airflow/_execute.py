"""What operators do when their tasks run: only ever called in a task's own process."""

import inspect
import os
import signal
import subprocess
import sys
import tempfile
import time
from datetime import timedelta

from airflow import _answers
from airflow._problem import AirflowException, AirflowFailException, AirflowSensorTimeout, AirflowSkipException, AirflowTaskTimeout

# The key under which Airflow keeps which of the tasks after a branch are left out.
DECISION = "skipmixin_key"
# Ids longer than this, all together, are not written out: they all come after the task.
_MOST_IDS = 1000


def keyword_arguments(function, args, context):
    """What of the context a function takes by name; everything where it has `**kwargs`."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}
    kinds = [parameter.kind for parameter in parameters.values()]
    positional = [name for name, parameter in parameters.items()
                  if parameter.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    taken = set(positional[:len(args)]) | {name for name, parameter in parameters.items()
                                           if parameter.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL)}
    if inspect.Parameter.VAR_KEYWORD in kinds:
        return {name: value for name, value in context.items() if name not in taken}
    return {name: context[name] for name in parameters if name in context and name not in taken}


def call(task, context):
    """Calls the task's function with its arguments and with what it asks of the context."""
    args = tuple(task.op_args or ())
    given = dict(context, **{str(name): value for name, value in dict(task.op_kwargs or {}).items()})
    given["templates_dict"] = getattr(task, "templates_dict", None)
    kwargs = keyword_arguments(task.python_callable, args, given)
    missing = [name for name in task.op_kwargs or {} if name not in kwargs]
    # A name that the function does not have is its own error to report.
    kwargs.update({name: task.op_kwargs[name] for name in missing})
    return task.python_callable(*args, **kwargs)


def branch(task, context, chosen):
    """Notes which of the tasks right after this one are followed: the chosen ones, and those that come after a chosen one anyway."""
    dag = task.dag
    after = [other.task_id for other in task.downstream_list]
    remedy = "; right after it are: %s" % (", ".join(after) or "no tasks")
    if chosen is None:
        ids = []
    elif isinstance(chosen, str):
        ids = [chosen]
    else:
        try:
            ids = list(chosen)
        except TypeError:
            raise AirflowException("the branch %s answered a %s, not a task id or a list of them%s"
                                   % (task.task_id, type(chosen).__name__, remedy)) from None
        wrong = [one for one in ids if not isinstance(one, str)]
        if wrong:
            raise AirflowException("the branch %s answered a list with a %s in it, not only task ids%s"
                                   % (task.task_id, type(wrong[0]).__name__, remedy))
    groups = dag.task_group.get_task_group_dict()
    followed, unknown = set(), []
    for one in ids:
        if one in dag.task_dict:
            followed.add(one)
        elif one in groups:
            followed.update(inner.task_id for inner in groups[one].starts())
        else:
            unknown.append(one)
    if unknown:
        raise AirflowException("the branch %s answered %s, which is no task of DAG %s%s"
                               % (task.task_id, ", ".join(map(repr, unknown)), dag.dag_id, remedy))
    followed |= descendants(dag, followed)
    task.log.info("Following branch %s", ids)
    context["ti"].xcom_push(DECISION, {"followed": [one for one in after if one in followed]})
    return chosen


def descendants(dag, ids):
    """Ids of everything after these tasks."""
    found, waiting = set(), list(ids)
    while waiting:
        for after in dag.task_dict[waiting.pop()].downstream_task_ids:
            if after not in found:
                found.add(after)
                waiting.append(after)
    return found


def leave_out(task, context, ids):
    """Notes that these tasks are to be skipped, whatever their rules."""
    ids = sorted(ids)
    everything = descendants(task.dag, [task.task_id])
    short = "downstream" if set(ids) == everything and sum(map(len, ids)) > _MOST_IDS else ids
    context["ti"].xcom_push(DECISION, {"skipped": short})


def short_circuit(task, context, condition):
    """Goes on where the condition holds; leaves out what comes after where it does not."""
    task.log.info("Condition result is %s", condition)
    if condition:
        task.log.info("Proceeding with downstream tasks...")
        return condition
    whole = getattr(task, "ignore_downstream_trigger_rules", True)
    ids = descendants(task.dag, [task.task_id]) if whole else set(task.downstream_task_ids)
    ids = {one for one in ids if not task.dag.task_dict[one].is_teardown}
    if ids:
        task.log.info("Skipping downstream tasks: %s", ", ".join(sorted(ids)))
        leave_out(task, context, ids)
    return condition


def _seconds(value):
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def sense(sensor, context, poke):
    """Asks until the answer is yes or the time is over."""
    of = lambda name, default: getattr(sensor, name, default)  # noqa: E731
    soft, never = of("soft_fail", False), of("never_fail", False)
    interval, limit = _seconds(of("poke_interval", 60)), _seconds(of("timeout", 604800))
    most = of("max_wait", None)
    began = time.monotonic()
    count = 0
    while True:
        count += 1
        try:
            answer = poke(context)
        except AirflowSkipException:
            raise
        except (AirflowSensorTimeout, AirflowTaskTimeout, AirflowFailException) as problem:
            if soft or never:
                raise AirflowSkipException("the sensor %s gives up (soft_fail): %s" % (sensor.task_id, problem)) from problem
            raise
        except Exception as problem:
            if of("silent_fail", False):
                sensor.log.exception("Sensor poke failed")
                answer = False
            elif never:
                raise AirflowSkipException("the sensor %s gives up (never_fail): %s" % (sensor.task_id, problem)) from problem
            else:
                raise
        if answer:
            sensor.log.info("Success criteria met. Exiting.")
            return answer.xcom_value if hasattr(answer, "xcom_value") else None
        ran = time.monotonic() - began
        if ran > limit:
            message = "Sensor has timed out; run duration of %s seconds exceeds the specified timeout of %s." % (round(ran, 1), limit)
            if soft:
                raise AirflowSkipException(message)
            raise AirflowSensorTimeout(message)
        wait = interval
        if of("exponential_backoff", False):
            wait = max(interval * 2 ** min(count - 2, 30), 1)
        if most is not None:
            wait = min(wait, _seconds(most))
        # Not past the end: the last look is when the time is over.
        time.sleep(max(min(wait, limit - ran + 0.01), 0))


def poke_function(sensor, context):
    """One look of a sensor that is a function."""
    sensor.log.info("Poking callable: %s", sensor.python_callable)
    return call(sensor, context)


def bash(command, env, append, cwd=None, log=None):
    """Runs a command line in a folder of its own: its exit code and its last line."""
    variables = dict(os.environ, **(env or {})) if append or env is None else dict(env)
    with tempfile.TemporaryDirectory(prefix="airflowtmp") as folder:
        child = subprocess.Popen(["bash", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=cwd or folder,
                                 env={str(name): str(value) for name, value in variables.items()}, start_new_session=True)
        last = ""
        try:
            for line in child.stdout:
                last = line.decode("utf-8", "backslashreplace").rstrip()
                sys.stdout.write(last + "\n")
                sys.stdout.flush()
            return child.wait(), last
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGTERM)
                child.wait()


def poke_bash(sensor, context):
    """One look of a BashSensor."""
    sensor.log.info("Running command: %s", sensor.bash_command)
    code, _ = bash(sensor.bash_command, sensor.env, False)
    sensor.log.info("Command exited with return code %s", code)
    if code == 0:
        return True
    if sensor.retry_exit_code is None or code == sensor.retry_exit_code:
        return False
    raise AirflowException("Command exited with return code %d" % code)


def poke_file(sensor, context):
    """One look of a FileSensor."""
    from glob import glob

    path = str(sensor.filepath)
    if not os.path.isabs(path):
        connection = _answers.Connection.get(sensor.fs_conn_id)
        path = os.path.join(str(connection.extra_dejson.get("path") or connection.extra_dejson.get("extra__fs__path") or "/"), path)
    sensor.log.info("Poking for file %s", path)
    for found in glob(path, recursive=bool(sensor.recursive)):
        if os.path.isfile(found):
            return True
        if any(files for _, _, files in os.walk(found)):
            return True
    return False


def run_bash(task, command):
    """What a BashOperator does, for a class or a function that makes its command when it runs."""
    from airflow._values import exit_codes

    if not isinstance(command, str) or not command.strip():
        raise AirflowException("task %s has no command: its function must return it as text, and it returned %r" % (task.task_id, command))
    task.log.info("Running command: ['bash', '-c', %r]", command)
    code, last = bash(command, getattr(task, "env", None), getattr(task, "append_env", False), getattr(task, "cwd", None))
    task.log.info("Command exited with return code %s", code)
    skip = getattr(task, "skip_on_exit_code", 99)
    if code and code in exit_codes(skip, "of task %s" % task.task_id):
        raise AirflowSkipException("Bash command returned exit code %d. Skipping." % code)
    if code:
        raise AirflowException("Bash command failed. The command returned a non-zero exit code %d." % code)
    return last
