from airflow import DAG
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator


class Etl(KubernetesPodOperator):
    def __init__(self, table, **kwargs):
        super().__init__(image="etl:1", arguments=["--table", table], **kwargs)
        self.table = table


with DAG("pod_subclass"):
    Etl(task_id="orders", table="orders")
