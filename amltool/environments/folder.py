"""Environments that are built into a folder of a host: the story is told here once, venv and conda fill in how."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol

import msgspec

from amltool.configuration.compute import ComputeTarget
from amltool.environments.base import EnvironmentRequest, KeptEnvironment, Prepared, Progress
from amltool.environments.building import (
    BuildLog,
    BuildVariables,
    build_circumstances,
    build_variables,
    ca_bundle,
    pip_configuration_file,
    recipe_secrets,
)
from amltool.environments.hearing import WAITS
from amltool.environments.lock import (
    Listing,
    LockSource,
    built_lock,
    compare_locks,
    listing_script,
    read_listing,
)
from amltool.environments.login import Login
from amltool.environments.recipe import Recipe, platform_of, recipe_of
from amltool.environments.steps import Steps
from amltool.errors import TargetError, UserError
from amltool.files import locked, no_space
from amltool.hosts.base import Host
from amltool.hosts.local import LocalHost, seen_from_here
from amltool.hosts.looking import told
from amltool.hosts.streaming import held_there, streaming
from amltool.layout import HostLayout

MARKER = "environment.json"
PREFIX = "environment"
BUILD = "build"
LOCKS = "locks"
SETTINGS = "settings"
LARGEST_MARKER = 1 << 26
"""Bytes; it holds the lock."""
KIND = "environment"
VERSION = "1"
"""Part of every key: raise it when the same recipe is built otherwise."""
SHOWN = 5
ANSWER_S = 120.0
SETTLED_NS = 50_000_000
BUILD_S = 3600.0
"""How long another process may take to build an environment before whoever waits for it gives up."""


class Choice(msgspec.Struct, frozen=True):
    """What a host offers for a recipe: ``tool`` makes the environment, ``python`` is the interpreter it is made with
    (empty for conda's own); ``circumstances`` are the facts about them that belong to the key."""

    tool: str
    python: str = ""
    circumstances: tuple[str, ...] = ()


class Kind(Protocol):
    """How one kind of environment is made."""

    @property
    def source(self) -> LockSource: ...

    def choose(self, host: Host, recipe: Recipe) -> Choice | None:
        """What to make it with; ``None`` where that has to be fetched first."""
        ...

    def fetch(self, host: Host, recipe: Recipe, steps: Steps) -> Choice:
        """Fetch what `choose` did not find.

        Raises:
            UserError: it cannot be had; says what to do.
        """
        ...

    def make(self, steps: Steps, recipe: Recipe, choice: Choice, prefix: PurePosixPath) -> None:
        """Make the environment in ``prefix``, a folder that is not there yet; the steps' folder is for other files.

        Raises:
            UserError: a step failed.
        """
        ...

    def variables(self, prefix: PurePosixPath) -> dict[str, str]:
        """What a run needs in its environment variables, beside PATH."""
        ...


class Marker(msgspec.Struct, frozen=True):
    """Written last into the folder of an environment: with it, it is whole."""

    lock: msgspec.Raw
    stamps: dict[str, int | None]
    listed_ns: int


class FolderEnvironment:
    """An `ExecutionEnvironment` in a folder of its own under ``<root>/environments``, named by its key."""

    def __init__(
        self,
        compute: ComputeTarget,
        kinds: Sequence[Kind],
        login: Login | None = None,
        settle: Callable[[Recipe], Recipe] = lambda recipe: recipe,
    ) -> None:
        """``kinds``: that for plain Python and pip, and that for anything conda has to install. ``login`` is that of
        another machine: what is found is what its search path shows. ``settle`` gives the recipe for that machine."""
        self._compute = compute
        self._settle = settle
        self._login = login
        self._plain, self._conda = kinds

    def find(self, host: Host, request: EnvironmentRequest) -> Prepared | None:
        """As `ExecutionEnvironment.find`."""
        host = self._seen(host)
        recipe = self._settle(recipe_of(request, platform_of(host)))
        kind = self._kind(recipe)
        same = self._of_same_lock(host, kind, recipe, request)
        if same is not None:
            return same
        choice = kind.choose(host, recipe)
        return (
            None if choice is None else self._whole(host, kind, recipe, self._key(host, kind, recipe, choice), request)
        )

    def prepare(self, host: Host, request: EnvironmentRequest, progress: Progress) -> Prepared:
        """As `ExecutionEnvironment.prepare`; what fails is removed whole."""
        host = self._seen(host)
        recipe = self._settle(recipe_of(request, platform_of(host)))
        kind = self._kind(recipe)
        same = self._of_same_lock(host, kind, recipe, request)
        if same is not None:
            return same
        with self._variables(host) as variables:
            return self._prepare(host, _Wanted(request, recipe, kind), variables, progress)

    def _prepare(self, host: Host, wanted: _Wanted, variables: BuildVariables, progress: Progress) -> Prepared:
        request, recipe, kind = wanted.request, wanted.recipe, wanted.kind
        log = BuildLog(progress, (*variables.secrets, *recipe_secrets(recipe)))
        choice = kind.choose(host, recipe)
        if choice is None:
            choice = kind.fetch(host, recipe, Steps(host, PurePosixPath("/"), variables, log))
        key = self._key(host, kind, recipe, choice)
        try:
            with _alone(host, key, progress):
                found = self._whole(host, kind, recipe, key, request)
                if found is None:
                    progress.say(f"Building the execution environment {key[:12]} with {choice.tool}.")
                    _build(host, kind, recipe, choice, _Site(_place(host, key), variables, log))
                    found = self._whole(host, kind, recipe, key, request)
        except OSError as error:
            raise no_space(error, seen_from_here(host, host.root)) from error
        if found is None:
            raise UserError(
                "The execution environment changed while it was built.", "Run the same command again, alone."
            )
        return found

    def kept(self, host: Host) -> list[KeptEnvironment]:
        """As `ExecutionEnvironment.kept`; what is being built just now is not among them."""
        folder = HostLayout(host.root).environments
        return [
            KeptEnvironment(
                kind=KIND,
                place=str(folder / name),
                size=size,
                key=name,
                reason="it is built again when it is needed" if whole else "its build was interrupted",
            )
            for name, whole, size in _standing(host, folder)
        ]

    def remove(self, host: Host, kept: KeptEnvironment) -> None:
        """As `ExecutionEnvironment.remove`.

        Raises:
            UserError: it is being built.
        """
        try:
            with _lock(host, kept.key, wait=False):
                _remove(host, PurePosixPath(kept.place))
        except BlockingIOError:
            raise UserError(f"{kept.place} is being built just now.", "Try again when that has ended.") from None

    def _kind(self, recipe: Recipe) -> Kind:
        return self._conda if recipe.needs_conda or recipe.explicit else self._plain

    def _key(self, host: Host, kind: Kind, recipe: Recipe, choice: Choice) -> str:
        settings = build_circumstances(self._compute)
        return recipe.key(VERSION, kind.source.value, platform_of(host), *choice.circumstances, *settings)

    def _seen(self, host: Host) -> Host:
        """The host as a login there sees it."""
        return host if self._login is None else self._login.seen(host)

    @contextlib.contextmanager
    def _variables(self, host: Host) -> Iterator[BuildVariables]:
        """The variables of a build; the files of this machine that they name are brought to another one meanwhile."""
        if isinstance(host, LocalHost):
            yield build_variables(self._compute)
            return
        folder = HostLayout(host.root).environments / f"{SETTINGS}-{os.urandom(8).hex()}"
        sources = {"ca-certificates.pem": ca_bundle(self._compute), "pip.conf": pip_configuration_file(self._compute)}
        try:
            for name, source in sources.items():
                if source is not None:
                    host.write(folder / name, source.read_bytes(), mode=0o600)
            certificates, configuration = (str(folder / name) if source else None for name, source in sources.items())
            yield build_variables(self._compute, ca_certificates=certificates, pip_configuration=configuration)
        finally:
            if any(sources.values()):
                with contextlib.suppress(OSError, TargetError):  # an interrupted build: `kept` finds it
                    host.remove(folder)

    def _spark_submit(self, host: Host, binaries: PurePosixPath, request: EnvironmentRequest) -> list[str]:
        """That of the environment's own pyspark, else (when Spark is wanted) the one ``sparkSubmitLocation`` names."""
        if request.wants_spark and isinstance(host, LocalHost):
            from amltool.environments.spark import spark_submit_of

            return spark_submit_of(Path(binaries / "python"), self._compute.spark_submit_location, self._path(host))
        if host.exists(binaries / "spark-submit"):
            return [str(binaries / "spark-submit")]
        if not request.wants_spark:
            return []
        found = host.run(["sh", "-c", 'command -v -- "$0"', self._compute.spark_submit_location])
        return [os.fsdecode(found.stdout).strip()] if found.exit_code == 0 else []

    def _path(self, host: Host) -> str:
        """The search path of whoever runs programs there."""
        if isinstance(host, LocalHost):
            return os.environ.get("PATH", os.defpath)
        if self._login is not None:
            return self._login.variables().get("PATH", os.defpath)
        return os.fsdecode(host.run(["sh", "-c", 'printf %s "$PATH"']).stdout)

    def _of_same_lock(self, host: Host, kind: Kind, recipe: Recipe, request: EnvironmentRequest) -> Prepared | None:
        """An environment that has the very lock that is asked for, whatever it was built from: that of the original run
        is mostly still here."""
        if not recipe.exact:
            return None
        for key in _names(host, HostLayout(host.root).environments):
            marker = _marker(host, _place(host, key))
            if marker is not None and bytes(marker.lock) == request.lock:
                return self._whole(host, kind, recipe, key, request)
        return None

    def _whole(self, host: Host, kind: Kind, recipe: Recipe, key: str, request: EnvironmentRequest) -> Prepared | None:
        place = _place(host, key)
        lock = _lock_of_whole(host, kind, recipe, place)
        if lock is None:
            return None
        binaries = place / PREFIX / "bin"
        return Prepared(
            python=[str(binaries / "python")],
            key=key,
            lock=lock,
            built=True,
            variables={**kind.variables(place / PREFIX), "PATH": f"{binaries}:{self._path(host)}", **recipe.variables},
            spark_submit=self._spark_submit(host, binaries, request),
            notices=_deviations(recipe, request.lock, lock),
        )


class _Wanted(msgspec.Struct, frozen=True):
    request: EnvironmentRequest
    recipe: Recipe
    kind: Kind


class _Site(msgspec.Struct, frozen=True):
    place: PurePosixPath
    variables: BuildVariables
    log: BuildLog


def _build(host: Host, kind: Kind, recipe: Recipe, choice: Choice, site: _Site) -> None:
    place, prefix = site.place, site.place / PREFIX
    _remove(host, place)
    try:
        host.make_folder(place / BUILD)
        kind.make(Steps(host, place / BUILD, site.variables, site.log), recipe, choice, prefix)
        host.remove(place / BUILD)
        began = time.time_ns()
        output, listing = _list(host, prefix)
        lock = built_lock(output, source=kind.source, recipe=recipe)
        _mark(host, place, Marker(msgspec.Raw(lock), listing.stamps if listing else {}, began))
    except BaseException:
        with contextlib.suppress(OSError):
            _remove(host, place)
        raise


def _mark(host: Host, place: PurePosixPath, marker: Marker) -> None:
    host.write(place / MARKER, msgspec.json.encode(marker))


def _marker(host: Host, place: PurePosixPath) -> Marker | None:
    try:
        return msgspec.json.decode(host.read(place / MARKER, limit=LARGEST_MARKER), type=Marker)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _lock_of_whole(host: Host, kind: Kind, recipe: Recipe, place: PurePosixPath) -> bytes | None:
    """The lock of an environment that is whole and still what was built; somebody may have put packages into it."""
    marker = _marker(host, place)
    if marker is None:
        return None
    lock = bytes(marker.lock)
    if _untouched(host, marker):
        return lock
    began = time.time_ns()
    output, listing = _list(host, place / PREFIX)
    if listing is None or built_lock(output, source=kind.source, recipe=recipe) != lock:
        return None
    with contextlib.suppress(OSError):  # a marker that cannot be written costs time, nothing else
        _mark(host, place, Marker(marker.lock, listing.stamps, began))
    return lock


def _untouched(host: Host, marker: Marker) -> bool:
    """Whether no folder that decides what is installed has changed since it was listed (this machine can tell)."""
    if not isinstance(host, LocalHost) or not marker.stamps:
        return False
    newest = max(stamp or 0 for stamp in marker.stamps.values())
    return marker.listed_ns - newest > SETTLED_NS and all(
        _stamp(path) == stamp for path, stamp in marker.stamps.items()
    )


def _stamp(path: str) -> int | None:
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116 - a hot path
    except (OSError, ValueError):
        return None


def _list(host: Host, prefix: PurePosixPath) -> tuple[bytes, Listing | None]:
    command = [str(prefix / "bin" / "python"), "-B", "-E", "-s", "-c", listing_script(), "explicit"]
    try:
        output = host.run(command, timeout_s=ANSWER_S).stdout
    except OSError:  # its interpreter is gone
        return b"", None
    return output, read_listing(output)


def _deviations(recipe: Recipe, wanted: bytes | None, got: bytes) -> tuple[str, ...]:
    """What differs from the lock that was asked for, a sentence."""
    changed = compare_locks(wanted, got) if wanted is not None and recipe.exact else []
    if not changed:
        return ()
    more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
    return (f"The execution environment is not quite that of the lock: {'; '.join(changed[:SHOWN])}{more}.",)


def _place(host: Host, key: str) -> PurePosixPath:
    return HostLayout(host.root).environments / key


def _names(host: Host, folder: PurePosixPath) -> list[str]:
    try:
        return host.names(folder)
    except FileNotFoundError:
        return []


def _standing(host: Host, folder: PurePosixPath) -> list[tuple[str, bool, int]]:
    """Name, whether it is whole, and bytes of each environment that is not being built; told by the host at once."""
    program = (Path(__file__).parent / "scripts/kept_folders.py").read_text("utf-8")
    words = (str(folder), MARKER, LOCKS, SETTINGS)
    found = told(host, "What the environments are", program, words, list[tuple[str, bool, int, bool]])
    return [(name, whole, size) for name, whole, size, busy in found if not busy]


def _remove(host: Host, place: PurePosixPath) -> None:
    """The marker goes first, so that what is half removed is never taken for whole. The processes of a killed build
    may live a moment longer than the lock."""
    host.remove(place / MARKER)
    for pause_s in (0.1, 0.3, 1.0):
        try:
            return host.remove(place)
        except OSError:
            time.sleep(pause_s)
    return host.remove(place)


def _lock_file(host: Host, key: str) -> Path:
    """On this machine, which knows nothing of other clients of a host; named for the host and the key."""
    own = host if isinstance(host, LocalHost) else LocalHost()
    name = key if host is own else f"{host.name}-{key}"
    return Path(HostLayout(own.root).environments) / LOCKS / name


@contextlib.contextmanager
def _lock(host: Host, key: str, *, wait: bool, meanwhile: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock of a key. Its file stays for good: who waits for one that is removed would hold nothing."""
    talking = streaming(host)
    if talking is not None:
        what, place = f"the execution environment {key[:12]}", HostLayout(host.root).environments / LOCKS / key
        with held_there(talking, place, what, wait=wait, within_s=BUILD_S, meanwhile=meanwhile):
            yield
        return
    file = _lock_file(host, key)
    file.parent.mkdir(parents=True, exist_ok=True)
    with locked(file, f"the execution environment {key[:12]}", wait=wait, within_s=BUILD_S, meanwhile=meanwhile):
        yield


@contextlib.contextmanager
def _alone(host: Host, key: str, progress: Progress) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_lock(host, key, wait=False))
        except BlockingIOError:
            progress.say(f"The execution environment {key[:12]} is being built already; waiting for it.")
            stack.enter_context(_lock(host, key, wait=True, meanwhile=lambda: progress.progress(*WAITS)))
        yield
