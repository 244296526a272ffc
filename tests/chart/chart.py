#!/usr/bin/env python3
"""Tests of deploy/helm/updraft with Helm's own engine, and of what is made from the chart.

chart.py            one line per check; exit 1 when one fails
chart.py --update   writes the golden files and deploy/kustomize/base anew, then checks
chart.py --only X   only checks whose name contains X

Nothing here asks a cluster. Call it by run.sh, which brings what it needs.
"""

import argparse
import difflib
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import helm_python as helm
import yaml

from rendering import (
    CHART, HERE, NAMES, ROOT, Failed, at, containers_of, env_of, expect, merged, objects, pods, refusal, templates, text_of, the, values_of,
)

GOLDEN = HERE / "golden"
BASE = ROOT / "deploy/kustomize/base/updraft.yaml"

OLDEST, OLDEST_IN_CURRENT_DATA, NEWEST = "1.20", "1.25", "1.37"
# Kinds that are no part of Kubernetes: there is no schema to look into.
CUSTOM = {"ServiceMonitor", "PrometheusRule", "ScaledObject", "TriggerAuthentication", "HTTPRoute"}
# Values that are free-form: what stands in them is the user's, or Kubernetes checks it.
FREE = re.compile(
    r"(^|\.)(labels|annotations|podAnnotations|alertLabels|nodeSelector|affinity|pod|containers|podSecurityContext|volume|podPolicy\.(defaults|namespaces|queues)|behavior|advanced"
    r"|requests|limits|extraSecrets|extraConfigMaps)$"
)
# Metrics that neither an alert nor a panel needs.
NOT_SHOWN = {"process_cpu_seconds_total", "process_start_time_seconds", "process_open_fds", "updraft_trace_spans_total"}
# Variables that the chart sets itself, from values with other names: they have no place in `config`.
BY_THE_CHART = set(
    """DATABASE_URL DATABASE_CA DATABASE_CERT DATABASE_KEY BROKER_URL BROKER_CA BROKER_CERT BROKER_KEY DAGS GIT_PERIOD GIT_TOKEN_FILE GIT_USERNAME
    GIT_SSH_KEY_FILE GIT_KNOWN_HOSTS_FILE DAG_PROCESSOR DAG_PROCESSOR_LISTEN CACHE_DIR LISTEN PORT API_USER API_PASSWORD HEALTH_ADDRESS RUNNER
    CONCURRENCY QUEUES NAMESPACE ALLOWED_NAMESPACES POD_SERVICE_ACCOUNT POD_POLICY STATE_DIR GIT_WEBHOOK_SECRET SECRET_KEYS SECRETS_FOLDER
    TRUSTED_PROXIES EXTERNAL_URL OIDC_ISSUER OIDC_CLIENT_ID OIDC_CLIENT_SECRET OIDC_ROLES OIDC_SCOPES OIDC_NAME_CLAIM OIDC_GROUPS_CLAIM""".split()
)


# --- checks -----------------------------------------------------------------------------------------------------------------------------------


def lint():
    for name in NAMES:
        for version in (OLDEST, NEWEST):
            report = helm.lint(str(CHART), values_of(name, capabilities={"kubeVersion": f"{version}.0"}), strict=True, namespace="updraft", kube_version=f"v{version}.0")
            bad = [message for message in report["messages"] if message["severity"] > 1]
            expect(not bad and not report["errors"], f"{name}: {bad} {report['errors']}")
    return f"{len(NAMES)} value files, {OLDEST} and {NEWEST}"


def rendered_twice():
    for name in NAMES:
        first = templates(values_of(name))
        expect(first == templates(values_of(name)), f"{name}: two renders differ")
        expect(first == templates(values_of(name), upgrade=True), f"{name}: install and upgrade differ: an upgrade would change what nobody changed")
    return "the same bytes, install and upgrade"


def compare(path, text, update):
    if update:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return
    old = path.read_text() if path.exists() else ""
    if old != text:
        diff = "\n".join(list(difflib.unified_diff(old.splitlines(), text.splitlines(), str(path.relative_to(ROOT)), "the chart", lineterm=""))[:60])
        raise Failed(f"{diff}\nif it is meant so: tests/chart/run.sh --update")


def golden(update):
    for name in NAMES:
        compare(GOLDEN / f"{name}.yaml", text_of(templates(values_of(name))), update)
    stray = {p.stem for p in GOLDEN.glob("*.yaml")} - set(NAMES)
    expect(not stray, f"golden files without a value file: {stray}")
    return f"{len(NAMES)} files"


def kustomize_base(update):
    """The chart with the least values, without what only Helm knows what to do with."""
    files = {name: body for name, body in templates(values_of("minimal")).items() if "/tests/" not in name and not name.endswith(".txt")}
    text = re.sub(r"^ +(helm\.sh/chart|app\.kubernetes\.io/managed-by|checksum/\w+): .*\n", "", text_of(files), flags=re.M)
    head = "# Made from deploy/helm/updraft by tests/chart/run.sh --update. Change the chart, or patch this in an overlay.\n"
    compare(BASE, head + text, update)
    return "is what the chart makes"


