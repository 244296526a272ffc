import pandas as pd
from airflow import DAG
from airflow.operators.bash import BashOperator

with DAG("package_needed"):
    for table in pd.read_csv("tables.csv")["name"]:
        BashOperator(task_id=table, bash_command="true")
