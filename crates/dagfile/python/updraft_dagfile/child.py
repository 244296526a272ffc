"""The child: reads one file and says what it defines. Everything here may be disturbed by the file, so the parent believes none of it."""

import gc
import json
import os
import resource
import signal
import sys
import time
import types

from airflow import _context, _session, _setup_teardown
from airflow._dag import DAG
from airflow._problem import Problem
from updraft_dagfile import code, problems, spec

# Room above the memory limit for saying that it was reached.
_RESERVE = 32 * 2**20
_MODULE_PREFIX = "updraft_dag_file_"


def run(request, source):
    """Limits itself, runs the file, and hands back the answer's bytes."""
    timeout = request["timeout_seconds"]
    memory = request["memory_bytes"]
    _limit(memory, timeout)
    session = _begin(request)
    # Freed first when memory is out: raising the limit needs some. Of bytes, which the kernel hands out untouched: a bytearray is written from
    # end to end, which took a fifth of the time of a file.
    reserve = [bytes(4 * 2**20)]
    errors = []
    dags = []
    module = types.ModuleType(session.module_name)
    sys.modules[session.module_name] = module
    try:
        signal.signal(signal.SIGALRM, _on_alarm)
        signal.setitimer(signal.ITIMER_REAL, timeout)
        _execute(module, source, session)
        dags, errors = _collect(module, session)
        _add_code(dags, errors, session)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except BaseException as exception:
        # No memory may be asked for before this line: a second MemoryError inside the first sends CPython round in circles.
        reserve.clear()
        signal.setitimer(signal.ITIMER_REAL, 0)
        if isinstance(exception, MemoryError):
            resource.setrlimit(resource.RLIMIT_AS, (memory + _RESERVE, memory + _RESERVE))
            module.__dict__.clear()
            gc.collect()
        errors = errors + [problems.describe(exception, session, timeout, memory)]
    answer = {
        "dags": dags,
        "errors": errors,
        "warnings": session.warnings,
        "asked": {"variables": sorted(session.asked_variables), "connections": sorted(session.asked_connections),
                  "conf": sorted(session.asked_conf)},
        "modules": _read_files(session),
        "folders": sorted(session.folders),
    }
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _limit(memory, timeout):
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _lower(resource.RLIMIT_AS, memory, memory + _RESERVE)
    _lower(resource.RLIMIT_CPU, int(timeout) + 2, int(timeout) + 3)
    _lower(resource.RLIMIT_FSIZE, 64 * 2**20, 64 * 2**20)
    _lower(resource.RLIMIT_NOFILE, 256, 256)
    # Counts every process and thread of the user, ours too, so it cannot be tight: it is there for the fork bomb.
    _lower(resource.RLIMIT_NPROC, 1024, 1024)


def _lower(what, soft, hard):
    """Sets a limit unless there is a lower one already."""
    most = resource.getrlimit(what)[1]
    if most != resource.RLIM_INFINITY:
        hard = min(hard, most)
    resource.setrlimit(what, (min(soft, hard), hard))


def _begin(request):
    path, root = request["path"], request["root"]
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC", "HOME": "/nonexistent"}
    environment.update({str(name): str(value) for name, value in (request.get("env") or {}).items()})
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    # Our own folder stays behind the user's: `import airflow` is answered by sys.modules and the finder.
    sys.path[:0] = [root] + ([os.path.dirname(path)] if os.path.dirname(path) != root else [])
    sys.argv[:] = [path]
    sys.dont_write_bytecode = True
    session = _session.Session(path, root, request.get("snapshot"), environment)
    session.folders = set()
    session.module_name = _MODULE_PREFIX + "".join(c if c.isalnum() else "_" for c in os.path.relpath(path, root))
    _session.begin(session)
    del _context.dags[:], _context.groups[:]
    _setup_teardown.clear()
    sys.addaudithook(_Watcher(session))
    return session


class _Watcher:
    """Notes which files and folders under root are read: their content is part of what the DAGs are made of."""

    def __init__(self, session):
        self.session = session

    def __call__(self, event, args):
        if event == "open":
            path, mode = args[0], args[1]
            if isinstance(path, str) and (mode is None or "r" in mode):
                path = os.path.join(os.getcwd(), path) if not path.startswith("/") else path
                if path.startswith(self.session.root):
                    self.session.read_files.add(os.path.normpath(path))
        elif event in ("os.listdir", "os.scandir"):
            # The import system lists folders, too; what it finds there is in sys.modules.
            caller = sys._getframe(1).f_code.co_filename
            if caller.startswith("<frozen") or "/importlib/" in caller:
                return
            path = args[0]
            path = os.path.abspath(os.fspath(path) if not isinstance(path, int) and path is not None else ".")
            if isinstance(path, str) and (path + "/").startswith(self.session.root):
                self.session.folders.add(path)


