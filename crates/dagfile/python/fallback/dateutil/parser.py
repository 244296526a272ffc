"""Dates from ISO 8601 text."""

import datetime


def parse(timestr, **options):
    """A date from text."""
    return datetime.datetime.fromisoformat(timestr[:-1] + "+00:00" if timestr.endswith("Z") else timestr)


isoparse = parse
