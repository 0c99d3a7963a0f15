"""An input of a run: a file that another run left, placed read-only in the run's folder, and how it is recorded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

import msgspec

from amltool.artifact import STORED_HERE
from amltool.layout import RunFolder

INPUT_VARIABLE = "AMLTOOL_INPUT_"
"""The beginning of the names of variables that tell a run where its inputs lie."""
MOST_INPUTS = 50
LARGEST = (1 << 63) - 1
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
_FILE = re.compile(r"[\w][\w.,+@ =-]{0,199}", re.ASCII)
_ENDING = re.compile(r"(?:\.[A-Za-z0-9]{1,10}){1,2}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class RunInput(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a run reads: its name for the script, its file name in the run's folder, what is in it, and where
    that comes from (``path`` among the artifacts of the run ``run_id``; the asset that led there, if one did).

    ``size`` in bytes, ``sha256`` in hex, ``store`` as in an `Artifact`.
    """

    name: str
    file: str
    size: int
    sha256: str
    store: str = STORED_HERE
    run_id: str = ""
    path: str = ""
    asset: str | None = None
    version: str | None = None

    @property
    def variable(self) -> str:
        """The environment variable that tells the run where it lies."""
        return variable_of(self.name)

    def place(self, folder: RunFolder) -> PurePosixPath:
        """Where it lies in a run's folder."""
        return folder.inputs / self.name / self.file

    def source(self) -> str:
        """Where it comes from, for people."""
        said = f"{self.path} of run {self.run_id}"
        return f"{said} (asset {self.asset}, version {self.version})" if self.asset else said

    def to_record(self) -> dict[str, Any]:
        """The entry in a record's ``inputs``."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return {**found, "variable": self.variable}


def variable_of(name: str) -> str:
    """The environment variable of an input of this name."""
    return INPUT_VARIABLE + name.upper().replace("-", "_")


def is_input_name(name: str) -> bool:
    """Return True if an input may be called so: a letter, then letters, digits, ``_`` and ``-``, at most 40."""
    return _NAME.fullmatch(name) is not None


def file_name(path: str, name: str) -> str:
    """The file name of an input: that of its artifact, or its own with the same ending where that would be odd."""
    last = path.rpartition("/")[2]
    if _FILE.fullmatch(last) and last == last.strip():
        return last
    ending = _ENDING.search(last[-22:])
    return name + (ending[0] if ending and last.endswith(ending[0]) else "")


def fault_of(inputs: Iterable[RunInput]) -> str | None:
    """The fault of inputs, ``None`` where there is none: they may come from a record, and records from elsewhere."""
    variables: dict[str, str] = {}
    for each in inputs:
        if not is_input_name(each.name):
            return f"{each.name[:60]!r} is no name of an input"
        if not _FILE.fullmatch(each.file) or each.file != each.file.strip():
            return f"{each.file[:60]!r} is no file name of an input"
        if not _SHA256.fullmatch(each.sha256) or not 0 <= each.size <= LARGEST:
            return f"the input {each.name} has a SHA-256 or a size that is none"
        before = variables.setdefault(each.variable, each.name)
        if before != each.name or len(variables) > MOST_INPUTS:
            return f"{before} and {each.name} have the same variable" if before != each.name else "too many inputs"
    return None if len(variables) == len(list(inputs)) else "an input is named twice"


def inputs_in(entries: Iterable[Mapping[str, Any]]) -> list[RunInput]:
    """The inputs that a record names.

    Raises:
        ValueError: they are none that amltool recorded; says why.
    """
    try:
        found = [msgspec.convert(dict(entry), RunInput) for entry in entries]
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        raise ValueError(str(error)) from None
    fault = fault_of(found)
    if fault is not None:
        raise ValueError(fault)
    return found
