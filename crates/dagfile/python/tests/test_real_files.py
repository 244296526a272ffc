"""The files that must load as they stand."""

import os
import re
import unittest

from reader import SHARED, FileCase, check_shape


def seed_example():
    """The Python example of the article, cut out of it."""
    folder = os.path.join(SHARED, "seed")
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
            found = re.search(r"```\s*\n(from datetime import.*?)\n```", file.read(), re.S)
        if found:
            return found.group(1) + "\n"
    raise AssertionError("no example in the article")


class RealFiles(FileCase):
    @unittest.skipUnless(os.path.isdir(os.path.join(SHARED, "seed")), "the article is not here")
    def test_the_article(self):
        dag = self.dag(seed_example())
        self.assertEqual(dag["dag_id"], "kube-operator")
        self.assertEqual(dag["schedule"], {"kind": "delta", "every_ms": 86400000})
        self.assertEqual(dag["start_date"], "2015-06-01T00:00:00Z")
        self.assertNotIn("semantics", dag)
        self.assertNotIn("catchup", dag)
        self.assertEqual([(task["task_id"], task["upstream"]) for task in dag["tasks"]],
                         [("pod1", []), ("pod2", ["pod1"]), ("pod3", ["pod1"]), ("pod4", ["pod2", "pod3"])])
        task = dag["tasks"][0]
        self.assertEqual(task["run"], {
            "kind": "pod", "image": "ubuntu:16.04", "name": "pod1", "namespace": "airflow", "cmds": ["bash", "-cx"],
            "arguments": ["echo", "hello world"], "labels": {"runner": "airflow"}, "on_finish_action": "delete_pod",
            "do_xcom_push": False,
        })
        self.assertEqual((task["retries"], task["retry_delay_ms"], task["operator"]), (1, 300000, "KubernetesPodOperator"))

    @unittest.skipUnless(os.path.isdir(os.path.join(SHARED, "airflow-bench")), "the benchmark is not here")
    def test_the_benchmark(self):
        folder = os.path.join(SHARED, "airflow-bench", "dags")
        answer = self.reader.ask(os.path.join(folder, "bench.py"), folder)
        self.assertEqual((answer["errors"], answer["warnings"]), ([], []))
        self.assertEqual([(dag["dag_id"], len(dag["tasks"])) for dag in answer["dags"]],
                         [("one", 1), ("chain40", 40), ("fan200", 200), ("fan1000", 1000)])
        for dag in answer["dags"]:
            check_shape(self, dag)
            self.assertEqual((dag["catchup"], dag["max_active_tasks"], dag["schedule"]), (False, 2000, {"kind": "none"}))
        self.assertEqual(answer["dags"][1]["tasks"][39]["upstream"], ["t0038"])

    def test_airflow_1(self):
        answer = self.read('''
            """Written for Airflow 1.10."""
            from datetime import timedelta
            from airflow import DAG
            from airflow.operators.bash_operator import BashOperator
            from airflow.operators.dummy_operator import DummyOperator
            from airflow.utils.dates import days_ago

            default_args = {
                'owner': 'data', 'depends_on_past': True, 'start_date': days_ago(2), 'email': ['a@example.com'],
                'email_on_failure': True, 'retries': 3, 'retry_delay': timedelta(minutes=1), 'queue': 'bash_queue',
                'not_an_argument': 1,
            }
            dag = DAG('tutorial', default_args=default_args, description='A tutorial', schedule_interval=timedelta(days=1), concurrency=4)
            dag.doc_md = __doc__
            start = DummyOperator(task_id='start', dag=dag, trigger_rule='dummy')
            t1 = BashOperator(task_id='print_date', bash_command='date', dag=dag)
            t2 = BashOperator(task_id='sleep', depends_on_past=False, bash_command='sleep 5', retries=1, dag=dag)
            templated = """
            {% for i in range(5) %}
                echo "{{ ds }}"
                echo "{{ macros.ds_add(ds, 7)}}"
                echo "{{ params.my_param }}"
            {% endfor %}
            """
            t3 = BashOperator(task_id='templated', bash_command=templated, params={'my_param': 'Parameter I passed in'}, dag=dag)
            t1.set_upstream(start)
            t1.set_downstream([t2, t3])
        ''')
        self.assertEqual(answer["errors"], [])
        dag = answer["dags"][0]
        check_shape(self, dag)
        by_id = {task["task_id"]: task for task in dag["tasks"]}
        self.assertEqual(list(by_id), ["start", "print_date", "sleep", "templated"])
        self.assertEqual(by_id["templated"]["upstream"], ["print_date"])
        self.assertEqual(by_id["print_date"]["upstream"], ["start"])
        self.assertEqual(by_id["templated"]["params"], {"my_param": {"value": "Parameter I passed in"}})
        self.assertIn("macros.ds_add(ds, 7)", by_id["templated"]["run"]["bash_command"])
        self.assertEqual((by_id["sleep"]["retries"], by_id["sleep"]["depends_on_past"], by_id["sleep"]["queue"]), (1, False, "bash_queue"))
        self.assertEqual((by_id["start"]["run"], by_id["start"]["operator"]), ({"kind": "empty"}, "DummyOperator"))
        self.assertEqual(by_id["start"]["trigger_rule"], "always")
        self.assertEqual((dag["max_active_tasks"], dag["doc_md"]), (4, "Written for Airflow 1.10."))
        self.assertEqual([warning["message"].split()[0] for warning in answer["warnings"]], ["days_ago()", "email"])
        self.assertEqual(answer["warnings"][0]["line"], 10)
