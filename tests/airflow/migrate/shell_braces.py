from airflow import DAG
from airflow.operators.bash import BashOperator

with DAG("shell_braces"):
    BashOperator(task_id="count", bash_command="list=(a b)\necho ${#list[@]}")
