"""What is not there: packages that are not installed, and names of Airflow's that only run inside its workers.

A file may import them, and use them inside the functions that it hands to tasks: its DAGs do not depend on that. What would decide what
the DAGs are (a loop over a data frame, a comparison with a service's answer) is an error that names what is missing.
"""

import ast
import sys
from importlib.machinery import ModuleSpec

from airflow import _session
from airflow._problem import Problem

_AIRFLOW_HINT = "do this inside a task, or take the value from a Variable or from a file beside the DAG file"
_PACKAGE_HINT = "put it beside the DAG file, or have the installation add the folder that it is installed in"


# Whether this is a task's own process, and its code runs: what is missing then cannot be done without any more.
running = False


class NotThere(Problem, ImportError):
    """Something that is missing is needed to say what the DAGs are."""

    def __init__(self, name, message, kind, hint):
        Problem.__init__(self, message, hint)
        self.kind = kind
        self.name = name


class Stub:
    """What any class that is missing is to the user's own classes: a base that takes everything."""

    def __init__(self, *args, **kwargs):
        pass

    def __init_subclass__(cls, **kwargs):
        pass

    def __class_getitem__(cls, item):
        return cls


def _needed(name):
    def method(self, *args, **kwargs):
        raise self._updraft_refusal()

    method.__name__ = name
    return method


class Absent:
    """Stands for a name of something that is missing."""

    def __init__(self, name, what=None):
        self.__dict__["_updraft_name"] = name
        self.__dict__["_updraft_what"] = what

    def _updraft_refusal(self):
        name, what = self._updraft_name, self._updraft_what
        if running:
            hint = ("put the work that needs it into an image of its own, and run that with KubernetesPodOperator" if what is None else
                    "install it in the Python that runs the task: that of --task-python, or of the image of its pod")
            return NotThere(what or name, "%s is not there" % name if what is None else "there is no module %s (for %s)" % (what, name),
                            "import", hint)
        if what is None:
            return NotThere(name, "the file needs %s to say what its DAGs are, which is not there while it is read" % name, "unsupported",
                            _AIRFLOW_HINT)
        return NotThere(what, "there is no module %s, and the file needs %s to say what its DAGs are" % (what, name), "import",
                        _PACKAGE_HINT)

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        if running:
            raise self._updraft_refusal()
        if self._updraft_what is None:
            from airflow import _unknown

            return _unknown.make(self._updraft_name, name)
        return Absent("%s.%s" % (self._updraft_name, name), self._updraft_what)

    def __setattr__(self, name, value):
        pass

    def __call__(self, *args, **kwargs):
        if running:
            raise self._updraft_refusal()
        # A decorator that is missing leaves what it decorates as it is.
        if len(args) == 1 and not kwargs and (hasattr(args[0], "__code__") or isinstance(args[0], type)):
            return args[0]
        return Absent(self._updraft_name + "()", self._updraft_what)

    def __mro_entries__(self, bases):
        return (Stub,)

    def __getitem__(self, item):
        return Absent(self._updraft_name + "[]", self._updraft_what)

    def __or__(self, other):
        return self

    __ror__ = __or__

    def __bool__(self):
        # A name stands for a function or a class; what a call gives may be anything.
        if self._updraft_name.endswith(")"):
            raise self._updraft_refusal()
        return True

    def __instancecheck__(self, instance):
        return False

    def __subclasscheck__(self, cls):
        return False

    def __repr__(self):
        return "<%s, which is not there>" % self._updraft_name


for _name in ("iter next len str format int float index lt le gt ge exit add radd sub rsub mul rmul truediv floordiv mod enter contains "
              "rshift lshift rrshift rlshift await aenter aiter bytes neg").split():
    setattr(Absent, "__%s__" % _name, _needed("__%s__" % _name))


def is_given(value):
    """Whether an argument says something; what is missing does."""
    return isinstance(value, Absent) or bool(value)


def guarded(source, line):
    """Whether a line is in a `try` that is prepared for a failing import."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return False
    for node in ast.walk(tree):
        if isinstance(node, ast.Try) and node.body[0].lineno <= line <= node.body[-1].end_lineno:
            for handler in node.handlers:
                caught = ast.dump(handler.type) if handler.type is not None else "Exception"
                if any("'%s'" % name in caught for name in ("ImportError", "ModuleNotFoundError")) or "Exception" in caught:
                    return True
    return False


class _Finder:
    """Comes last: answers for packages that nobody has, where the user's own code imports them and has no plan for their absence."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if running or name == "airflow" or name.startswith("airflow."):
            return None
        parent = sys.modules.get(name.rpartition(".")[0])
        # A folder without __init__.py may be part of a package that others install, as `google` is.
        if "." in name and not (getattr(parent, "_updraft_stand_in", False) or getattr(parent, "__file__", "") is None):
            return None
        place = _importing_line()
        if place is None:
            return None
        filename, line = place
        try:
            with open(filename, encoding="utf-8") as file:
                if guarded(file.read(), line):
                    return None
        except (OSError, ValueError):
            return None
        return ModuleSpec(name, _Finder, origin="updraft", is_package=True)

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        name = module.__name__
        session = _session.current()
        if "." not in name:
            session.warn("there is no module %s: the file is read without it" % name)
        module._updraft_stand_in = True
        module.__all__ = []
        module.__getattr__ = _attributes_of(name)


def _attributes_of(name):
    def attribute(attribute_name):
        if attribute_name.startswith("__"):
            raise AttributeError(attribute_name)
        return Absent("%s.%s" % (name, attribute_name), name)

    return attribute


def _importing_line():
    """File and line of the user's import statement; nothing where somebody else imports, or only asks whether there is such a module."""
    session = _session.current()
    frame = sys._getframe(2)
    while frame is not None:
        filename = frame.f_code.co_filename
        if filename.startswith("<frozen importlib"):
            # `importlib.util.find_spec` is a question, not an import; some Pythons freeze that module, too.
            if "util" in filename:
                return None
        elif filename.endswith("importlib/__init__.py"):
            pass
        elif session.is_users(filename):
            return filename, frame.f_lineno
        else:
            return None
        frame = frame.f_back
    return None


def install():
    """Puts the finder last."""
    if _Finder not in sys.meta_path:
        sys.meta_path.append(_Finder)
