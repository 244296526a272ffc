"""pendulum's names for time zones."""

from pendulum import UTC, FixedTimezone, Timezone, local_timezone, timezone  # noqa: F401
