"""A first tour: bash tasks, templates, params and tasks made in a loop.

Every day at midnight (UTC) once it is switched on; days that went by before are not made up, since catchup is off.
"""

from datetime import datetime, timedelta

from airflow import DAG
from airflow.operators.bash import BashOperator

REGIONS = ["north", "south", "east"]

with DAG(
    dag_id="tutorial_bash",
    description="templates, params and a loop",
    schedule="@daily",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "examples", "retries": 2, "retry_delay": timedelta(seconds=10)},
    params={"greeting": "hello", "rows": 3},
    tags=["example", "tutorial"],
) as dag:
    dag.doc_md = __doc__

    greet = BashOperator(
        task_id="greet",
        # What somebody says who triggers it goes by the environment: in the text of a command it would be run.
        bash_command='echo "$GREETING: this run is for {{ ds }}, a week later it is {{ macros.ds_add(ds, 7) }}"',
        env={"GREETING": "{{ params.greeting }}"},
        append_env=True,
    )

    report = BashOperator(
        task_id="report",
        bash_command='echo "run $RUN of {{ dag.dag_id }} covers $FIRST to $LAST"',
        env={"RUN": "{{ run_id }}", "FIRST": "{{ data_interval_start }}", "LAST": "{{ data_interval_end }}"},
        append_env=True,
    )

    for region in REGIONS:
        count = BashOperator(
            task_id=f"count_{region}",
            bash_command=f"""
                {{% for row in range(params.rows) %}}
                echo {region}: row {{{{ row + 1 }}}}
                {{% endfor %}}
            """,
        )
        greet >> count >> report
