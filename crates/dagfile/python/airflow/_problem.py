"""Exceptions: Airflow's names, and `Problem`, which carries what the error page shows."""


class AirflowException(Exception):
    """Airflow's base class."""

    status_code = 500


class AirflowBadRequest(AirflowException):
    """Airflow's name."""


class AirflowNotFoundException(AirflowException):
    """Airflow's name."""


class AirflowConfigException(AirflowException):
    """Airflow's name."""


class AirflowSkipException(AirflowException):
    """Airflow's name."""


class AirflowFailException(AirflowException):
    """Airflow's name."""


class AirflowSensorTimeout(AirflowException):
    """Airflow's name."""


class AirflowTaskTimeout(BaseException):
    """Airflow's name."""


class AirflowRescheduleException(AirflowException):
    """Airflow's name."""


class TaskDeferred(BaseException):
    """Airflow's name."""


class AirflowDagCycleException(AirflowException):
    """Airflow's name."""


class AirflowTimetableInvalid(AirflowException):
    """Airflow's name."""


class AirflowProviderDeprecationWarning(DeprecationWarning):
    """Airflow's name."""


class RemovedInAirflow3Warning(DeprecationWarning):
    """Airflow's name."""


class RemovedInAirflow4Warning(DeprecationWarning):
    """Airflow's name."""


class Problem(AirflowException):
    """A mistake in a DAG file, with the remedy."""

    kind = "invalid"

    def __init__(self, message, hint=None, dag_id=None, line=None):
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.dag_id = dag_id
        self.line = line


class InvalidArgument(Problem, TypeError, ValueError):
    """A wrong argument. Airflow raises one of these three bases, by version and place; files that catch any of them go on working."""


class DuplicateTaskIdFound(Problem):
    """Airflow's name."""


class TaskNotFound(AirflowNotFoundException):
    """Airflow's name."""


class DagNotFound(AirflowNotFoundException):
    """Airflow's name."""


class NotAnswered(Problem, AirflowNotFoundException, KeyError):
    """A variable or connection that the installation does not have."""

    kind = "exception"

    def __str__(self):
        return self.message


class Unsupported(Problem, NotImplementedError):
    """Something of Airflow that Updraft does not have."""

    kind = "unsupported"


def did_you_mean(word, known, cutoff=0.6):
    """A remedy that names the nearest known word, or the empty text."""
    import difflib

    near = difflib.get_close_matches(str(word), list(known), n=1, cutoff=cutoff)
    return "did you mean %s?" % near[0] if near else ""
