"""Not a DAG of airflow: what `importErrors` shows."""

raise ValueError("this file is wrong on purpose")
