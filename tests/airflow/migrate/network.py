import socket

from airflow import DAG

address = socket.create_connection(("192.0.2.1", 80), 1)
dag = DAG("network")
