"""A quick start for the ``amltool`` program: Invoke without the modules it loads and does not use.

``import invoke`` takes about 150 ms, of which two thirds go to three modules that an ordinary command never touches:

* ``importlib.metadata``, asked once, for Invoke's own version number;
* ``unittest.mock`` (and with it ``asyncio``), for ``MockContext`` only;
* ``invoke.vendor.yaml``, for a configuration file in YAML only.

While Invoke is being imported the first two are replaced by stand-ins, which are taken away again before
``import_invoke`` returns; the third is loaded by ``importlib.util.LazyLoader`` when an attribute of it is first used.
Afterwards all three behave as if nothing had been done: whoever imports them gets the real modules, and
``MockContext`` makes real mocks. Nothing is done to a module that is loaded already. Should a version of Invoke not
bear this, it is imported the ordinary way: this is about speed, never about what works.

Only the ``amltool`` program starts this way; the ``invoke`` command has loaded Invoke before it comes to us.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType
from typing import Any

LAZY_MODULE = "invoke.vendor.yaml"


def import_invoke() -> None:
    """Import ``invoke``, leaving out what only its tests, its version and YAML files need."""
    if "invoke" in sys.modules:
        return
    try:
        with stand_ins():
            importlib.import_module("invoke")
    except Exception:
        # Whatever the reason, a plain import either works or gives the error that the user should see.
        for name in [name for name in sys.modules if name.partition(".")[0] == "invoke"]:
            del sys.modules[name]
        importlib.import_module("invoke")


@contextmanager
def stand_ins() -> Iterator[None]:
    """Within it, three modules that cost much are stood in for; after it, nothing of that is left behind."""
    finder = LazyFinder()
    sys.meta_path.insert(0, finder)
    placed = [stand_in for stand_in in (MetadataStandIn(), MockStandIn()) if stand_in.__name__ not in sys.modules]
    for stand_in in placed:
        sys.modules[stand_in.__name__] = stand_in
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for stand_in in placed:
            _take_away(stand_in)


def _take_away(stand_in: ModuleType) -> None:
    if sys.modules.get(stand_in.__name__) is stand_in:
        del sys.modules[stand_in.__name__]
    parent, _, name = stand_in.__name__.rpartition(".")
    if vars(sys.modules.get(parent, stand_in)).get(name) is stand_in:
        delattr(sys.modules[parent], name)


class LazyFinder:
    """Finds one module the ordinary way, and has it run only when an attribute of it is first used."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != LAZY_MODULE:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


class MetadataStandIn(ModuleType):
    """Stands in for ``importlib.metadata``: knows versions from folder names, and leaves the rest to the real one.

    Invoke keeps it as ``invoke.metadata``, so it has to go on working after it was taken away.
    """

    def __init__(self) -> None:
        super().__init__("importlib.metadata")

    def version(self, distribution_name: str) -> str:
        return version_by_folder(distribution_name) or str(self.__getattr__("version")(distribution_name))

    def __getattr__(self, name: str) -> Any:
        _take_away(self)
        return getattr(importlib.import_module("importlib.metadata"), name)


class MockStandIn(ModuleType):
    """Stands in for ``unittest.mock``: its ``Mock`` loads the real one when it is called."""

    def __init__(self) -> None:
        super().__init__("unittest.mock")

    @staticmethod
    def Mock(*arguments: Any, **keywords: Any) -> Any:  # noqa: N802 - the name of what it stands in for
        return importlib.import_module("unittest.mock").Mock(*arguments, **keywords)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        _take_away(self)
        return getattr(importlib.import_module("unittest.mock"), name)


def version_by_folder(package: str) -> str | None:
    """The version of a loaded package, from the name of the one ``.dist-info`` folder beside it.

    Returns:
        None where there is no such folder or more than one: then only the real metadata can tell.
        Source of the format: https://packaging.python.org/en/latest/specifications/recording-installed-packages/
    """
    location = getattr(sys.modules.get(package), "__path__", None)
    if not location:
        return None
    try:
        # os.listdir, as pathlib is itself one of the modules worth not loading yet
        names = os.listdir(os.path.dirname(location[0]))  # noqa: PTH208, PTH120
    except OSError:
        return None
    suffix = ".dist-info"
    found = [n[len(package) + 1 : -len(suffix)] for n in names if n.startswith(f"{package}-") and n.endswith(suffix)]
    return found[0] if len(found) == 1 else None


def readable_output() -> None:
    """Let what is printed never fail for its characters, nor for want of an output (``>&-``)."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123 - as long as the process
        elif hasattr(stream, "reconfigure") and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def bytecode_kept() -> Iterator[None]:
    """Within it, Python keeps the bytecode of what it imports, as it does anywhere but under Invoke.

    Invoke switches that off on every run (``--write-pyc``), which would have our own modules, imported when a task
    needs them, compiled anew each time. Who set ``PYTHONDONTWRITEBYTECODE`` is obeyed.
    """
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)
    try:
        yield
    finally:
        sys.dont_write_bytecode = before
