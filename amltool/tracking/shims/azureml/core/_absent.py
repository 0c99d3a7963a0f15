"""Modules of ``azureml`` that are not here: what importing one says."""

import sys
from typing import Any

NEEDS_SERVICE = (
    "%s needs the Azure ML service, which amltool does without; with azureml-core in the dependencies of the run the "
    "real one is imported."
)


class _Finder(object):
    """Asked last, when no other finder has the module."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:  # noqa: ARG004
        """Say what to do about a module of ``azureml``; any other is not our matter.

        Raises:
            ModuleNotFoundError: as without us, with a sentence.
        """
        if name.startswith("azureml."):
            raise ModuleNotFoundError(NEEDS_SERVICE % name, name=name)


def explain() -> None:
    """Have imports of absent modules explained from now on."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
