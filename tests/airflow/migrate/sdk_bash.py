from datetime import datetime

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG("sdk_bash", schedule="@daily", start_date=datetime(2026, 1, 1)):
    BashOperator(task_id="a", bash_command="echo {{ logical_date }}") >> BashOperator(task_id="b", bash_command="echo b")
