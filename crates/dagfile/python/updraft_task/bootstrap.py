# The program of a Python task's process, handed to `python3 -c`: takes what the worker put into its environment and begins. It is run before
# anything of ours is there, by whatever Python there is.
import base64, json, os, sys, tempfile, zlib


def take(name):
    parts = []
    while True:
        part = os.environ.pop("UPDRAFT_PYTHON_%s_%d" % (name, len(parts)), None)
        if part is None:
            break
        parts.append(part)
    return json.loads(zlib.decompress(base64.b64decode("".join(parts))).decode("utf-8"))


def lay_out(folder, files):
    for name, text in files.items():
        path = os.path.join(folder, name)
        if not os.path.isdir(os.path.dirname(path)):
            os.makedirs(os.path.dirname(path))
        with open(path, "w", encoding="utf-8", newline="") as file:
            file.write(text)


if sys.version_info < (3, 9):
    sys.exit("[updraft] Python tasks need Python 3.9 or later, and this is %s: use another image, or another --task-python" % sys.version.split()[0])
given, code, package = take("INPUT"), take("CODE"), take("RUNTIME")
try:
    folder = tempfile.mkdtemp(prefix="updraft-task-", dir=os.environ.get("UPDRAFT_ATTEMPT_DIR") or None)
    lay_out(os.path.join(folder, "runtime"), package)
    lay_out(os.path.join(folder, "dags"), code["files"])
except OSError as error:
    sys.exit("[updraft] the task's code needs a folder that can be written to, and there is none: %s; mount an emptyDir at /tmp" % error)
sys.dont_write_bytecode = True
sys.path[:] = [os.path.join(folder, "runtime")] + [entry for entry in sys.path if entry] + [os.path.join(folder, "runtime", "fallback")]
from updraft_task import main

main.run(given, os.path.join(folder, "dags"), code["file"])
