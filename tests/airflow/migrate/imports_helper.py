from airflow import DAG
from airflow.operators.bash import BashOperator
from lib.commands import command

with DAG("imports_helper"):
    BashOperator(task_id="a", bash_command=command("a"))
