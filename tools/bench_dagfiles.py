"""How fast DAG files are read, for bench.py: a cold folder of Python and one of YAML, a large folder in which nothing changes, and one file that does."""

import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

COLD = 1000
AIRFLOW = 200
TREE = {"py": 1000, "yaml": 4000}
TASKS = 20

PYTHON = '''
from datetime import datetime
from airflow import DAG
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator

with DAG(%r, schedule=None, start_date=datetime(2026, 1, 1)):
    last = None
    for i in range(%d):
        task = KubernetesPodOperator(task_id=f"t{i}", image="debian", cmds=["bash", "-c"], arguments=[f"echo {{{{ ds }}}} {i}"])
        if last:
            last >> task
        last = task
'''


def yaml(name, tasks):
    lines = [f"dag_id: {name}", "schedule: null", "start_date: 2026-01-01", "default_args: {retries: 1, image: debian}", "tasks:"]
    for i in range(tasks):
        needs = f", needs: [t{i - 1}]" if i else ""
        lines.append(f"  t{i}: {{cmds: [bash, -c], arguments: ['echo {{{{ ds }}}} {i}']{needs}}}")
    return "\n".join(lines) + "\n"


def fill(folder, kind, count, tasks, prefix=""):
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    for n in range(count):
        name = f"{prefix}{kind}{n:05d}"
        (folder / f"{name}.{kind}").write_text(PYTHON % (name, tasks) if kind == "py" else yaml(name, tasks))


def cold(server, kind, rounds):
    """Seconds of `dags check` for the folder, less those for a folder with one file."""
    times = {}
    for count in (COLD, 1):
        folder = server.folder / f"cold-{kind}-{count}"
        fill(folder, kind, count, TASKS)
        taken = []
        for _ in range(rounds):
            begin = time.monotonic()
            done = subprocess.run([server.program, "dags", "check", folder, "-o", "json"], stdout=subprocess.PIPE, check=True)
            taken.append(time.monotonic() - begin)
        if json.loads(done.stdout)["dags"] != count:
            sys.exit(f"error: not all {kind} files of {folder} were read")
        times[count] = statistics.median(taken)
        shutil.rmtree(folder)
    return (COLD - 1) / (times[COLD] - times[1])


def airflow(server, python, rounds):
    """Files per second of Airflow's own DAG processor, from an empty database to all DAGs in it, less its start and one file. It has the two
    parsing processes that it has by default: as many as there are cores."""
    times = {}
    for count in (AIRFLOW, 1):
        folder = server.folder / f"airflow-{count}"
        fill(folder / "dags", "py", count, TASKS)
        socket = server.database[server.database.index("-h") + 1]
        taken = []
        for turn in range(rounds):
            name = f"airflow_{count}_{turn}"
            psql = ["psql", "-q", "-At", *server.database]
            subprocess.run([*psql, "-c", f"create database {name}"], check=True)
            url = f"updraft@/{name}?host={socket}"
            environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "AIRFLOW_HOME": str(folder / name), "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
                           "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"), "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{url}",
                           "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": f"postgresql+asyncpg://{url}"}
            run = lambda *words: subprocess.run([python, "-m", "airflow", *words], env=environment, check=True, capture_output=True)
            run("db", "migrate")
            begin = time.monotonic()
            run("dag-processor", "-n", "1")
            taken.append(time.monotonic() - begin)
            psql[-1] = name
            read = subprocess.run([*psql, "-c", "select count(*) from serialized_dag"], check=True, capture_output=True, text=True).stdout
            if int(read) != count:
                sys.exit(f"error: Airflow read {read.strip()} of {count} files")
        times[count] = statistics.median(taken)
        shutil.rmtree(folder)
    return (AIRFLOW - 1) / (times[AIRFLOW] - times[1])


def ticks(pids):
    total = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total


def dagfiles(server, rounds, family):
    """`family` lists the processes of the server."""
    rounds = min(rounds, 3)
    result = {"bench": "dagfiles", "python_files_per_second": round(cold(server, "py", rounds), 1),
              "yaml_files_per_second": round(cold(server, "yaml", rounds), 1)}
    if os.environ.get("AIRFLOW_PYTHON"):
        result["airflow_files_per_second"] = round(airflow(server, os.environ["AIRFLOW_PYTHON"], rounds), 2)
        result["python_beside_airflow"] = round(result["python_files_per_second"] / result["airflow_files_per_second"], 1)
    before = server.call("GET", "/api/v2/dags?limit=1")["total_entries"]
    tree = server.folder / "dags" / "tree"
    begin = time.monotonic()
    for kind, count in TREE.items():
        fill(tree, kind, count, 2, "tree-")
    files = sum(TREE.values())
    server.wait_for(lambda: server.call("GET", "/api/v2/dags?limit=1")["total_entries"] == before + files, 600)
    result["tree_files"] = files
    result["tree_seconds"] = round(time.monotonic() - begin, 1)
    time.sleep(35)  # the parser of DAG files ends after half a minute without work
    pids = [pid for process in server.processes for pid in family(process.pid)]
    used = ticks(pids)
    time.sleep(60)
    result["unchanged_core_percent"] = round((ticks(pids) - used) / os.sysconf("SC_CLK_TCK") / 60 * 100, 3)
    seen = []
    for n in range(5):
        name = f"changed{n}"
        begin = time.monotonic()
        (tree / "tree-py00000.py").write_text(PYTHON % (name, 2))
        server.wait_for(lambda name=name: server.call("GET", f"/api/v2/dags?dag_id_pattern={name}")["total_entries"] == 1, 60)
        seen.append(time.monotonic() - begin)
        time.sleep(1)
    result["seconds"] = result["changed_visible_seconds"] = round(max(seen), 2)
    return result
