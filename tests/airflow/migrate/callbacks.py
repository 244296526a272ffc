from airflow import DAG
from airflow.operators.bash import BashOperator


def tell(context):
    print(context)


with DAG("callbacks", on_failure_callback=tell, default_args={"email": "a@example.com", "email_on_failure": True}):
    BashOperator(task_id="a", bash_command="true")
