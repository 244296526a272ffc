"""Schedules: everything that may stand after `schedule=`, as the model's Schedule."""

from datetime import timedelta

from airflow._problem import InvalidArgument, Unsupported, did_you_mean


# A version of a DAG holds them all.
_MOST_EVENTS = 10000


class _Absent:
    def __bool__(self):
        return False

    def __repr__(self):
        return "<not given>"


ABSENT = _Absent()


class Timetable:
    """Base of timetables. A timetable of the user's own is Python code that would have to run in the scheduler: not supported."""

    description = ""
    periodic = True

    def _updraft_schedule(self):
        raise Unsupported(
            "the timetable %s is a class of your own, which Updraft does not run" % type(self).__name__,
            "use a cron expression, CronTriggerTimetable or MultipleCronTriggerTimetable",
        )


class _Cron(Timetable):
    data_intervals = None

    def __init__(self, crons, timezone):
        self.expressions = [check_cron(cron, type(self).__name__) for cron in crons]
        if isinstance(timezone, str):
            from airflow._dates import zone

            timezone = zone(timezone)
        self.timezone = timezone

    def _updraft_schedule(self):
        return {"kind": "cron", "expressions": self.expressions, "data_intervals": self.data_intervals}


def _refuse(interval, run_immediately, name):
    if interval is not None and interval != timedelta():
        raise Unsupported("%s with an interval is not supported" % name, "leave interval out, or use CronDataIntervalTimetable")
    if run_immediately not in (False, None, True):
        from airflow import _session

        _session.current().warn("run_immediately of %s is accepted but has no effect" % name)


class CronTriggerTimetable(_Cron):
    """Runs at the times of a cron expression."""

    data_intervals = False

    def __init__(self, cron, *, timezone="UTC", interval=None, run_immediately=False):
        super().__init__([cron], timezone)
        _refuse(interval, run_immediately, "CronTriggerTimetable")


class MultipleCronTriggerTimetable(_Cron):
    """Runs at the times of any of several cron expressions."""

    data_intervals = False

    def __init__(self, *crons, timezone="UTC", interval=None, run_immediately=False):
        if not crons:
            raise InvalidArgument("MultipleCronTriggerTimetable has no expression", "give it one or more cron expressions")
        super().__init__(crons, timezone)
        _refuse(interval, run_immediately, "MultipleCronTriggerTimetable")


class CronDataIntervalTimetable(_Cron):
    """Runs for the interval between two times of a cron expression, at its end."""

    data_intervals = True

    def __init__(self, cron, timezone="UTC"):
        super().__init__([cron], timezone)


class CronPartitionTimetable(CronTriggerTimetable):
    """Runs at the times of a cron expression, each for the partition of its time."""

    def __init__(self, cron, *, timezone="UTC", run_offset=None, run_immediately=False, key_format="%Y-%m-%dT%H:%M:%S"):
        super().__init__(cron, timezone=timezone, run_immediately=run_immediately)


class EventsTimetable(Timetable):
    """Runs at the times of a list."""

    def __init__(self, event_dates, restrict_to_events=False, presorted=False, description=None):
        self.event_dates = list(event_dates)
        self.restrict_to_events = restrict_to_events
        self.description = description

    def _updraft_schedule(self):
        from airflow._dates import to_datetime, to_text

        times = sorted({to_datetime(one, "an event of EventsTimetable") for one in self.event_dates})
        if len(times) > _MOST_EVENTS:
            raise InvalidArgument("EventsTimetable has %d times" % len(times), "it may have %d: write a cron expression" % _MOST_EVENTS)
        return {"kind": "events", "times": [to_text(one) for one in times], "restrict_to_events": bool(self.restrict_to_events) or None,
                "description": str(self.description) if self.description else None}


class _Delta(Timetable):
    data_intervals = None

    def __init__(self, delta, interval=None):
        self.delta = delta
        _refuse(interval, False, type(self).__name__)

    def _updraft_schedule(self):
        return _delta(self.delta, self.data_intervals)


