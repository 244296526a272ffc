"""What the provider's system tests import and its sdist does not have: a task that fails the run when any other fails."""

from airflow.sdk import task


@task(trigger_rule="one_failed", retries=0)
def watcher():
    """Fails."""
    raise RuntimeError("a task of this run has failed")
