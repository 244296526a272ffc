from airflow import DAG
from airflow.operators.bash import BashOperator

for team in ("red", "blue"):
    with DAG("factory_" + team, schedule="@hourly") as made:
        BashOperator(task_id="a", bash_command="echo " + team)
    globals()["dag_" + team] = made
