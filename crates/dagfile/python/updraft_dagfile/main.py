"""The parser of Python DAG files: reads requests, forks a child for each file, answers with what the file defines.

Started by the Rust side, already inside its sandbox, as

    python3 -I -S -B <dir>/updraft_dagfile/main.py [--site DIR]... [--children-fd N]

`<dir>` is the folder that holds `airflow/`, `fallback/` and `updraft_dagfile/`. `--site` appends a folder of installed packages to
`sys.path`. What is in `fallback/` (`pendulum`, `kubernetes`, `dateutil`, `pytz`) stands in for packages that no `--site` folder has.
The starter should set PR_SET_CHILD_SUBREAPER before the exec (it survives the exec): processes that a file leaves behind in a session
of their own then become children of this process, which kills them. Without it only the file's own session is killed. To know its
children this process reads /proc/<pid>/task/<pid>/children; where the sandbox hides /proc, the starter opens that file for reading
before it shuts the sandbox, leaves it open across the exec and passes its number as `--children-fd`.

Protocol: JSON, UTF-8, one object per line, one answer per request, in order, one at a time. End of stdin ends the process (exit 0).

stdin, a request:

    {"id": 1,                            number or text, handed back
     "path": "/abs/dags/a.py",           the file
     "root": "/abs/dags",                the DAG folder: first on sys.path, and what counts as the user's own code
     "timeout_seconds": 30,              optional, wall clock for this file, may be a fraction
     "memory_bytes": 536870912,          optional, address space of the child
     "max_output_bytes": 67108864,       optional, most that the child's answer may have
     "snapshot": {"variables": {"name": "text"},
                  "connections": {"id": {"conn_type": "…", "host": "…", "login": "…", "password": "…", "schema": "…", "port": 1,
                                         "extra": {} or "text"}},      a connection may be a URI instead of an object
                  "conf": {"section.key": "text"},
                  "withheld": {"variables": {"name": "why"}, "connections": {}, "all": "why nothing is known"},
                  "capitals": {"variables": {}, "connections": {}, "withheld": {}}},    names in capitals that stand for any spelling
                                         optional, as is all in it; absent: that of the request before
     "env": {"AIRFLOW_HOME": "…"}}       optional; the child's environment besides PATH, LANG, TZ, HOME

stdout, an answer:

    {"id": 1,
     "dags": [DagSpec…],                 as in crates/model/src/dag.rs, in the order of creation; two runs of one file give equal bytes
     "errors": [{"kind": "…", "message": "one sentence", "line": 12 or null, "column": 5 or null, "hint": "remedy" or null,
                 "traceback": "user frames only" or null, "dag_id": "id" or null}],
     "warnings": [{"message": "…", "line": 12 or null}],
     "output": "what the file printed, cut at 64 KiB",
     "duration_ms": 12,
     "asked": {"variables": ["sorted names"], "connections": ["sorted ids"], "conf": ["sorted section.key"]},
     "modules": ["/abs/dags/helper.py"], sorted: other files under root that were imported or read
     "folders": ["/abs/dags/conf"]}      sorted: folders under root that were listed (a change of their entries may change the DAGs)

`line` is a line of the requested file, counted from 1; `column` counts from 1. An error without `dag_id` is about the file as a whole;
one with it is about that DAG alone, and the file's other DAGs are in `dags`. Kinds:

    syntax       not Python; also null bytes and text that is not in the file's encoding
    import       a module that is not there
    unsupported  something of Airflow that Updraft does not have
    invalid      a wrong argument, id, schedule; a task id or DAG id used twice
    network      the file asked for the network, which parsing does not have
    exception    any other exception of the file
    exit         the file ended the process (sys.exit, os._exit)
    signal       a signal ended the process (a crash)
    timeout, memory, too_large           over `timeout_seconds` (or the CPU limit of the same length), `memory_bytes`, `max_output_bytes`

A file without a DAG is no error: `dags` is empty. A file that lacks the words `dag` and `airflow` (in any case) is not run at all.
A request that cannot be read is answered with its id, or null, and an error of kind "invalid".
"""

import os
import sys


def read_arguments(arguments):
    """The --site folders and the --children-fd."""
    sites = []
    children = None
    arguments = list(arguments)
    while arguments:
        word, equals, value = arguments.pop(0).partition("=")
        if not equals and arguments:
            value = arguments.pop(0)
        if word == "--site" and value:
            sites.append(os.path.abspath(value))
        elif word == "--children-fd" and value.isdigit():
            children = int(value)
        else:
            sys.stderr.write("updraft_dagfile: wrong argument %s: only --site DIR and --children-fd N are known\n" % word)
            raise SystemExit(2)
    return sites, children


def set_path(sites):
    """Puts our own folder first, then the standard library, the --site folders and the fallbacks."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    kept = [entry for entry in sys.path if entry and os.path.abspath(entry) != os.path.join(here, "updraft_dagfile")]
    sys.path[:] = [here] + [entry for entry in kept if entry != here] + sites + [os.path.join(here, "fallback")]


def main():
    """Sets the path and serves until stdin ends."""
    sites, children = read_arguments(sys.argv[1:])
    set_path(sites)
    from updraft_dagfile import serve

    serve.serve(children)


if __name__ == "__main__":
    main()
