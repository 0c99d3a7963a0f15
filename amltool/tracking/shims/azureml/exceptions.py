"""The exceptions of ``azureml.exceptions`` that the shims raise."""

from typing import Any


class AzureMLException(Exception):  # noqa: N818
    """What all of them are."""

    def __init__(self, exception_message: str = "", **_: Any) -> None:
        super(AzureMLException, self).__init__(exception_message)
        self.message = exception_message


class UserErrorException(AzureMLException):
    """A call that cannot be answered as it was made."""


class RunEnvironmentException(AzureMLException):
    """There is no run here."""

    def __init__(self, **_: Any) -> None:
        super(RunEnvironmentException, self).__init__(
            "Could not load a submitted run, if outside of an execution context, use experiment.start_logging to "
            "initialize an azureml.core.Run."
        )


class NotInAmltoolError(UserErrorException, NotImplementedError):
    """A call that needs a service which amltool does without; says what to do instead."""
