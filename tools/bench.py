#!/usr/bin/env python3
"""Benchmarks of the real thing: `updraft standalone` with its own Postgres (fsync on) and the process runner, or with --fleet a scheduler, a
worker and an API as processes of their own over RabbitMQ and Postgres ($DATABASE_URL and $UPDRAFT_TEST_AMQP_URL: `make bench-fleet`).

chain40     40 tasks one after another: total seconds, and from one task's end to the next one's start
fan1000     1,000 tasks at once: tasks per second from the trigger to the last end
completion  what one completion costs in a run of 100 and in one of 100,000 tasks (database and planner, no processes)
idle        proportional memory and processor time of an idle standalone without its Postgres
floor       what the machine itself allows: fsync, commit, spawn

big         on request: a run of 100,000 tasks at once and a chain of 2,000, which must all be success
dagfiles    on request: 1,000 Python and 1,000 YAML files of 20 tasks each, cold; a folder of 5,000 files in which nothing changes; until one that
            does is seen; beside Airflow's processor, if $AIRFLOW_PYTHON is the python of an environment with Airflow
start       on request: from the start of an empty `standalone` to its page, the same later, and `dags trigger diamond --wait`
pods        with --fleet and $KUBECONFIG, on request: pods created per second for 100 tasks at once, beside the same pods posted by hand
airflow     with --airflow URL: chain40 and fan1000 on an Airflow that runs beside, for the ratio

Times of tasks are those that the supervisors stored as evidence. Every figure is of this run on this machine: compare ratios of one run,
never figures of different days.
"""

import argparse
import base64
import concurrent.futures
import http.client
import json
import os
import pathlib
import queue
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

import bench_dagfiles

BENCHES = ("floor", "chain40", "fan1000", "completion", "idle")
ON_REQUEST = ("big", "dagfiles", "start", "pods")
PODS = 100
# Seconds before each turn of a comparison.
REST = 60

DAGS = '''
from datetime import datetime
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

def make(name, tasks, chain):
    with DAG(name, start_date=datetime(2020, 1, 1), schedule=None, catchup=False, max_active_tasks=2000) as dag:
        previous = None
        for i in range(tasks):
            task = BashOperator(task_id=f"t{i:04d}", bash_command="true")
            if chain and previous:
                previous >> task
            previous = task
    return dag

chain40 = make("chain40", 40, True)
fan1000 = make("fan1000", 1000, False)
'''

BIG_DAGS = DAGS + '''
chain2000 = make("chain2000", 2000, True)
big = make("big", 100_000, False)
'''

POD_DAG = '''
from datetime import datetime
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk import DAG

with DAG("pods", start_date=datetime(2020, 1, 1), schedule=None, catchup=False, max_active_tasks=2000) as dag:
    for i in range(%d):
        KubernetesPodOperator(task_id=f"t{i:04d}", image=%r, cmds=["true"], queue="pods")
'''


