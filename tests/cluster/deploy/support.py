"""What the checks of deploy.py work with: kubectl, waiting, a git server and a gate on the machine, the API by a port-forward, and the release."""

import base64
import json
import os
import pathlib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import helm_python as helm

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
CHART = ROOT / "deploy/helm/updraft"
CLI = os.environ["UPDRAFT_CLI"]
IMAGE = "docker.io/updraft-test/updraft"
TASK_IMAGE = os.environ.get("UPDRAFT_TEST_IMAGE", "updraft-test/busybox:1")
RELEASE, NAMESPACE = "updraft", "updraft-deploy"
PASSWORD = "only for this test"
ROLES = ("scheduler", "api", "worker")


class Failed(Exception):
    """A check that did not hold."""


def expect(condition, text):
    if not condition:
        raise Failed(text)


def run(*words, check=True, **more):
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)
    if check and done.returncode != 0:
        raise Failed(f"{' '.join(map(str, words))} ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done


def kubectl(*words, namespace=NAMESPACE, **more):
    return run("kubectl", "--namespace", namespace, *words, **more)


def get(kind, *words, namespace=NAMESPACE):
    return json.loads(kubectl("get", kind, *words, "-o", "json", namespace=namespace).stdout)["items"]


def wait(what, look, limit=120):
    """Looks until `look` gives something true, and returns that."""
    end = time.monotonic() + limit
    seen = None
    while True:
        try:
            seen = look()
            if seen:
                return seen
        except (Failed, urllib.error.URLError, ConnectionError, TimeoutError, json.JSONDecodeError) as error:
            seen = error
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {limit} s; last seen: {seen}")
        time.sleep(0.2)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Git:
    """The repository of DAGs, served on the machine, and a working copy."""

    def __init__(self, folder):
        served = folder / "served"
        ready = folder / "git-address"
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests/cluster/git-server.py"), "--folder", str(served), "--create", "dags", "--ready-file", str(ready)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.address = wait("the git server answers", lambda: ready.exists() and ready.read_text().strip(), 30)
        self.copy = folder / "copy"
        run("git", "clone", "-q", f"{self.address}/dags.git", self.copy)
        for key, value in (("user.name", "test"), ("user.email", "test@example.org")):
            run("git", "-C", self.copy, "config", key, value)

    def push(self, files):
        for name, text in files.items():
            path = self.copy / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        run("git", "-C", self.copy, "add", "-A")
        run("git", "-C", self.copy, "commit", "-q", "-m", "DAGs")
        run("git", "-C", self.copy, "push", "-q", "origin", "HEAD:refs/heads/main")

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


class Gate:
    """What long tasks ask: they end when it opens."""

    def __init__(self, folder):
        self.folder = folder / "gate"
        self.folder.mkdir()
        self.port = free_port()
        self.process = subprocess.Popen([sys.executable, "-m", "http.server", str(self.port), "--bind", "198.18.0.1", "--directory", str(self.folder)],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.url = f"http://198.18.0.1:{self.port}/open"

    def open(self):
        (self.folder / "open").write_text("open\n")

    def shut(self):
        (self.folder / "open").unlink(missing_ok=True)

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


class Api:
    """The API through a port-forward that is made again when its pod goes."""

    def __init__(self):
        self.forward = None
        self.port = None

    def stop(self):
        if self.forward:
            self.forward.kill()
            self.forward.wait(10)
            self.forward = None

    def ensure(self):
        if self.forward and self.forward.poll() is None:
            return
        self.port = free_port()
        self.forward = subprocess.Popen(["kubectl", "-n", NAMESPACE, "port-forward", f"service/{RELEASE}-api", f"{self.port}:8080"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def listens():
            with socket.socket() as one:
                return self.forward.poll() is not None or one.connect_ex(("127.0.0.1", self.port)) == 0

        wait("the port-forward listens", listens, 20)

    def raw(self, method, path, body=None, password=PASSWORD):
        self.ensure()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method, data=None if body is None else json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        if password is not None:
            request.add_header("Authorization", "Basic " + base64.b64encode(f"admin:{password}".encode()).decode())
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except (urllib.error.URLError, ConnectionError):
            # The pod behind it has gone: another one is found by a new forward.
            self.stop()
            raise

    def call(self, method, path, body=None):
        status, text = self.raw(method, path, body)
        expect(status < 300, f"{method} {path} gave {status}: {text[:400]}")
        return json.loads(text)

    def trigger(self, dag):
        run_id = wait(f"{dag} can be triggered", lambda: self.call("POST", f"/api/v2/dags/{dag}/dagRuns", {"logical_date": None}), 60)["dag_run_id"]
        return f"/api/v2/dags/{dag}/dagRuns/" + urllib.parse.quote(run_id, safe="")

    def tasks(self, path):
        return self.call("GET", f"{path}/taskInstances?limit=100")["task_instances"]

    def ended(self, path, limit=180):
        def look():
            found = self.call("GET", path)
            return found if found["state"] in ("success", "failed") else None

        found = wait(f"{path} ends", look, limit)
        if found["state"] != "success":
            bad = [(t["task_id"], t["state"], self.call("GET", path.replace("/api/v2/dags/", "/ui/why/").replace("/dagRuns/", "/") + f"/{t['task_id']}")["summary"])
                   for t in self.tasks(path) if t["state"] != "success"]
            raise Failed(f"{path} ended as {found['state']}: {bad[:3]}")
        return self.tasks(path)


class Deployment:
    def __init__(self, folder):
        self.folder = folder
        self.git, self.gate, self.api = Git(folder), Gate(folder), Api()
        self.config = helm.Config(kubeconfig_path=os.environ["KUBECONFIG"], namespace=NAMESPACE)
        self.chart = helm.Chart.load(str(CHART))

    def close(self):
        self.api.stop()
        self.gate.stop()
        self.git.stop()

    def values(self, **over):
        values = {
            "images": {"updraft": {"repository": IMAGE, "tag": "1"}},
            "dags": {"git": {"repo": f"git+{self.git.address}/dags.git", "ref": "main", "subPath": "dags", "period": "2s"}},
            "apiServer": {"password": PASSWORD},
            "scheduler": {"resources": {"requests": {"cpu": "10m"}}},
            "workers": {"replicas": 2, "resources": {"requests": {"cpu": "10m"}}},
            "postgresql": {"enabled": True, "image": "docker.io/updraft-test/postgres:15", "auth": {"password": "trial"}, "resources": {"requests": {"cpu": "10m"}}},
            "rabbitmq": {"enabled": True, "image": "docker.io/updraft-test/rabbitmq:3.10", "auth": {"password": "trial"}, "resources": {"requests": {"cpu": "10m"}}},
        }
        for key, value in over.items():
            values[key] = {**values.get(key, {}), **value}
        return values

    def pods(self, role=None):
        selector = f"app.kubernetes.io/instance={RELEASE}" + (f",app.kubernetes.io/component={role}" if role else "")
        return get("pods", "-l", selector)

    def rolled_out(self):
        for one in get("deployments", "-l", f"app.kubernetes.io/instance={RELEASE}"):
            kubectl("rollout", "status", f"deployment/{one['metadata']['name']}", "--timeout=180s")

    def task_pods(self):
        return get("pods", "-l", "updraft.dev/installation")

    def running_long(self):
        """The pods of `twenty` that run, by name: uid and restarts."""
        found = {}
        for pod in self.task_pods():
            status = pod["status"].get("containerStatuses", [{}])[0]
            if pod["metadata"]["labels"]["dag_id"] == "twenty" and "running" in status.get("state", {}):
                found[pod["metadata"]["name"]] = (pod["metadata"]["uid"], status["restartCount"])
        return found
