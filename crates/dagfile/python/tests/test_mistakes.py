"""What the error page gets: kind, line, remedy."""

from reader import FileCase

HEAD = "from airflow import DAG\nfrom airflow.operators.bash import BashOperator\n"


class Mistakes(FileCase):
    def test_syntax(self):
        error = self.error("# airflow dag\nx = 1\nif x\n    y\n", "syntax")
        self.assertEqual(error["line"], 3)
        self.assertGreater(error["column"], 0)
        self.assertIn("if x", error["traceback"])
        self.assertEqual(self.error("# airflow dag\nx = (\n", "syntax")["line"], 2)
        self.assertEqual(self.error("# airflow dag\nif 1:\nx\n", "syntax")["line"], 3)

    def test_bytes_that_are_no_text(self):
        self.assertEqual(self.error(b"# airflow dag\nx = '\xff'\n", "syntax")["line"], 2)
        self.assertEqual(self.error(b"# airflow dag\n\nx = 1\0\n", "syntax")["line"], 3)
        self.error(b"# -*- coding: nonsense -*-\n# airflow dag\n", "syntax")
        self.dag(b"# -*- coding: latin-1 -*-\nfrom airflow import DAG\nx = '\xff'\nwith DAG('d'): pass\n")

    def test_syntax_of_a_helper(self):
        self.write("helper.py", "x = (\n")
        error = self.error("from airflow import DAG\nimport helper\n", "syntax")
        self.assertEqual(error["line"], 2)
        self.assertIn("helper.py line 1", error["message"])

    def test_imports(self):
        for text, message in [
            ("import numpy_of_nobody as np\nif np.x > 2:\n    pass\n", "there is no module numpy_of_nobody, and the file needs"),
            ("from helper_of_nobody import make\nfor x in make(3):\n    pass\n", "there is no module helper_of_nobody, and the file needs"),
        ]:
            error = self.error("from airflow import DAG\n" + text, "import")
            self.assertEqual(error["line"], 3)
            self.assertTrue(error["message"].startswith(message), error)
        error = self.error("from airflow import DAG\nfrom airflow.models import Vairable\n", "unsupported")
        self.assertEqual((error["line"], error["message"], error["hint"]),
                         (2, "airflow.models.Vairable is not supported", "did you mean Variable?"))
        error = self.error("from airflow import DAG\nimport airflow.operatorz.bash\n", "unsupported")
        self.assertEqual((error["line"], error["message"]), (2, "airflow.operatorz is not supported"))
        error = self.error("from airflow import DAG, settings\nfor x in settings.Session().query('dag'):\n    pass\n", "unsupported")
        self.assertEqual(error["line"], 2)
        self.assertIn("airflow.settings.Session", error["message"])
        # A package of the user's own that lacks a module is a mistake, and so is a module that cannot be read.
        self.write("own/__init__.py", "")
        self.assertEqual(self.error("from airflow import DAG\nimport own.absent\n", "import")["line"], 2)

    def test_unknown_arguments(self):
        error = self.error(HEAD + "with DAG('d'):\n    BashOperator(\n        task_id='a',\n        bash_comand='x',\n        bash_command='x')\n",
                           "invalid")
        self.assertEqual((error["message"], error["hint"]), ("BashOperator of task a has no argument bash_comand",
                                                             "did you mean bash_command?"))
        self.assertEqual(error["line"], 4)
        error = self.error(HEAD + "with DAG('d', schedul='@daily'):\n    pass\n", "invalid")
        self.assertEqual((error["message"], error["hint"], error["line"]), ("DAG d has no argument schedul", "did you mean schedule?", 3))
        error = self.error(HEAD + "with DAG('d'):\n    BashOperator(task_id='a')\n", "invalid")
        self.assertEqual((error["message"], error["line"]), ("BashOperator of task a lacks the argument bash_command", 4))
        self.assertIn("without names", self.error(HEAD + "with DAG('d'):\n    BashOperator('a')\n", "invalid")["message"])
        self.assertIn("no task_id", self.error(HEAD + "with DAG('d'):\n    BashOperator(bash_command='a')\n", "invalid")["message"])

    def test_ids(self):
        self.assertIn("' '", self.error(HEAD + "\nDAG('my dag')\n", "invalid")["message"])
        self.assertEqual(self.error(HEAD + "with DAG('d'):\n    BashOperator(task_id='a/b', bash_command='')\n", "invalid")["line"], 4)
        self.error(HEAD + "DAG('x' * 251)\n", "invalid")
        error = self.error(HEAD + "with DAG('d'):\n    for i in (1, 2):\n        BashOperator(task_id='a', bash_command='x')\n", "invalid")
        self.assertEqual((error["message"], error["line"]), ("task id a is used twice in DAG d (first in line 5)", 5))

    def test_one_id_for_two_dags(self):
        answer = self.read(HEAD + "with DAG('good'): pass\nwith DAG('d'): pass\nwith DAG('d'): pass\n")
        self.assertEqual([dag["dag_id"] for dag in answer["dags"]], ["good"])
        (error,) = answer["errors"]
        self.assertEqual((error["kind"], error["line"], error["dag_id"]), ("invalid", 5, "d"))

    def test_a_broken_dag_beside_a_good_one(self):
        answer = self.read(HEAD + "with DAG('good') as g:\n    BashOperator(task_id='a', bash_command='x')\n"
                           "with DAG('bad') as b:\n    BashOperator(task_id='a', bash_command='x', trigger_rule='all_sucess')\n")
        self.assertEqual([dag["dag_id"] for dag in answer["dags"]], ["good"])
        (error,) = answer["errors"]
        self.assertEqual((error["kind"], error["line"], error["dag_id"], error["hint"]), ("invalid", 6, "bad", "did you mean all_success?"))

    def test_values(self):
        for argument in ["retries='x'", "retries=-1", "retry_delay='x'", "pool_slots=0", "weight_rule='x'", "bash_command=None",
                         "start_date='x'", "priority_weight=2**40", "params=3", "skip_on_exit_code='x'", "env=3",
                         "retry_delay=float('nan')"]:
            text = "with DAG('d'):\n    BashOperator(**dict(dict(task_id='a', bash_command='x'), %s))\n" % argument
            self.assertEqual(self.error(HEAD + text, "invalid")["line"], 4, argument)
        for argument in ["tags='x'", "max_active_runs=0", "dagrun_timeout='x'", "params=[1]", "default_args=[1]", "start_date=4"]:
            self.assertEqual(self.error(HEAD + "\nwith DAG('d', %s):\n    pass\n" % argument, "invalid")["line"], 4, argument)

    def test_joins(self):
        self.error(HEAD + "BashOperator(task_id='a', bash_command='x') >> BashOperator(task_id='b', bash_command='x')\n", "invalid")
        self.error(HEAD + "with DAG('d'):\n    BashOperator(task_id='a', bash_command='x') >> 'b'\n", "invalid")
        self.error(HEAD + "with DAG('d'):\n    a = BashOperator(task_id='a', bash_command='x')\n"
                   "with DAG('e'):\n    a >> BashOperator(task_id='b', bash_command='x')\n", "invalid")

    def test_exceptions(self):
        self.write("helper.py", "def f(x):\n    return 1 / x\n")
        error = self.error("import airflow, helper\n# dag\ndef g():\n    helper.f(0)\ng()\n", "exception")
        self.assertEqual((error["line"], error["message"]), (4, "ZeroDivisionError: division by zero (in helper.py line 2)"))
        self.assertEqual(error["traceback"].splitlines()[-2:], ['  File "helper.py", line 2, in f', "    return 1 / x"])
        self.assertNotIn("updraft_dagfile", error["traceback"])

    def test_exits(self):
        error = self.error("import airflow, sys # dag\nsys.exit('no')\n", "exit")
        self.assertEqual((error["line"], error["message"]), (2, "the file ends the process with sys.exit(no)"))

    def test_network(self):
        for line in ["raise_from()", "urllib_like()"]:
            error = self.error(
                "import airflow, socket, errno # dag\nclass Denied(socket.socket):\n    pass\n"
                "def raise_from():\n    socket.getaddrinfo('host.invalid', 80)\n"
                "def urllib_like():\n    try:\n        raise_from()\n    except OSError as e:\n        raise RuntimeError('no connection') from e\n"
                "%s\n" % line, "network")
            self.assertEqual(error["line"], 5 if line == "raise_from()" else 10)
            self.assertTrue(error["hint"])

    def test_files_that_are_no_dag_files(self):
        for text in ["raise SystemExit\n", "import airflow\nraise SystemExit\n", "x = 'dag'\n1/0\n", ""]:
            answer = self.read(text)
            self.assertEqual((answer["dags"], answer["errors"], answer["output"]), ([], [], ""))
        answer = self.read("import airflow # no dag here\nprint('hi')\n")
        self.assertEqual((answer["dags"], answer["errors"], answer["output"]), ([], [], "hi\n"))

    def test_requests(self):
        answer = self.reader.ask(self.root + "/absent.py", self.root)
        self.assertEqual([error["kind"] for error in answer["errors"]], ["exception"])
        self.assertEqual([error["kind"] for error in self.reader.ask("relative.py", self.root)["errors"]], ["invalid"])
        self.assertEqual([error["kind"] for error in self.reader.ask(self.root, self.root)["errors"]], ["exception"])
