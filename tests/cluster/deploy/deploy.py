#!/usr/bin/env python3
"""Updraft on a real cluster, as its users install it: Helm's own engine, the chart, the image, DAGs from git, pods launched by pods.

deploy.py            everything in order; a line per check; exit 1 at the first that fails
deploy.py --keep     leaves the release, for a look

Called by run.sh, which puts the images on the node. It waits for conditions, never for times; each wait has its limit and says what it saw last.
"""

import argparse
import base64
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tarfile
import tempfile
import time

import helm_python as helm
import yaml

from support import (
    CHART, CLI, HERE, IMAGE, NAMESPACE, RELEASE, ROLES, ROOT, TASK_IMAGE, Deployment, Failed, expect, free_port, get, kubectl, run, wait,
)

DAG = '''
from datetime import datetime
from airflow import DAG
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator

def pod(name, script):
    return KubernetesPodOperator(task_id=name, image="{image}", cmds=["sh", "-c"], arguments=[script], startup_timeout_seconds=300)

with DAG("seed", schedule=None, start_date=datetime(2015, 6, 1)):
    t1, t2, t3, t4 = (pod(name, "echo " + name + " of {{{{ ds }}}}; sleep 1") for name in ("t1", "t2", "t3", "t4"))
    t1 >> [t2, t3] >> t4

with DAG("twenty", schedule=None, start_date=datetime(2015, 6, 1), max_active_tasks=50):
    for n in range(20):
        # It ends when it is told to, so that the test decides how long it runs.
        pod("long%02d" % n, "trap 'exit 3' TERM; i=0; while [ $i -lt 1200 ] && ! wget -q -O /dev/null {gate}; do sleep 0.5; i=$((i+1)); done; echo done")

with DAG("nosy", schedule=None, start_date=datetime(2015, 6, 1)):
    pod("token", "test ! -e /var/run/secrets/kubernetes.io && echo no token; "
        "wget -q -O - --no-check-certificate https://kubernetes.default.svc/api/v1/namespaces/default/pods 2>&1 | head -c 200; "
        "wget -S -O - --no-check-certificate https://kubernetes.default.svc/api/v1/pods 2>&1 | grep -o 'HTTP/1.1 40[0-9]' || echo answered")
'''


# --- checks, in their order -----------------------------------------------------------------------------------------------------------------------


def install(d):
    """From nothing to a green `helm test`."""
    kubectl("create", "namespace", NAMESPACE)
    d.git.push({"dags/all.py": DAG.format(image=TASK_IMAGE, gate=d.gate.url)})
    d.config.install(d.chart, RELEASE, d.values(), timeout=300)
    d.rolled_out()
    tested = d.config.test(RELEASE, timeout=120)
    phases = [hook["last_run"]["phase"] for hook in tested.get("hooks") or [] if "last_run" in hook]
    expect(phases in ([], ["Succeeded"]), f"helm test: {phases}")
    # What has succeeded is removed: an uninstall knows nothing of hooks.
    expect(not [pod for pod in get("pods") if pod["metadata"]["name"].endswith("-test")], "the pod of helm test is left")


def page_and_guard(d):
    """The page answers through a port-forward, with the password alone."""
    status, page = wait("the page answers", lambda: d.api.raw("GET", "/"), 60)
    expect(status == 200 and "<html" in page.lower(), f"{status}: {page[:200]}")
    for wrong in (None, "guess"):
        status, _ = d.api.raw("GET", "/api/v2/dags", password=wrong)
        expect(status == 401, f"password {wrong!r} gave {status}")


def seed_runs(d):
    """A DAG of a git repository runs as pods that worker pods inside the cluster launch."""
    path = d.api.trigger("seed")
    tasks = {t["task_id"]: t for t in d.api.ended(path)}
    order = [tasks[name] for name in ("t1", "t2", "t3", "t4")]
    expect(all(order[0]["end_date"] <= t["start_date"] for t in order[1:3]), "t2 or t3 began before t1 ended")
    expect(all(t["end_date"] <= order[3]["start_date"] for t in order[1:3]), "t4 began before t2 and t3 ended")
    log = d.api.call("GET", f"{path}/taskInstances/t4/logs/1")
    expect("t4 of" in json.dumps(log), f"the log of t4: {str(log)[:300]}")
    wait("the pods of the seed's tasks are gone", lambda: not d.task_pods(), 60)


