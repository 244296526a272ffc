"""Runs one Python task in a process of its own. Nothing here is imported while DAG files are read."""
