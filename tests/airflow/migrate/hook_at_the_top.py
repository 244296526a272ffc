from airflow import DAG
from airflow.operators.bash import BashOperator
from airflow.providers.postgres.hooks.postgres import PostgresHook

with DAG("hook_at_the_top"):
    for (table,) in PostgresHook("db").get_records("select name from tables"):
        BashOperator(task_id=table, bash_command="true")
