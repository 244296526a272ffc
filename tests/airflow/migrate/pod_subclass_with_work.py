from airflow import DAG
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator


class Checked(KubernetesPodOperator):
    def execute(self, context):
        print("before")
        return super().execute(context)


with DAG("pod_subclass_with_work"):
    Checked(task_id="a", image="etl:1")
