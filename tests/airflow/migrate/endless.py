from airflow import DAG

while True:
    dag = DAG("endless")
