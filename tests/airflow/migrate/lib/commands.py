"""What is done, for the DAG files of airflow beside it."""


def command(name):
    return "echo " + name
