from airflow import DAG
from airflow.operators.bash import BashOperator
from dateutil.relativedelta import relativedelta

with DAG("months", schedule=relativedelta(months=1)):
    BashOperator(task_id="a", bash_command="true")
