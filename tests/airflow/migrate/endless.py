from airflow import DAG

dag = DAG("endless")
while True:
    pass
