#!/usr/bin/env python3
"""A fleet behind PgBouncer in transaction mode: schedulers, workers, an API and the command line, whose every transaction may meet another
connection of Postgres. There are fewer of those than the fleet has of its own, so they are shared all the time.

    tools/with-postgres.sh tools/with-rabbitmq.sh tests/fleet/pgbouncer.py --updraft FILE [--pgbouncer FILE] [--keep]

Without --pgbouncer it takes what tools/pgbouncer.sh finds or makes; where there is none new enough it says why and passes.

What happened is counted by a ledger to which the commands append, and by the logs of all: no error in any, and none that PgBouncer makes.
"""

import argparse
import contextlib
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# Connections of Postgres for a fleet that opens some thirty.
POOL = 5
PASSWORD = "of-the-role"

# As docs/operations.md has it.
SETTINGS = """
pool_mode = transaction
max_prepared_statements = 200
ignore_startup_parameters = extra_float_digits,options
"""
ROLE = f"""
create role updraft login password '{PASSWORD}';
alter role updraft set statement_timeout = '120s';
alter role updraft set idle_in_transaction_session_timeout = '30s';
alter role updraft set jit = off;
"""

DAGS = '''
from datetime import datetime
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

def make(name, tasks, chain, command="true"):
    with DAG(name, start_date=datetime(2020, 1, 1), schedule=None, catchup=False, max_active_tasks=2000):
        previous = None
        for i in range(tasks):
            note = "echo {{ run_id }} {{ ti.task_id }} >> LEDGER; " + command
            task = BashOperator(task_id=f"t{i:04d}", bash_command=note)
            if chain and previous:
                previous >> task
            previous = task

make("chain40", 40, True)
make("fan200", 200, False)
make("slow_chain", 15, True, "sleep 0.3")
make("slow_fan", 200, False, "sleep 0.5")
'''


class Failed(Exception):
    """What did not come true."""


def expect(condition, what):
    if not condition:
        raise Failed(what)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Bouncer:
    """A PgBouncer before the test run's Postgres."""

    def __init__(self, program, folder, postgres, database):
        # As an unprivileged user, since it refuses root, from a place where that user may go.
        self.user = next(name for name in ("postgres", "nobody") if exists(name)) if os.geteuid() == 0 else None
        self.folder = folder / "pgbouncer"
        self.folder.mkdir()
        self.program = self.folder / "program"
        shutil.copy(program, self.program)
        self.port, self.process, self.postgres, self.database = free_port(), None, postgres, database
        self.write(SETTINGS)
        if self.user:
            for path in (self.folder, *self.folder.iterdir()):
                shutil.chown(path, self.user)

    def write(self, settings):
        (self.folder / "users").write_text(f'"updraft" "{PASSWORD}"\n')
        (self.folder / "ini").write_text(
            f"[databases]\n{self.database} = host={self.postgres}\n[pgbouncer]\n{settings}default_pool_size = {POOL}\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {self.port}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {self.folder}/users\n"
            f"admin_users = updraft\nlogfile = {self.folder}/log\n")

    def start(self):
        who = {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid, "extra_groups": []} if self.user else {}
        self.process = subprocess.Popen([self.program, "-q", self.folder / "ini"], cwd="/", stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **who)
        wait(lambda: self.ask("show version"), 10, "PgBouncer answers")

    def kill_9(self):
        self.process.kill()
        self.process.wait()

    def url(self, database=None):
        return f"postgres://updraft:{PASSWORD}@127.0.0.1:{self.port}/{database or self.database}"

    def ask(self, command):
        """Rows of its console."""
        return psql(self.url("pgbouncer"), command, check=False)

    def log(self):
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""


def exists(user):
    try:
        return bool(pwd.getpwnam(user))
    except KeyError:
        return False


def psql(url, sql, check=True):
    done = subprocess.run(["psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", url], input=sql, capture_output=True, text=True)
    if done.returncode != 0:
        if check:
            raise Failed(f"{sql}: {done.stderr}")
        return None
    return [line.split("|") for line in done.stdout.splitlines()]


def wait(condition, limit, what, sooner=lambda: None):
    end = time.monotonic() + limit
    while True:
        with contextlib.suppress(OSError):
            found = condition()
            if found:
                return found
        sooner()
        if time.monotonic() > end:
            raise Failed(f"within {limit} s not: {what}")
        time.sleep(0.05)


