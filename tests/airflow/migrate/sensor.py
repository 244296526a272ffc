from airflow import DAG
from airflow.operators.bash import BashOperator
from airflow.providers.amazon.aws.sensors.s3 import S3KeySensor

with DAG("sensor", schedule="@daily"):
    S3KeySensor(task_id="wait", bucket_key="s3://b/{{ ds }}") >> BashOperator(task_id="a", bash_command="true")
