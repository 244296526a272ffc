"""What the provider's system tests import and its sdist does not have: how pytest would run a DAG."""


def get_test_run(dag, **kwargs):
    """Nothing that is ever called here."""
    return lambda: None


get_test_env_id = lambda: "facts"  # noqa: E731
