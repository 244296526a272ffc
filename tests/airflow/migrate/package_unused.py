import boto3
from airflow import DAG
from airflow.operators.bash import BashOperator

client = boto3.client


with DAG("package_unused"):
    BashOperator(task_id="a", bash_command="true")
