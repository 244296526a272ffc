"""Four pods in the shape of a diamond: t1, then t2 and t3 side by side, then t4.

The commands are plain bash, so the same file runs on a cluster (one pod each) and under `updraft standalone` without one, where each
command is a process of this machine and the image is passed over.
"""

from datetime import datetime, timedelta

from airflow import DAG
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator

with DAG(
    "diamond",
    description="t1, then t2 and t3 side by side, then t4",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    default_args={"owner": "examples", "retries": 1, "retry_delay": timedelta(seconds=5)},
    tags=["example"],
) as dag:

    def step(name, seconds):
        return KubernetesPodOperator(
            task_id=name,
            name=name,
            image="debian:stable-slim",
            cmds=["bash", "-c"],
            arguments=[f"echo {name} of {{{{ ds }}}} begins; sleep {seconds}; echo {name} is done"],
            container_resources={"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
            on_finish_action="delete_pod",
        )

    t1 = step("t1", 0.2)
    t2 = step("t2", 0.5)
    t3 = step("t3", 0.3)
    t4 = step("t4", 0)

    t1 >> [t2, t3] >> t4
