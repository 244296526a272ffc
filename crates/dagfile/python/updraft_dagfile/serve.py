"""The parent: one child for each request, and an answer whatever the child does.

The parent imports the stand-in once and never runs a line of a DAG file. A child is a fork in a session of its own that writes its
answer, after its length, into a pipe. The parent reads that pipe and what the file prints, both within bounds, until the answer is
whole, the child is dead or the time is over; then it kills the child's session and whatever has become a child of the parent.
"""

import errno
import gc
import json
import os
import select
import signal
import stat
import sys
import time

# Not used here: what our code imports when it needs it must be imported before a file's folder is first on sys.path.
import difflib  # noqa: F401
import urllib.parse  # noqa: F401
import zoneinfo  # noqa: F401

from airflow import _finder
from updraft_dagfile import child, problems

MAX_SOURCE_BYTES = 16 * 2**20
MAX_PRINTED_BYTES = 64 * 2**10
# What a child may take beyond its time before it is killed: its own alarm names the line, so it gets a moment to do so.
GRACE_SECONDS = 0.3
DEFAULTS = {"timeout_seconds": 30, "memory_bytes": 512 * 2**20, "max_output_bytes": 64 * 2**20}


def serve(children=None):
    """Answers requests until stdin ends. `children` is the descriptor of our /proc/<pid>/task/<pid>/children, where /proc is hidden."""
    requests, answers = _take_streams()
    if children is not None:
        os.set_inheritable(children, False)
    wake = _wake_on_child()
    _finder.preload()
    gc.collect()
    gc.freeze()
    buffer = b""
    snapshot = {}
    while True:
        line, buffer = _read_line(requests, buffer)
        if line is None:
            return
        if not line.strip():
            continue
        answer, snapshot = _answer(line, _Own(requests, answers, wake, children), snapshot)
        _write_all(answers, json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n")


class _Own:
    """The descriptors that no child may keep."""

    def __init__(self, requests, answers, wake, children):
        self.wake = wake[0]
        self.children = children
        self.all = (requests, answers) + wake + ((children,) if children is not None else ())


def _take_streams():
    """Moves the protocol away from 0 and 1, so that nothing that prints can reach it."""
    requests = os.dup(0)
    answers = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return requests, answers


def _wake_on_child():
    """A pipe that becomes readable when a child ends."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    return read, write


def _read_line(requests, buffer):
    while b"\n" not in buffer:
        more = os.read(requests, 65536)
        if not more:
            return None, b""
        buffer += more
    line, _, buffer = buffer.partition(b"\n")
    return line, buffer


def _write_all(descriptor, data):
    while data:
        data = data[os.write(descriptor, data):]


def _answer(line, own, snapshot):
    """The answer, and the snapshot for the next request that has none of its own."""
    began = time.monotonic()
    identity = None
    try:
        request = json.loads(line)
        identity = request.get("id")
        if request.get("snapshot") is not None:
            snapshot = request["snapshot"]
        request = _check(dict(request, snapshot=snapshot))
    except (ValueError, TypeError, KeyError, AttributeError) as exception:
        answer = _empty([problems.error("invalid", "the request cannot be read: %s" % exception)])
    else:
        answer = _parse(request, own)
    answer["duration_ms"] = int((time.monotonic() - began) * 1000)
    return dict({"id": identity}, **answer), snapshot


def _check(request):
    checked = dict(DEFAULTS, **{name: value for name, value in request.items() if value is not None})
    for name in ("path", "root"):
        if not isinstance(checked[name], str) or not checked[name].startswith("/"):
            raise ValueError("%s is not an absolute path" % name)
        checked[name] = os.path.normpath(checked[name])
    checked["timeout_seconds"] = float(checked["timeout_seconds"])
    checked["memory_bytes"] = int(checked["memory_bytes"])
    checked["max_output_bytes"] = int(checked["max_output_bytes"])
    if not 0 < checked["timeout_seconds"] <= 86400 or checked["memory_bytes"] <= 0 or checked["max_output_bytes"] <= 0:
        raise ValueError("a limit is not above 0")
    return checked


def _empty(errors=()):
    return {
        "dags": [], "errors": list(errors), "warnings": [], "output": "", "modules": [],
        "asked": {"variables": [], "connections": [], "conf": []},
        "folders": [],
    }


def _parse(request, own):
    try:
        source = _read_source(request["path"])
    except OSError as exception:
        return _empty([problems.error("exception", "the file cannot be read: %s" % exception.strerror)])
    if source is None:
        return _empty([problems.error("too_large", "the file is larger than %d MiB" % (MAX_SOURCE_BYTES // 2**20),
                                      hint="a DAG file should load its data in tasks")])
    lower = source.lower()
    if b"dag" not in lower or b"airflow" not in lower:
        return _empty()
    try:
        end = _Child(request, source, own).watch()
    except OSError as exception:
        return _empty([problems.error("exception", "the file could not be started on: %s" % exception.strerror)])
    answer = _empty()
    answer["output"] = end.printed.decode("utf-8", "replace")
    answer.update(_judge(end, request))
    return answer


def _read_source(path):
    """The file's bytes; nothing if there are too many. Refuses what is no plain file, which could block for ever."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a plain file")
        parts, size = [], 0
        while size <= MAX_SOURCE_BYTES:
            part = os.read(descriptor, 2**20)
            if not part:
                return b"".join(parts)
            parts.append(part)
            size += len(part)
        return None
    finally:
        os.close(descriptor)


class _Child:
    """One fork and what came of it."""

    def __init__(self, request, source, own):
        self.request = request
        self.own = own
        self.received = bytearray()
        self.size = None
        self.printed = b""
        self.status = None
        self.late = False
        self.too_large = False
        self.answer_read, answer_write = os.pipe()
        self.printed_read, printed_write = os.pipe()
        self.deadline = time.monotonic() + request["timeout_seconds"] + GRACE_SECONDS
        try:
            self.pid = os.fork()
        except OSError:
            for descriptor in (self.answer_read, answer_write, self.printed_read, printed_write):
                os.close(descriptor)
            raise
        if self.pid == 0:
            _be_child(request, source, answer_write, printed_write, own.all + (self.answer_read, self.printed_read))
        os.close(answer_write)
        os.close(printed_write)

    def whole(self):
        """Whether the answer is there."""
        return self.size is not None and len(self.received) >= self.size

    def watch(self):
        """Reads until the answer is whole, the child is dead or late; leaves no process behind."""
        open_ends = [self.answer_read, self.printed_read]
        try:
            while not self.whole() and not self.too_large:
                left = self.deadline - time.monotonic()
                if left <= 0:
                    self.late = True
                    break
                # The timeout covers a SIGCHLD that was merged with another.
                ready = select.select(open_ends + [self.own.wake], [], [], min(left, 1.0))[0]
                if self.own.wake in ready:
                    _drain(self.own.wake)
                if self.printed_read in ready and not self._take_printed():
                    open_ends.remove(self.printed_read)
                if self.answer_read in ready and not self._take_answer():
                    open_ends.remove(self.answer_read)
                if not self.answer_read in ready and self._reap():
                    self._take_rest()
                    break
        finally:
            self._end()
        return self

    def _take_answer(self):
        data = os.read(self.answer_read, 2**20)
        self.received += data
        if self.size is None and len(self.received) >= 8:
            self.size = int.from_bytes(self.received[:8], "big")
            del self.received[:8]
            self.too_large = self.size > self.request["max_output_bytes"]
        return bool(data)

    def _take_rest(self):
        """What the child wrote after the last look at the pipe and before its end."""
        os.set_blocking(self.answer_read, False)
        try:
            while not self.whole() and not self.too_large and self._take_answer():
                pass
        except BlockingIOError:
            pass

    def _take_printed(self):
        data = os.read(self.printed_read, 65536)
        if len(self.printed) < MAX_PRINTED_BYTES:
            self.printed += data[:MAX_PRINTED_BYTES - len(self.printed)]
        return bool(data)

    def _reap(self):
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = status
        return self.status is not None

    def _end(self):
        # The child leads its group from its first moment or has not run at all yet: the group is killed first, then the child itself.
        for kill in (os.killpg, os.kill):
            try:
                kill(self.pid, signal.SIGKILL)
            except OSError:
                pass
        if self.status is None:
            self.status = os.waitpid(self.pid, 0)[1]
        _kill_strays(self.own.children)
        # What was printed before the end is still in the pipe; nobody is left to write more, except a stray that cannot be reached.
        os.set_blocking(self.printed_read, False)
        try:
            while len(self.printed) < MAX_PRINTED_BYTES and self._take_printed():
                pass
        except BlockingIOError:
            pass
        os.close(self.answer_read)
        os.close(self.printed_read)


def _drain(descriptor):
    try:
        while os.read(descriptor, 4096):
            pass
    except BlockingIOError:
        pass


def _kill_strays(children):
    """Kills and reaps what has become our child: processes of the file in sessions of their own, where we are the subreaper."""
    for _ in range(1000):
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid:
            continue
        strays = _children(children)
        if not strays:
            return
        for stray in strays:
            try:
                os.kill(stray, signal.SIGKILL)
            except OSError:
                pass
        time.sleep(0.001)


def _children(descriptor):
    """Ids of our children, dead ones too; none where they cannot be known."""
    try:
        if descriptor is not None:
            os.lseek(descriptor, 0, os.SEEK_SET)
            return [int(word) for word in os.read(descriptor, 65536).split(b"\n")[0].split()]
        with open("/proc/self/task/%d/children" % os.getpid(), "rb") as file:
            return [int(word) for word in file.read().split()]
    except (OSError, ValueError):
        return []


def _be_child(request, source, answer_write, printed_write, others):
    """Never returns."""
    code = 1
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(printed_write, 1)
        os.dup2(printed_write, 2)
        for descriptor in others + (printed_write,):
            os.close(descriptor)
        sys.stdin = open(0, encoding="utf-8", closefd=False)
        sys.stdout = open(1, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
        answer = child.run(request, source)
        _write_all(answer_write, len(answer).to_bytes(8, "big") + answer)
        code = 0
    except MemoryError:
        code = 97
    finally:
        os._exit(code)


def _judge(end, request):
    """What the answer is made of: the child's own words, or what its end says."""
    if end.too_large:
        return {"errors": [problems.error("too_large", "the file's DAGs make more than %d bytes" % request["max_output_bytes"],
                                          hint="split the file, or make fewer tasks")]}
    if end.whole():
        try:
            found = json.loads(bytes(end.received[:end.size]))
            return {name: found[name] for name in ("dags", "errors", "warnings", "asked", "modules", "folders")}
        except (ValueError, KeyError, TypeError, RecursionError, MemoryError):
            return {"errors": [problems.error("exception", "the file broke the reader: its answer cannot be read")]}
    if end.late:
        return {"errors": [problems.error("timeout", "the file took longer than %g s" % request["timeout_seconds"],
                                          hint="do slow work inside a task, not at the top of the file")]}
    if os.WIFSIGNALED(end.status):
        number = os.WTERMSIG(end.status)
        if number == signal.SIGXCPU:
            return {"errors": [problems.error("timeout", "the file used more than %g s of processor time" % request["timeout_seconds"],
                                              hint="do slow work inside a task, not at the top of the file")]}
        return {"errors": [problems.error("signal", "the file ended the process with signal %s" % _signal_name(number),
                                          hint="a native library that it imports crashed, or it ran out of memory or stack")]}
    code = os.WEXITSTATUS(end.status)
    if code == 97:
        return {"errors": [problems.memory_error(request["memory_bytes"])]}
    return {"errors": [problems.error("exit", "the file ended the process with os._exit(%d)" % code,
                                      hint="take it out: a DAG file only defines DAGs")]}


def _signal_name(number):
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
