"""Modules for the executors of Spark that are other processes, maybe on other machines; Python 3.6.

Two zip files: the project's, and what travels with runs, so that a module of the project that imports
``amltool.tracking`` can be imported there, too. What an executor logs with it is not kept: the run's metrics are the
driver's.
"""

import os
import sys
from importlib.machinery import PathFinder

from .cluster_driver import PROJECT, pack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List

TRACKING = "amltool-tracking.zip"
COLLECTED = ("outputs", "logs")
HERE = os.path.dirname(os.path.abspath(__file__))
_PATH = os.path.dirname(os.path.dirname(HERE))
"""The folder of ``amltool`` and ``azureml`` as they travel."""


def pack_for_executors(work: str, folder: str) -> "List[str]":
    """Pack the project in ``work`` and what travels into ``folder``; the zip files, for Spark's ``pyFiles``."""
    project, tracking = os.path.join(folder, PROJECT), os.path.join(folder, TRACKING)
    pack(work, project, without=COLLECTED)
    found = os.listdir(_PATH)
    pack(_PATH, tracking, without=tuple(name for name in found if name not in ("amltool", "azureml") or _is_real(name)))
    return [project, tracking]


def _is_real(name: str) -> bool:
    """Return True if the environment has the package itself: it must win over what travels.

    What PYTHONPATH adds on this machine does not count: executors do not have it.
    """
    added = {os.path.abspath(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep)}
    spec = PathFinder.find_spec(name, [entry for entry in sys.path if os.path.abspath(entry) not in added])
    places = list(spec.submodule_search_locations or []) if spec else []
    return any(os.path.dirname(os.path.abspath(place)) != _PATH for place in places)
