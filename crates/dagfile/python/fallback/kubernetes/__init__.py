"""Stands in for the Kubernetes client where it is not installed: its objects can be made, its API cannot be called."""