def well_formed():
    count = 0
    for name in NAMES:
        seen = set()
        for it in objects(values_of(name)):
            key = (it["kind"], it["metadata"].get("namespace"), it["metadata"]["name"])
            expect(key not in seen, f"{name}: two {key}")
            expect(key[1], f"{name}: {key} names no namespace")
            seen.add(key)
            count += 1
    return f"{count} objects, each once"


def misspelt_values_are_refused():
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    minimal = values_of("minimal")
    places = []

    def walk(value, path):
        if not isinstance(value, dict) or FREE.search(path):
            return
        places.append(path)
        for key, child in value.items():
            walk(child, f"{path}.{key}" if path else key)

    walk(defaults, "")
    with helm.Chart.load(str(CHART)) as chart:
        chart.validate_schema(minimal)
        for path in places:
            wrong = merged(minimal, at(f"{path}.mispelt" if path else "mispelt", 1))
            try:
                chart.validate_schema(wrong)
            except helm.HelmError as error:
                expect("mispelt" in str(error), f"{path}: refused for another reason: {error}")
            else:
                raise Failed(f"{path or 'the top'}: a value that does not exist is taken in silence")
        for wrong in [
            at("workers.groups", [{"name": "a", "queue": ["a"]}]), at("workers.groups", [{"queues": ["a"]}]), at("workers.groups", [{"name": "Not A Label"}]),
            at("dags.mode", "gitSync"), at("dags.bundles", [{"repository": "x"}]), at("dags.bundles", [{"repo": "https://a,https://b"}]),
            at("dags.git.period", "5 minutes"), at("images.updraft.digest", "latest"), at("config.database_url", "postgres://"),
            at("config.max_active_runs_per_dag", "many"), at("scheduler.replicas", "two"), at("env", [{"nam": "A"}]), at("workers.queues", []),
            at("ingress.apiServer.hosts", [{"host": "a"}]), at("podPolicy.default", {}), at("podPolicy.deny.hostpath", True),
        ]:
            try:
                chart.validate_schema(merged(minimal, wrong))
            except helm.HelmError:
                continue
            raise Failed(f"{wrong} is taken")
    return f"at {len(places)} places, and 16 of wrong shape"


def values_and_schema_agree():
    text = (CHART / "values.yaml").read_text()
    defaults = yaml.safe_load(text)
    with helm.Chart.load(str(CHART)) as chart:
        schema = chart.schema
    missing = []

    def walk(value, node, path):
        while "allOf" in node or "$ref" in node:
            node = node["allOf"][0] if "allOf" in node else schema["definitions"][node["$ref"].rsplit("/", 1)[1]]
        known = node.get("properties", {})
        if FREE.search(path) or path == "config" or not known or not isinstance(value, dict):
            return
        ours = set(value) | ({"global"} if not path else set())
        # Shapes that several values share know keys that not every default has.
        missing.extend(f"{path}.{key}" for key in (set(known) ^ ours) if not re.search(r"(resources|strategy|rollingUpdate|config|securityContexts|podPolicy|probes\.\w+)$", path))
        for key, child in value.items():
            walk(child, known.get(key, {}), f"{path}.{key}" if path else key)

    walk(defaults, schema, "")
    expect(not missing, f"in values.yaml or in the schema alone: {', '.join(missing)}")
    # Every value is explained where it stands: a comment above it, or above the map that it is part of.
    lines, bare, explained = text.splitlines(), [], []
    for number, line in enumerate(lines):
        found = re.match(r"^( *)([A-Za-z]\w*):(.*)$", line)
        if not found or line.lstrip().startswith("#"):
            continue
        depth = len(found[1]) // 2
        explained[depth:] = [lines[number - 1].strip().startswith("#")]
        has_value = found[3].strip() or not (number + 1 < len(lines) and lines[number + 1].startswith(found[1] + "  "))
        if has_value and not any(explained):
            bare.append(f"line {number + 1}: {found[2]}")
    expect(not bare, f"values without a comment: {', '.join(bare)}")
    return "and every value is explained"


def flags_of_the_binary():
    """Each variable that a role reads is a key of `config`, or the chart sets it."""
    with helm.Chart.load(str(CHART)) as chart:
        known = {key.upper() for key in chart.schema["properties"]["config"]["properties"]}
    source = ROOT / "crates/updraft/src"
    files = [source / "settings.rs", source / "dag_sources.rs", source / "dag_processor.rs", *sorted((source / "roles").glob("*.rs"))]
    flags = {flag for file in files for flag in re.findall(r'env = "UPDRAFT_(\w+)"', file.read_text())}
    expect(len(flags) > 30, f"found only {len(flags)} flags in {source}")
    unknown = flags - known - BY_THE_CHART
    expect(not unknown, f"the chart does not know {', '.join(sorted(unknown))}: add them to config in values.schema.json, or to BY_THE_CHART here")
    return f"{len(flags)} flags, all known"