def rights(d):
    """Workers have the chart's Role and nothing else; scheduler, API and tasks have no right at all."""
    def may(account):
        text = kubectl("auth", "can-i", "--list", f"--as=system:serviceaccount:{NAMESPACE}:{account}",
                       f"--as-group=system:serviceaccounts:{NAMESPACE}", "--as-group=system:serviceaccounts", "--as-group=system:authenticated").stdout
        return sorted(" ".join(line.split()) for line in text.splitlines()[1:])

    everybody = may("nobody-in-particular")
    accounts = {one["metadata"]["name"] for one in get("serviceaccounts")}
    worker = f"{RELEASE}-worker"
    expect(worker in accounts, f"{worker} is not among {accounts}")
    for account in sorted(accounts - {worker}):
        expect(may(account) == everybody, f"{account} may more than everybody: {set(may(account)) - set(everybody)}")
    mine = [line for line in may(worker) if line not in everybody]
    golden = HERE / "worker-rights.txt"
    if os.environ.get("UPDATE"):
        golden.write_text("\n".join(mine) + "\n")
    tasks_may_be_anything()
    expect(mine == golden.read_text().splitlines(), "the workers' rights are not those of worker-rights.txt:\n" + "\n".join(mine))
    for role in ("scheduler", "api"):
        for pod in d.pods(role):
            mounted = [volume for volume in pod["spec"].get("volumes", []) if "projected" in volume or "token" in volume["name"]]
            expect(not mounted, f"{pod['metadata']['name']} has a token: {mounted}")


def tasks_may_be_anything(namespace=NAMESPACE):
    """The images of the tests' tasks run as root, so whoever makes their pods needs the right to make such."""
    kubectl("create", "rolebinding", "tasks-may-be-anything", "--clusterrole=pod-security-privileged", f"--serviceaccount={namespace}:{RELEASE}-worker",
            namespace=namespace)


def task_pod_has_no_token(d):
    """A task's pod has no token, and the API server turns it away."""
    path = d.api.trigger("nosy")
    d.api.ended(path)
    log = json.dumps(d.api.call("GET", f"{path}/taskInstances/token/logs/1"))
    expect("no token" in log, log[:500])
    expect("HTTP/1.1 401" in log, f"the API server did not say 401: {log[:800]}")


def dag_processor_has_nothing(d):
    """The container that reads DAG files has no secret in its environment, its files or its reach."""
    pod = d.pods("scheduler")[0]["metadata"]["name"]
    container = next(c for c in d.pods("scheduler")[0]["spec"]["containers"] if c["name"] == "dag-processor")
    text = json.dumps(container)
    expect("secretKeyRef" not in text and "secretRef" not in text, f"a secret by reference: {text}")
    script = "env; cat /proc/1/environ 2>/dev/null | tr '\\0' '\\n'; find / -xdev -path /proc -prune -o -type f -size -64k -newer /etc/hostname -print 2>/dev/null | head -n 2000; ls -la /run/secrets /var/run/secrets 2>&1; cat /proc/mounts"
    seen = kubectl("exec", pod, "-c", "dag-processor", "--", "sh", "-c", script).stdout
    secrets = {name: base64.b64decode(value).decode() for one in get("secrets") for name, value in one.get("data", {}).items()
               if one["type"] == "Opaque"}
    expect(secrets, "there are no secrets to look for")
    for name, value in secrets.items():
        expect(value not in seen, f"the value of {name} is in reach of the dag-processor")
    expect(not re.search(r"serviceaccount|/run/secrets/updraft/(database|broker|git|api)", seen), "a mount of secrets is in reach:\n" + seen[-1500:])


