from airflow import DAG
from airflow.operators.bash import BashOperator

with DAG("yaml_macro"):
    BashOperator(task_id="a", bash_command="echo {{ macros.hive.max_partition('t') }} {{ macros.ds_add(ds, 1) }}")