def _read_files(session):
    found = {path for path in session.read_files if session.is_users(path)}
    # What was imported since the file's own module, which is the last that was there before: to touch the rest would copy the memory of all.
    names = []
    for name in reversed(sys.modules):
        if name == session.module_name:
            break
        names.append(name)
    for name in names:
        path = getattr(sys.modules.get(name), "__file__", None)
        if isinstance(path, str) and session.root and path.startswith(session.root):
            found.add(path)
    found.discard(session.path)
    return sorted(path for path in found if not path.endswith(".pyc"))


def _on_alarm(number, frame):
    # Once more soon, for files that swallow the first one.
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    raise problems.ParseTimeout()


def _execute(module, source, session):
    try:
        # dont_inherit: the future statements of this file are not the user's.
        compiled = compile(source, session.path, "exec", dont_inherit=True)
    except (ValueError, UnicodeDecodeError) as exception:
        # Python 3.9 to 3.11 say ValueError for null bytes, without a line.
        mistake = SyntaxError("source code cannot contain null bytes" if b"\0" in source else str(exception))
        mistake.filename = session.path
        at = source.find(b"\0") if b"\0" in source else getattr(exception, "start", None)
        mistake.lineno = source.count(b"\n", 0, at) + 1 if at is not None else None
        raise mistake from None
    except SyntaxError as exception:
        if not exception.lineno:
            at = source.find(b"\0") if b"\0" in source else _undecodable(source)
            if at is not None:
                exception.lineno = source.count(b"\n", 0, at) + 1
        raise
    module.__file__ = session.path
    exec(compiled, module.__dict__)


def _undecodable(source):
    try:
        source.decode("utf-8")
    except UnicodeDecodeError as exception:
        return exception.start
    return None


def _say_what_does_not_run(made, dag, session):
    """One remark for a DAG's tasks that only Airflow can run, and one for a schedule that nothing follows."""
    needs = [task for task in made["tasks"] if task["run"]["kind"] == "airflow"]
    if needs:
        named = ", ".join("%s (%s)" % (task["task_id"], task["operator"]) for task in needs[:5])
        session.warn("%d of %d tasks of DAG %s need an image with Airflow, and fail at once without one: %s%s" % (
            len(needs), len(made["tasks"]), dag.dag_id, named, ", …" if len(needs) > 5 else ""),
            dag.task_dict[needs[0]["task_id"]]._updraft_line)
    if made["schedule"]["kind"] == "assets":
        session.warn("DAG %s is scheduled by assets, which nothing follows yet: it runs only when somebody triggers it" % dag.dag_id,
                     dag._updraft_line)


def _add_code(dags, errors, session):
    """The code beside the tasks that are made of it."""
    python = [dag for dag in dags if any(task["run"]["kind"] == "python" for task in dag["tasks"])]
    if not python:
        return
    try:
        found = code.of_file(session, _read_files(session))
    except Problem as problem:
        errors.append(problems.describe(problem, session))
        dags[:] = [dag for dag in dags if dag not in python]
        return
    for dag in python:
        dag["code"] = found


def _collect(module, session):
    """The file's DAGs: those in its global names and those used with `with` or made by `@dag`, in the order of creation."""
    kept = {id(value) for value in list(module.__dict__.values()) if isinstance(value, DAG)}
    kept.update(id(dag) for dag in session.kept_dags)
    dags, errors, seen = [], [], {}
    for dag in session.dags:
        if id(dag) not in kept:
            session.warn("DAG %s is made but not kept: give it a name at the top level of the file, or use `with`" % dag.dag_id,
                         dag._updraft_line)
            continue
        if dag.dag_id in seen:
            first = seen[dag.dag_id]
            errors.append(problems.error(
                "invalid", "DAG id %s is used twice in this file%s" % (dag.dag_id, " (first in line %s)" % first if first else ""),
                line=dag._updraft_line, hint="give each DAG an id of its own", dag_id=dag.dag_id,
            ))
            continue
        seen[dag.dag_id] = dag._updraft_line
        try:
            dags.append(spec.dag_spec(dag, session))
            _say_what_does_not_run(dags[-1], dag, session)
        except Problem as problem:
            if problem.dag_id is None:
                problem.dag_id = dag.dag_id
            if problem.line is None:
                problem.line = dag._updraft_line
            errors.append(problems.describe(problem, session))
        except Exception as exception:
            found = problems.describe(exception, session)
            found["dag_id"] = dag.dag_id
            found["line"] = found["line"] or dag._updraft_line
            errors.append(found)
    twice = {found["dag_id"] for found in errors}
    dags = [dag for dag in dags if dag["dag_id"] not in twice]
    for task in session.tasks:
        if task._dag is None:
            session.warn("task %s belongs to no DAG and is left out: give it dag=… or make it inside `with dag:`" % task.task_id,
                         task._updraft_line)
    return dags, errors
