from airflow import DAG

dag = DAG("raises_html")
raise ValueError("<script>alert('owned')</script><img src=x onerror=alert(1)>")
