"""Runs DAG files and tells what they define. `main.py` is the way in and holds the protocol."""
