"""What one parse of one file knows: its place, the answers it may have, and what it has made so far."""

import sys


class Session:
    """State of one parse. The child of the parser makes one; importing the stand-in elsewhere works with an empty one."""

    def __init__(self, path="", root="", snapshot=None, environment=None):
        self.path = path
        self.root = root.rstrip("/") + "/" if root else ""
        snapshot = snapshot or {}
        self.variables = snapshot.get("variables") or {}
        self.connections = snapshot.get("connections") or {}
        self.conf = snapshot.get("conf") or {}
        self.withheld = snapshot.get("withheld") or {}
        self.capitals = snapshot.get("capitals") or {}
        # Names of all that there is, where not all of it was handed over.
        self.existing = snapshot.get("existing") or {}
        self.environment = environment if environment is not None else {}
        self.asked_variables = set()
        self.asked_connections = set()
        self.asked_conf = set()
        self.read_files = set()
        self.warnings = []
        self.seen_warnings = set()
        self.dags = []
        self.kept_dags = []
        self.tasks = []

    def answer(self, kind, name):
        """The value of a variable or a connection, and why there is none for files although there is one. Nothing and nothing: it does not exist."""
        kinds = "%ss" % kind
        unknown = self.withheld.get("all")
        if unknown:
            return None, unknown
        capital = name.upper()
        # The folder comes before the environment, and that before the database: the scheduler has put the three together.
        for values, withheld, at in ((getattr(self, kinds), self.withheld, name),
                                     (self.capitals.get(kinds) or {}, self.capitals.get("withheld") or {}, capital)):
            why = (withheld.get(kinds) or {}).get(at)
            if why:
                return None, why
            if at in values:
                return values[at], None
        return None, None

    def is_users(self, filename):
        """Whether a file is the user's own code."""
        return filename == self.path or bool(self.root and filename.startswith(self.root))

    def user_line(self):
        """The line of the requested file that is being run now, or nothing."""
        frame = sys._getframe(1)
        while frame is not None:
            if frame.f_code.co_filename == self.path:
                return frame.f_lineno
            frame = frame.f_back
        return None

    def warn(self, message, line=None):
        """Keeps a remark for the user, once however often it is made."""
        if message in self.seen_warnings:
            return
        self.seen_warnings.add(message)
        if len(self.warnings) < 200:
            self.warnings.append({"message": message, "line": line if line is not None else self.user_line()})


_current = Session()


def current():
    """The parse that is going on."""
    return _current


def begin(session):
    """Makes `session` the one that is going on."""
    global _current
    _current = session
    return session