TWO_SCALERS = merged(at("workers.keda.enabled", True), merged(at("workers.hpa.enabled", True), at("capabilities.apiVersions", ["keda.sh/v1alpha1"])))
MISTAKES = [  # what is changed in the minimal values, what the answer must say
    (at("data.metadataSecretName", ""), "data.metadataSecretName: there is no database. Make a Secret (kubectl -n updraft create secret generic"),
    (merged(at("postgresql.enabled", True), at("postgresql.auth.password", "x")), "data.metadataSecretName and postgresql.enabled name two databases"),
    (at("data.brokerUrlSecretName", ""), "data.brokerUrlSecretName: there is no broker. Make a Secret"),
    (merged(at("rabbitmq.enabled", True), at("rabbitmq.auth.password", "x")), "data.brokerUrlSecretName and rabbitmq.enabled name two brokers"),
    (merged(at("data.metadataSecretName", ""), at("postgresql.enabled", True)), "postgresql.auth.password: give a password, or name a Secret"),
    (merged(at("data.brokerUrlSecretName", ""), at("rabbitmq.enabled", True)), "rabbitmq.auth.password: give a password, or name a Secret"),
    (at("apiServer.passwordSecretName", ""), "apiServer.passwordSecretName: the API does not listen without a password"),
    (merged(at("apiServer.passwordSecretName", ""), at("apiServer.password", "short")), "apiServer.password: at least 12 characters"),
    (at("apiServer.oidc.issuer", "https://login.example.com"), "apiServer.oidc.issuer: it wants apiServer.oidc.clientId"),
    (at("apiServer.oidc.clientId", "updraft"), "apiServer.oidc.issuer: the other values of apiServer.oidc do nothing without it"),
    (at("data.metadataTls", {"certKey": "tls.crt"}), "data.metadataTls: certKey and keyKey belong together"),
    (at("data.brokerTls", {"keyKey": "tls.key"}), "data.brokerTls: certKey and keyKey belong together"),
    (at("dags.mode", "folder"), "dags.folder.volume: with dags.mode=folder"),
    (at("dags.git.repo", ""), "dags.git.repo: there are no DAGs"),
    (at("dags.git.repo", "git@git.example.com:team/dags.git"), "dags.git.knownHosts: a repository is reached by ssh"),
    (at("dags.git", {"repo": "ssh://git@git.example.com/a.git", "knownHosts": "x"}), "dags.git.sshKeySecret: a repository is reached by ssh"),
    (at("dags.git.repo", "https://me:secret@git.example.com/a.git"), "dags.git.repo, dags.bundles: a password stands in a URL"),
    (at("workers.groups", [{"name": "a"}, {"name": "a"}]), "workers.groups: two are named a"),
    (TWO_SCALERS, "workers.keda.enabled and workers.hpa.enabled (group default): two would set"),
    (at("workers.keda.enabled", True), "workers.keda.enabled (group default): the server has no keda.sh/v1alpha1"),
    (at("workers.groups", [{"name": "a" * 60}]), "is longer than 63 characters"),
    (at("ingress.apiServer.enabled", True), "ingress.apiServer.hosts: an Ingress without a host"),
    (at("httpRoute.apiServer.enabled", True), "httpRoute.apiServer.parentRefs: name the Gateway"),
    (at("httpRoute.apiServer.enabled", True), "httpRoute.apiServer.enabled: the server has no gateway.networking.k8s.io/v1"),
    (at("serviceMonitor.enabled", True), "serviceMonitor.enabled: the server has no monitoring.coreos.com/v1"),
    (at("prometheusRule.enabled", True), "prometheusRule.enabled: the server has no monitoring.coreos.com/v1"),
    (merged(at("prometheusRule.enabled", True), at("capabilities.apiVersions", ["monitoring.coreos.com/v1"])), "Set serviceMonitor.enabled=true"),
]


def mistakes_have_a_name_and_a_remedy():
    answers = []
    for over, wanted in MISTAKES:
        said = refusal(merged(values_of("minimal"), over))
        answers.append(said)
        expect(wanted in said, f"{over}: expected {wanted!r}, got {said or 'no refusal'!r}")
    # No message without a case here.
    source = (CHART / "templates/validate.yaml").read_text()
    messages = re.findall(r'append \$mistakes (?:\(printf )?"((?:[^"\\]|\\.)*)"', source)
    expect(len(messages) == source.count("append $mistakes"), "validate.yaml has a message in a form that this test cannot read")
    for message in messages:
        pattern = ".*".join(re.escape(part) for part in re.split(r"%[sdv]", message))
        expect(any(re.search(pattern, said) for said in answers), f"no test meets: {message}")
    several = refusal({})
    expect(all(name in several for name in ("metadataSecretName", "brokerUrlSecretName", "passwordSecretName", "dags.git.repo")), f"not all at once: {several}")
    return f"{len(messages)} messages, {len(MISTAKES)} cases"


