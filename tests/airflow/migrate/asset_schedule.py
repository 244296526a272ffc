from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Asset

with DAG("asset_schedule", schedule=[Asset("s3://bucket/orders")]):
    BashOperator(task_id="a", bash_command="true")
