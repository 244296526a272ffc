"""DAG files by chance: groups in groups, arrows of every sort, setups and teardowns, mapped tasks and groups, values of tasks in arguments.

    random_files.py FOLDER COUNT SEED        writes the files
    random_files.py FOLDER FACTS             compares our reading of them with Airflow's (`facts.py FOLDER`)

`make test-airflow` does both. Chance follows from the seed: a file that differs can be made again.
"""

import json
import os
import random
import sys

import compare
from examples import HERE

HEAD = """# airflow
from datetime import datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.providers.standard.sensors.external_task import ExternalTaskSensor
from airflow.sdk import *


def bash(name, **more):
    return BashOperator(task_id=name, bash_command="x", **more)


@task
def give(*args, **kwargs): ...


@task(multiple_outputs=True, retries=9)
def split(x=1) -> dict: ...


@setup
def begin(): ...


def end():
    # Airflow takes each function for one teardown only.
    @teardown
    def end(): ...
    return end()


"""

SCHEDULES = ("None", "'@daily'", "'@once'", "'0 5 * * 1'", "timedelta(hours=5)", "[Asset('a'), Asset('b')]", "Asset('x') | Asset('y')",
             "CronTriggerTimetable('0 1 * * *', timezone='Europe/Berlin')", "DeltaDataIntervalTimetable(timedelta(days=2))")
DEFAULTS = ("'retries': 2", "'retry_delay': timedelta(minutes=3)", "'owner': 'me'", "'depends_on_past': True", "'pool': 'p'",
            "'queue': 'q'", "'priority_weight': 5", "'weight_rule': 'upstream'", "'execution_timeout': timedelta(seconds=90)",
            "'params': {'z': 1}", "'wait_for_downstream': True", "'pool_slots': 2", "'bash_command': 'of the defaults'")
OPTIONS = ("retries=4", "retry_delay=timedelta(seconds=7)", "owner='you'", "pool='o'", "priority_weight=-2", "weight_rule='absolute'",
           "execution_timeout=timedelta(hours=1)", "depends_on_past=True", "pool_slots=3", "params={'t': 5}", "retries=None")


class Writer:
    """One file."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.lines = []
        self.count = 0
        some = ", ".join(self.some(DEFAULTS, 0.2))
        self.lines.append("with DAG('d%d', start_date=datetime(2024, 1, 1), schedule=%s, default_args={%s}):" % (
            seed, self.chance.choice(SCHEDULES), some))
        self.block("    ", 0, [])

    def some(self, of, share):
        """Each of them with this chance."""
        return [one for one in of if self.chance.random() < share]

    def name(self):
        """A new name."""
        self.count += 1
        return "v%d" % self.count

    def say(self, indent, text, *values):
        """One line."""
        self.lines.append(indent + text % values)

    def block(self, indent, depth, values):
        """Tasks, groups and arrows of one level. Arrows go from earlier to later ones, so there are no circles."""
        here, values = [], list(values)
        for _ in range(self.chance.randint(2, 6)):
            name = self.name()
            kind = self.chance.choice(("bash", "bash", "give", "split", "python", "wait", "mapped", "teardown", "group", "mapped group", "with"))
            value = self.chance.choice(values) if values else "1"
            options = "".join(", " + one for one in self.some(OPTIONS, 0.1))
            if kind == "bash":
                self.say(indent, "%s = bash(%r%s)", name, name, options)
            elif kind == "give":
                self.say(indent, "%s = give(%s, z={'k': [%s]})", name, value, value)
                values.append(name)
            elif kind == "split":
                self.say(indent, "%s = split.override(task_id=%r%s)(%s)", name, name, options, value)
                values.append(name + "['k']")
            elif kind == "python":
                self.say(indent, "%s = PythonOperator(task_id=%r, python_callable=print, op_args=[%s]%s)", name, name, value, options)
            elif kind == "wait":
                self.say(indent, "%s = ExternalTaskSensor(task_id=%r, external_dag_id='e', timeout=5%s)", name, name, options)
            elif kind == "mapped" and "a" not in values:
                over = value if value.startswith("v") and "[" not in value else "[1, 2]"
                self.say(indent, "%s = BashOperator.partial(task_id=%r%s).expand(bash_command=%s)", name, name, options, over)
            elif kind == "teardown":
                self.say(indent, "%s = bash(%r).as_teardown(setups=bash(%r))", name, name, name + "s")
            elif kind == "group" and depth < 3:
                more = self.chance.choice(("", ", default_args={'retries': 7}", ", prefix_group_id=False"))
                self.say(indent, "with TaskGroup('g%s'%s) as %s:", name, more, name)
                self.block(indent + "    ", depth + 1, values)
            elif kind == "mapped group" and depth < 2 and "a" not in values:
                self.say(indent, "@task_group")
                self.say(indent, "def g%s(a, b=1):", name)
                self.block(indent + "    ", depth + 2, ["a"])
                self.say(indent, "%s = g%s.partial(b=2).expand(a=%s)", name, name, value if value.startswith("v") and "[" not in value else "[1]")
            elif kind == "with" and depth < 3:
                self.say(indent, "with %s:", self.chance.choice(("begin() >> end()", "begin()", "end()")))
                self.block(indent + "    ", depth + 1, [])
                continue
            else:
                self.say(indent, "%s = bash(%r)", name, name)
            here.append(name)
        for _ in range(self.chance.randint(0, 3)):
            if len(here) > 2:
                three = tuple(here[at] for at in sorted(self.chance.sample(range(len(here)), 3)))
                self.say(indent, self.chance.choice((
                    "chain(%s, [%s, %s])", "%s >> [%s, %s]", "cross_downstream([%s, %s], [%s])", "%s >> Label('x') >> %s >> %s",
                    "chain_linear([%s, %s], %s)", "[%s, %s] >> %s")), *three)


def write(folder, count, seed):
    """Puts the files into the folder."""
    for number in range(count):
        with open(os.path.join(folder, "random_%d.py" % (seed + number)), "w", encoding="utf-8") as file:
            file.write(HEAD + "\n".join(Writer(seed + number).lines) + "\n")


def check(folder, facts):
    """Ends with an error where our reading differs from Airflow's."""
    sys.path.insert(0, os.path.join(HERE, "..", "..", "crates", "dagfile", "python", "tests"))
    from reader import Reader

    found, compared = [], 0
    reader = Reader()
    for name, theirs in facts.items():
        answer = reader.ask(os.path.join(folder, name), folder)
        # Airflow refuses some of what chance makes (a rule beside a setup): we need not.
        if "error" not in theirs:
            compared += 1
            found += ["%s: %s" % (name, error["message"]) for error in answer["errors"]]
            found += compare.differences({dag["dag_id"]: compare.of_ours(dag) for dag in answer["dags"]}, theirs, name)
    reader.close()
    print("%d of %d random files compared, %d differences" % (compared, len(facts), len(found)))
    if found or compared * 2 < len(facts):
        raise SystemExit("\n".join(found[:20]))


if __name__ == "__main__":
    if len(sys.argv) == 4:
        write(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    else:
        with open(sys.argv[2], encoding="utf-8") as opened:
            check(os.path.realpath(sys.argv[1]), json.load(opened))
