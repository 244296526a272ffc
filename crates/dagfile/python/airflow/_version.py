"""The version of Airflow whose names this package speaks, for files that ask."""

version = "3.3.2"
