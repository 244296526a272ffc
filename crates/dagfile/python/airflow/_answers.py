"""What files ask while they are read: variables, connections, configuration. Answered from the snapshot, and noted down."""

import json

from airflow import _session
from airflow._problem import AirflowConfigException, NotAnswered, Unsupported

_ABSENT = object()
# What stands for a secret in a connection.
_MASK = "***"
_INSTEAD = "read it inside the task: from a Kubernetes Secret that env_from or secrets names"


class _Guarded(dict):
    """An extra of a connection: what is secret in it is an error to read, wherever it stands."""

    def __getitem__(self, key):
        value = dict.__getitem__(self, key)
        if value == _MASK:
            raise NotAnswered("%s of the connection's extra is secret by its name, and DAG files are read without secrets" % key, _INSTEAD)
        return _Guarded(value) if isinstance(value, dict) else value

    def get(self, key, default=None):
        """As of any dict."""
        return self[key] if key in self else default


def _passed(session, kind, name):
    """In a task: an error for what exists and was not handed over. A default must not stand for it."""
    existing = session.existing.get(kind + "s") or ()
    if name in existing or name.upper() in existing:
        raise NotAnswered("the %s %s is not passed to this task" % (kind, name),
                          "write its name as text in the DAG's code: those that stand there are passed")


def _not_in_a_task(what):
    """Changes are refused where they would be expected to last."""
    from airflow import _missing

    if _missing.running:
        raise Unsupported("%s does not reach Updraft from a task" % what, "use the API, or `updraft variables`")


class Variable:
    """A variable of the installation."""

    @staticmethod
    def get(key, default_var=_ABSENT, deserialize_json=False, default=_ABSENT, **kwargs):
        """Its text, or what its text holds as JSON."""
        session = _session.current()
        key = str(key)
        session.asked_variables.add(key)
        value = session.environment.get("AIRFLOW_VAR_" + key.upper())
        if value is None:
            value, withheld = session.answer("variable", key)
            if withheld is not None:
                # No default stands in for what is there.
                raise NotAnswered("variable %s: %s" % (key, withheld), _INSTEAD)
        if value is None:
            _passed(session, "variable", key)
            for given in (default, default_var):
                if given is not _ABSENT:
                    return given
            raise NotAnswered("variable %s does not exist" % key, "set it with `updraft variables set %s VALUE`, or give a default" % key)
        if deserialize_json:
            return json.loads(value) if isinstance(value, str) else value
        return value if isinstance(value, str) else json.dumps(value)

    @classmethod
    def setdefault(cls, key, default, description=None, deserialize_json=False):
        """The variable, or the default, which is not stored."""
        _not_in_a_task("Variable.setdefault()")
        _session.current().warn("Variable.setdefault() stores nothing while the file is read")
        return cls.get(key, default, deserialize_json)

    @staticmethod
    def set(key, value, description=None, serialize_json=False, **kwargs):
        """Stores nothing."""
        _not_in_a_task("Variable.set()")
        _session.current().warn("Variable.set() stores nothing while the file is read")

    @staticmethod
    def delete(key, **kwargs):
        """Deletes nothing."""
        _not_in_a_task("Variable.delete()")
        _session.current().warn("Variable.delete() deletes nothing while the file is read")


class Connection:
    """Where some service is, and how to get in."""

    def __init__(self, conn_id=None, conn_type=None, description=None, host=None, login=None, password=None, schema=None, port=None,
                 extra=None, uri=None):
        self.conn_id = conn_id
        self.conn_type = conn_type
        self.description = description
        self.host = host
        self.login = login
        self._password = password
        self.schema = schema
        self.port = int(port) if port not in (None, "") else None
        self.extra = json.dumps(extra, sort_keys=True) if isinstance(extra, dict) else extra
        if uri is not None:
            self._read(uri)

    def _read(self, uri):
        from urllib.parse import parse_qsl, unquote, urlsplit

        parts = urlsplit(uri)
        self.conn_type = parts.scheme.replace("-", "_")
        self.host = unquote(parts.hostname) if parts.hostname else None
        self.login = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None
        self.port = parts.port
        self.schema = unquote(parts.path[1:]) or None
        extra = dict(parse_qsl(parts.query, keep_blank_values=True))
        if extra:
            self.extra = extra.get("__extra__") or json.dumps(extra, sort_keys=True)

    @property
    def password(self):
        """The password, which a file gets only where it is its own."""
        if self._password == _MASK:
            raise NotAnswered("the password of connection %s is secret, and DAG files are read without secrets" % self.conn_id, _INSTEAD)
        return self._password

    @password.setter
    def password(self, value):
        self._password = value

    @property
    def extra_dejson(self):
        """What `extra` holds as JSON."""
        try:
            found = json.loads(self.extra) if self.extra else {}
        except ValueError:
            return {}
        return _Guarded(found) if isinstance(found, dict) else found

    def get_password(self):
        """The password."""
        return self.password

    def get_uri(self):
        """As one text."""
        from urllib.parse import quote, urlencode

        login = quote(self.login or "", "")
        if self.password:
            login += ":" + quote(self.password, "")
        text = "%s://%s%s" % ((self.conn_type or "").replace("_", "-"), login + "@" if login else "", quote(self.host or "", ""))
        text += ":%d" % self.port if self.port else ""
        text += "/" + quote(self.schema or "", "")
        return text + ("?" + urlencode(self.extra_dejson) if self.extra_dejson else "")

    @classmethod
    def get(cls, conn_id):
        """The connection of this id."""
        session = _session.current()
        conn_id = str(conn_id)
        session.asked_connections.add(conn_id)
        value = session.environment.get("AIRFLOW_CONN_" + conn_id.upper())
        if value is None:
            value, withheld = session.answer("connection", conn_id)
            if withheld is not None:
                raise NotAnswered("connection %s: %s" % (conn_id, withheld), _INSTEAD)
        if value is None:
            _passed(session, "connection", conn_id)
        if value is None:
            raise NotAnswered("connection %s does not exist" % conn_id, "add it with `updraft connections add %s`" % conn_id)
        if isinstance(value, str) and value.lstrip().startswith("{"):
            value = json.loads(value)
        if isinstance(value, str):
            return cls(conn_id=conn_id, uri=value)
        known = ("conn_type", "description", "host", "login", "password", "schema", "port", "extra", "uri")
        return cls(conn_id=conn_id, **{name: value[name] for name in known if value.get(name) is not None})

    get_connection_from_secrets = get