def quantile(values, q):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def seconds(text):
    from datetime import datetime

    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Server:
    """What runs DAGs, in a folder of its own, behind an API."""

    token = None

    def __init__(self):
        base = "/var/lib" if os.geteuid() == 0 else tempfile.gettempdir()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="updraft-bench.", dir=base))
        self.folder.chmod(0o755)
        (self.folder / "dags").mkdir()
        (self.folder / "dags" / "bench.py").write_text(DAGS)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = open(self.folder / "log", "w+")
        self.processes = []

    def launch(self, *words):
        self.processes.append(subprocess.Popen(list(words), stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True))

    def ready(self):
        self.wait_for(lambda: self.call("GET", "/api/v2/dags")["total_entries"] == 2, 60)

    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def call(self, method, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(f"{self.url()}{path}", method=method, data=data, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def wait_for(self, condition, limit):
        end = time.monotonic() + limit
        while True:
            try:
                if condition():
                    return
            except OSError:
                pass
            if any(process.poll() is not None for process in self.processes) or time.monotonic() > end:
                self.log.seek(0)
                sys.exit(f"error: not ready:\n{self.log.read()[-4000:]}")
            time.sleep(0.05)

    def end_of(self, dag, limit):
        """Triggers a run and waits for its end: when it began, and its path."""
        begin = time.time()
        run = self.call("POST", f"/api/v2/dags/{dag}/dagRuns", {"logical_date": None})
        path = f"/api/v2/dags/{dag}/dagRuns/" + urllib.parse.quote(run["dag_run_id"], safe="")
        while True:
            run = self.call("GET", path)
            if run["state"] in ("success", "failed"):
                break
            if time.time() > begin + limit:
                sys.exit(f"error: run of {dag} did not end within {limit} s")
            time.sleep(0.02)
        return begin, path

    def run(self, dag, limit=600):
        """Triggers a run, waits for its end, and returns its seconds by the wall and its task instances."""
        begin, path = self.end_of(dag, limit)
        instances, offset = [], 0
        while True:
            page = self.call("GET", f"{path}/taskInstances?limit=100&offset={offset}")
            instances += page["task_instances"]
            offset += 100
            if offset >= page["total_entries"]:
                break
        bad = [t for t in instances if t["state"] != "success"]
        if bad:
            sys.exit(f"error: {len(bad)} tasks of {dag} are not success, such as {bad[0]}")
        ends = [seconds(t["end_date"]) for t in instances]
        return max(ends) - begin, instances

    def stop(self):
        for process in self.processes:
            process.send_signal(signal.SIGINT)
        for process in self.processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


class Standalone(Server):
    """Everything in one process."""

    def __init__(self, program, concurrency):
        super().__init__()
        self.program = program
        self.database = ["-h", str(self.folder / "data/postgres/run"), "-U", "updraft", "postgres"]
        self.launch(program, "standalone", "--dags", str(self.folder / "dags"), "--data-dir", str(self.folder / "data"),
                    "--port", str(self.port), "--concurrency", str(concurrency))
        self.ready()


class Fleet(Server):
    """A scheduler, a worker and an API over RabbitMQ."""

    def __init__(self, program, concurrency):
        super().__init__()
        url, broker = (os.environ.get(name) for name in ("DATABASE_URL", "UPDRAFT_TEST_AMQP_URL"))
        if not url or not broker:
            sys.exit("error: --fleet needs $DATABASE_URL and $UPDRAFT_TEST_AMQP_URL: run it by `make bench-fleet`")
        self.database = [url]
        wire = ["--database-url", url, "--broker-url", broker, "--broker-prefix", f"bench-{os.getpid()}", "--log", "warn", "--migrate", "off"]
        self.launch(program, "api", "--port", str(self.port), *wire)
        self.launch(program, "scheduler", "--dags", str(self.folder / "dags"), *wire)
        self.launch(program, "worker", "--state-dir", str(self.folder / "runner"), "--concurrency", str(concurrency), *wire)
        self.program, self.wire = program, wire
        self.ready()


class Airflow(Server):
    """An Airflow that somebody else started, with the same DAGs."""

    def __init__(self, url):
        super().__init__()
        self.base = url.rstrip("/")
        self.token = self.call("GET", "/auth/token").get("access_token")

    def url(self):
        return self.base


def chain40(server, rounds):
    server.run("chain40")  # warm
    totals, hops = [], []
    for _ in range(rounds):
        total, instances = server.run("chain40")
        totals.append(total)
        instances.sort(key=lambda t: t["task_id"])
        hops += [(seconds(b["start_date"]) - seconds(a["end_date"])) * 1000 for a, b in zip(instances, instances[1:])]
    return {"bench": "chain40", "seconds": round(statistics.median(totals), 4), "seconds_min": round(min(totals), 4),
            "seconds_max": round(max(totals), 4), "hop_p50_ms": round(quantile(hops, 0.5), 2), "hop_p99_ms": round(quantile(hops, 0.99), 2),
            "rounds": rounds}


def fan1000(server, rounds):
    totals = [server.run("fan1000")[0] for _ in range(max(1, rounds // 2))]
    total = statistics.median(totals)
    return {"bench": "fan1000", "seconds": round(total, 3), "tasks_per_second": round(1000 / total, 1), "rounds": len(totals)}


def idle(server, _rounds):
    time.sleep(35)  # the parser of DAG files ends after half a minute without work
    pids = [pid for process in server.processes for pid in family(process.pid)]

    def ticks():
        total = 0
        for pid in pids:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total

    before = ticks()
    time.sleep(20)
    used = (ticks() - before) / os.sysconf("SC_CLK_TCK") / 20
    memory = 0
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                memory += int(line.split()[1])
    return {"bench": "idle", "seconds": 20, "pss_mb": round(memory / 1024, 1), "core_percent": round(used * 100, 3), "processes": len(pids)}


def family(root):
    """The process and what it started, without Postgres."""
    children = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text()
            except OSError:
                continue
            name = fields[fields.index("(") + 1:fields.rindex(")")]
            parent = int(fields.rsplit(")", 1)[1].split()[1])
            if name != "postgres":
                children.setdefault(parent, []).append(int(entry.name))
    found, open_ = [], [root]
    while open_:
        pid = open_.pop()
        found.append(pid)
        open_ += children.get(pid, [])
    return found


def floor(server, _rounds):
    folder = server.folder
    with open(folder / "fsync", "wb") as file:
        times = []
        for _ in range(200):
            begin = time.perf_counter()
            file.write(b"x" * 512)
            file.flush()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - begin)
    spawns = []
    true = shutil.which("true")
    for _ in range(300):
        begin = time.perf_counter()
        os.waitpid(os.posix_spawn(true, [true], {}), 0)
        spawns.append(time.perf_counter() - begin)
    result = {"bench": "floor", "seconds": round(sum(times), 3), "fdatasync_ms": round(statistics.median(times) * 1000, 3),
              "spawn_ms": round(statistics.median(spawns) * 1000, 3), "spawns_per_second": round(1 / statistics.mean(spawns), 1)}
    psql = shutil.which("psql")
    if psql:
        script = "create table if not exists bench_floor (n int);\n" + "insert into bench_floor values (1);\n" * 300
        begin = time.perf_counter()
        done = subprocess.run([psql, "-q", *server.database], input=script, text=True,
                              capture_output=True, env={"PATH": os.environ["PATH"], "HOME": "/"})
        if done.returncode == 0:
            result["commit_ms"] = round((time.perf_counter() - begin) / 300 * 1000, 3)
    return result


def big(server, _rounds):
    (server.folder / "dags" / "bench.py").write_text(BIG_DAGS)
    server.wait_for(lambda: server.call("GET", "/api/v2/dags")["total_entries"] == 4, 300)
    result = {"bench": "big"}
    for dag, tasks in (("chain2000", 2000), ("big", 100_000)):
        begin, path = server.end_of(dag, 1200)
        result[f"{dag}_seconds"] = round(time.time() - begin, 1)
        well = server.call("GET", f"{path}/taskInstances?limit=1&state=success")["total_entries"]
        if well != tasks:
            sys.exit(f"error: {well} of {tasks} tasks of {dag} are success")
    return {**result, "seconds": result["big_seconds"], "tasks_per_second": round(100_000 / result["big_seconds"], 1)}


def dagfiles(server, rounds):
    return bench_dagfiles.dagfiles(server, rounds, family)


def start(server, rounds):
    """Of a `standalone` of its own, beside the one of the other benches, which is idle then."""
    root = pathlib.Path(__file__).resolve().parent.parent
    folder, pages, runs = server.folder / "start", [], []
    folder.mkdir(mode=0o755)
    for _ in range(rounds):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        url, begin = f"http://127.0.0.1:{port}", time.monotonic()
        process = subprocess.Popen([server.program, "standalone", "--dags", root / "dags", "--data-dir", folder / "data", "--port", str(port)],
                                   stdin=subprocess.DEVNULL, stdout=server.log, stderr=server.log, start_new_session=True)
        try:
            def answers(path):
                with urllib.request.urlopen(url + path, timeout=5) as answer:
                    return answer.status == 200

            server.wait_for(lambda: answers("/"), 60)
            pages.append(round(time.monotonic() - begin, 2))
            server.wait_for(lambda: answers("/api/v2/dags/diamond"), 60)
            begin = time.monotonic()
            subprocess.run([server.program, "dags", "trigger", "diamond", "--wait", "--api-url", url], check=True, stdout=subprocess.DEVNULL)
            runs.append(time.monotonic() - begin)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)
    return {"bench": "start", "seconds": pages[0], "later_seconds": max(pages[1:], default=None), "diamond_seconds": round(max(runs), 2), "rounds": rounds}


def completion(_server, _rounds):
    root = pathlib.Path(__file__).resolve().parent.parent
    done = subprocess.run([root / "tools/with-postgres.sh", "cargo", "run", "-q", "--release", "--locked", "-p", "updraft-testkit",
                           "--example", "completion"], capture_output=True, text=True, env={**os.environ, "UPDRAFT_POSTGRES_FSYNC": "on"})
    if done.returncode != 0:
        sys.exit(f"error: the completion bench failed:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def kubectl(*words, **more):
    return subprocess.run(["kubectl", *words], check=True, stdout=subprocess.PIPE, text=True, **more).stdout


class Arrivals:
    """When each pod of a namespace was first seen, by one watch."""

    def __init__(self, namespace):
        form = "jsonpath={.type} {.object.metadata.name}{\"\\n\"}"
        words = ["kubectl", "get", "pods", "-n", namespace, "--watch", "--output-watch-events", "-o", form]
        self.times = {}
        self.watch = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self.read, daemon=True).start()
        # What is made before kubectl watches would all be seen at once, as its first list: a pod that nobody schedules says that it does.
        mark = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "mark"},
                "spec": {"nodeSelector": {"bench": "nowhere"}, "containers": [{"name": "mark", "image": "none"}]}}
        kubectl("create", "-n", namespace, "-f", "-", input=json.dumps(mark))
        while "mark" not in self.times:
            if self.watch.poll() is not None:
                sys.exit(f"error: kubectl watches no more: it ended with {self.watch.returncode}")
            time.sleep(0.02)
        kubectl("delete", "pod", "mark", "-n", namespace, "--grace-period=0", "--force", stderr=subprocess.DEVNULL)

    def read(self):
        for line in self.watch.stdout:
            kind, _, name = line.strip().partition(" ")
            if kind == "ADDED":
                self.times.setdefault(name, time.monotonic())

    def rate(self, prefix, limit=120):
        end = time.monotonic() + limit
        while True:
            times = sorted(at for name, at in self.times.items() if name.startswith(prefix))
            if len(times) >= PODS:
                return (len(times) - 1) / (times[-1] - times[0])
            if time.monotonic() > end:
                sys.exit(f"error: only {len(times)} of {PODS} pods were made within {limit} s")
            time.sleep(0.05)


def post_by_hand(namespace, example):
    """The same pods, as fast as eight connections that are kept open can post them."""
    config = json.loads(kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json"))
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    server = urllib.parse.urlsplit(cluster["server"])
    with tempfile.TemporaryDirectory() as folder:
        def file(name, data):
            path = pathlib.Path(folder) / name
            path.write_bytes(base64.b64decode(data))
            return path

        trust = ssl.create_default_context(cafile=file("ca", cluster["certificate-authority-data"]))
        if "client-certificate-data" in user:
            trust.load_cert_chain(file("cert", user["client-certificate-data"]), file("key", user["client-key-data"]))
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {user['token']}"} if "token" in user else {})}
    numbers = queue.SimpleQueue()
    for n in range(PODS):
        numbers.put(n)

    def poster():
        line = http.client.HTTPSConnection(server.hostname, server.port, context=trust)
        while True:
            try:
                n = numbers.get_nowait()
            except queue.Empty:
                return
            pod = {"metadata": {"name": f"raw-{n:04d}", "labels": {"raw": "true"}}, "spec": example["spec"]}
            line.request("POST", f"/api/v1/namespaces/{namespace}/pods", json.dumps(pod), headers)
            answer = line.getresponse()
            body = answer.read()
            if answer.status >= 300:
                sys.exit(f"error: the API server refused a pod: {body[:400]}")

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(poster) for _ in range(8)]:
            done.result()


def pods(server, rounds):
    """Ours and raw by turns: a slow minute of the machine hits both."""
    if not isinstance(server, Fleet) or not os.environ.get("KUBECONFIG"):
        sys.exit("error: pods needs --fleet and $KUBECONFIG")
    image = os.environ.get("UPDRAFT_TEST_IMAGE", "docker.io/library/busybox:1.36")
    namespace = f"updraft-bench-{os.getpid()}"
    kubectl("create", "namespace", namespace)
    try:
        (server.folder / "dags" / "pods.py").write_text(POD_DAG % (PODS, image))
        server.launch(server.program, "worker", "--runner", "kubernetes", "--namespace", namespace, "--queues", "pods", *server.wire)
        server.wait_for(lambda: server.call("GET", "/api/v2/dags/pods"), 60)
        ours, raw, tasks = [], [], []

        def by_hand(example):
            server.wait_for(lambda: not kubectl("get", "pods", "-n", namespace, "-o", "name").strip(), 180)
            arrivals = Arrivals(namespace)
            post_by_hand(namespace, example)
            raw.append(arrivals.rate("raw-"))
            arrivals.watch.kill()
            kubectl("delete", "pods", "-n", namespace, "-l", "raw=true", "--grace-period=0", "--force", stderr=subprocess.DEVNULL)

        example = None
        for _ in range(rounds):
            # What is still being removed would count as new, and cost the server.
            server.wait_for(lambda: not kubectl("get", "pods", "-n", namespace, "-o", "name").strip(), 180)
            arrivals = Arrivals(namespace)
            run = threading.Thread(target=lambda: tasks.append(PODS / server.run("pods")[0]))
            run.start()
            ours.append(arrivals.rate("pods-"))
            if example is None:
                example = gated(namespace)
            run.join()
            arrivals.watch.kill()
            by_hand(example)
        made, by_hand_made = statistics.median(ours), statistics.median(raw)
        return {"bench": "pods", "seconds": round(PODS / made, 3), "pods_per_second": round(made, 1), "raw_per_second": round(by_hand_made, 1),
                "share_of_raw": round(made / by_hand_made, 2), "tasks_per_second": round(statistics.median(tasks), 2), "rounds": rounds}
    finally:
        kubectl("delete", "namespace", namespace, "--wait=false")


def gated(namespace):
    """The spec of one of our pods as it was posted, or nearly: with its gate shut, without what the server added."""
    found = json.loads(kubectl("get", "pods", "-n", namespace, "-o", "json"))["items"]
    spec = found[0]["spec"]
    for key in ("nodeName", "priority", "preemptionPolicy", "serviceAccount", "tolerations", "enableServiceLinks"):
        spec.pop(key, None)
    for container in spec["containers"]:
        container["image"] = "INVALID//gate"
    return {"spec": spec}


def beside_airflow(ours, airflow, rounds):
    """The same DAGs on both by turns: ours, theirs, ours. Machines whose processors are lent out get slower under load and recover at rest, so
    each turn begins after the same rest."""
    def turn(server):
        time.sleep(REST)
        return [server.run(dag, limit=1200)[0] for _ in range(rounds if server is ours else 1)]

    for dag in ("chain40", "fan1000"):
        before, theirs, after = turn(ours), turn(airflow)[0], turn(ours)
        mine = statistics.median(before + after)
        yield {"bench": f"airflow-{dag}", "seconds": round(mine, 3), "airflow_seconds": round(theirs, 2), "times_faster": round(theirs / mine, 1)}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--updraft", default="bin/updraft")
    arguments.add_argument("--bench", choices=(*BENCHES, *ON_REQUEST), action="append")
    arguments.add_argument("--format", choices=("text", "json"), default="text")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--concurrency", type=int, default=16)
    arguments.add_argument("--fleet", action="store_true", help="separate roles over RabbitMQ instead of standalone")
    arguments.add_argument("--airflow", metavar="URL", help="the API of an Airflow that runs the same DAGs, to compare with")
    options = arguments.parse_args()
    server = (Fleet if options.fleet else Standalone)(options.updraft, options.concurrency)

    def show(result):
        if options.format == "json":
            print(json.dumps(result), flush=True)
        else:
            print(f"{result.pop('bench'):<11}" + "  ".join(f"{key} {value}" for key, value in result.items()), flush=True)

    try:
        for name in options.bench or [name for name in BENCHES if not (options.fleet and name == "completion")]:
            show(globals()[name](server, options.rounds))
        if options.airflow:
            for result in beside_airflow(server, Airflow(options.airflow), options.rounds):
                show(result)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
