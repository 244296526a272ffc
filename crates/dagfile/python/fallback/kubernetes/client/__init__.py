"""Classes of Kubernetes objects, made when they are asked for."""

from kubernetes.client import models
from kubernetes.client.models import __getattr__  # noqa: F401
from kubernetes.client.rest import ApiException  # noqa: F401


class ApiClient:
    """Turns objects into JSON; talks to nobody."""

    def __init__(self, *args, **kwargs):
        pass

    def sanitize_for_serialization(self, obj):
        """The object in camelCase."""
        from airflow._kubernetes import to_json

        return to_json(obj, "a Kubernetes object")
