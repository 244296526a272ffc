"""`with setup_task >> teardown_task:`: what is made inside stands between the two.

Airflow keeps one scope of setups and one of teardowns, each with those around it, and ends both at the end of any `with`. What follows
from that in scopes within scopes is kept here as it is there: arrows must be the same.
"""


class _Scope:
    """The innermost tasks of one sort that stand in a `with`, and the outer ones; likewise those at the other end of their arrows."""

    def __init__(self):
        self.tasks = []
        self.outer = []

    def push(self, tasks):
        if self.tasks and self.tasks != tasks:
            self.outer.append(self.tasks)
        self.tasks = tasks

    def pop(self):
        """The scope that ends, and the one that it was in."""
        ended, self.tasks = self.tasks, self.outer.pop() if self.outer else []
        return ended, self.tasks


_setups, _teardowns, _setups_before, _teardowns_after = _Scope(), _Scope(), _Scope(), _Scope()
_made = {}
_active = False


class SetupTeardownContext:
    """Airflow's name for what such a `with` gives."""

    @staticmethod
    def add_task(task):
        """Counts a task that was made elsewhere as made inside."""
        note(getattr(task, "operator", task))


def clear():
    """Forgets what a file left open."""
    global _active
    _active = False
    _made.clear()
    for scope in (_setups, _teardowns, _setups_before, _teardowns_after):
        scope.__init__()


def enter(task):
    """Begins a scope of a setup or teardown task."""
    global _active
    from airflow._problem import InvalidArgument

    if task.is_teardown:
        _teardowns.push([task])
        _setups_before.push(_nearest(task, task.upstream_list, "is_setup"))
    elif task.is_setup:
        _setups.push([task])
        _teardowns_after.push(_nearest(task, task.downstream_list, "is_teardown"))
    else:
        raise InvalidArgument("task %s is neither setup nor teardown, and stands in a `with`" % task.task_id,
                              "write with task.as_setup(): or with task.as_teardown():")
    _active = True


def note(task):
    """Counts a new task as made inside."""
    if _active and not task.is_setup and not task.is_teardown:
        for scope in (_setups, _teardowns):
            if scope.tasks:
                _made.setdefault(scope.tasks[0], []).append(task)


def leave():
    """Ends a scope: setups before what was made inside, teardowns after it, and scopes within scopes in their order."""
    global _active
    inside = _inside(_setups)
    if inside:
        _join(_setups.tasks, _without(inside, "upstream_task_ids") or inside[:1])
        last = _without(inside, "downstream_task_ids") or inside[-1:]
        _join(_teardowns.tasks or last, _teardowns_after.tasks)
    inside = _inside(_teardowns)
    if inside:
        _join(_without(inside, "downstream_task_ids") or inside[-1:], _teardowns.tasks)
        first = _without(inside, "upstream_task_ids") or inside[:1]
        _join(_setups_before.tasks, _setups.tasks or first)
    for scope in (_setups, _teardowns):
        for task in scope.tasks:
            _made.pop(task, None)
    for scope, outer_is_first in ((_setups, True), (_teardowns, False), (_teardowns_after, False), (_setups_before, True)):
        ended, outer = scope.pop()
        _join(*((outer, ended) if outer_is_first else (ended, outer)))
    _active = False


def _inside(scope):
    made = _made.get(scope.tasks[0], []) if scope.tasks else []
    return [task for task in made if not task.is_setup and not task.is_teardown]


def _without(tasks, arrows):
    return [task for task in tasks if not getattr(task, arrows)]


def _nearest(task, waiting, what):
    """The next tasks of one sort along the arrows."""
    seen = {task.task_id}
    while waiting:
        found = [one for one in waiting if getattr(one, what)]
        if found:
            return found
        seen.update(one.task_id for one in waiting)
        around = [other for one in waiting for other in one.downstream_list + one.upstream_list if other.task_id not in seen]
        waiting = list({other.task_id: other for other in around}.values())
    return []


def _join(before, after):
    for first in before:
        for second in after:
            if first is not second:
                first.set_downstream(second)
