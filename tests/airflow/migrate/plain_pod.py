from airflow import DAG
from airflow.contrib.operators.kubernetes_pod_operator import KubernetesPodOperator
from datetime import datetime

with DAG("plain_pod", schedule_interval="30 6 * * *", start_date=datetime(2026, 1, 1)) as dag:
    KubernetesPodOperator(task_id="load", name="load", namespace="jobs", image="etl:1", cmds=["etl"], arguments=["--day", "{{ ds }}"])
