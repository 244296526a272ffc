from airflow import DAG
from airflow.operators.bash import BashOperator

with DAG("wrong_argument"):
    BashOperator(task_id="a", bash_comand="true")