def restricted(d):
    """Every pod of the release is admitted where only `restricted` pods are, and others are not."""
    def admitted(metadata, spec):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {**metadata, "name": "tried"}, "spec": spec}
        return kubectl("create", "--as=restricted-tester", "--dry-run=server", "-f", "-", input=json.dumps(pod), check=False)

    tried = 0
    for one in get("deployments", "-l", f"app.kubernetes.io/instance={RELEASE}"):
        template = one["spec"]["template"]
        # The right to use a policy may come by the pod's account, too. This one has none.
        template["spec"].update(serviceAccountName="default", automountServiceAccountToken=False)
        template["spec"].pop("serviceAccount", None)
        answer = admitted(template["metadata"], template["spec"])
        expect(answer.returncode == 0, f"{one['metadata']['name']}: {answer.stderr}")
        tried += 1
        # What is taken away must matter, or nothing was tried.
        loose = json.loads(json.dumps(template["spec"]))
        loose["containers"][0]["securityContext"] = {"privileged": True}
        expect("forbidden" in admitted(template["metadata"], loose).stderr, f"{one['metadata']['name']} is admitted as a privileged pod")
    expect(tried == 5, f"{tried} Deployments were tried")


def image(_d):
    """The image: its user, its layers, its size."""
    with tarfile.open(os.environ["UPDRAFT_IMAGE_ARCHIVE"]) as archive:
        manifest = json.load(archive.extractfile("manifest.json"))[0]
        config = json.load(archive.extractfile(manifest["Config"]))
        sizes = [archive.getmember(layer).size for layer in manifest["Layers"]]
    expect(config["config"]["User"] == "65532:65532", f"it runs as {config['config'].get('User')}")
    expect(config["config"]["Entrypoint"] == ["/usr/local/bin/updraft"], f"it starts {config['config'].get('Entrypoint')}")
    expect(len(sizes) == 3 and sum(sizes) < 400 << 20, f"layers: {sizes}")
    print("     layers " + " + ".join(f"{size / 1e6:.1f}" for size in sizes) + " MB (the last is a debug build)")


def policy_holds(d):
    """A DAG that breaks the pod policy is refused with the rule's name, and the others go on."""
    bad = "dag_id: bad\nschedule: null\ntasks:\n  t:\n    image: x\n    volumes: [{name: v, %s}]\n"
    # The second: the database of this very release, whose namespace the tasks share.
    cases = {"hostPath": "hostPath: {path: /etc}", "deniedSecrets": f"secret: {{secretName: {RELEASE}-postgresql}}"}

    def refused():
        return [e["stack_trace"] for e in d.api.call("GET", "/api/v2/importErrors")["import_errors"] if e["filename"].endswith("bad.yaml")]

    for rule, volume in cases.items():
        d.git.push({"dags/bad.yaml": bad % volume})
        wait(f"bad.yaml is refused by {rule}", lambda rule=rule: any(f"rule {rule}" in text and "--pod-policy" in text for text in refused()), 30)
        expect(d.api.raw("GET", "/api/v2/dags/bad")[0] == 404, "the DAG is there all the same")
    (d.git.copy / "dags/bad.yaml").unlink()
    d.git.push({})
    wait("the error is gone", lambda: not refused(), 30)


def upgrades_touch_no_pod(d):
    """Upgrade, rollback, restart and 3 → 0 → 2 workers with 20 pods running: none restarted, none lost, no attempt spent."""
    d.gate.shut()
    path = d.api.trigger("twenty")
    before = wait("20 pods run", lambda: (lambda found: found if len(found) == 20 else None)(d.running_long()), 180)

    def same(after):
        now = d.running_long()
        expect(now == before, f"after {after}: {len(set(before) - set(now))} pods are gone or changed: {sorted(set(before.items()) ^ set(now.items()))[:4]}")

    run(str(ROOT / "tests/cluster/cluster"), "tag", f"{IMAGE}:1", f"{IMAGE}:2")
    d.config.upgrade(d.chart, RELEASE, d.values(images={"updraft": {"repository": IMAGE, "tag": "2"}}), timeout=300)
    d.rolled_out()
    tags = {c["image"] for role in ROLES for pod in d.pods(role) if not pod["metadata"].get("deletionTimestamp") for c in pod["spec"]["containers"]}
    expect(tags == {f"{IMAGE}:2"}, f"after the upgrade there are {tags}")
    same("the upgrade")
    d.config.rollback(RELEASE, version=1, timeout=300)
    d.rolled_out()
    same("the rollback")
    run("make", "-C", ROOT, "restart", f"NAMESPACE={NAMESPACE}", f"RELEASE={RELEASE}")
    d.rolled_out()
    same("the restart")
    for replicas in (3, 0, 2):
        kubectl("scale", f"deployment/{RELEASE}-worker", f"--replicas={replicas}")
        wait(f"{replicas} workers", lambda replicas=replicas: len([p for p in d.pods("worker") if not p["metadata"].get("deletionTimestamp")]) == replicas)
        d.rolled_out()
        same(f"{replicas} workers")
    d.gate.open()
    tasks = d.api.ended(path, 240)
    expect(len(tasks) == 20 and {t["try_number"] for t in tasks} == {1}, f"tries: {sorted(t['try_number'] for t in tasks)}")
    tries = [d.api.call("GET", f"{path}/taskInstances/{t['task_id']}/tries")["total_entries"] for t in tasks]
    expect(set(tries) == {1}, f"attempts spent: {tries}")


