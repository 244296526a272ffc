"""Turns exceptions of a file into the errors of the protocol."""

import errno
import os
import traceback

from airflow._names import MODULES
from airflow._problem import Problem, did_you_mean

_NETWORK_ERRNOS = frozenset([errno.EPERM, errno.EACCES, errno.ENETUNREACH, errno.ENETDOWN, errno.EAFNOSUPPORT, errno.ENOSYS,
                             errno.EHOSTUNREACH])


class ParseTimeout(BaseException):
    """The file has used up its time. Not an Exception, so that `except Exception` in a file does not swallow it."""


def error(kind, message, line=None, column=None, hint=None, traceback=None, dag_id=None):
    """One error of the protocol. The message is one line."""
    return {
        "kind": kind, "message": _one_line(message), "line": line, "column": column, "hint": hint or None, "traceback": traceback,
        "dag_id": dag_id,
    }


def _one_line(message):
    text = " ".join(str(message).split())
    return text if len(text) <= 2000 else text[:2000] + "…"


def describe(exception, session, timeout_seconds=None, memory_bytes=None):
    """The error for an exception that left the file."""
    line, trace, elsewhere = _place(exception, session)
    rest = {"line": line, "traceback": trace}
    at = " (in %s)" % elsewhere if elsewhere else ""
    if isinstance(exception, Problem):
        rest["line"] = exception.line if exception.line is not None else line
        return error(exception.kind, exception.message + at, hint=exception.hint, dag_id=exception.dag_id, **rest)
    if isinstance(exception, ParseTimeout):
        return error("timeout", "the file took longer than %g s%s" % (timeout_seconds, at),
                     hint="do slow work inside a task, not at the top of the file", **rest)
    if isinstance(exception, MemoryError):
        return memory_error(memory_bytes, at, **rest)
    if isinstance(exception, SyntaxError):
        return _syntax(exception, session, trace)
    if isinstance(exception, SystemExit):
        return error("exit", "the file ends the process with sys.exit(%s)%s" % ("" if exception.code is None else exception.code, at),
                     hint="take it out: a DAG file only defines DAGs", **rest)
    if isinstance(exception, ImportError):
        return _import(exception, at, rest)
    if _is_network(exception):
        return error("network", "the file uses the network while it is read: %s%s" % (_say(exception), at),
                     hint="read such data inside a task, from a Variable, or from a file beside the DAG file", **rest)
    if isinstance(exception, RecursionError):
        return error("exception", "the file calls itself too deeply: %s%s" % (_say(exception), at), **rest)
    return error("exception", _say(exception) + at, **rest)


def memory_error(memory_bytes, at="", **rest):
    """The error for a file that wants too much memory."""
    limit = " of %d MiB" % (memory_bytes // 2**20) if memory_bytes else ""
    return error("memory", "the file needs more memory than its limit%s%s" % (limit, at),
                 hint="load data inside a task, not at the top of the file", **rest)


def _say(exception):
    try:
        text = str(exception)
    except Exception:
        text = "(its text cannot be made)"
    name = type(exception).__name__
    return "%s: %s" % (name, text) if text else name


def _syntax(exception, session, trace):
    line, column = exception.lineno, exception.offset
    message = exception.msg or "not Python"
    if exception.filename and exception.filename != session.path and session.is_users(exception.filename):
        message += " (in %s line %s)" % (_relative(exception.filename, session), line)
        line, _, _ = _place(exception, session)
        column = None
    text = exception.text.strip("\n") if exception.text else None
    if text:
        text = "  File \"%s\", line %s\n    %s" % (_relative(exception.filename or session.path, session), exception.lineno, text.strip())
        trace = (trace or "") + text + "\n"
    return error("syntax", message, line=line or None, column=column or None, traceback=trace)


def _import(exception, at, rest):
    name = exception.name or ""
    text = str(exception)
    if name == "airflow" or name.startswith("airflow."):
        what, hint = name, None
        if text.startswith("cannot import name "):
            asked = text.split("'")[1]
            what = "%s.%s" % (name, asked)
            hint = did_you_mean(asked, MODULES.get(name, ()))
        return error("unsupported", "%s is not supported%s" % (what, at),
                     hint=hint or "take it out, or do its work in an image with KubernetesPodOperator", **rest)
    if isinstance(exception, ModuleNotFoundError) and name:
        return error("import", "there is no module %s%s" % (name, at),
                     hint="put it beside the DAG file, or have the installation add the folder that it is installed in", **rest)
    return error("import", _say(exception) + at, **rest)


def _is_network(exception):
    """Whether the socket module is where it came from, itself or what it wraps."""
    seen = []
    waiting = [exception]
    while waiting and len(seen) < 50:
        one = waiting.pop()
        if not isinstance(one, BaseException) or any(one is other for other in seen):
            continue
        seen.append(one)
        if isinstance(one, OSError):
            if type(one).__name__ in ("gaierror", "herror"):
                return True
            if one.errno in _NETWORK_ERRNOS and _from_socket(one):
                return True
        waiting.extend([one.__cause__, one.__context__, getattr(one, "reason", None)])
    return False


def _from_socket(exception):
    step = exception.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    return step is not None and os.path.basename(step.tb_frame.f_code.co_filename) in ("socket.py", "ssl.py", "socketserver.py")


def _relative(filename, session):
    return filename[len(session.root):] if session.root and filename.startswith(session.root) else filename


def _place(exception, session):
    """The line in the requested file, the traceback of the user's frames, and the place in another file of theirs if it is innermost."""
    line, last, frames = None, None, []
    step = exception.__traceback__
    while step is not None:
        filename = step.tb_frame.f_code.co_filename
        if session.is_users(filename):
            if filename == session.path:
                line = step.tb_lineno
            last = (filename, step.tb_lineno)
            frames.append(traceback.FrameSummary(filename, step.tb_lineno, step.tb_frame.f_code.co_name, lookup_line=False))
        step = step.tb_next
    elsewhere = None
    if last is not None and last[0] != session.path:
        elsewhere = "%s line %d" % (_relative(last[0], session), last[1])
    if len(frames) > 20:
        frames = frames[:10] + frames[-10:]
    text = ""
    for frame in frames:
        text += "  File \"%s\", line %d, in %s\n" % (_relative(frame.filename, session), frame.lineno, frame.name)
        try:
            code = frame.line
        except Exception:
            code = None
        if code:
            text += "    %s\n" % code[:200]
    return line, text or None, elsewhere
