from airflow import DAG
from airflow.operators.bash import BashOperator

# factory.py has it, too.
with DAG("factory_red"):
    BashOperator(task_id="a", bash_command="true")
