from airflow import DAG
from airflow.operators.bash import BashOperator

with DAG("user_macros", user_defined_macros={"bucket": "s3://b", "double": lambda x: 2 * x}):
    BashOperator(task_id="a", bash_command="echo one\necho {{ bucket }}/{{ double(2) }}")
