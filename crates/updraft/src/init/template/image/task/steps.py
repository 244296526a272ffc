"""What the tasks do: functions of their arguments, so that a test calls them without a container.

Each gives a value that JSON can hold, or None when there is nothing to do. A step may run again for the same day (a retry, a cleared run), so
it should give the same then.
"""

import datetime

PARTS = {"even": 0, "odd": 1}


def extract(day: datetime.date):
    """As many rows as the day has in its month. No rows before 2020."""
    if day.year < 2020:
        return None
    return {"day": day.isoformat(), "rows": day.day}


def transform(part: str, rows: int):
    """The sum of the even, or of the odd, numbers up to `rows`."""
    return {"part": part, "total": sum(number for number in range(1, rows + 1) if number % 2 == PARTS[part])}


def load(totals: list):
    """The sum of all parts."""
    return {"total": sum(totals)}
