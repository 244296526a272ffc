"""Exceptions of the Kubernetes client, for files that catch them."""


class ApiException(Exception):
    """The API server said no."""

    def __init__(self, status=None, reason=None, http_resp=None):
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.body = None