def pods_are_restricted():
    count = 0
    for name in NAMES:
        for pod, spec in pods(objects(values_of(name))):
            where, context = f"{name}: {pod}", spec["securityContext"]
            expect(context["runAsNonRoot"] is True and context["runAsUser"] > 0 and context["seccompProfile"] == {"type": "RuntimeDefault"}, where)
            expect(spec["automountServiceAccountToken"] is (pod.split("-")[1] == "worker"), f"{where}: token")
            expect(spec["enableServiceLinks"] is False, f"{where}: a service's variables may look like our flags")
            expect(not {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & set(spec), where)
            for volume in spec["volumes"]:
                expect("emptyDir" not in volume or volume["emptyDir"].get("sizeLimit"), f"{where}: {volume['name']} may grow without bound")
                expect(not {"hostPath", "persistentVolumeClaim"} & set(volume), f"{where}: {volume}")
            for container in spec["containers"]:
                its = container["securityContext"]
                expect(its["readOnlyRootFilesystem"] is True and its["allowPrivilegeEscalation"] is False, where)
                expect(its["capabilities"] == {"drop": ["ALL"]} and its["privileged"] is False, where)
                resources = container["resources"]
                expect({"cpu", "memory"} <= set(resources["requests"]) and "memory" in resources["limits"], f"{where}: resources")
                count += 1
    return f"{count} containers"


def kinds_that_are_not_there():
    kinds = set()
    for name in NAMES:
        for it in objects(values_of(name)):
            kinds.add(it["kind"])
            hook = it["metadata"].get("annotations", {}).get("helm.sh/hook")
            expect(hook in (None, "test"), f"{name}: {it['metadata']['name']} is a {hook} hook")
    bad = kinds & {"Job", "CronJob", "PersistentVolumeClaim", "StatefulSet", "ClusterRole", "ClusterRoleBinding", "PodSecurityPolicy"}
    expect(not bad, f"{bad}")
    for call in ("randAlpha", "randNumeric", "randAscii", "genCA", "genSelfSigned", "genPrivateKey", "uuidv4", "lookup", " now"):
        for file in (CHART / "templates").rglob("*.*"):
            expect(call not in re.sub(r"{{-? */\*.*?\*/ *-?}}", "", file.read_text(), flags=re.S), f"{file.name}: {call}")
    return "no hook, job, claim or cluster role, nothing random"


def rights():
    """The Role is the one that docs/kubernetes.md states."""
    page = (ROOT / "docs/kubernetes.md").read_text()
    stated = yaml.safe_load(re.search(r"```yaml\n(apiVersion: rbac.*?)```", page, re.S)[1])["rules"]
    things = objects(values_of("production"))
    roles = [it for it in things if it["kind"] == "Role"]
    expect([it["metadata"]["namespace"] for it in roles] == ["tasks", "reports"], "a Role in each task namespace")
    for role in roles:
        expect(role["rules"] == stated, f"the Role has {role['rules']}, docs/kubernetes.md says {stated}")
    for binding in (it for it in things if it["kind"] == "RoleBinding"):
        expect(binding["subjects"] == [{"kind": "ServiceAccount", "name": "updraft-worker", "namespace": "updraft"}], "only workers have rights")
    for account in (it for it in things if it["kind"] == "ServiceAccount"):
        expect(account["automountServiceAccountToken"] is False, account["metadata"]["name"])
    default = [it["metadata"]["namespace"] for it in objects(values_of("minimal")) if it["kind"] == "Role"]
    expect(default == ["updraft"], "without taskNamespaces the Role is in the release's namespace")
    return "as docs/kubernetes.md states them"


def dag_processor_knows_no_secret():
    for name in NAMES:
        things = objects(values_of(name))
        spec = the(things, "Deployment", "updraft-scheduler")["spec"]["template"]["spec"]
        both = containers_of(things, "updraft-scheduler")
        scheduler, reader = both["scheduler"], both["dag-processor"]
        secret = {volume["name"] for volume in spec["volumes"] if "secret" in volume}
        mounts = {mount["name"]: mount for mount in reader["volumeMounts"]}
        expect(not secret & set(mounts), f"{name}: it sees {secret & set(mounts)}")
        expect("envFrom" not in reader and not any("valueFrom" in it for it in reader["env"]), f"{name}: variables from elsewhere")
        allowed = {"UPDRAFT_HEALTH_ADDRESS", "UPDRAFT_LOG", "UPDRAFT_LOG_FORMAT", "UPDRAFT_DAG_PYTHON", "UPDRAFT_DAG_FILE_TIMEOUT"}
        expect(set(env_of(reader)) <= allowed, f"{name}: {set(env_of(reader)) - allowed}")
        expect(mounts["cache"].get("readOnly") is True and mounts["dag-processor-tmp"]["mountPath"] == "/tmp", f"{name}: mounts")
        where = {mount["name"]: mount["mountPath"] for mount in scheduler["volumeMounts"]}
        for shared in {"cache", "dag-processor", "dags"} & set(mounts):
            expect(where[shared] == mounts[shared]["mountPath"], f"{name}: {shared} is at two places")
        plain = [it for it in scheduler["env"] if re.search(r"(URL|PASSWORD|TOKEN)$", it["name"])]
        expect(not plain, f"{name}: secrets in the scheduler's environment: {plain}")
    return "no mount, no variable"


def dag_sources():
    env = env_of(containers_of(objects(values_of("production")), "updraft-scheduler")["scheduler"])
    wanted = "git+ssh://git@git.example.com/team/dags.git@main#etl/dags,git+https://git.example.com/other/dags.git@v1.4"
    expect(env["UPDRAFT_DAGS"] == wanted and env["UPDRAFT_GIT_PERIOD"] == "10", f"{env['UPDRAFT_DAGS']} {env['UPDRAFT_GIT_PERIOD']}")
    expect(env["UPDRAFT_GIT_TOKEN_FILE"].endswith("/GITSYNC_PASSWORD") and env["UPDRAFT_GIT_SSH_KEY_FILE"].endswith("/gitSshKey"), "git-sync's keys")
    env = env_of(containers_of(objects(values_of("groups")), "updraft-scheduler")["scheduler"])
    wanted = "git+https://git.example.com/team/dags.git,git+https://git.example.com/other/dags.git@main#dags"
    expect(env["UPDRAFT_DAGS"] == wanted, env["UPDRAFT_DAGS"])
    folder = values_of("trial", dags={"mode": "folder", "folder": {"path": "/dags", "subPath": "repo/dags", "volume": {"emptyDir": {}}}})
    env = env_of(containers_of(objects(folder), "updraft-scheduler")["scheduler"])
    expect(env["UPDRAFT_DAGS"] == "/dags/repo/dags", env["UPDRAFT_DAGS"])
    return "https, ssh, folders"


def groups_and_scaling():
    things = objects(values_of("groups"))
    gpu = the(things, "Deployment", "updraft-worker-gpu")["spec"]
    env = env_of(gpu["template"]["spec"]["containers"][0])
    expect(env["UPDRAFT_QUEUES"] == "gpu,gpu-large" and env["UPDRAFT_CONCURRENCY"] == "200", "its own queues")
    expect(gpu["template"]["spec"]["tolerations"], "what it leaves out is that of workers")
    expect(gpu["template"]["spec"]["containers"][0]["resources"]["requests"]["memory"] == "128Mi", "maps are merged")
    expect(gpu["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1} and gpu["template"]["spec"]["terminationGracePeriodSeconds"] == 10, "rollout")
    empty = {"name": "a", "safeToEvict": False, "replicas": 0, "keda": {"enabled": False}, "securityContexts": {"containers": {"readOnlyRootFilesystem": False}}}
    over = values_of("keda", workers={"groups": [empty, {"name": "b"}]})
    switched_off = the(objects(over), "Deployment", "updraft-worker-a")["spec"]
    expect(switched_off.get("replicas") == 0, "a group can switch KEDA off")
    expect("cluster-autoscaler.kubernetes.io/safe-to-evict" not in switched_off["template"]["metadata"]["annotations"], "false replaces true")
    expect(switched_off["template"]["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is False, "false replaces true")
    default = the(things, "Deployment", "updraft-worker-default")["spec"]
    expect(default["replicas"] == 2 and env_of(default["template"]["spec"]["containers"][0])["UPDRAFT_QUEUES"] == "default", "default")
    expect("replicas" not in the(things, "Deployment", "updraft-worker-burst")["spec"], "no replicas beside an HPA")
    expect("replicas" not in the(objects(values_of("production")), "Deployment", "updraft-api")["spec"], "no replicas beside an HPA")
    keda = objects(values_of("keda"))
    expect("replicas" not in the(keda, "Deployment", "updraft-worker-default")["spec"], "no replicas beside KEDA")
    scaled = the(keda, "ScaledObject", "updraft-worker-nightly")["spec"]
    expect(scaled["minReplicaCount"] == 0 and scaled["scaleTargetRef"]["name"] == "updraft-worker-nightly", "KEDA")
    expect("'night''s', 'reports'" in scaled["triggers"][0]["metadata"]["query"] and "/ 500" in scaled["triggers"][0]["metadata"]["query"], "query")
    budgets = [it for it in things + objects(values_of("production")) if it["kind"] == "PodDisruptionBudget"]
    for it in budgets:
        expect(("minAvailable" in it["spec"]) != ("maxUnavailable" in it["spec"]), f"{it['metadata']['name']}: a server refuses a budget with both")
    expect(any(it["spec"].get("minAvailable") == 1 for it in budgets), "minAvailable replaces the default")
    selectors = [str(it["spec"]["selector"]) for it in things if it["kind"] == "Deployment"]
    expect(len(set(selectors)) == len(selectors), "two Deployments take each other's pods")
    return "three groups, HPA, KEDA"


def versions_follow_the_server():
    for server, budget, scaler in [("1.20.2", "policy/v1beta1", "autoscaling/v2beta2"), ("1.21.0", "policy/v1", "autoscaling/v2beta2"), ("1.37.0", "policy/v1", "autoscaling/v2")]:
        things = objects(values_of("groups", capabilities={"kubeVersion": server}))
        found = {it["kind"]: it["apiVersion"] for it in things}
        expect((found["PodDisruptionBudget"], found["HorizontalPodAutoscaler"]) == (budget, scaler), f"{server}: {found}")
    old = values_of("production", capabilities={"apiVersions": ["monitoring.coreos.com/v1", "gateway.networking.k8s.io/v1beta1"]})
    expect(next(it for it in objects(old) if it["kind"] == "HTTPRoute")["apiVersion"] == "gateway.networking.k8s.io/v1beta1", "HTTPRoute")
    return "PodDisruptionBudget, autoscaler, HTTPRoute"


def config_rolls_pods():
    def annotations(**over):
        return the(objects(values_of("trial", **over)), "Deployment", "updraft-scheduler")["spec"]["template"]["metadata"]["annotations"]

    before = annotations()
    for over in ({"config": {"log": "debug"}}, {"podPolicy": {"deny": {"privileged": False}}}, {"apiServer": {"password": "another-password"}}):
        expect(annotations(**over) != before, f"{over} rolls nothing")
    off = objects(values_of("minimal", config={"migrate": False, "max_active_runs_per_dag": 1000000}))
    data = the(off, "ConfigMap", "updraft-config")["data"]
    expect(data["UPDRAFT_MIGRATE"] == "off" and data["UPDRAFT_MAX_ACTIVE_RUNS_PER_DAG"] == "1000000", f"{data}")
    return "config, pod policy, passwords"


def trial_servers():
    over = {"command": ["/bin/sh", "-c"], "args": ["exec my-postgres"], "env": [{"name": "PGDATA", "value": "/tmp/x"}], "podSecurityContext": {"runAsUser": 101}}
    spec = the(objects(values_of("trial", postgresql=over)), "Deployment", "updraft-postgresql")["spec"]["template"]["spec"]
    its = spec["containers"][0]
    expect(its["command"] == over["command"] and its["args"] == over["args"] and its["env"][-1]["value"] == "/tmp/x", "an image of one's own")
    expect(spec["securityContext"]["runAsUser"] == 101 and spec["securityContext"]["runAsNonRoot"] is True, "its user")
    secret = the(objects(values_of("trial")), "Secret", "updraft-postgresql")["stringData"]
    url = "postgres://updraft:for%20a%20trial%3A%20p%40ss%2Bword@updraft-postgresql.updraft.svc:5432/updraft"
    expect(secret["connection"] == url, secret["connection"])
    given = objects(values_of("trial", postgresql={"auth": {"password": "", "existingSecret": "mine"}}))
    expect(not [it for it in given if it["kind"] == "Secret" and it["metadata"]["name"] == "updraft-postgresql"], "a Secret beside the given one")
    return "own image, own Secret"


def what_users_add():
    over = {
        "fullnameOverride": "flow", "listenAddress": "::", "extraEnvFrom": "- secretRef: {name: '{{ .Release.Name }}-more'}", "podAnnotations": {"a": "all", "b": "all"},
        "extraEnv": [{"name": "FROM", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
        "extraSecrets": {"text": {"stringData": "token: '{{ .Release.Name }}-token'"}}, "extraConfigMaps": {"map": {"labels": {"x": "y"}, "data": {"a": "{{ .Chart.Name }}"}}},
        "dags": {"bundles": [{"path": "/more"}]}, "rbac": {"create": False}, "taskServiceAccount": {"create": False}, "tests": {"doctor": False},
        "scheduler": {
            "podAnnotations": {"b": "mine"}, "serviceAccount": {"create": False, "name": "given"}, "extraVolumes": [{"name": "more", "emptyDir": {"sizeLimit": "1Mi"}}],
            "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}], "extraContainers": [{"name": "git-sync", "image": "git-sync"}], "nodeSelector": {"pool": "mine"},
            "extraInitContainers": [{"name": "first", "image": "first"}],
        },
        "dagProcessor": {"enabled": False}, "nodeSelector": {"pool": "all"},
    }  # fmt: skip
    things = objects(values_of("minimal", **over))
    pod = the(things, "Deployment", "flow-scheduler")["spec"]["template"]
    spec, notes = pod["spec"], pod["metadata"]["annotations"]
    its = {it["name"]: it for it in spec["containers"]}
    expect(set(its) == {"scheduler", "git-sync"} and spec["initContainers"][0]["name"] == "first", f"containers {set(its)}")
    env = env_of(its["scheduler"])
    expect(env["UPDRAFT_DAG_PROCESSOR"] == "child" and env["UPDRAFT_HEALTH_ADDRESS"] == "[::]:8081", "no dag-processor; IPv6")
    expect(env["UPDRAFT_DAGS"] == "git+https://git.example.com/team/dags.git@main,/more" and "FROM" in env, f"{env}")
    expect(its["scheduler"]["envFrom"][1] == {"secretRef": {"name": "updraft-more"}}, "extraEnvFrom as text")
    expect((notes["a"], notes["b"]) == ("all", "mine") and spec["nodeSelector"] == {"pool": "mine"}, "the component's own value is used")
    expect("more" in {it["name"] for it in spec["volumes"]} and "/more" in {it["mountPath"] for it in its["scheduler"]["volumeMounts"]}, "volumes")
    expect(spec["serviceAccountName"] == "given" and the(things, "Deployment", "flow-api")["spec"]["template"]["spec"]["nodeSelector"] == {"pool": "all"}, "account")
    kinds = [it["kind"] for it in things]
    expect("Role" not in kinds and kinds.count("ServiceAccount") == 2, f"{kinds}")
    expect("UPDRAFT_POD_SERVICE_ACCOUNT" not in env_of(containers_of(things, "flow-worker")["worker"]), "tasks use the account of their namespace")
    expect(the(things, "Secret", "text")["stringData"] == {"token": "updraft-token"} and the(things, "ConfigMap", "map")["data"] == {"a": "updraft"}, "templates")
    expect(len(the(things, "Pod", "flow-test")["spec"]["containers"]) == 1, "a test without doctor")
    return "variables, volumes, containers, accounts, Secrets"


def traces():
    off = [name for it in objects(values_of("minimal")) if it["kind"] == "Deployment" for c in it["spec"]["template"]["spec"]["containers"] for name in env_of(c) if "OTEL" in name]
    expect(not off, f"without an endpoint: {off}")
    otel = {
        "endpoint": "https://otel.example.com:4318", "serviceName": "data", "sampler": "parentbased_traceidratio", "samplerArg": 0.1,
        "resourceAttributes": {"deployment.environment.name": "a, b"}, "headersSecretName": "otel-headers",
    }  # fmt: skip
    things = objects(values_of("minimal", otel=otel))
    for role in ("scheduler", "api", "worker"):
        its = containers_of(things, f"updraft-{role}")
        env = env_of(its[role])
        expect(env["OTEL_EXPORTER_OTLP_ENDPOINT"] == otel["endpoint"] and env["OTEL_EXPORTER_OTLP_PROTOCOL"] == "http/protobuf", f"{role}: {env}")
        expect((env["OTEL_SERVICE_NAME"], env["OTEL_TRACES_SAMPLER"], env["OTEL_TRACES_SAMPLER_ARG"]) == ("data", "parentbased_traceidratio", "0.1"), f"{role}: {env}")
        expect(env["OTEL_RESOURCE_ATTRIBUTES"] == "deployment.environment.name=a%2C%20b", f"{role}: {env}")
        headers = next(it for it in its[role]["env"] if it["name"] == "OTEL_EXPORTER_OTLP_HEADERS")
        expect(headers["valueFrom"] == {"secretKeyRef": {"name": "otel-headers", "key": "headers"}}, f"{role}: {headers}")
        expect(not [it for other, c in its.items() if other != role for it in env_of(c) if "OTEL" in it], f"{role}: a sidecar has it, too")
    return "three roles, headers from a Secret, nothing without an endpoint"


def the_rest_of_deploy():
    """What stands beside the chart fits it: values that it takes, names and variables that exist."""
    deploy = ROOT / "deploy"
    templates(yaml.safe_load((deploy / "trial.yaml").read_text()))
    templates(yaml.safe_load((deploy / "argocd/application.yaml").read_text())["spec"]["source"]["helm"]["valuesObject"])
    there = {(it["kind"], it["metadata"]["name"]) for it in yaml.safe_load_all(BASE.read_text())}
    overlay = yaml.safe_load((deploy / "kustomize/overlays/example/kustomization.yaml").read_text())
    named = {("Deployment", it["name"]) for it in overlay["replicas"]}
    named |= {(patch["kind"], patch["metadata"]["name"]) for patch in (yaml.safe_load(it["patch"]) for it in overlay["patches"])}
    expect(named <= there, f"the overlay changes what is not in the base: {named - there}")
    for service in yaml.safe_load((deploy / "compose/compose.yaml").read_text())["services"].values():
        unknown = {name.removeprefix("UPDRAFT_") for name in service["environment"] if name.startswith("UPDRAFT_")} - BY_THE_CHART
        expect(not unknown, f"compose.yaml sets {unknown}")
    return "trial.yaml, Argo CD, overlay, compose"


def names_stay_short():
    for start in ("a-release-with-a-name", "a-release-of-updraft"):
        things = objects(values_of("production", extraSecrets=None), release=start.ljust(53, "x"))
        for it in things:
            # 52: the group of a worker and the numbers of a pod come after it.
            expect(len(it["metadata"]["name"]) <= 52, it["metadata"]["name"])
    return "with a release of 53 characters"


def alerts_and_dashboard():
    things = objects(values_of("production"))
    rules = the(things, "PrometheusRule", "updraft")["spec"]["groups"][0]["rules"]
    board = yaml.safe_load(the(things, "ConfigMap", "updraft-dashboard")["data"]["updraft.json"])
    expressions = [rule["expr"] for rule in rules] + [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    # A histogram is used by its parts.
    used = {re.sub("_(bucket|sum|count)$", "", name) for text in expressions for name in re.findall(r"\b((?:updraft|process)_\w+)", text)}
    # What the program tells: the fleet's tests compare this page with real processes.
    page = re.findall(r"^\| `((?:updraft|process)_\w+)` \|", (ROOT / "docs/metrics.md").read_text(), re.M)
    told = set(page)
    expect(len(told) > 50 and len(told) == len(page), f"found only {told} on docs/metrics.md")
    expect(used <= told, f"no such metric: {used - told}")
    expect(told - NOT_SHOWN <= used, f"nobody looks at {told - NOT_SHOWN - used}")
    for rule in rules[:-1]:
        expect({"summary", "description", "runbook"} <= set(rule["annotations"]) and rule["labels"]["team"] == "data", rule["alert"])
        expect('namespace="updraft",job="updraft-metrics"' in rule["expr"], f"{rule['alert']} looks at other installations, too")
    expect(len({panel["id"] for panel in board["panels"]}) == len(board["panels"]), "panel ids")
    return f"{len(rules)} alerts, {len(board['panels'])} panels"


def kubernetes_accepts(old_servers):
    """`kubernetes-validate --strict` by version: the last data that knows 1.20, and the current."""
    runs = [(OLDEST, old_servers)] if old_servers else []
    runs += [(OLDEST_IN_CURRENT_DATA, None), (NEWEST, None)]
    with tempfile.TemporaryDirectory() as folder:
        for version, data in runs:
            # Most objects are the same in several files: each is looked at once.
            different = {}
            for name in NAMES:
                for it in objects(values_of(name, capabilities={"kubeVersion": f"{version}.0"})):
                    different[yaml.safe_dump(it)] = it
            file = Path(folder, f"{version}.yaml")
            file.write_text(yaml.safe_dump_all(different.values()))
            files = [file, BASE] if version == NEWEST else [file]
            environment = {**os.environ, "PYTHONWARNINGS": "ignore", **({"PYTHONPATH": str(data)} if data else {})}
            command = [sys.executable, "-m", "kubernetes_validate", "--strict", "-k", version, *map(str, files)]
            done = subprocess.run(command, capture_output=True, text=True, env=environment)
            lines = (done.stdout + done.stderr).splitlines()
            unknown = [line for line in lines if line.startswith("WARN") and not any(f"kind {kind} " in line for kind in CUSTOM)]
            wrong = [line for line in lines if not line.startswith(("INFO", "WARN"))]
            passed = sum(line.startswith("INFO") for line in lines)
            expect(done.returncode == 0 and not unknown and not wrong and passed > 40, f"{version}: {passed} passed\n" + "\n".join(unknown + wrong))
    return ", ".join(version for version, _ in runs)


def checkov():
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            Path(folder, f"{name}.yaml").write_text(yaml.safe_dump_all(objects(values_of(name))))
        command = [sys.executable, "-m", "checkov.main", "--config-file", str(HERE / "checkov.yaml"), "-d", folder]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LOG_LEVEL": "ERROR", "BC_SKIP_MAPPING": "TRUE"})
    summary = re.search(r"Passed checks: (\d+), Failed checks: (\d+), Skipped checks: (\d+)", done.stdout)
    expect(summary and done.returncode == 0 and summary[2] == "0", (done.stdout + done.stderr)[-6000:])
    expect(int(summary[1]) > 1000, f"only {summary[1]} checks: did it look?")
    return f"{summary[1]} passed, {summary[3]} answered"


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--update", action="store_true")
    arguments.add_argument("--only", default="")
    arguments.add_argument("--old-servers", type=Path)
    given = arguments.parse_args()
    checks = [
        (lint, ()), (rendered_twice, ()), (golden, (given.update,)), (kustomize_base, (given.update,)), (well_formed, ()),
        (misspelt_values_are_refused, ()), (values_and_schema_agree, ()), (flags_of_the_binary, ()), (mistakes_have_a_name_and_a_remedy, ()),
        (pods_are_restricted, ()), (kinds_that_are_not_there, ()), (rights, ()), (dag_processor_knows_no_secret, ()), (dag_sources, ()),
        (groups_and_scaling, ()), (versions_follow_the_server, ()), (config_rolls_pods, ()), (trial_servers, ()), (what_users_add, ()), (traces, ()), (the_rest_of_deploy, ()), (names_stay_short, ()),
        (alerts_and_dashboard, ()), (kubernetes_accepts, (given.old_servers,)), (checkov, ()),
    ]
    failed = 0
    for check, its in checks:
        name = check.__name__.replace("_", " ")
        if given.only not in name:
            continue
        begin = time.monotonic()
        try:
            said = check(*its)
            print(f"ok    {name}: {said} ({time.monotonic() - begin:.1f} s)", flush=True)
        except (Failed, helm.HelmError, KeyError, TypeError, yaml.YAMLError) as error:
            failed += 1
            print(f"FAIL  {name}: {type(error).__name__ + ': ' if not isinstance(error, Failed) else ''}{error}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
