from airflow import DAG
from airflow.models import Variable
from airflow.operators.bash import BashOperator

with DAG("variable_needed"):
    for region in Variable.get("regions", deserialize_json=True):
        BashOperator(task_id=region, bash_command="true")
