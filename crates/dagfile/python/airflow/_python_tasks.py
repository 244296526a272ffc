"""Tasks whose work is Python code that Updraft runs: what of them goes into the spec, and the same arguments again, filled in, when they run.

While the file is read, every text that is a template is kept under the place where it stands (`op_kwargs['day']`). The scheduler renders
them. The task's process reads the file again, walks the same arguments in the same way, and puts the rendered texts and the values of other
tasks in their places: what is neither (a function, a date, an object) is simply there.
"""

from airflow import _session
from airflow._operator import ARGUMENTS, BaseOperator, fields_of
from airflow._problem import InvalidArgument
from airflow._values import for_people, is_later

# What a class may say about what its tasks do.
_METHODS = ("execute", "poke", "choose_branch")


def runs_here(task):
    """Whether the task's work is code that a process of its own can do: the author's, on top of classes of ours that can be run.

    A class of a provider is known by its name alone: what is derived from it has no base to call.
    """
    cls = type(task)
    if cls._updraft_any_arguments:
        return False
    for base in cls.__mro__:
        if base is BaseOperator:
            break
        if "_updraft_runs_python" in base.__dict__:
            return base._updraft_runs_python
        if not base.__module__.startswith("airflow.") and any(name in base.__dict__ for name in _METHODS):
            ours = next(other for other in cls.__mro__ if "_updraft_run" in other.__dict__)
            return ours is BaseOperator or ours.__dict__.get("_updraft_executes", False)
    return False


def python_run(task):
    """The `run` of such a task."""
    from airflow._standard_operators import SkipMixin

    given = {name: value for name, value in task._updraft_given.items() if name not in ARGUMENTS}
    run = {
        "kind": "python",
        "arguments": {str(name): for_people(given[name]) for name in sorted(given)},
        "templates": templates_of(task),
        "decides": isinstance(task, SkipMixin) or None,
        "native": bool(_native(task)) or None,
    }
    run.update(_pod_of(task))
    return run


def _native(task):
    own = task.render_template_as_native_obj
    return own if own is not None else task._dag is not None and task._dag.render_template_as_native_obj


def fields(task):
    """The names of the arguments that hold templates or other tasks' values."""
    names = fields_of(task)
    return names + ([] if "templates_dict" in names or not hasattr(task, "templates_dict") else ["templates_dict"])


def templates_of(task):
    """Every text that is a template, by its place."""
    found = {}
    for field in fields(task):
        _collect(task, getattr(task, field, None), field, found)
    return {place: found[place] for place in sorted(found)}


def _collect(task, value, place, found):
    if isinstance(value, str):
        text = _file_of(task, value, place)
        if text is not None:
            found[place] = text
        elif any(mark in value for mark in ("{{", "{%", "{#")):
            found[place] = str(value)
    elif isinstance(value, dict):
        for key, inner in value.items():
            _collect(task, inner, "%s[%r]" % (place, key), found)
    elif isinstance(value, (list, tuple)):
        for at, inner in enumerate(value):
            _collect(task, inner, "%s[%d]" % (place, at), found)


def _file_of(task, value, place):
    """The text of the template file that an argument names."""
    from airflow._plain_operators import find_file

    endings = tuple(task.template_ext or ()) + tuple(getattr(task, "templates_exts", None) or ())
    if not endings or not value.endswith(endings) or "\n" in value or "{{" in value:
        return None
    text = find_file(task, value)
    if text is None:
        _session.current().warn("%s of task %s names the template file %s, which is not beside the DAG file: its name stays"
                                % (place, task.task_id, value), task._updraft_line)
    return text


def fill(task, rendered, ti, native):
    """Puts the rendered texts and the values of other tasks into the task's arguments."""
    for field in fields(task):
        value = getattr(task, field, None)
        if value is not None:
            setattr(task, field, _filled(value, field, rendered, ti, native))


def _filled(value, place, rendered, ti, native):
    if is_later(value):
        return value._updraft_value(ti)
    if isinstance(value, str):
        if place in rendered:
            return _as_native(rendered[place]) if native else rendered[place]
        # Jinja takes one line break off the end of every text.
        return value[:-1] if value.endswith("\n") else value
    if isinstance(value, dict):
        return {key: _filled(inner, "%s[%r]" % (place, key), rendered, ti, native) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, "%s[%d]" % (place, at), rendered, ti, native) for at, inner in enumerate(value)]
    if isinstance(value, tuple):
        filled = [_filled(inner, "%s[%d]" % (place, at), rendered, ti, native) for at, inner in enumerate(value)]
        return type(value)(*filled) if hasattr(value, "_fields") else tuple(filled)
    return value


def _as_native(text):
    import ast

    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _pod_of(task):
    """The image and the pod that `executor_config` asks for, for workers that run pods."""
    from airflow._kubernetes import to_json

    config = task.executor_config
    if not config:
        return {}
    where = "executor_config of task %s" % task.task_id
    if not isinstance(config, dict):
        raise InvalidArgument("%s is a %s, not a dict" % (where, type(config).__name__), "write {\"pod_override\": V1Pod(…)}")
    found, pod = {}, {}
    if config.get("pod_override") is not None:
        pod = to_json(config["pod_override"], where)
        image = _image_of(pod)
        if image:
            found["image"] = image
    old = config.get("KubernetesExecutor") or {}
    if isinstance(old, dict) and old:
        if old.get("image"):
            found["image"] = str(old["image"])
        limits = {
            part: {name: str(old["%s_%s" % (word, name)]) for name in ("cpu", "memory") if old.get("%s_%s" % (word, name))}
            for part, word in (("requests", "request"), ("limits", "limit"))
        }
        resources = {part: given for part, given in limits.items() if given}
        if resources:
            found["container_resources"] = resources
        known = {"image", "request_cpu", "request_memory", "limit_cpu", "limit_memory"}
        unknown = sorted(set(old) - known)
        if unknown:
            _session.current().warn("%s: %s of KubernetesExecutor has no effect: write a pod_override" % (where, ", ".join(unknown)),
                                    task._updraft_line)
    if pod:
        found["full_pod_spec"] = pod
    return found


def _image_of(pod):
    for container in (pod.get("spec") or {}).get("containers") or []:
        if container.get("name") == "base":
            return container.get("image")
    return None

