"""Airflow's own example files say to us what they say to Airflow: its facts are in facts.json (`make test-airflow` writes them anew)."""

import json
import os
import sys
import unittest

import compare
import examples

sys.path.insert(0, os.path.join(examples.HERE, "..", "..", "crates", "dagfile", "python", "tests"))
from reader import Reader  # noqa: E402

# Files that are refused, and why docs/python.md says so.
REFUSED = {
    "core/example_workday_timetable.py": "AfterWorkdayTimetable",
}
if sys.version_info < (3, 11):
    # The file itself is for newer Pythons.
    REFUSED["standard/example_sensors.py"] = "UTC"


class Examples(unittest.TestCase):
    """Each file, beside Airflow's facts."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        try:
            cls.folder = examples.folder()
        except examples.NotFetched as error:
            raise unittest.SkipTest("Airflow's example files cannot be fetched: %s" % error) from None
        with open(os.path.join(examples.HERE, "facts.json"), encoding="utf-8") as file:
            cls.facts = json.load(file)
        cls.answers = {}
        reader = Reader("--site", examples.BESIDE)
        for name, _, _ in examples.SETS:
            root = os.path.join(cls.folder, name)
            for path in examples.dag_files(root):
                asked = reader.ask(path, root, env={"SYSTEM_TESTS_ENV_ID": "facts"})
                cls.answers["%s/%s" % (name, os.path.relpath(path, root))] = asked
        reader.close()

    def test_every_file_is_compared(self):
        self.assertEqual(sorted(self.answers), sorted(self.facts))

    def test_what_is_refused(self):
        refused = {name: answer["errors"][0]["message"] for name, answer in self.answers.items() if answer["errors"]}
        self.assertEqual(sorted(refused), sorted(REFUSED), refused)
        for name, word in REFUSED.items():
            self.assertIn(word, refused[name])
        self.assertGreaterEqual(len(self.answers) - len(refused), 0.95 * len(self.answers))

    def test_the_same_facts(self):
        found = []
        for name, answer in self.answers.items():
            theirs = self.facts.get(name, {})
            if name not in REFUSED and "error" not in theirs:
                ours = {dag["dag_id"]: compare.of_ours(dag) for dag in answer["dags"]}
                found += compare.differences(ours, theirs, name)
        self.assertEqual(found, [])


if __name__ == "__main__":
    unittest.main()
