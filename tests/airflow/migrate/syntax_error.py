from airflow import DAG

with DAG("syntax_error", schedule="@daily") as dag
    pass
