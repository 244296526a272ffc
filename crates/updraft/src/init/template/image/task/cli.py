"""The command line: `task extract --day 2026-01-31`. Reads arguments, calls a step, prints its result, hands it on.

What the exit codes mean to the scheduler:

  0    done
  1    failed: tried again as often as the task's `retries` say
  2    wrong arguments: the same, but trying again will not help
  99   nothing to do: skipped, if the task has skip_on_exit_code=99
  143  told to stop by SIGTERM
"""

import argparse
import datetime
import json
import signal
import sys
import traceback

from . import steps, xcom

FAILED, NOTHING_TO_DO, TOLD_TO_STOP = 1, 99, 128 + signal.SIGTERM


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="task", description="The tasks of this repository.")
    commands = top.add_subparsers(dest="step", required=True, metavar="STEP")

    extract = commands.add_parser("extract", help="makes the rows of a day")
    extract.add_argument("--day", type=datetime.date.fromisoformat, required=True, help="2026-01-31")
    extract.set_defaults(run=lambda given: steps.extract(given.day))

    transform = commands.add_parser("transform", help="works on one part of the rows")
    transform.add_argument("--part", choices=sorted(steps.PARTS), required=True)
    transform.add_argument("--rows", type=int, required=True, help="how many rows there are")
    transform.set_defaults(run=lambda given: steps.transform(given.part, given.rows))

    load = commands.add_parser("load", help="brings the parts together")
    load.add_argument("--total", type=int, action="append", required=True, help="the total of a part; once for each")
    load.set_defaults(run=lambda given: steps.load(given.total))
    return top


def stop(_number, _frame) -> None:
    sys.exit(TOLD_TO_STOP)


def main(arguments=None) -> int:
    # The first process of a container has no default for SIGTERM: without this a stop would wait for the kill that follows.
    signal.signal(signal.SIGTERM, stop)
    given = parser().parse_args(arguments)
    try:
        result = given.run(given)
        if result is None:
            print("nothing to do", flush=True)
            return NOTHING_TO_DO
        print(json.dumps(result, sort_keys=True), flush=True)
        xcom.hand_on(result)
    except Exception as error:
        traceback.print_exc()
        print(f"error: {given.step}: {error}", file=sys.stderr, flush=True)
        return FAILED
    return 0