class Fleet:
    """Roles that meet Postgres through PgBouncer alone."""

    def __init__(self, program, folder, url, broker):
        self.program, self.folder, self.url, self.port = program, folder, url, free_port()
        self.ledger = folder / "ledger"
        self.ledger.touch()
        for name in ("dags", "logs"):
            (folder / name).mkdir()
        (folder / "dags" / "all.py").write_text(DAGS.replace("LEDGER", str(self.ledger)))
        self.environment = {**os.environ, "UPDRAFT_DATABASE_URL": url, "UPDRAFT_BROKER_URL": broker,
                            "UPDRAFT_BROKER_PREFIX": f"pgbouncer-{os.getpid()}", "UPDRAFT_API_URL": f"http://127.0.0.1:{self.port}"}
        self.roles = {}

    def launch(self, name):
        kind = name.split("-")[0]
        words = {
            "api": ["--port", str(self.port)],
            "scheduler": ["--dags", str(self.folder / "dags"), "--cache-dir", str(self.folder / "cache" / name)],
            "worker": ["--state-dir", str(self.folder / "runner"), "--concurrency", "16", "--heartbeat", "0.3", "--lease-ttl", "1"],
        }[kind]
        with open(self.folder / "logs" / name, "a") as log:
            self.roles[name] = subprocess.Popen([self.program, kind, *words, "--log", "info"], env=self.environment, stdin=subprocess.DEVNULL,
                                                stdout=log, stderr=log)

    def kill_9(self, name):
        self.roles[name].kill()
        self.roles.pop(name).wait()

    def nobody_left(self):
        for name, process in self.roles.items():
            expect(process.poll() is None, f"{name} left with {process.returncode}")

    def wait(self, condition, limit, what):
        return wait(condition, limit, what, self.nobody_left)

    def call(self, method, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method, data=data, headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def command(self, *words):
        done = subprocess.run([self.program, *words], env=self.environment, capture_output=True, text=True)
        expect(done.returncode == 0, f"updraft {' '.join(words)}: {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def trigger(self, dag, run):
        """Under a name of our own, for as long as it takes: the name makes it happen once."""
        def tried():
            try:
                return self.call("POST", f"/api/v2/dags/{dag}/dagRuns", {"logical_date": None, "dag_run_id": run})
            except urllib.error.HTTPError as error:
                return error.code == 409
        self.wait(tried, 60, f"{run} of {dag} is triggered")

    def ended(self, dag, run, tasks, limit=120):
        path = f"/api/v2/dags/{dag}/dagRuns/{run}"
        state = self.wait(lambda: (self.call("GET", path)["state"] in ("success", "failed")) and self.call("GET", path)["state"], limit,
                          f"{run} of {dag} ends")
        expect(state == "success", f"{run} of {dag} is {state}")
        done = self.call("GET", f"{path}/taskInstances?state=success&limit=1")["total_entries"]
        expect(done == tasks, f"{done} of {tasks} tasks of {dag} are success")
        noted = [line.split()[1] for line in self.ledger.read_text().splitlines() if line.split()[0] == run]
        expect(sorted(noted) == [f"t{i:04d}" for i in range(tasks)], f"{run} of {dag}: {len(noted)} commands ran, {len(set(noted))} different, for {tasks} tasks")

    def begun(self, run):
        return sum(line.startswith(f"{run} ") for line in self.ledger.read_text().splitlines())

    def logs(self):
        return {path.name: path.read_text() for path in sorted((self.folder / "logs").iterdir())}

    def stop(self):
        for process in self.roles.values():
            process.send_signal(signal.SIGTERM)
        for process in self.roles.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
        # Supervisors and commands outlive their workers.
        marker = f"{self.folder}/runner".encode()
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if any(marker in (entry / file).read_bytes() for file in ("cmdline", "environ")) and int(entry.name) != os.getpid():
                        os.kill(int(entry.name), signal.SIGKILL)


# --- checks, in their order ---------------------------------------------------------------------------------------------------------------


def starts_on_nothing(fleet, bouncer):
    """All roles at once on an empty database: each brings the schema up to date, and one does."""
    for name in ("scheduler-0", "scheduler-1", "worker-0", "worker-1", "api"):
        fleet.launch(name)
    fleet.wait(lambda: fleet.call("GET", "/api/v2/dags")["total_entries"] == 4, 60, "the DAGs are there")
    fleet.command("db", "check")
    fleet.command("db", "migrate")


def chain_and_fan(fleet, bouncer):
    """40 in a row, 200 at once."""
    for dag, tasks in (("chain40", 40), ("fan200", 200)):
        fleet.trigger(dag, f"first-{dag}")
        begin = time.monotonic()
        fleet.ended(dag, f"first-{dag}", tasks)
        print(f"      {dag}: {time.monotonic() - begin:.1f} s")


def connections_are_shared(fleet, bouncer):
    """More clients than connections, whose prepared statements and settings are those that are documented."""
    pool = next(row for row in bouncer.ask("show pools") if row[0] == bouncer.database)
    clients = [row for row in bouncer.ask("show clients") if bouncer.database in row[:4]]
    expect(len(clients) > POOL, f"only {len(clients)} connections of the fleet, for {POOL} of Postgres: {pool}")
    owner = f"postgres://postgres@localhost/{bouncer.database}?host={bouncer.postgres}"
    servers = int(psql(owner, "select count(*) from pg_stat_activity where usename = 'updraft'")[0][0])
    expect(0 < servers <= POOL, f"{servers} connections to Postgres")
    prepared = psql(bouncer.url(), "select count(*) from pg_prepared_statements where name like 'PGBOUNCER_%'")[0][0]
    expect(int(prepared) > 10, f"{prepared} statements are kept prepared")
    settings = psql(bouncer.url(), "show statement_timeout; show idle_in_transaction_session_timeout; show jit; show plan_cache_mode; show search_path")
    expect([row[0] for row in settings] == ["2min", "30s", "off", "auto", '"$user", public'], f"the session's settings are {settings}")
    locks = psql(owner, "select count(*) from pg_locks where locktype = 'advisory' and granted")[0][0]
    print(f"      {len(clients)} connections share {servers}, with {prepared} statements prepared in one; {locks} advisory locks held")


def killed_in_the_middle(fleet, bouncer):
    """kill -9 of a scheduler, a worker, and PgBouncer, while two runs are at it."""
    fleet.trigger("slow_fan", "killed-fan")
    fleet.trigger("slow_chain", "killed-chain")
    fleet.wait(lambda: fleet.begun("killed-fan") >= 20, 60, "20 tasks have begun")
    fleet.kill_9("scheduler-0")
    fleet.kill_9("worker-0")
    fleet.wait(lambda: fleet.begun("killed-fan") >= 60, 60, "another scheduler and worker go on")
    fleet.launch("scheduler-0")
    fleet.launch("worker-0")
    fleet.wait(lambda: fleet.begun("killed-fan") >= 100, 60, "they are back")
    bouncer.kill_9()
    time.sleep(1)
    bouncer.start()
    fleet.ended("slow_fan", "killed-fan", 200)
    fleet.ended("slow_chain", "killed-chain", 15)


def connections_that_are_replaced(fleet, bouncer):
    """RECONNECT, PAUSE and RESUME in the middle, as operators do: new connections, in which nothing is prepared yet."""
    fleet.trigger("slow_fan", "replaced-fan")
    fleet.wait(lambda: fleet.begun("replaced-fan") >= 40, 60, "40 tasks have begun")
    bouncer.ask("reconnect")
    fleet.wait(lambda: fleet.begun("replaced-fan") >= 80, 60, "it goes on after RECONNECT")
    expect(bouncer.ask(f"pause {bouncer.database}") is not None, "PgBouncer pauses: no transaction hangs")
    time.sleep(2)
    bouncer.ask(f"resume {bouncer.database}")
    fleet.ended("slow_fan", "replaced-fan", 200)


def the_rest_of_the_commands(fleet, bouncer):
    """Reading, writing and cleaning by the command line."""
    for words in (("dags", "list"), ("runs", "list", "chain40"), ("tasks", "states", "chain40", "latest"), ("tasks", "logs", "chain40", "latest", "t0003"),
                  ("why", "chain40", "latest", "t0003"), ("dags", "pause", "chain40"), ("dags", "unpause", "chain40"), ("pools", "list"),
                  ("dags", "trigger", "chain40", "--wait"), ("db", "clean", "--older-than", "1s", "--keep-last", "1"), ("doctor",)):
        fleet.command(*words)
    left = fleet.call("GET", "/api/v2/dags/chain40/dagRuns?limit=1")["total_entries"]
    expect(left == 1, f"db clean left {left} runs of chain40")
    doctor = fleet.call("GET", "/ui/doctor")["findings"]
    bad = [finding for finding in doctor if finding["status"] == "fail"]
    expect(doctor and not bad, f"doctor finds {bad}")


def the_wrong_settings_are_said(fleet, bouncer):
    """What stands in the way is named, with the line of pgbouncer.ini that helps."""
    words = ["db", "check", "--database-url", bouncer.url()]
    for wrong, cause, remedy in (
        (SETTINGS.replace(",options", ""), "unsupported startup parameter in options", "ignore_startup_parameters"),
        (SETTINGS.replace("extra_float_digits,", ""), "unsupported startup parameter: extra_float_digits", "ignore_startup_parameters"),
    ):
        bouncer.write(wrong)
        bouncer.ask("reload")
        done = subprocess.run([fleet.program, *words], capture_output=True, text=True)
        expect(done.returncode == 6 and cause in done.stderr and remedy in done.stderr, f"{done.returncode}: {done.stderr}")
    bouncer.write(SETTINGS)
    bouncer.ask("reload")
    fleet.command("db", "check")


def nothing_was_complained_of(fleet, bouncer):
    """By the roles, PgBouncer and Postgres."""
    for name, text in fleet.logs().items():
        bad = [line for line in text.splitlines() if re.search(r" ERROR |panicked|prepared statement|unsupported|refused", line)]
        expect(not bad, f"{name}: {bad[:5]}")
    bad = [line for line in bouncer.log().splitlines() if re.search(r" (ERROR|FATAL|WARNING) |pooler error|prepared statement", line)]
    expect(not bad, f"PgBouncer: {bad[:5]}")
    log = (pathlib.Path(bouncer.postgres) / "log").read_text()
    # The end of a connection is what PgBouncer's kill -9 leaves.
    bad = [line for line in log.splitlines() if re.search(r"prepared statement|deadlock|cached plan|FATAL|PANIC| ERROR:", line)
           and "connection to client lost" not in line]
    expect(not bad, f"Postgres: {bad[:5]}")


CHECKS = [starts_on_nothing, chain_and_fan, connections_are_shared, killed_in_the_middle, connections_that_are_replaced, the_rest_of_the_commands,
          nothing_was_complained_of, the_wrong_settings_are_said]


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--updraft", required=True, type=pathlib.Path)
    options.add_argument("--pgbouncer", type=pathlib.Path)
    options.add_argument("--keep", action="store_true", help="leaves the folder with all logs")
    given = options.parse_args()
    database, broker = os.environ.get("DATABASE_URL"), os.environ.get("UPDRAFT_TEST_AMQP_URL")
    if not database or not broker:
        sys.exit("error: this needs $DATABASE_URL and $UPDRAFT_TEST_AMQP_URL: run it by tools/with-postgres.sh tools/with-rabbitmq.sh")
    program = given.pgbouncer
    if not program:
        found = subprocess.run([ROOT / "tools/pgbouncer.sh"], capture_output=True, text=True)
        if found.returncode != 0:
            print(f"skip  the fleet behind PgBouncer: {found.stderr.strip().splitlines()[-1]}")
            return
        program = found.stdout.strip()
    base = "/var/lib" if os.geteuid() == 0 else tempfile.gettempdir()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="updraft-bouncer.", dir=base))
    folder.chmod(0o755)
    name = f"bounced_{os.getpid()}"
    psql(database, ROLE)
    psql(database, f"create database {name} owner updraft")
    host = urllib.parse.parse_qs(urllib.parse.urlsplit(database).query)["host"][0]
    bouncer = Bouncer(program, folder, host, name)
    fleet = Fleet(given.updraft.resolve(), folder, bouncer.url(), broker)
    print(subprocess.run([program, "--version"], capture_output=True, text=True).stdout.splitlines()[0])
    try:
        bouncer.start()
        for check in CHECKS:
            begin = time.monotonic()
            check(fleet, bouncer)
            print(f"ok    {check.__name__} ({time.monotonic() - begin:.1f} s)", flush=True)
    except Failed as error:
        print(f"FAIL  {check.__name__}: {error}")
        for role, text in {**fleet.logs(), "pgbouncer": bouncer.log()}.items():
            print(f"--- {role}\n{text[-1500:]}")
        sys.exit(1)
    finally:
        fleet.stop()
        if bouncer.process:
            bouncer.kill_9()
        psql(database, f"drop database if exists {name} with (force)", check=False)
        psql(database, "drop role if exists updraft", check=False)
        if given.keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"{len(CHECKS)} passed, 0 failed")


if __name__ == "__main__":
    main()
