"""All that `amltool` may import for a command: the process that imports this is what others are forked from."""

from __future__ import annotations

import contextlib
import gc
import importlib
import pkgutil

import amltool
from amltool.tasks.startup import import_invoke

TRAVELS = ("amltool.tracking", "amltool.hosts.there", "amltool.testing", "amltool.hooks", "amltool.__main__")
LIBRARIES = ("docker", "paramiko")


def import_all() -> None:
    import_invoke()  # first, as the program does
    for module in pkgutil.walk_packages(amltool.__path__, "amltool."):
        if not module.name.startswith(TRAVELS):
            importlib.import_module(module.name)
    for name in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()


import_all()
