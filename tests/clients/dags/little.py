"""DAGs that the tests of clients read, run and break. Every name here is in a test."""

from datetime import datetime, timedelta

from airflow import DAG
from airflow.models.param import Param
from airflow.operators.bash import BashOperator
from airflow.operators.empty import EmptyOperator
from airflow.utils.task_group import TaskGroup

START = datetime(2026, 1, 1)

# What most reads are made of.
with DAG(
    "little",
    dag_display_name="The little one",
    description="three tasks, one after another",
    doc_md="# Little\n\nIt says hello.",
    schedule=None,
    start_date=START,
    tags=["clients", "greeting"],
    default_args={"owner": "ada"},
    max_active_runs=7,
) as little:
    hello = BashOperator(task_id="hello", bash_command="for n in 1 2 3; do echo line $n of {{ run_id }}; done")
    world = BashOperator(task_id="world", bash_command="echo world", pool="default_pool", priority_weight=5)
    end = EmptyOperator(task_id="end", owner="grace")
    hello >> world >> end

# One that fails after a second try, with one that never begins behind it.
with DAG("broken_heart", schedule=None, start_date=START, tags=["clients"]) as broken_heart:
    broken = BashOperator(task_id="broken", bash_command="echo oh no; exit 7", retries=1, retry_delay=timedelta(milliseconds=10))
    after = EmptyOperator(task_id="after")
    broken >> after

# One that is still running when it is looked at.
with DAG("patient", schedule=None, start_date=START, tags=["clients"]) as patient:
    sleep = BashOperator(task_id="sleep", bash_command="echo asleep; exec sleep 600")
    later = EmptyOperator(task_id="later")
    sleep >> later

# Many runs, at once.
with DAG("crowd", schedule=None, start_date=START, tags=["clients"], max_active_runs=16) as crowd:
    EmptyOperator(task_id="one")
    EmptyOperator(task_id="two")

# Has intervals of the past, for backfills; starts out paused, so that it has no run of its own.
with DAG("daily", schedule="@daily", start_date=START, catchup=False, is_paused_upon_creation=True, tags=["clients"]) as daily:
    BashOperator(task_id="say", bash_command="echo {{ ds }} {{ params.greeting }}", params={"greeting": "hi"})

# The same, of which each run needs the one before it.
with DAG("chained", schedule="@daily", start_date=START, catchup=False, is_paused_upon_creation=True, tags=["clients"]) as chained:
    BashOperator(task_id="link", bash_command="true", depends_on_past=True)

with DAG("grouped", schedule=None, start_date=START, tags=["clients"]) as grouped:
    first = EmptyOperator(task_id="first")
    with TaskGroup("block") as block:
        EmptyOperator(task_id="a") >> EmptyOperator(task_id="b")
    first >> block

with DAG(
    "choosy",
    schedule=None,
    start_date=START,
    tags=["clients"],
    params={"region": Param("eu", type="string", enum=["eu", "us"]), "rows": Param(1, type="integer", minimum=1)},
) as choosy:
    BashOperator(task_id="choose", bash_command="echo {{ params.region }} {{ params.rows }}")
