"""Times and time zones: Airflow's helpers, and the conversions of the spec."""

from datetime import date, datetime, timedelta, timezone

from airflow import _session
from airflow._problem import InvalidArgument

utc = timezone.utc
CRON_PRESETS = {
    "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
}


def zone(name):
    """The time zone of an IANA name."""
    from zoneinfo import ZoneInfo

    try:
        return utc if name in ("UTC", "utc") else ZoneInfo(name)
    except Exception:
        raise InvalidArgument("time zone %r is not known" % name, "write an IANA name such as Europe/Berlin") from None


def default_timezone():
    """`[core] default_timezone`, or UTC."""
    name = _session.current().environment.get("AIRFLOW__CORE__DEFAULT_TIMEZONE", "UTC")
    return utc if name in ("utc", "UTC", "system") else zone(name)


def zone_name(tzinfo, moment=None):
    """The IANA name of a tzinfo, whichever package it comes from. Fixed offsets of whole hours are Etc/GMT zones."""
    for attribute in ("key", "zone", "name"):
        name = getattr(tzinfo, attribute, None)
        if isinstance(name, str) and name and not name.startswith(("+", "-")):
            return "UTC" if name in ("utc", "Etc/UTC", "Z", "Zulu") else name
    # dateutil keeps the path of the zone's file.
    path = getattr(tzinfo, "_filename", None)
    if isinstance(path, str) and "/" in path:
        return path.rpartition("zoneinfo/")[2]
    offset = tzinfo.utcoffset(moment or datetime(2000, 1, 1))
    seconds = int(offset.total_seconds()) if offset is not None else 0
    if seconds == 0:
        return "UTC"
    if seconds % 3600 == 0 and -14 <= -seconds // 3600 <= 12:
        return "Etc/GMT%+d" % (-seconds // 3600)
    raise InvalidArgument("a start date has the offset %s, which is no time zone" % offset, "use pendulum.timezone(\"Area/City\")")


def to_datetime(value, what, tzinfo=None):
    """A start or end date as an aware datetime; naive ones are in `tzinfo` or the default zone."""
    if isinstance(value, str):
        text = value.strip()
        try:
            value = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
        except ValueError:
            raise InvalidArgument("%s %r is not a date" % (what, value), "write datetime(2024, 1, 31) or \"2024-01-31\"") from None
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime):
        raise InvalidArgument("%s is a %s, not a date" % (what, type(value).__name__), "write datetime(2024, 1, 31)")
    if value.tzinfo is None or value.utcoffset() is None:
        value = value.replace(tzinfo=tzinfo or default_timezone())
    return value


def to_text(moment):
    """RFC 3339 in UTC."""
    moment = moment.astimezone(utc)
    text = "%04d-%02d-%02dT%02d:%02d:%02d" % moment.timetuple()[:6]
    return text + (".%06dZ" % moment.microsecond if moment.microsecond else "Z")


def to_milliseconds(value, what):
    """A timedelta or a number of seconds, in whole milliseconds."""
    if isinstance(value, timedelta):
        milliseconds = (value.days * 86400 + value.seconds) * 1000 + value.microseconds // 1000
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        if value != value or value in (float("inf"), float("-inf")):
            raise InvalidArgument("%s is %s" % (what, value), "write timedelta(minutes=5)")
        milliseconds = int(value * 1000)
    else:
        raise InvalidArgument("%s is a %s, not a timedelta" % (what, type(value).__name__), "write timedelta(minutes=5)")
    if milliseconds < 0:
        raise InvalidArgument("%s is negative" % what, "write timedelta(minutes=5)")
    return milliseconds


def utcnow():
    """Now, in UTC."""
    return datetime.now(utc)


def days_ago(n, hour=0, minute=0, second=0, microsecond=0):
    """Midnight UTC of so many days ago."""
    _session.current().warn("days_ago() gives another start date each day: write a fixed date")
    today = utcnow().replace(hour=hour, minute=minute, second=second, microsecond=microsecond)
    return today - timedelta(days=n)


def is_localized(value):
    """Whether it has a time zone."""
    return value.utcoffset() is not None


def is_naive(value):
    """Whether it has none."""
    return value.utcoffset() is None


def make_aware(value, timezone=None):
    """Gives it a time zone."""
    if is_localized(value):
        raise ValueError("%r already has a time zone" % value)
    return value.replace(tzinfo=timezone or default_timezone())


def make_naive(value, timezone=None):
    """Takes its time zone away."""
    return value.astimezone(timezone or default_timezone()).replace(tzinfo=None)


def convert_to_utc(value):
    """The same moment in UTC."""
    return None if value is None else to_datetime(value, "date").astimezone(utc)


def aware_datetime(*args, **kwargs):
    """A datetime with a time zone, the default one if none is given."""
    kwargs.setdefault("tzinfo", default_timezone())
    return datetime(*args, **kwargs)


def parse(string, timezone=None, strict=False):
    """A date from text."""
    return to_datetime(string, "date", timezone)


def parse_timezone(name):
    """The time zone of a name or an offset in seconds."""
    return timezone(timedelta(seconds=name)) if isinstance(name, int) else zone(name)