def backup_and_restore(d):
    """Backup, wipe, restore, with pods running: it goes on."""
    d.gate.shut()
    path = d.api.trigger("twenty")
    wait("20 pods run", lambda: len(d.running_long()) == 20, 180)
    server = f"deployment/{RELEASE}-postgresql"
    dump = kubectl("exec", server, "--", "pg_dump", "-U", "updraft", "-Fc", "-f", "/tmp/backup", "updraft")
    expect(dump.returncode == 0, dump.stderr)
    # As docs/backup.md says: nobody writes while the database is made anew.
    for role in ROLES:
        kubectl("scale", f"deployment/{RELEASE}-{role}", "--replicas=0")
    wait("the roles are gone", lambda: not any(d.pods(role) for role in ROLES))
    d.api.stop()
    kubectl("exec", server, "--", "psql", "-U", "updraft", "-d", "postgres", "-c", "drop database updraft with (force)", "-c", "create database updraft")
    kubectl("exec", server, "--", "pg_restore", "-U", "updraft", "-d", "updraft", "/tmp/backup")
    for role in ROLES:
        kubectl("scale", f"deployment/{RELEASE}-{role}", "--replicas=1")
    d.rolled_out()
    d.gate.open()
    tasks = d.api.ended(path, 240)
    expect({t["try_number"] for t in tasks} == {1}, f"tries: {sorted(t['try_number'] for t in tasks)}")


def uninstall(d):
    """Uninstall leaves nothing."""
    d.api.stop()
    d.config.uninstall(RELEASE, timeout=120)
    kinds = [k for k in kubectl("api-resources", "--namespaced", "--verbs=list", "-o", "name").stdout.split() if not k.startswith("events")]
    ours = ("default", "kube-root-ca.crt", "tasks-may-be-anything")

    def left():
        found = [f"{one['kind']}/{one['metadata']['name']}" for one in get(",".join(kinds))]
        return [name for name in found if name.split("/")[1] not in ours and not name.startswith("Secret/default-token")]

    def nothing():
        found = left()
        expect(not found, f"left: {found}")
        return True

    wait("nothing is left", nothing, 90)
    spanning = kubectl("get", "clusterroles,clusterrolebindings", "-l", f"app.kubernetes.io/instance={RELEASE}", "-o", "name").stdout
    expect(not spanning, f"left: {spanning}")


