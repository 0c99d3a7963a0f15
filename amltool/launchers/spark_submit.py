"""Runs on a Hadoop cluster: the process on the head node that submits, and what it knows of its applications."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Annotated

import msgspec
from msgspec.structs import replace

from amltool.environments.login import Login
from amltool.errors import TargetError
from amltool.hosts.base import Host, Piece
from amltool.launchers.base import Expected, Handle, Launch, LaunchState, LeftBehind, Observation
from amltool.launchers.process import ProcessLauncher
from amltool.layout import RunFolder, cluster_run_folder, cluster_tag, run_of_tag
from amltool.tracking.yarn import WAITING

CLUSTER_PROGRAM = "cluster_run.py"
"""Among what travels with runs: the command of a run on the head node."""
LEFTOVERS_PROGRAM = "cluster_leftovers.py"
ON_CLUSTER = "on the cluster"
LOOK_S = 120.0
LONGEST_FILE = 1 << 16
LONGEST_REASON = 1000
END_S = 60.0
_Version = Annotated[str, msgspec.Meta(pattern=r"^[0-9][0-9A-Za-z.+-]{0,60}$")]
UNWATCHED = "the process on the head node that followed the application was ended; the application was killed"
_Id = Annotated[str, msgspec.Meta(pattern=r"^application_[0-9]{1,20}_[0-9]{1,10}$")]


class Applications(msgspec.Struct, frozen=True):
    """A run's applications, as the program on the head node knows them. The run can write it: input, checked."""

    applications: list[_Id] = []
    state: str = ""
    reason: str | None = None
    spark: _Version | None = None
    done: bool = False
    """Nothing of the run goes on or lies on the cluster."""


class SparkSubmitLauncher:
    """A `Launcher` whose process is ``tracking/cluster_run.py`` on the head node.

    That process needs no client, so a run is submitted once, whoever dies. Where the process itself was killed, its
    applications are found by their tag and ended.
    """

    def __init__(self, process: ProcessLauncher, login: Login, bootstrap: Callable[[], PurePosixPath]) -> None:
        self._process = process
        self._login = login
        self._bootstrap = bootstrap
        self._ended: set[RunFolder] = set()

    def get_ready(self, host: Host, expected: Expected) -> None:
        """As `Launcher.get_ready`."""
        self._process.get_ready(host, expected)

    def start(self, host: Host, launch: Launch) -> Handle:
        """As `Launcher.start`."""
        return self._process.start(host, launch)

    def observe(self, host: Host, folder: RunFolder, handle: Handle) -> Observation:
        """As `Launcher.observe`, with what YARN said of the application; those of a lost run are killed."""
        return self._completed(host, folder, self._process.observe(host, folder, handle))

    def is_over(self, host: Host, folder: RunFolder) -> bool:
        """As `Launcher.is_over`."""
        return self._process.is_over(host, folder)

    def live_work(self, host: Host, folder: RunFolder) -> PurePosixPath:
        """As `Launcher.live_work`: the work folder of the head node."""
        return self._process.live_work(host, folder)

    def wait(self, host: Host, folder: RunFolder, handle: Handle, timeout_s: float) -> Observation:
        """As `Launcher.wait`."""
        return self._completed(host, folder, self._process.wait(host, folder, handle, timeout_s))

    def cancel(self, host: Host, folder: RunFolder, handle: Handle, grace_s: float = 10.0) -> None:
        """As `Launcher.cancel`: the program on the head node ends its applications, and `observe` what it could not."""
        self._process.cancel(host, folder, handle, grace_s)

    def forget(self, host: Host, folder: RunFolder) -> bool:
        """As `Launcher.forget`."""
        return self._process.forget(host, folder)

    def end(self, host: Host, folder: RunFolder, handle: Handle) -> None:
        """As `Launcher.end`; its applications are killed too."""
        self._process.end(host, folder, handle)
        self._end_applications(host, folder)

    def left_behind(self, host: Host, clone: str) -> list[LeftBehind]:  # noqa: ARG002
        """As `Launcher.left_behind`: folders on the cluster's file system, those of its user's runs from anywhere.

        Raises:
            TargetError: YARN or the file system does not answer.
        """
        program = self._bootstrap().with_name(LEFTOVERS_PROGRAM)
        words = ["python3", str(program), str(cluster_run_folder("x").parent)]
        done = self._login.seen(host).run(words, timeout_s=LOOK_S)
        try:
            found = msgspec.json.decode(done.stdout, type=list[tuple[str, str, int]])
        except msgspec.MsgspecError:
            said = done.stderr.decode("utf-8", "backslashreplace").strip().rpartition("\n")[2]
            raise TargetError(
                f"{host.name} does not say what runs left on the cluster's file system: {said}.",
                "Try again when YARN and the file system answer.",
            ) from None
        return [
            LeftBehind(kind=ON_CLUSTER, place=place, size=size, run_id=run_id, is_anybodys=True)
            for tag, place, size in found
            if (run_id := run_of_tag(tag))
        ]

    def remove_left_behind(self, host: Host, folder: RunFolder) -> None:
        """As `Launcher.remove_left_behind`."""
        self._end_applications(host, folder)

    def _completed(self, host: Host, folder: RunFolder, seen: Observation) -> Observation:
        known = _applications(host, folder)
        is_over = seen.state in (LaunchState.ENDED, LaunchState.LOST)
        if is_over and not (known.done if known else seen.state is LaunchState.ENDED):
            self._end_applications(host, folder)
        if known is None:
            return seen
        end = seen.exit
        if end is not None and end.reason is None and end.exit_code != 0:
            why = known.reason or (UNWATCHED if is_over and not known.done else None)
            end = replace(end, reason=why and why[:LONGEST_REASON])
        name = known.applications[-1] if known.applications else None
        queued = seen.state is LaunchState.RUNNING and known.state in WAITING
        return replace(seen, exit=end, application_id=name, is_queued=queued, spark=known.spark)

    def _end_applications(self, host: Host, folder: RunFolder) -> None:
        if folder in self._ended:
            return
        run_id = folder.path.name
        program = self._bootstrap().with_name(CLUSTER_PROGRAM)
        words = ["python3", str(program), "end", cluster_tag(run_id), str(cluster_run_folder(run_id))]
        done = self._login.seen(host).run(words, timeout_s=END_S)
        if done.exit_code:
            said = done.stderr.decode("utf-8", "backslashreplace").strip().rpartition("\n")[2]
            raise TargetError(
                f"The applications of run {run_id} may still run: {said}.", "Try again when YARN answers."
            )
        self._ended.add(folder)


def _applications(host: Host, folder: RunFolder) -> Applications | None:
    (content,) = host.pieces(folder.path, [Piece(folder.spark.name, LONGEST_FILE)])
    if not isinstance(content, bytes):
        return None
    with contextlib.suppress(msgspec.MsgspecError, ValueError, RecursionError):
        return msgspec.json.decode(content, type=Applications)
    return None
