from airflow import DAG
from airflow.models import Variable
from airflow.operators.bash import BashOperator

with DAG("variable_default"):
    BashOperator(task_id="a", bash_command="echo " + Variable.get("region", default_var="eu"))
