from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG("sdk_bash", schedule="@daily"):
    BashOperator(task_id="a", bash_command="echo {{ logical_date }}") >> BashOperator(task_id="b", bash_command="echo b")
