"""Which `with dag:` and `with group:` the file is in."""

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