class DeltaTriggerTimetable(_Delta):
    """Runs every so often."""

    data_intervals = False

    def __init__(self, delta, *, interval=None):
        super().__init__(delta, interval)


class DeltaDataIntervalTimetable(_Delta):
    """Runs for the interval that has ended, every so often."""

    data_intervals = True


class NullTimetable(Timetable):
    """Never runs by itself."""

    def _updraft_schedule(self):
        return {"kind": "none"}


class OnceTimetable(Timetable):
    """Runs once."""

    def _updraft_schedule(self):
        return {"kind": "once"}


class ContinuousTimetable(Timetable):
    """Runs again as soon as the last run has ended."""

    def _updraft_schedule(self):
        return {"kind": "continuous"}


def check_cron(cron, where):
    """A cron expression of five fields or a preset, as one text with single spaces. The planner checks the fields themselves."""
    from airflow._dates import CRON_PRESETS

    if not isinstance(cron, str):
        raise InvalidArgument("%s has a %s for a cron expression" % (where, type(cron).__name__), "write \"0 6 * * *\"")
    text = " ".join(cron.split())
    if text.startswith("@"):
        if text not in CRON_PRESETS:
            known = sorted(CRON_PRESETS) + ["@once", "@continuous"]
            raise InvalidArgument("%s has the schedule %r, which is no preset" % (where, cron),
                                  did_you_mean(text, known) or "the presets are " + ", ".join(known))
        return text
    if len(text.split(" ")) != 5:
        raise InvalidArgument(
            "%s has the schedule %r with %d fields instead of five" % (where, cron, len(text.split())),
            "write minute, hour, day of month, month, day of week: \"0 6 * * *\"",
        )
    return text


def _delta(value, data_intervals):
    from airflow._dates import to_milliseconds

    if not isinstance(value, timedelta):
        value = _relative(value)
    every = to_milliseconds(value, "the schedule")
    if every == 0:
        raise InvalidArgument("the schedule is a timedelta of less than a millisecond", "write timedelta(days=1)")
    return {"kind": "delta", "every_ms": every, "data_intervals": data_intervals}


def _relative(value):
    """A dateutil relativedelta that is a plain distance, as a timedelta."""
    calendar = ("years", "months", "year", "month", "day", "weekday", "hour", "minute", "second", "microsecond")
    if any(getattr(value, name, None) for name in calendar):
        raise Unsupported("the schedule is a relativedelta of months, years or fixed fields",
                          "write it as a cron expression: \"0 0 1 * *\"")
    return timedelta(**{name: getattr(value, name, 0) or 0 for name in ("days", "hours", "minutes", "seconds", "microseconds")})


def to_schedule(value, where):
    """The spec's schedule, and the time zone that it names or nothing."""
    if value is ABSENT or value is None:
        return {"kind": "none"}, None
    if isinstance(value, str):
        text = value.strip()
        if text in ("@once", "@continuous"):
            return {"kind": text[1:]}, None
        if text in ("", "None", "@none"):
            return {"kind": "none"}, None
        return {"kind": "cron", "expressions": [check_cron(value, where)], "data_intervals": None}, None
    from airflow._assets import of_schedule
    from airflow._missing import Absent

    expression = of_schedule(value)
    if expression is not None:
        return {"kind": "assets", "expression": expression}, None
    if isinstance(value, Absent):
        raise value._updraft_refusal()
    if isinstance(value, Timetable):
        return value._updraft_schedule(), getattr(value, "timezone", None)
    if type(value).__name__.endswith("Timetable"):
        raise Unsupported("%s has the timetable %s, which Updraft does not know" % (where, type(value).__name__),
                          "use a cron expression, CronTriggerTimetable or MultipleCronTriggerTimetable")
    if isinstance(value, timedelta) or (hasattr(value, "relativedelta") or hasattr(value, "leapdays")):
        return _delta(value, None), None
    if isinstance(value, (list, tuple)) and not value:
        return {"kind": "none"}, None
    raise InvalidArgument(
        "%s has a schedule that is a %s" % (where, type(value).__name__), "write a cron expression, a preset, a timedelta or a timetable"
    )
