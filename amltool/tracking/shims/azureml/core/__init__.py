"""``azureml.core``: of it, the run. What else it held needs the service, and the real package."""

from typing import Any

from . import _absent
from .run import Run

__all__ = ["Run"]

_ELSEWHERE = frozenset(
    [
        "ComputeTarget",
        "Dataset",
        "Datastore",
        "Environment",
        "Experiment",
        "Image",
        "Keyvault",
        "Model",
        "RunConfiguration",
        "ScriptRunConfig",
        "Webservice",
        "Workspace",
    ]
)


def __getattr__(name: str) -> Any:  # Python 3.7 and later; before, the plain sentence
    if name in _ELSEWHERE:
        raise ImportError(_absent.NEEDS_SERVICE % ("azureml.core." + name), name="azureml.core")
    raise AttributeError("module %r has no attribute %r" % (__name__, name))


_absent.explain()
