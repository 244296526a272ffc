"""`with setup_task >> teardown_task:`: what is made inside stands between the two."""

# Innermost last: [setup or teardown tasks, tasks made inside].
_open = []


class SetupTeardownContext:
    """Airflow's name for what such a `with` gives."""

    @staticmethod
    def add_task(task):
        """Counts a task that was made elsewhere as made inside."""
        note(getattr(task, "operator", task))


def clear():
    """Forgets what a file left open."""
    del _open[:]


def enter(tasks):
    """Begins a scope of setup or teardown tasks."""
    from airflow._problem import InvalidArgument

    for task in tasks:
        if not task.is_setup and not task.is_teardown:
            raise InvalidArgument("task %s is neither setup nor teardown, and stands in a `with`" % task.task_id,
                                  "write with task.as_setup(): or with task.as_teardown():")
    _open.append((tasks, []))


def note(task):
    """Counts a new task as made inside the innermost scope."""
    if _open and not task.is_setup and not task.is_teardown:
        _open[-1][1].append(task)


def leave():
    """Ends a scope: setups before what was made inside, teardowns after it, and scopes within scopes in their order."""
    tasks, inside = _open.pop()
    inside = [task for task in inside if not task.is_setup and not task.is_teardown]
    setups, teardowns = _both_ends(tasks)
    outer = _both_ends(_open[-1][0]) if _open else ([], [])
    if inside:
        # Asked before anything is joined: the arrows that come now do not count.
        first = [task for task in inside if not task.upstream_task_ids] or inside[:1]
        last = [task for task in inside if not task.downstream_task_ids] or inside[-1:]
        for task in first:
            _join(setups, [task])
        for task in last:
            _join([task], teardowns)
    if outer[0]:
        _join(outer[0], setups)
    if outer[1]:
        _join(teardowns, outer[1])


def _both_ends(tasks):
    """The setups and the teardowns of a scope: those that it names, and those at the other end of their arrows."""
    if tasks[0].is_teardown:
        return _nearest(tasks, "upstream_list", "is_setup"), list(tasks)
    return list(tasks), _nearest(tasks, "downstream_list", "is_teardown")


def _nearest(tasks, direction, what):
    seen = set(task.task_id for task in tasks)
    waiting = list(tasks)
    while waiting:
        around = []
        for task in waiting:
            for other in getattr(task, direction):
                if other.task_id not in seen:
                    seen.add(other.task_id)
                    around.append(other)
        found = [task for task in around if getattr(task, what)]
        if found:
            return found
        waiting = around
    return []


def _join(before, after):
    for first in before:
        for second in after:
            if first is not second:
                first.set_downstream(second)
