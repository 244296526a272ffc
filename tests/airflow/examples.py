"""Airflow's own example files, out of its wheels and the Kubernetes provider's sdist: fetched with pip once, kept in the cache."""

import glob
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
BESIDE = os.path.join(HERE, "beside")
# Folder here, archive, folder in it.
SETS = (
    ("core", "apache_airflow_core-3.3.2-*.whl", "airflow/example_dags"),
    ("standard", "apache_airflow_providers_standard-1.21.0-*.whl", "airflow/providers/standard/example_dags"),
    ("kubernetes", "apache_airflow_providers_cncf_kubernetes-10.25.0.tar.gz", "tests/system/cncf/kubernetes"),
)


class NotFetched(Exception):
    """pip cannot fetch the archives."""


def folder():
    """The folder that has one folder for each set."""
    cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "updraft")
    kept = os.path.join(cache, "airflow-examples-3.3.2-1")
    if not os.path.isdir(kept):
        os.makedirs(cache, exist_ok=True)
        made = tempfile.mkdtemp(dir=cache)
        try:
            _fetch(made)
            os.rename(os.path.join(made, "examples"), kept)
        except OSError:
            # Another process was first.
            if not os.path.isdir(kept):
                raise
        finally:
            shutil.rmtree(made, True)
    return os.path.realpath(kept)


def _fetch(made):
    archives = os.path.join(made, "archives")
    # The Python of the tests may be older than Airflow wants: nothing is installed.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--ignore-requires-python", "--disable-pip-version-check",
               "--require-hashes", "--requirement", os.path.join(HERE, "requirements.txt"), "--dest", archives]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotFetched(str(error)) from None
    if done.returncode != 0:
        raise NotFetched((done.stdout.decode(errors="replace").strip().splitlines() or ["pip failed"])[-1])
    for name, pattern, inside in SETS:
        archive = glob.glob(os.path.join(archives, pattern))[0]
        _unpack(archive, inside, os.path.join(made, "examples", name))


def _unpack(archive, inside, target):
    os.makedirs(target)
    if archive.endswith(".whl"):
        with zipfile.ZipFile(archive) as packed:
            files = {name: packed.read(name) for name in packed.namelist() if not name.endswith("/")}
    else:
        with tarfile.open(archive) as packed:
            files = {one.name.partition("/")[2]: packed.extractfile(one).read() for one in packed.getmembers() if one.isfile()}
    for name, content in files.items():
        relative = os.path.relpath(name, inside)
        if name.startswith(inside + "/") and ".." not in relative.split("/"):
            path = os.path.join(target, relative)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(content)


def dag_files(root):
    """The files below a folder that could hold a DAG, sorted."""
    found = []
    for parent, folders, files in os.walk(root):
        folders.sort()
        for file in sorted(files):
            path = os.path.join(parent, file)
            if file.endswith(".py") and file != "__init__.py":
                with open(path, encoding="utf-8") as text:
                    source = text.read().lower()
                if "dag" in source and "airflow" in source:
                    found.append(path)
    return found


if __name__ == "__main__":
    print(folder())
