"""The operators that need no cluster: EmptyOperator, BashOperator."""

import os

from airflow import _session
from airflow._operator import BaseOperator
from airflow._problem import InvalidArgument
from airflow._values import exit_codes, text, text_map


class EmptyOperator(BaseOperator):
    """Does nothing."""

    __module__ = "airflow.providers.standard.operators.empty"
    ui_color = "#e8f7e4"

    def _updraft_run(self):
        return {"kind": "empty"}


class DummyOperator(EmptyOperator):
    """EmptyOperator by its old name."""

    __module__ = "airflow.operators.dummy"


class BashOperator(BaseOperator):
    """Runs a command line."""

    __module__ = "airflow.providers.standard.operators.bash"
    template_fields = ("bash_command", "env", "cwd")
    template_ext = (".sh", ".bash")
    ui_color = "#f0ede4"
    # A class of one's own may say what comes before and after.
    _updraft_executes = True

    def __init__(self, *, bash_command, env=None, append_env=False, output_encoding="utf-8", skip_exit_code=None, skip_on_exit_code=99,
                 cwd=None, output_processor=None, xcom_push=None, **kwargs):
        if xcom_push is not None:
            kwargs.setdefault("do_xcom_push", xcom_push)
        super().__init__(**kwargs)
        self.bash_command = bash_command
        self.env = env
        self.append_env = append_env
        self.output_encoding = output_encoding
        self.skip_on_exit_code = skip_exit_code if skip_exit_code is not None else skip_on_exit_code
        self.cwd = cwd
        if output_processor is not None:
            _session.current().warn("output_processor is accepted but not called")

    def _updraft_run(self):
        where = "of task %s" % self.task_id
        if self.bash_command is None:
            raise InvalidArgument("bash_command %s is None" % where, "write the command as text")
        return {
            "kind": "bash",
            "bash_command": _script(self, text(self.bash_command, "bash_command " + where)),
            "env": text_map(self.env, "env " + where) if self.env is not None else None,
            "append_env": bool(self.append_env),
            "cwd": text(self.cwd, "cwd " + where) if self.cwd is not None else None,
            "skip_on_exit_code": exit_codes(self.skip_on_exit_code, where),
        }

    def execute(self, context):
        """Runs it, for a class of one's own that calls this."""
        from airflow import _execute

        return _execute.run_bash(self, self.bash_command)


def _script(task, command):
    """A command that ends in .sh is the name of a template file, as in Airflow: its text takes the name's place, since workers have no
    DAG files. One that is not found stays a command."""
    if not command.endswith(BashOperator.template_ext) or "{{" in command or "\n" in command:
        return command
    found = find_file(task, command)
    if found is None:
        _session.current().warn(
            "bash_command %r of task %s ends in %s but no such file is beside the DAG file: it is run as a command"
            % (command, task.task_id, command[command.rindex("."):]),
            task._updraft_line,
        )
        return command
    return found


def find_file(task, name):
    """The text of a template file: beside the DAG file, then on the DAG's template_searchpath. Nothing where there is none."""
    dag = task._dag
    paths = dag.template_searchpath or []
    folders = [dag.folder] + ([paths] if isinstance(paths, str) else [str(path) for path in paths])
    candidates = ([name] if os.path.isabs(name) else []) + [os.path.join(folder, name.lstrip("/")) for folder in folders]
    for path in candidates:
        if os.path.isfile(path):
            _session.current().read_files.add(os.path.normpath(path))
            with open(path, encoding="utf-8") as file:
                return file.read()
    return None
