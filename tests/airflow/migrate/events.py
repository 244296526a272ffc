from airflow import DAG
from airflow.providers.standard.operators.bash import BashOperator
from airflow.timetables.events import EventsTimetable
import pendulum

with DAG("events", schedule=EventsTimetable([pendulum.datetime(2026, 12, 24), pendulum.datetime(2027, 12, 24)])):
    BashOperator(task_id="a", bash_command="echo {{ ds }}")