def init(d):
    """`updraft init`, then the commands of its README: a green run of the image that it made."""
    namespace, name = "updraft-init", "sales"
    home = d.folder / "init"
    (home / "bin").mkdir(parents=True)
    (home / "bin/updraft").symlink_to(CLI)
    wrapper = home / "bin/helm"
    wrapper.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{HERE}/helm" "$@"\n')
    wrapper.chmod(0o755)
    environment = {**os.environ, "PATH": f"{home}/bin:{os.environ['PATH']}", "BUILDAH_ISOLATION": "chroot"}

    def there(*words, **more):
        return run(*words, cwd=home / name, env={**environment, **more.pop("env", {})}, **more)

    run(CLI, "init", name, "--registry", "docker.io/updraft-test", "--namespace", namespace, cwd=home, stdin=subprocess.DEVNULL)
    there("make", "test", "check")
    # Twice: every target may be.
    archive = pathlib.Path(os.environ["UPDRAFT_IMAGE_ARCHIVE"])
    if run("buildah", "inspect", f"{IMAGE}:1", check=False).returncode != 0:
        run("buildah", "pull", "-q", f"docker-archive:{archive}")
    for _ in range(2):
        there("make", "build", "ENGINE=buildah", f"BASE={IMAGE}:1")
    version = (home / name / "image/VERSION").read_text().strip()
    # What `kind load` does.
    task_image = home / "task.tar"
    tagged = f"docker.io/updraft-test/{name}:{version}"
    run("buildah", "push", "-q", tagged, f"docker-archive:{task_image}:{tagged}")
    run(ROOT / "tests/cluster/cluster", "load", task_image)

    refused = there("make", "deploy", f"CHART={CHART}", check=False)
    expect("dags.git.repo" in refused.stderr, f"make deploy without a repository: {refused.stderr}")
    values = home / name / "values/dev.yaml"
    text = values.read_text().replace(f"https://git.example/team/{name}.git", f"git+{d.git.address}/{name}.git")
    # No registry is reachable: what was loaded on the node is named.
    mine = yaml.safe_load(text)
    mine["images"] = {"updraft": {"repository": IMAGE, "tag": "1"}}
    mine["postgresql"].update(image="docker.io/updraft-test/postgres:15")
    mine["rabbitmq"].update(image="docker.io/updraft-test/rabbitmq:3.10")
    values.write_text(yaml.safe_dump(mine))
    there("git", "init", "-q", "-b", "main")
    there("git", "add", "-A")
    there("git", "-c", "user.name=test", "-c", "user.email=test@example.org", "commit", "-q", "-m", "DAGs")
    run("git", "init", "-q", "--bare", d.folder / f"served/{name}.git")
    there("git", "push", "-q", d.folder / f"served/{name}.git", "main")
    try:
        for _ in range(2):
            there("make", "deploy", f"CHART={CHART}")
        tasks_may_be_anything(namespace)
        there("make", "restart")
        port = free_port()
        ui = subprocess.Popen(["make", "ui", f"PORT={port}"], cwd=home / name, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              start_new_session=True)
        try:
            client = {"UPDRAFT_API_URL": f"http://127.0.0.1:{port}", "UPDRAFT_API_USER": "admin", "UPDRAFT_API_PASSWORD": "only-for-trials"}
            wait("the DAGs are there", lambda: f"{name}_diamond" in there("updraft", "dags", "list", env=client).stdout, 90)
            for dag in (f"{name}_diamond", f"{name}_diamond_yaml"):
                done = there("updraft", "dags", "trigger", dag, "--wait", env=client, check=False)
                expect(done.returncode == 0, f"{dag}: {done.stdout}{done.stderr}"
                       + there("updraft", "tasks", "states", dag, "latest", env=client, check=False).stdout)
        finally:
            os.killpg(ui.pid, signal.SIGTERM)
            ui.wait(10)
        for _ in range(2):
            there("make", "destroy")
    finally:
        kubectl("delete", "namespace", namespace, "--wait=false", "--ignore-not-found", check=False)


CHECKS = [install, page_and_guard, rights, seed_runs, task_pod_has_no_token, dag_processor_has_nothing, restricted, image, policy_holds,
          upgrades_touch_no_pod, backup_and_restore, uninstall, init]


def tell(d):
    """What a person would look at first."""
    for words in (["get", "pods", "-o", "wide"], ["get", "events", "--sort-by=.lastTimestamp"]):
        print(kubectl(*words, check=False).stdout[-4000:], file=sys.stderr)
    for role in ROLES:
        for pod in d.pods(role):
            print(kubectl("logs", pod["metadata"]["name"], "--all-containers", "--tail=30", check=False).stdout, file=sys.stderr)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--keep", action="store_true")
    arguments.add_argument("--only", help="installs, and then only this check")
    options = arguments.parse_args()
    for namespace in (NAMESPACE, "updraft-init"):
        kubectl("delete", "namespace", namespace, "--ignore-not-found", "--timeout=120s")
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(Deployment(pathlib.Path(folder))) as d:
        try:
            checks = [c for c in CHECKS if options.only is None or c.__name__ in ("install", options.only)]
            for check in checks[:-2] if options.keep and options.only is None else checks:
                begin = time.monotonic()
                check(d)
                print(f"ok   {time.monotonic() - begin:6.1f} s  {check.__doc__}", flush=True)
        except (Failed, helm.HelmError) as error:
            print(f"FAIL {check.__name__}: {check.__doc__}\n{error}", flush=True)
            tell(d)
            return 1
        finally:
            if not options.keep:
                kubectl("delete", "namespace", NAMESPACE, "--wait=false", check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
