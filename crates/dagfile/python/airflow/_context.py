"""Which `with dag:` and `with group:` the file is in, and what of a task's context a file may name."""

from datetime import datetime, timedelta

dags = []
groups = []


def current_dag():
    """The innermost `with dag:`, or nothing."""
    return dags[-1] if dags else None


def group_for(dag):
    """The group that a new task of `dag` goes into."""
    if groups and groups[-1].dag is dag:
        return groups[-1]
    return dag.task_group if dag is not None else None


class DagContext:
    """Airflow's name for the stack of DAGs."""

    push_context_managed_dag = staticmethod(dags.append)
    pop_context_managed_dag = staticmethod(lambda: dags.pop() if dags else None)
    get_current_dag = staticmethod(current_dag)


class TaskGroupContext:
    """Airflow's name for the stack of groups."""

    @staticmethod
    def get_current_task_group(dag=None):
        """The innermost group, or nothing."""
        return group_for(dag or current_dag())


class Context(dict):
    """Airflow's name for what a task's code is given."""


class Record:
    """Keeps its arguments: what Airflow's workers and pages make of it does not happen."""

    def __init__(self, *args, **kwargs):
        self.arguments = (args, kwargs)

    def __init_subclass__(cls, **kwargs):
        pass


class PokeReturnValue:
    """What a sensor's function answers."""

    def __init__(self, is_done, xcom_value=None):
        self.is_done = is_done
        self.xcom_value = xcom_value

    def __bool__(self):
        return bool(self.is_done)


class _ParsingContext:
    """What Airflow says about why it reads a file: here always for all of its DAGs."""

    dag_id = None
    task_id = None

    def __bool__(self):
        return False


def get_parsing_context():
    """Why the file is read."""
    return _ParsingContext()


# The context of the task that this process runs.
running = None


def get_current_context():
    """What the task's code is given; there is none outside a task."""
    from airflow._problem import Unsupported

    if running is not None:
        return running
    raise Unsupported("get_current_context() is called while the file is read", "call it inside a task")


def is_venv_installed():
    """Whether tasks can make virtual environments, as they can in Airflow's own images."""
    return True


def same(thing, *args, **kwargs):
    """Hands it back."""
    return thing


poke_mode_only = literal = same


def ds_add(ds, days):
    """The day so many days later."""
    return (datetime.strptime(str(ds), "%Y-%m-%d") + timedelta(days=days)).strftime("%Y-%m-%d")


def ds_format(ds, input_format, output_format):
    """The day in another form."""
    return datetime.strptime(str(ds), input_format).strftime(output_format)


class macros:
    """What templates have by this name, for code at the top of a file."""

    ds_add = staticmethod(ds_add)
    ds_format = staticmethod(ds_format)
    datetime = datetime
    timedelta = timedelta
