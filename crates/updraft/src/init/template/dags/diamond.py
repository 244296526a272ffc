"""The diamond: t1, then t2 and t3 side by side, then t4. Each is a pod of this repository's own image (image/).

What a task is goes into the image, what waits for what goes here: the code of a task changes without a change of the DAG, and the other way round.
"""

from datetime import datetime, timedelta

from airflow import DAG
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator

# The version is that of image/VERSION; `make check` says when they differ.
IMAGE = "@@image@@:0.1.0"

with DAG(
    "@@name@@_diamond",
    description="extract, two parts side by side, load",
    schedule=timedelta(days=1),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    default_args={
        "owner": "@@name@@",
        "retries": 1,
        "retry_delay": timedelta(minutes=5),
        "image": IMAGE,
        "do_xcom_push": True,
        "on_finish_action": "delete_pod",
        "container_resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
    },
    tags=["@@name@@"],
) as dag:

    def part(task_id, name):
        return KubernetesPodOperator(
            task_id=task_id,
            name=task_id,
            cmds=["task"],
            arguments=["transform", "--part", name, "--rows", "{{ ti.xcom_pull(task_ids='t1')['rows'] }}"],
        )

    # No rows before 2020: the image says so by exit code 99, and what comes after is skipped.
    t1 = KubernetesPodOperator(task_id="t1", name="t1", cmds=["task"], arguments=["extract", "--day", "{{ ds }}"], skip_on_exit_code=99)
    t2 = part("t2", "even")
    t3 = part("t3", "odd")
    t4 = KubernetesPodOperator(
        task_id="t4",
        name="t4",
        cmds=["task"],
        arguments=[
            "load",
            "--total",
            "{{ ti.xcom_pull(task_ids='t2')['total'] }}",
            "--total",
            "{{ ti.xcom_pull(task_ids='t3')['total'] }}",
        ],
    )

    t1 >> [t2, t3] >> t4
