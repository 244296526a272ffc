#!/usr/bin/env python3
"""Reads from an API at a fixed rate, with event streams open, while tasks run: prints a JSON line per minute, and one for the whole.

    tools/bench_load.py --updraft bin/updraft [--seconds 600] [--requests 200] [--streams 50] [--tasks 200] [--limit-ms 100] [--fleet]

Requests leave at their time whether or not the ones before them were answered, and are timed from then: a slow server cannot make the load
lighter, nor hide its slowness. Tasks come as runs of 100 that end at once; what is counted are tasks that ended. Memory is the proportional set
size (PSS) of the processes, without Postgres. With --limit-ms the program ends with 1 when p99 is over it, when an answer was no 200, or when
fewer tasks ended than were asked for.
"""

import argparse
import asyncio
import json
import pathlib
import random
import sys
import time
import urllib.parse

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))
import bench  # noqa: E402

TASKS = 100
CONNECTIONS = 32
DAG = f'''
from datetime import datetime
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG
with DAG("load", start_date=datetime(2020, 1, 1), schedule=None, catchup=False, max_active_tasks=1000, max_active_runs=1000):
    for i in range({TASKS}):
        BashOperator(task_id=f"t{{i:03d}}", bash_command="true")
'''


def paths(runs):
    """What people and clients read, in the shares in which they do."""
    # Not the newest: a log that has not begun is answered with 404.
    v2, run = "/api/v2", urllib.parse.quote(random.choice(runs[:-20] or runs[:1]), safe="")
    of_run = f"{v2}/dags/load/dagRuns/{run}"
    return random.choice([
        "/ui/overview?limit=50", "/ui/overview?limit=50", f"/ui/runs/load/{run}", f"/ui/runs/load/{run}/tasks?limit=100", f"{v2}/dags",
        f"{v2}/dags/load/dagRuns?order_by=-run_after&limit=25", f"{v2}/dags/~/dagRuns?state=running", of_run, of_run,
        f"{of_run}/taskInstances?limit=100", f"{of_run}/taskInstances/t001", f"{of_run}/taskInstances/t001/logs/1", f"{v2}/pools",
        f"{v2}/dags/load/details", f"{v2}/importErrors", f"{v2}/monitor/health", f"{v2}/eventLogs?order_by=-when&limit=25",
    ])


class Wire:
    """One HTTP/1.1 connection."""

    def __init__(self, port):
        self.port = port
        self.streams = None

    async def get(self, path):
        if self.streams is None:
            self.streams = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
        reader, writer = self.streams
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        status, lower = int(head.split(b" ", 2)[1]), head.lower()
        if b"transfer-encoding: chunked" in lower:
            while size := int(await reader.readline(), 16):
                await reader.readexactly(size + 2)
            await reader.readline()
        else:
            at = lower.find(b"content-length:")
            await reader.readexactly(int(lower[at + 15:lower.index(b"\r", at)]) if at >= 0 else 0)
        return status


