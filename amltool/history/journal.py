"""The journal: runs that are not in the history yet, on this machine only.

One folder a run: ``request.json`` (what was asked for; never changes), ``state.json`` (the last finished step and what
it left; rewritten whole), ``lock`` (held by whoever drives the run), ``cancel`` (somebody asked to cancel it),
``cancel-reached`` (it came to the run while that went on), ``given-up`` (nor waits for its host). Any later process can
go on from there. No secret is in it: variables that hold one are references.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from amltool.artifact import Artifact, Metric, Omission
from amltool.errors import DamagedError, UserError
from amltool.files import locked, no_space, read_regular, write_whole
from amltool.layout import LocalLayout
from amltool.locks import Holder, holder_of
from amltool.run import (
    EXACTLY,
    EnvironmentUsed,
    Exit,
    FolderFile,
    LongList,
    NewFiles,
    ProjectNames,
    RunStatus,
    SharedFolder,
    Tolerances,
)
from amltool.run_input import RunInput

JOURNAL_VERSION = 1


class Step(str, Enum):
    """The last step of a run that was finished, in order (DESIGN 3)."""

    REQUESTED = "requested"
    PREPARED = "prepared"
    PLACED = "placed"
    LAUNCHED = "launched"
    ENDED = "ended"
    COLLECTED = "collected"
    RECORDED = "recorded"


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """All that is needed to drive a run to its end, whoever does it; ``arguments`` are exact bytes."""

    v: int = JOURNAL_VERSION
    run_id: str
    run_number: int
    created: str
    user: str
    project: ProjectNames
    prefix: str
    source_directory: str
    profile: str
    commit: str
    tree: str
    base_commit: str
    dirty: bool
    script: str
    command: list[bytes]
    arguments: list[bytes]
    interpreted: bool = True
    run_configuration: str
    run_configuration_content: dict[str, Any]
    environment_variables: dict[str, str] = {}
    framework: str
    conda_dependencies_file: str | None = None
    spark_dependencies_file: str | None = None
    target: str
    target_type: str
    compute: str
    """The text of the ``.compute`` that took effect."""
    compute_effect: dict[str, Any] = {}
    """Its settings that have an effect on the run, for the record."""
    max_artifact_size: int
    artifact_store: str | None = None
    timeout_s: float | None = None
    share_hash: bool = False
    keep_run_folders: int = 3
    prepare: bool = True
    """Whether the environment may be built for this run."""
    inputs: list[RunInput] = []
    rerun_of: str | None = None
    tolerances: Tolerances = EXACTLY
    """Of the verdict, where it is a rerun."""
    sweep_id: str | None = None
    tracked: bool = True


class PlacedFolder(msgspec.Struct, frozen=True):
    """What a client knows of a run's ``work`` since it was placed, to know it again after the run: the SHA-256 of what
    was noted of its files, and its inode."""

    digest: str
    inode: int


class RunState(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run stands and what its finished steps left."""

    v: int = JOURNAL_VERSION
    step: Step = Step.REQUESTED
    status: RunStatus = RunStatus.NOT_STARTED
    since: str | None = None
    """When it came to this status; nothing before the first step is done."""
    waits_for: str = ""
    """What its driver waits for, for people, where that is more than the next step."""
    placed: PlacedFolder | None = None
    handle: dict[str, Any] = {}
    host: str = ""
    environment: EnvironmentUsed = EnvironmentUsed()
    share_at_start: list[FolderFile] | LongList = []
    shared_folder: SharedFolder | None = None
    launched: str | None = None
    end: Exit = Exit()
    metrics: dict[str, Metric] = {}
    parameters: dict[str, str] = {}
    tags: dict[str, str] = {}
    artifacts: list[Artifact] | LongList = []
    omitted: list[Omission] | LongList = []
    left_behind: NewFiles | None = None
    application_id: str | None = None


