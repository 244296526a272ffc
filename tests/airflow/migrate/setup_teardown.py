from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG("setup_teardown"):
    make = BashOperator(task_id="make", bash_command="true").as_setup()
    use = BashOperator(task_id="use", bash_command="true")
    make >> use >> BashOperator(task_id="drop", bash_command="true").as_teardown(setups=make)
