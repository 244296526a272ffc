from airflow import DAG
from airflow.operators.empty import EmptyOperator
from airflow.timetables.base import Timetable


class Workdays(Timetable):
    def next_dagrun_info(self, *, last_automated_data_interval, restriction):
        return None

    def infer_manual_data_interval(self, run_after):
        return None


with DAG("custom_timetable", schedule=Workdays()):
    EmptyOperator(task_id="a")
