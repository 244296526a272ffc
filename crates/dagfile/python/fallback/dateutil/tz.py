"""Time zones by name."""

import datetime
from zoneinfo import ZoneInfo

UTC = datetime.timezone.utc


def gettz(name=None):
    """The time zone of a name."""
    return ZoneInfo(name) if name else UTC


def tzutc():
    """UTC."""
    return UTC
