"""Arrows, groups, values of other tasks, the `@dag` decorator, which DAGs of a file count."""

from reader import FileCase

HEAD = """
from datetime import datetime, timedelta
from airflow.sdk import *
from airflow.operators.empty import EmptyOperator
from airflow.operators.bash import BashOperator
def E(name, **more):
    return EmptyOperator(task_id=name, **more)
"""


class Graph(FileCase):
    def arrows(self, body):
        """Upstreams by task of a DAG with this body."""
        lines = "\n".join("    " + line for line in body.splitlines())
        dag = self.dag(HEAD + "with DAG('d') as dag:\n" + lines + "\n")
        return {task["task_id"]: task["upstream"] for task in dag["tasks"]}

    def test_lists_and_chains(self):
        self.assertEqual(self.arrows("a, b, c, d = [E(x) for x in 'abcd']\na >> [b, c] >> d\n[b] << a"),
                         {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]})
        self.assertEqual(self.arrows("a, b, c, d, e, f = [E(x) for x in 'abcdef']\nchain(a, [b, c], [d, e], f)"),
                         {"a": [], "b": ["a"], "c": ["a"], "d": ["b"], "e": ["c"], "f": ["d", "e"]})
        self.assertEqual(self.arrows("a, b, c, d = [E(x) for x in 'abcd']\ncross_downstream([a, b], [c, d])"),
                         {"a": [], "b": [], "c": ["a", "b"], "d": ["a", "b"]})
        self.assertEqual(self.arrows("a, b, c, d = [E(x) for x in 'abcd']\nchain_linear(a, [b, c], d)"),
                         {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]})

    def test_labels(self):
        self.assertEqual(self.arrows("a, b, c = [E(x) for x in 'abc']\na >> Label('yes') >> [b, c]"), {"a": [], "b": ["a"], "c": ["a"]})
        self.assertEqual(self.arrows("a, b, c = [E(x) for x in 'abc']\n[a, b] >> Label('yes') >> c"), {"a": [], "b": [], "c": ["a", "b"]})
        self.assertEqual(self.arrows("a, b, c = [E(x) for x in 'abc']\nchain(a, Label('l'), b)\nc << Label('m') << a"),
                         {"a": [], "b": ["a"], "c": ["a"]})

    def test_groups(self):
        self.assertEqual(self.arrows(
            "s, e = E('s'), E('e')\n"
            "with TaskGroup('g', default_args={'owner': 'g'}) as g:\n"
            "    a, b = E('a'), E('b')\n"
            "    a >> b\n"
            "    with TaskGroup('h') as h:\n"
            "        c = E('c')\n"
            "    with TaskGroup('i', prefix_group_id=False):\n"
            "        E('x')\n"
            "h >> b\n"
            "s >> g >> e"
        ), {"s": [], "e": ["g.b", "x"], "g.a": ["s"], "g.b": ["g.a", "g.h.c"], "g.h.c": ["s"], "x": ["s"]})

    def test_groups_that_ids_do_not_begin_with(self):
        dag = self.dag(HEAD + "with DAG('d'):\n    with TaskGroup('g'):\n        E('a')\n        with TaskGroup('h', prefix_group_id=False):\n"
                       "            E('b')\n            with TaskGroup('i'):\n                E('c')\n"
                       "    with TaskGroup('j', prefix_group_id=False):\n        with TaskGroup('k', prefix_group_id=False):\n            E('e')\n    E('f')\n")
        self.assertEqual({task["task_id"]: task.get("groups") for task in dag["tasks"]},
                         {"g.a": None, "b": ["g", "g.h"], "i.c": ["g", "g.h"], "e": ["j", "k"], "f": None})

    def test_group_functions(self):
        self.assertEqual(self.arrows(
            "@task_group\n"
            "def g(n):\n"
            "    E('a') >> E('b%d' % n)\n"
            "@task_group(group_id='other')\n"
            "def f():\n"
            "    return E('c')\n"
            "s = E('s')\n"
            "s >> g(1) >> g(2) >> f()"
        ), {"s": [], "g.a": ["s"], "g.b1": ["g.a"], "g__1.a": ["g.b1"], "g__1.b2": ["g__1.a"], "other.c": ["g__1.b2"]})

    def test_defaults_of_groups_win_over_those_of_the_dag(self):
        dag = self.dag(HEAD + "with DAG('d', default_args={'owner': 'd', 'retries': 1}):\n"
                       "    with TaskGroup('g', default_args={'owner': 'g'}):\n"
                       "        E('a')\n        E('b', owner='b', default_args={'retries': 5})\n    E('c')\n")
        self.assertEqual([(task["owner"], task["retries"]) for task in dag["tasks"]], [("g", 1), ("b", 5), ("d", 1)])

    def test_values_of_other_tasks(self):
        dag = self.dag(HEAD + "with DAG('d'):\n    a = BashOperator(task_id='a', bash_command='echo')\n"
                       "    BashOperator(task_id='b', bash_command='x', env={'V': a.output, 'W': a.output['k']})\n"
                       "    BashOperator(task_id='c', bash_command=f'echo {a.output}') >> BashOperator(task_id='e', bash_command=a.output)\n")
        self.assertEqual([task["upstream"] for task in dag["tasks"]], [[], ["a"], [], ["a", "c"]])
        self.assertEqual(dag["tasks"][1]["run"]["env"]["W"], "{{ task_instance.xcom_pull(task_ids='a', key='k') }}")

    def test_dag_functions(self):
        dag = self.dag(HEAD + "@dag(schedule='@daily', tags=['x'])\ndef made(n: int = 3, *, name='x'):\n    '''Words.'''\n"
                       "    BashOperator(task_id='a', bash_command=f'echo {n}', env={'N': n})\nmade(name='y')\n")
        self.assertEqual((dag["dag_id"], dag["doc_md"]), ("made", "Words."))
        self.assertEqual(dag["params"], {"n": {"value": 3}, "name": {"value": "y"}})
        self.assertEqual(dag["tasks"][0]["run"]["bash_command"], "echo {{ params.n }}")
        self.assertEqual(dag["tasks"][0]["run"]["env"], {"N": "{{ params.n }}"})
        self.dag(HEAD + "@dag\ndef bare():\n    E('a')\nx = bare()\n")

    def test_old_ways_into_a_dag(self):
        dag = self.dag(HEAD + "dag = DAG('d')\na, b, c = E('a'), E('b', dag=dag), E('c')\na >> b\nc.dag = dag\ne = E('e')\ndag >> e\n"
                       "f = E('f')\nf >> dag\n")
        self.assertEqual({task["task_id"] for task in dag["tasks"]}, {"a", "b", "c", "e", "f"})

    def test_which_dags_count(self):
        answer = self.read(HEAD + "def make(name):\n    return DAG(name)\nmake('lost')\nglobals()['kept'] = make('kept')\n"
                           "for n in 'xy':\n    with DAG(n):\n        E('a')\n"
                           "with DAG('no', auto_register=False):\n    pass\nE('alone')\n")
        self.assertEqual([dag["dag_id"] for dag in answer["dags"]], ["kept", "x", "y"])
        messages = " ".join(warning["message"] for warning in answer["warnings"])
        self.assertIn("DAG lost is made but not kept", messages)
        self.assertIn("task alone belongs to no DAG", messages)

    def test_helpers_and_data_count_for_the_cache(self):
        self.write("lib/helper.py", "from lib.deep import NAME\nimport os\nHERE = os.path.dirname(__file__)\n")
        self.write("lib/__init__.py", "")
        self.write("lib/deep.py", "NAME = 'n'\n")
        self.write("lib/conf/one.txt", "1")
        self.write("sub/beside.py", "X = 1\n")
        answer = self.read(HEAD + "import os, glob\nfrom lib.helper import NAME, HERE\nimport beside\n"
                           "names = [open(os.path.join(HERE, 'conf', n)).read() for n in os.listdir(HERE + '/conf')]\n"
                           "with DAG(NAME):\n    [E('t' + n) for n in names]\n", name="sub/a.py")
        self.assertEqual(answer["errors"], [])
        self.assertEqual([task["task_id"] for task in answer["dags"][0]["tasks"]], ["t1"])
        under = [path[len(self.root) + 1:] for path in answer["modules"]]
        self.assertEqual(under, ["lib/__init__.py", "lib/conf/one.txt", "lib/deep.py", "lib/helper.py", "sub/beside.py"])
        self.assertEqual(answer["folders"], [self.root + "/lib/conf"])