class BaseHook:
    """The base of hooks: asks for connections."""

    def __init__(self, *args, **kwargs):
        pass

    @staticmethod
    def get_connection(conn_id):
        """The connection of this id."""
        return Connection.get(conn_id)

    @classmethod
    def get_connections(cls, conn_id):
        """A list of the one connection of this id."""
        return [cls.get_connection(conn_id)]

    @classmethod
    def get_hook(cls, conn_id, hook_params=None):
        """Hooks run in tasks."""
        raise Unsupported("hooks talk to other services, which is not possible while the file is read", "do it inside a task")


class _Conf:
    """`[section] key` from AIRFLOW__SECTION__KEY of the file's environment or the scheduler's, or Airflow's default of what files ask for."""

    _defaults = {
        ("core", "dags_folder"): None, ("core", "default_timezone"): "utc", ("core", "executor"): "CeleryExecutor",
        ("core", "load_examples"): "False", ("core", "parallelism"): "32", ("core", "max_active_tasks_per_dag"): "16",
        ("core", "max_active_runs_per_dag"): "16", ("core", "default_task_retries"): "0", ("core", "unit_test_mode"): "False",
        ("core", "dag_concurrency"): "16", ("core", "plugins_folder"): "/opt/airflow/plugins", ("core", "fernet_key"): "",
        ("operators", "default_owner"): "airflow", ("operators", "default_queue"): "default",
        ("webserver", "base_url"): "http://localhost:8080", ("api", "base_url"): "http://localhost:8080",
        ("logging", "base_log_folder"): "/opt/airflow/logs", ("logging", "logging_level"): "INFO", ("logging", "remote_logging"): "False",
        ("kubernetes", "namespace"): "default", ("kubernetes_executor", "namespace"): "default",
        ("kubernetes_executor", "worker_container_repository"): "", ("kubernetes_executor", "worker_container_tag"): "",
        ("kubernetes", "worker_container_repository"): "", ("kubernetes", "worker_container_tag"): "",
        ("kubernetes_executor", "pod_template_file"): "", ("kubernetes", "in_cluster"): "True",
        ("smtp", "smtp_mail_from"): "airflow@example.com", ("scheduler", "catchup_by_default"): "False",
    }

    def _find(self, section, key):
        section, key = str(section).lower(), str(key).lower()
        session = _session.current()
        session.asked_conf.add("%s.%s" % (section, key))
        value = session.environment.get("AIRFLOW__%s__%s" % (section.upper(), key.upper()))
        if value is None:
            value = session.conf.get("%s.%s" % (section, key))
        if value is None and (section, key) == ("core", "dags_folder"):
            return session.root.rstrip("/")
        return value if value is not None else self._defaults.get((section, key))

    def get(self, section, key, fallback=_ABSENT, **kwargs):
        """The value as text."""
        value = self._find(section, key)
        if value is not None:
            return value
        if fallback is not _ABSENT:
            return fallback
        raise AirflowConfigException("section/key [%s/%s] not found in config" % (section, key))

    def getboolean(self, section, key, fallback=_ABSENT, **kwargs):
        """The value as yes or no."""
        value = self.get(section, key, fallback)
        return value if not isinstance(value, str) else value.strip().lower() in ("t", "true", "1", "yes", "on")

    def getint(self, section, key, fallback=_ABSENT, **kwargs):
        """The value as a whole number."""
        value = self.get(section, key, fallback)
        return int(value) if isinstance(value, str) else value

    def getfloat(self, section, key, fallback=_ABSENT, **kwargs):
        """The value as a number."""
        value = self.get(section, key, fallback)
        return float(value) if isinstance(value, str) else value

    def has_option(self, section, option):
        """Whether there is a value."""
        return self._find(section, option) is not None

    def getsection(self, section):
        """What is known of a section."""
        return {key: self._find(section, key) for part, key in self._defaults if part == section}


conf = _Conf()


class AirflowPlugin:
    """Plugins are not loaded; the name is here for files that define one."""

    name = None
