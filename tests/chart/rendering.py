"""The chart, rendered: what the checks of chart.py look at. Nothing here asks a cluster."""

import copy
from pathlib import Path

import helm_python as helm
import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CHART = ROOT / "deploy/helm/updraft"
NAMES = sorted(p.name.removesuffix("-values.yaml") for p in (CHART / "ci").glob("*-values.yaml"))


class Failed(Exception):
    pass


def expect(condition, text):
    if not condition:
        raise Failed(text)


def merged(base, over):
    out = copy.deepcopy(base)
    for key, value in over.items():
        out[key] = merged(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
    return out


def at(path, value):
    """{"a": {"b": value}} for "a.b"."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


def values_of(name, **over):
    return merged(yaml.safe_load((CHART / f"ci/{name}-values.yaml").read_text()), over)


def templates(values, upgrade=False, release="updraft"):
    with helm.Chart.load(str(CHART)) as chart:
        chart.validate_schema(values)
        return chart.render(values, name=release, namespace="updraft", revision=2 if upgrade else 1, is_install=not upgrade, is_upgrade=upgrade)


def text_of(files):
    parts = []
    for name in sorted(files):
        body = files[name].strip()
        if name.endswith("NOTES.txt"):
            parts.append("\n".join(f"# {line}".rstrip() for line in body.splitlines()))
        elif body:
            parts.append(f"---\n# {name}\n" + "\n".join(line.rstrip() for line in body.removeprefix("---").strip().splitlines()))
    return "\n".join(parts) + "\n"


class Strict(yaml.SafeLoader):
    """Refuses a key that stands twice: Kubernetes would take one of them in silence."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise Failed(f"line {node.start_mark.line + 1}: {', '.join(map(str, twice))} stands twice")
        return super().construct_mapping(node, deep)


def objects(values, **kwargs):
    text = "\n---\n".join(body for name, body in sorted(templates(values, **kwargs).items()) if not name.endswith(".txt"))
    return [it for it in yaml.load_all(text, Loader=Strict) if it]


def pods(things):
    """(name, pod spec) of all that makes pods."""
    for it in things:
        if it["kind"] == "Deployment":
            yield it["metadata"]["name"], it["spec"]["template"]["spec"]
        elif it["kind"] == "Pod":
            yield it["metadata"]["name"], it["spec"]


def the(things, kind, name):
    found = [it for it in things if it["kind"] == kind and it["metadata"]["name"] == name]
    expect(len(found) == 1, f"{kind} {name}: {len(found)} found")
    return found[0]


def refusal(values):
    """Why Helm refuses these values; empty if it does not."""
    try:
        templates(values)
    except helm.HelmError as error:
        return str(error)
    return ""


def containers_of(things, deployment):
    return {it["name"]: it for it in the(things, "Deployment", deployment)["spec"]["template"]["spec"]["containers"]}


def env_of(container):
    return {it["name"]: it.get("value") for it in container["env"]}
