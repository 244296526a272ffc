"""Stands in for pytz where it is not installed: time zones by name, with `localize`."""

import datetime
from zoneinfo import ZoneInfo


class _Zone(ZoneInfo):
    @property
    def zone(self):
        """The IANA name."""
        return self.key

    def localize(self, moment, is_dst=False):
        """A naive date as one of here."""
        return moment.replace(tzinfo=self)

    def normalize(self, moment, is_dst=False):
        """Already normal."""
        return moment.astimezone(self)


def timezone(name):
    """The time zone of a name."""
    return _Zone(name)


UTC = utc = _Zone("UTC")


def FixedOffset(minutes):
    """A fixed distance from UTC."""
    return datetime.timezone(datetime.timedelta(minutes=minutes))