class Load:
    def __init__(self, server, options):
        self.server, self.options = server, options
        self.times, self.bad, self.streamed = [], [], 0
        self.runs, self.triggered = [], 0
        self.idle = asyncio.Queue()
        self.end = time.monotonic() + options.seconds

    async def ask(self, due):
        wire, path = await self.idle.get(), paths(self.runs)
        try:
            status = await wire.get(path)
            self.times.append((time.monotonic() - due) * 1000)
            if status != 200:
                self.bad.append((status, path))
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            self.bad.append((repr(error), path))
            wire = Wire(self.server.port)
        self.idle.put_nowait(wire)

    async def read(self):
        due, tasks = time.monotonic(), set()
        while due < self.end:
            await asyncio.sleep(max(0, due - time.monotonic()))
            task = asyncio.create_task(self.ask(due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            due += 1 / self.options.requests
        await asyncio.gather(*tasks)

    async def listen(self):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        writer.write(f"GET /ui/events HTTP/1.1\r\nHost: 127.0.0.1:{self.server.port}\r\n\r\n".encode())
        while data := await reader.read(1 << 16):
            self.streamed += data.count(b"\nevent:") + data.startswith(b"event:")
        if time.monotonic() < self.end:
            self.bad.append(("ended", "/ui/events"))

    async def trigger(self):
        due = time.monotonic()
        while due < self.end:
            await asyncio.sleep(max(0, due - time.monotonic()))
            run = await asyncio.to_thread(self.server.call, "POST", "/api/v2/dags/load/dagRuns", {"logical_date": None})
            self.runs.append(run["dag_run_id"])
            del self.runs[:-50]
            self.triggered += 1
            due += TASKS / self.options.tasks

    def ended(self):
        """Runs of which every task ended well."""
        answer = self.server.call("GET", "/api/v2/dags/load/dagRuns?state=success&limit=1")
        return answer["total_entries"]

    def memory(self):
        total = 0
        for pid in {pid for process in self.server.processes for pid in bench.family(process.pid)}:
            try:
                text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
            except OSError:
                continue
            if b"bash" not in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
                total += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
        return round(total / 1024, 1)

    def figures(self, times, seconds, runs):
        at = lambda q: round(bench.quantile(times, q), 1) if times else None
        return {"requests_per_second": round(len(times) / seconds, 1), "p50_ms": at(0.5), "p99_ms": at(0.99), "max_ms": at(1),
                "tasks_per_second": round(runs * TASKS / seconds, 1), "bad": len(self.bad), "events": self.streamed, "pss_mb": self.memory()}

    async def minutes(self):
        minute, seen, runs = 0, 0, await asyncio.to_thread(self.ended)
        while (left := self.end - time.monotonic()) > 0:
            took = min(60, left)
            await asyncio.sleep(took)
            minute, new, now = minute + 1, self.times[seen:], await asyncio.to_thread(self.ended)
            print(json.dumps({"minute": minute, **self.figures(new, took, now - runs)}), flush=True)
            seen, runs = seen + len(new), now

    async def whole(self):
        for _ in range(CONNECTIONS):
            self.idle.put_nowait(Wire(self.server.port))
        listeners = [asyncio.create_task(self.listen()) for _ in range(self.options.streams)]
        triggers = asyncio.create_task(self.trigger())
        while not self.runs:
            await asyncio.sleep(0.01)
        begin = time.monotonic()
        await asyncio.gather(self.read(), self.minutes(), triggers)
        result = {"bench": "load", "seconds": round(time.monotonic() - begin, 1), "streams": self.options.streams,
                  **self.figures(self.times, time.monotonic() - begin, await asyncio.to_thread(self.ended))}
        for listener in listeners:
            listener.cancel()
        return result


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--updraft", default="bin/updraft")
    arguments.add_argument("--seconds", type=int, default=600)
    arguments.add_argument("--requests", type=float, default=200, help="a second")
    arguments.add_argument("--streams", type=int, default=50)
    arguments.add_argument("--tasks", type=float, default=200, help="a second")
    arguments.add_argument("--limit-ms", type=float)
    arguments.add_argument("--fleet", action="store_true", help="separate roles over RabbitMQ instead of standalone")
    options = arguments.parse_args()
    server = (bench.Fleet if options.fleet else bench.Standalone)(options.updraft, 16)
    try:
        (server.folder / "dags" / "load.py").write_text(DAG)
        server.wait_for(lambda: server.call("GET", "/api/v2/dags/load"), 60)

        async def run():
            load = Load(server, options)
            return load, await load.whole()

        load, result = asyncio.run(run())
    finally:
        server.stop()
    print(json.dumps(result))
    for what, path in load.bad[:5]:
        print(f"bad: {what} {path}", file=sys.stderr)
    if options.limit_ms is not None:
        late, few = result["p99_ms"] > options.limit_ms, result["tasks_per_second"] < 0.95 * options.tasks
        if late or few or load.bad:
            sys.exit(f"error: p99 {result['p99_ms']} ms, {result['tasks_per_second']} tasks/s, {len(load.bad)} bad answers")


if __name__ == "__main__":
    main()
