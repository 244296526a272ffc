"""A distance on the calendar."""

import datetime


class relativedelta:
    """Years and months, days and hours; singular names set a field."""

    leapdays = 0

    def __init__(self, years=0, months=0, days=0, weeks=0, hours=0, minutes=0, seconds=0, microseconds=0, year=None, month=None, day=None,
                 hour=None, minute=None, second=None, microsecond=None, weekday=None):
        self.years = years + int(months / 12)
        self.months = months - int(months / 12) * 12
        self.days = days + weeks * 7
        self.hours, self.minutes, self.seconds, self.microseconds = hours, minutes, seconds, microseconds
        self.year, self.month, self.day, self.hour, self.minute, self.second = year, month, day, hour, minute, second
        self.microsecond, self.weekday = microsecond, weekday

    def __neg__(self):
        distances = ("years", "months", "days", "hours", "minutes", "seconds", "microseconds")
        fields = ("year", "month", "day", "hour", "minute", "second", "microsecond", "weekday")
        values = {name: -getattr(self, name) for name in distances}
        values.update({name: getattr(self, name) for name in fields})
        return relativedelta(**values)

    def __radd__(self, moment):
        month = (self.month or moment.month) - 1 + self.months + 12 * ((self.year or moment.year) + self.years)
        year, month = month // 12, month % 12 + 1
        last = (datetime.date(year + month // 12, month % 12 + 1, 1) - datetime.timedelta(days=1)).day
        fields = {name: getattr(self, name) for name in ("hour", "minute", "second", "microsecond") if getattr(self, name) is not None}
        moved = moment.replace(year=year, month=month, day=min(self.day or moment.day, last), **fields)
        distance = datetime.timedelta(days=self.days, hours=self.hours, minutes=self.minutes, seconds=self.seconds,
                                      microseconds=self.microseconds)
        return moved + distance

    __add__ = __radd__

    def __rsub__(self, moment):
        return moment + -self
