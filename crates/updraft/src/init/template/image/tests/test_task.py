"""python3 -m unittest, in the folder of the image: make test"""

import contextlib
import datetime
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from unittest import mock

from task import cli, steps, xcom


def run(*arguments, xcom_path="/nowhere/return.json"):
    """Exit code, standard output and standard error of the command line."""
    out, err = io.StringIO(), io.StringIO()
    with mock.patch.dict(os.environ, UPDRAFT_XCOM_PATH=str(xcom_path)), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = cli.main(list(arguments))
        except SystemExit as exit:
            code = exit.code
    return code, out.getvalue(), err.getvalue()


class Steps(unittest.TestCase):
    def test_the_parts_are_the_whole(self):
        rows = steps.extract(datetime.date(2026, 1, 31))["rows"]
        totals = [steps.transform(part, rows)["total"] for part in steps.PARTS]
        self.assertEqual(steps.load(totals), {"total": sum(range(1, rows + 1))})


class CommandLine(unittest.TestCase):
    def test_a_result_is_printed_and_handed_on(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "return.json")
            code, out, _ = run("extract", "--day", "2026-01-31", xcom_path=path)
            self.assertEqual((code, json.loads(out)), (0, {"day": "2026-01-31", "rows": 31}))
            self.assertEqual(json.loads(path.read_text()), json.loads(out))

    def test_nobody_need_ask_for_the_result(self):
        self.assertEqual(run("load", "--total", "1", "--total", "2")[:2], (0, '{"total": 3}\n'))

    def test_nothing_to_do_has_a_code_of_its_own(self):
        self.assertEqual(run("extract", "--day", "2019-12-31")[0], cli.NOTHING_TO_DO)

    def test_wrong_arguments(self):
        code, _, err = run("extract", "--day", "yesterday")
        self.assertEqual(code, 2)
        self.assertIn("--day", err)

    def test_a_failure_says_why(self):
        with mock.patch.object(steps, "load", side_effect=OSError("no such table")):
            code, _, err = run("load", "--total", "1")
        self.assertEqual(code, cli.FAILED)
        self.assertIn("error: load: no such table", err)

    def test_it_stops_when_told_to(self):
        code = "import signal, time; from task import cli, steps; steps.load = lambda _: (print('begins', flush=True), time.sleep(60)); cli.main(['load', '--total', '1'])"
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
            child.stdout.readline()
            begin = time.monotonic()
            child.send_signal(signal.SIGTERM)
            self.assertEqual(child.wait(timeout=10), cli.TOLD_TO_STOP)
            self.assertLess(time.monotonic() - begin, 5)


class XCom(unittest.TestCase):
    def test_what_is_too_long_is_not_cut(self):
        with tempfile.TemporaryDirectory() as folder, self.assertRaisesRegex(ValueError, "write it to a store"):
            xcom.hand_on("x" * 5000, os.path.join(folder, "return.json"))

    def test_the_file_is_written_in_place(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "return.json")
            path.touch()
            before = path.stat().st_ino
            self.assertTrue(xcom.hand_on({"rows": 1}, str(path)))
            self.assertEqual(path.stat().st_ino, before)


if __name__ == "__main__":
    unittest.main()
