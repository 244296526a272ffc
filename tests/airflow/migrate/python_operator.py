from airflow import DAG
from airflow.operators.python import PythonOperator
import pendulum

with DAG("python_operator", schedule=None, start_date=pendulum.datetime(2026, 1, 1)):
    for name in ("one", "two", "three"):
        PythonOperator(task_id=name, python_callable=print, op_args=[name])
