"""Airflow's words for rules and states."""

from enum import Enum, IntEnum


class _Word(str, Enum):
    def __str__(self):
        return self.value


class TriggerRule(_Word):
    """What must be true of the upstreams."""

    ALL_SUCCESS = "all_success"
    ALL_FAILED = "all_failed"
    ALL_DONE = "all_done"
    ALL_DONE_MIN_ONE_SUCCESS = "all_done_min_one_success"
    ALL_DONE_SETUP_SUCCESS = "all_done_setup_success"
    ALL_SKIPPED = "all_skipped"
    ONE_SUCCESS = "one_success"
    ONE_FAILED = "one_failed"
    ONE_DONE = "one_done"
    NONE_FAILED = "none_failed"
    NONE_FAILED_MIN_ONE_SUCCESS = "none_failed_min_one_success"
    NONE_SKIPPED = "none_skipped"
    ALWAYS = "always"
    # Words of Airflow 1.10 and early 2.
    DUMMY = "always"
    NONE_FAILED_OR_SKIPPED = "none_failed_min_one_success"

    @classmethod
    def all_triggers(cls):
        """Every rule."""
        return {rule.value for rule in cls}

    @classmethod
    def is_valid(cls, rule):
        """Whether the text is a rule."""
        return rule in cls.all_triggers() or rule in OLD_TRIGGER_RULES


OLD_TRIGGER_RULES = {"dummy": "always", "none_failed_or_skipped": "none_failed_min_one_success"}


class WeightRule(_Word):
    """How weights make a priority."""

    DOWNSTREAM = "downstream"
    UPSTREAM = "upstream"
    ABSOLUTE = "absolute"


class TaskInstanceState(_Word):
    """States of a task instance."""

    REMOVED = "removed"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    RESTARTING = "restarting"
    FAILED = "failed"
    UP_FOR_RETRY = "up_for_retry"
    UP_FOR_RESCHEDULE = "up_for_reschedule"
    UPSTREAM_FAILED = "upstream_failed"
    SKIPPED = "skipped"
    DEFERRED = "deferred"


class DagRunState(_Word):
    """States of a run."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"


class State:
    """The states as plain text, as Airflow 1.10 and 2 have them."""

    NONE = None
    REMOVED = "removed"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    SHUTDOWN = "shutdown"
    FAILED = "failed"
    UP_FOR_RETRY = "up_for_retry"
    UP_FOR_RESCHEDULE = "up_for_reschedule"
    UPSTREAM_FAILED = "upstream_failed"
    SKIPPED = "skipped"
    DEFERRED = "deferred"
    finished = frozenset(["success", "failed", "skipped", "upstream_failed", "removed"])
    unfinished = frozenset([None, "scheduled", "queued", "running", "up_for_retry", "up_for_reschedule", "deferred"])


class OnFinishAction(_Word):
    """What becomes of a pod after its end."""

    KEEP_POD = "keep_pod"
    DELETE_POD = "delete_pod"
    DELETE_SUCCEEDED_POD = "delete_succeeded_pod"
    DELETE_ACTIVE_POD = "delete_active_pod"


class OnKillAction(_Word):
    """What becomes of a pod whose task is stopped."""

    KEEP_POD = "keep_pod"
    DELETE_POD = "delete_pod"


class WeekDay(IntEnum):
    """Days of the week, as ISO counts them."""

    MONDAY = 1
    TUESDAY = 2
    WEDNESDAY = 3
    THURSDAY = 4
    FRIDAY = 5
    SATURDAY = 6
    SUNDAY = 7
