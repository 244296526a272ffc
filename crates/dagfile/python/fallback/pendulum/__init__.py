"""Stands in for pendulum where it is not installed: dates with a time zone, durations, and the arithmetic that DAG files do with them."""

import datetime as _datetime
from zoneinfo import ZoneInfo


class Timezone(ZoneInfo):
    """An IANA time zone with pendulum's `name`."""

    @property
    def name(self):
        """The IANA name."""
        return self.key

    def convert(self, moment, **kwargs):
        """The same moment here; a naive one is taken to be of here."""
        if moment.tzinfo is None:
            return moment.replace(tzinfo=self)
        return moment.astimezone(self)

    def datetime(self, *args):
        """A date here."""
        return DateTime(*args, tzinfo=self)


class FixedTimezone(_datetime.tzinfo):
    """A fixed distance from UTC, in seconds."""

    def __init__(self, offset, name=None):
        self._offset = _datetime.timedelta(seconds=offset)

    def utcoffset(self, moment):
        return self._offset

    def dst(self, moment):
        return _datetime.timedelta()

    def tzname(self, moment):
        return None


UTC = Timezone("UTC")


def timezone(name):
    """The time zone of a name, or of an offset in seconds."""
    if isinstance(name, int):
        return FixedTimezone(name)
    return UTC if name.lower() == "utc" else Timezone(name)


def local_timezone():
    """UTC: files are read in UTC."""
    return UTC


def _zone(tz):
    if tz is None:
        return UTC
    if isinstance(tz, str):
        return UTC if tz == "local" else timezone(tz)
    if isinstance(tz, (int, float)):
        return FixedTimezone(int(tz * 3600))
    return tz


class Duration(_datetime.timedelta):
    """A timedelta that takes years (of 365 days) and months (of 30)."""

    def __new__(cls, days=0, seconds=0, microseconds=0, milliseconds=0, minutes=0, hours=0, weeks=0, years=0, months=0):
        made = super().__new__(cls, days + years * 365 + months * 30, seconds, microseconds, milliseconds, minutes, hours, weeks)
        made.years = years
        made.months = months
        return made

    def in_seconds(self):
        """Whole seconds."""
        return int(self.total_seconds())

    def in_minutes(self):
        """Whole minutes."""
        return self.in_seconds() // 60

    def in_hours(self):
        """Whole hours."""
        return self.in_seconds() // 3600

    def in_days(self):
        """Whole days."""
        return self.in_seconds() // 86400


def duration(**kwargs):
    """A distance in time."""
    return Duration(**kwargs)


class DateTime(_datetime.datetime):
    """A date with a time zone and pendulum's ways to move it."""

    @classmethod
    def _of(cls, moment):
        return cls(moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second, moment.microsecond, moment.tzinfo,
                   fold=moment.fold)

    @property
    def timezone(self):
        """The time zone."""
        return self.tzinfo

    tz = timezone

    @property
    def timezone_name(self):
        """Its name."""
        return getattr(self.tzinfo, "key", None)

    @property
    def day_of_week(self):
        """0 is Monday."""
        return self.weekday()

    @property
    def int_timestamp(self):
        """Seconds since 1970."""
        return int(self.timestamp())

    def in_timezone(self, tz):
        """The same moment elsewhere."""
        return self._of(self.astimezone(_zone(tz)))

    in_tz = in_timezone

    def add(self, years=0, months=0, weeks=0, days=0, hours=0, minutes=0, seconds=0, microseconds=0):
        """A later date: years to days on the calendar, the rest on the clock."""
        month = self.month - 1 + months + 12 * years
        year, month = self.year + month // 12, month % 12 + 1
        first_of_next = _datetime.date(year + month // 12, month % 12 + 1, 1)
        last = (first_of_next - _datetime.timedelta(days=1)).day
        moved = _datetime.datetime.replace(self, year=year, month=month, day=min(self.day, last))
        moved = moved + _datetime.timedelta(weeks=weeks, days=days)
        clock = _datetime.timedelta(hours=hours, minutes=minutes, seconds=seconds, microseconds=microseconds)
        if clock and moved.tzinfo is not None:
            moved = (moved.astimezone(_datetime.timezone.utc) + clock).astimezone(moved.tzinfo)
        return self._of(moved + (clock if moved.tzinfo is None else _datetime.timedelta()))

    def subtract(self, **kwargs):
        """An earlier date."""
        return self.add(**{name: -value for name, value in kwargs.items()})

    def start_of(self, unit):
        """The first moment of its second, minute, hour, day, week, month or year."""
        if unit == "week":
            return self.start_of("day").subtract(days=self.weekday())
        units = ["year", "month", "day", "hour", "minute", "second"]
        lowest = {"month": 1, "day": 1, "hour": 0, "minute": 0, "second": 0}
        cleared = {name: lowest[name] for name in units[units.index(unit) + 1:]}
        return self._of(_datetime.datetime.replace(self, microsecond=0, **cleared))

    def naive(self):
        """Without a time zone."""
        return self._of(_datetime.datetime.replace(self, tzinfo=None))

    def set(self, tz=None, **kwargs):
        """With other fields."""
        if tz is not None:
            kwargs["tzinfo"] = _zone(tz)
        return self._of(_datetime.datetime.replace(self, **kwargs))

    def to_date_string(self):
        """2024-01-31"""
        return self.strftime("%Y-%m-%d")

    def to_datetime_string(self):
        """2024-01-31 06:00:00"""
        return self.strftime("%Y-%m-%d %H:%M:%S")

    def to_iso8601_string(self):
        """2024-01-31T06:00:00Z"""
        text = self.isoformat()
        return text[:-6] + "Z" if text.endswith("+00:00") else text


Date = _datetime.date
Time = _datetime.time


def datetime(year, month, day, hour=0, minute=0, second=0, microsecond=0, tz=UTC, fold=1):
    """A date with a time zone."""
    return DateTime(year, month, day, hour, minute, second, microsecond, tzinfo=_zone(tz))


def naive(year, month, day, hour=0, minute=0, second=0, microsecond=0):
    """A date without one."""
    return DateTime(year, month, day, hour, minute, second, microsecond)


def local(*args, **kwargs):
    """A date in the local time zone, which is UTC."""
    return datetime(*args, **kwargs)


def date(year, month, day):
    """A day."""
    return _datetime.date(year, month, day)


def time(hour, minute=0, second=0, microsecond=0):
    """A time of the day."""
    return _datetime.time(hour, minute, second, microsecond)


def instance(moment, tz=UTC):
    """A datetime as ours."""
    made = DateTime._of(moment)
    return made if made.tzinfo is not None else made.set(tz=tz)


def now(tz=None):
    """Now."""
    return DateTime._of(_datetime.datetime.now(_zone(tz)))


def today(tz=None):
    """The last midnight."""
    return now(tz).start_of("day")


def tomorrow(tz=None):
    """The next midnight."""
    return today(tz).add(days=1)


def yesterday(tz=None):
    """The midnight before the last."""
    return today(tz).subtract(days=1)


def from_timestamp(timestamp, tz=UTC):
    """The moment of a Unix time."""
    return DateTime._of(_datetime.datetime.fromtimestamp(timestamp, _zone(tz)))


def parse(text, tz=UTC, **options):
    """A date from ISO 8601 text."""
    moment = _datetime.datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
    return instance(moment, tz)
