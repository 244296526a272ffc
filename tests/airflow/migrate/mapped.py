from airflow import DAG
from airflow.operators.bash import BashOperator

with DAG("mapped"):
    BashOperator.partial(task_id="a").expand(bash_command=["echo 1", "echo 2"])
