"""Folders of runs and their marks on any host: what `amltool.tracking.run_folders` does, done there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from amltool.hosts.local import LocalHost
from amltool.hosts.streaming import evaluated
from amltool.layout import HostLayout

if TYPE_CHECKING:
    from amltool.hosts.base import Host
    from amltool.layout import RunFolder

_ACTION = """
def main(root, run_id, action):
    return run_action(root, run_id, action)
"""
Action = dict[str, Any]
"""What is to be done with a run's folder, as `amltool.tracking.run_folders.run_action` takes it."""


def write_mark(host: Host, folder: RunFolder, name: str, content: bytes) -> None:
    """Write a mark of a run, whole.

    Raises:
        OSError: it cannot be written.
        TargetError: the host does not answer.
    """
    act(host, folder, {"marks": {name: content.decode("utf-8", "surrogateescape")}})


def make_run_folder(
    host: Host, folder: RunFolder, names: Sequence[str], files: Mapping[str, bytes] | None = None
) -> None:
    """Make the folder of a run that did not begin, folders of these names in it, and small files.

    Raises:
        OSError: the disk is full, or something else has one of the names: nothing is set aside before a run began.
        TargetError: the host does not answer.
    """
    texts = {name: content.decode("utf-8", "surrogateescape") for name, content in (files or {}).items()}
    act(host, folder, {"make": list(names), "files": texts})


def remove_run_folders(host: Host, folder: RunFolder, others: Sequence[str] = ()) -> None:
    """Remove the folder of a run and its marks, whatever the run made of them; none is fine.

    Raises:
        OSError: something in it is not ours to remove.
        TargetError: the host does not answer.
    """
    act(host, folder, {"remove": [folder.run_id, *others]})


def remove_below_root(host: Host, path: str) -> None:
    """Remove a run's folder with its marks (``runs/RUN``), or what was set aside, by its path below the host's root.

    Raises:
        OSError: something in it is not ours to remove.
        TargetError: the host does not answer.
    """
    act(host, HostLayout(host.root).run(PurePosixPath(path).name), {"remove_at": path})


def act(host: Host, folder: RunFolder, action: Action) -> list[str]:
    """Do it; gives the names of what was set aside, for it was not as amltool left it.

    Raises:
        OSError: it was met there.
        TargetError: the host does not answer.
    """
    root, run_id = str(folder.root), folder.run_id
    if isinstance(host, LocalHost):
        from amltool.tracking.run_folders import run_action

        return run_action(root, run_id, action)
    said = evaluated(host, f"{_program()}\n{_ACTION}", [root, run_id, action])
    return [str(name) for name in said] if isinstance(said, list) else []


@cache
def _program() -> str:
    return (Path(__file__).parents[1] / "tracking/run_folders.py").read_text("utf-8")