class JournalEntry:
    """One run's folder in the journal."""

    def __init__(self, folder: Path, held: contextlib.ExitStack | None = None) -> None:
        self.folder = folder
        self._held = held

    @property
    def run_id(self) -> str:
        return self.folder.name

    @property
    def is_there(self) -> bool:
        """Whether the run is in the journal still; a folder without a request is what a `discard` may leave."""
        return (self.folder / "request.json").exists()

    def request(self) -> RunRequest:
        """What was asked for.

        Raises:
            UserError: a newer amltool wrote it, or it is damaged; says what to do.
        """
        return _read(self.folder / "request.json", RunRequest)

    def state(self) -> RunState:
        """Where it stands; the state of a run whose first step never ended is the initial one."""
        try:
            return _read(self.folder / "state.json", RunState)
        except FileNotFoundError:
            return RunState()

    def save(self, state: RunState) -> None:
        """Write the state whole."""
        self.keep("state.json", msgspec.json.encode(state))

    def keep(self, name: str, content: bytes) -> None:
        """Keep what a step left beside the state (it is too large or too rarely needed for it)."""
        try:
            write_whole(self.folder / name, content)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise no_space(error, self.folder) from error

    def kept(self, name: str) -> bytes:
        """What `keep` kept; FileNotFoundError where it did not."""
        return read_regular(self.folder / name)

    @contextlib.contextmanager
    def driven(self) -> Iterator[None]:
        """Hold the run's lock: only its holder takes it from step to step.

        Raises:
            BlockingIOError: another process drives it.
            FileNotFoundError: it is not in the journal any more.
        """
        held, self._held = self._held, None
        with held or locked(self.folder / "lock", wait=False):
            if not self.is_there:
                raise FileNotFoundError(self.folder)
            yield

    def is_driven(self) -> bool:
        """Whether some process drives it now."""
        try:
            with self.driven():
                return False
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False

    def driver(self) -> Holder | None:
        """The process that drives it, as far as that can be told; nothing is locked to find out."""
        return holder_of(self.folder / "lock")

    def ask_to_cancel(self, reason: str = "") -> None:
        """Leave word for whoever drives the run, now or later; the reason is for a run that was never started."""
        with contextlib.suppress(FileNotFoundError):
            (self.folder / "cancel").write_text(reason, "utf-8")

    @property
    def cancel_asked(self) -> bool:
        return (self.folder / "cancel").exists()

    def note_cancel_reached(self) -> None:
        """Leave word that the cancel came to the run while that went on: a run that is lost then was ended by it."""
        with contextlib.suppress(FileNotFoundError):
            (self.folder / "cancel-reached").touch()

    @property
    def is_cancel_reached(self) -> bool:
        return (self.folder / "cancel-reached").exists()

    def give_up(self) -> None:
        """Leave word that nobody waits any more for a host that does not answer; the run then ends without it."""
        with contextlib.suppress(FileNotFoundError):
            (self.folder / "given-up").touch()

    @property
    def is_given_up(self) -> bool:
        return (self.folder / "given-up").exists()

    @property
    def cancel_reason(self) -> str:
        """Why it is to be canceled, where that was said."""
        try:
            return read_regular(self.folder / "cancel").decode("utf-8", "replace")
        except OSError:
            return ""

    def discard(self) -> None:
        """Take the run out of the journal: it is in the history now, or nothing of it ever started."""
        with contextlib.suppress(FileNotFoundError):
            (self.folder / "request.json").unlink()
        shutil.rmtree(self.folder, ignore_errors=True)


class Journal:
    """All unfinished runs of a clone."""

    def __init__(self, layout: LocalLayout) -> None:
        self._layout = layout

    def add(self, request: RunRequest) -> JournalEntry:
        """Write a run down before anything of it is done; durable when this returns.

        Its lock is held from the beginning, for the first that is to drive it: who looks at the run just then must not
        be taken for its driver.
        """
        folder = self._layout.journal_entry(request.run_id)
        with contextlib.ExitStack() as held:
            try:
                folder.parent.mkdir(parents=True, exist_ok=True)
                with self.closed():
                    folder.mkdir()
                    held.enter_context(locked(folder / "lock"))
                    write_whole(folder / "request.json", msgspec.json.encode(request), durable=True)
            except OSError as error:
                shutil.rmtree(folder, ignore_errors=True)
                raise no_space(error, folder) from error
            return JournalEntry(folder, held.pop_all())

    @contextlib.contextmanager
    def closed(self) -> Iterator[None]:
        """Hold the journal's lock: no run is added meanwhile, so what no run needs now stays so."""
        with locked(self._layout.journal_lock, "the journal of runs"):
            yield

    def entries(self) -> list[JournalEntry]:
        """Oldest first; folders without a request are what a killed `add` or `discard` left, and are removed."""
        try:
            folders = sorted(path for path in self._layout.journal.iterdir() if path.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        whole = []
        for folder in folders:
            if (folder / "request.json").exists():
                whole.append(JournalEntry(folder))
            elif not _is_young(folder):
                shutil.rmtree(folder, ignore_errors=True)
        return whole

    def entry(self, run_id: str) -> JournalEntry | None:
        """The entry of a run, ``None`` when it is not unfinished here."""
        entry = JournalEntry(self._layout.journal_entry(run_id))
        return entry if entry.is_there else None


def _is_young(folder: Path) -> bool:
    import time

    try:
        return time.time() - folder.stat().st_mtime < 60
    except FileNotFoundError:
        return True


Content = TypeVar("Content", RunRequest, RunState)


def _read(path: Path, kind: type[Content]) -> Content:
    try:
        content = read_regular(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _damaged(path, error.strerror) from None
    if _version(content) > JOURNAL_VERSION:
        raise UserError(
            f"The run {path.parent.name} was started by a newer amltool.",
            "Look at it with that version: pip install --upgrade amltool",
        )
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, why: object) -> DamagedError:
    return DamagedError(
        f"The journal entry {path} is damaged: {why}.",
        f"If the run is of no use any more: amltool cancel {path.parent.name}",
    )


def _version(content: bytes) -> int:
    try:
        return msgspec.json.decode(content, type=_Versioned).v
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return 0


class _Versioned(msgspec.Struct):
    v: int = 0
