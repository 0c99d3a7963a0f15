"""The user's own interpreter as an execution environment: which it is, and the lock of what it holds."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from amltool.environments.base import EnvironmentRequest, KeptEnvironment, Prepared, Progress
from amltool.environments.lock import (
    LISTING_MARK,
    EnvironmentLock,
    Listing,
    canonical,
    editable_packages,
    listing_script,
    lock_from,
)
from amltool.environments.spark import SPARK_SUBMIT, spark_submit_of
from amltool.errors import UserError
from amltool.files import in_home, safe_text, write_whole
from amltool.hosts.base import Host
from amltool.layout import HostLayout
from amltool.tracking.run_folders import read_file

LISTING_TIMEOUT_S = 60.0
SETTLED_NS = 50_000_000
"""A folder changed within this time before it was listed may change again without a new time stamp: not cached.
(File systems tick in 1 to 10 ms.)"""
LARGEST_KEPT = 1 << 26
"""Bytes of a listing: a thousand packages are a hundredth of it."""
DEFAULT_LOCATION = "python"
_NAMES_OF_INTERPRETERS = ("python", "pypy")
DECIDING = ("PYTHONPATH", "PYTHONHOME", "PYTHONNOUSERSITE", "PYTHONUSERBASE", "PYTHONSAFEPATH", "HOME")
"""Variables that decide which packages an interpreter sees."""


class UserInterpreter:
    """The interpreter that ``pythonLocation`` names, as it is: nothing is built, what is there is recorded.

    ``spark_submit_location`` is the ``sparkSubmitLocation`` of the ``.compute``, for runs that want Spark.
    """

    def __init__(
        self,
        python_location: str,
        host: Host,
        environment: Mapping[str, str] | None = None,
        spark_submit_location: str = SPARK_SUBMIT,
    ) -> None:
        self._location = python_location
        self._spark_submit_location = spark_submit_location
        self._cache = Path(HostLayout(host.root).cache)
        self._environment = dict(os.environ if environment is None else environment)

    def prepare(self, host: Host, request: EnvironmentRequest, progress: Progress) -> Prepared:  # noqa: ARG002
        """As `find`: nothing is ever built."""
        return self.find(host, request)

    def kept(self, host: Host) -> list[KeptEnvironment]:  # noqa: ARG002
        """Nothing: it is the user's own."""
        return []

    def remove(self, host: Host, kept: KeptEnvironment) -> None:
        """Nothing here is ours to remove."""

    def find(self, host: Host, request: EnvironmentRequest) -> Prepared:  # noqa: ARG002
        """Find it and take its lock; the dependency files are not for it (WORKBENCH 1.3).

        Raises:
            UserError: there is no such interpreter, or it does not run.
        """
        search_path = self._environment.get("PATH")
        interpreter = find_interpreter(self._location, search_path)
        lock = lock_of(interpreter, self._cache, self._environment)
        spark = spark_submit_of(interpreter, self._spark_submit_location, search_path) if request.wants_spark else []
        return Prepared(
            python=[str(interpreter)],
            key=lock.sha256[:16],
            lock=lock.content,
            spark_submit=spark,
            notices=editable_notices(lock),
        )


def editable_notices(lock: EnvironmentLock) -> tuple[str, ...]:
    """A sentence about packages whose code no lock can hold."""
    editable = editable_packages(lock.content)
    if not editable:
        return ()
    named = ", ".join(safe_text(package.name) for package in editable)
    return (f"Installed as editable, so their code is not in the lock and not in the snapshot: {named}.",)


def find_interpreter(python_location: str, search_path: str | None) -> Path:
    """The interpreter that ``pythonLocation`` of a ``.compute`` means.

    ``python`` is ``python``, else ``python3``, on the search path, else the interpreter that runs amltool; any other
    value is a name on the search path or a path (``~`` is the home folder). Links are kept: a virtual environment
    is one. A shim (a script that picks an interpreter, as pyenv's) is asked which one it picks.

    Raises:
        UserError: there is none.
    """
    location = python_location.strip() or DEFAULT_LOCATION
    for found in _candidates(location, search_path):
        try:
            return _behind_shim(found.absolute())
        except UserError:
            if location != DEFAULT_LOCATION:
                raise
    if location == DEFAULT_LOCATION:
        return Path(sys.executable)
    raise UserError(
        f"There is no interpreter {python_location!r} on this machine.",
        "Set pythonLocation in the .compute to an interpreter: its name on the PATH or its absolute path.",
    )


def find_foreign_interpreter(python_location: str, search_path: str | None, top: Path) -> Path | None:
    """The program that ``pythonLocation`` means and that a command which only looks must not run; else ``None``.

    It is a path into the repository at ``top`` (also by a link), or a name that the search path finds from the current
    folder, or a script whose name is not that of an interpreter. What lies in a folder of the user's search path is
    the user's choice, an activated environment within the repository too.
    """
    location = python_location.strip() or DEFAULT_LOCATION
    for found in _candidates(location, search_path):
        place = found.absolute()
        inside = any(each.is_relative_to(top) for each in (Path(os.path.normpath(place)), place.resolve()))
        if not found.is_absolute() or ("/" in location and inside):
            return place
        if not found.name.startswith(_NAMES_OF_INTERPRETERS) and is_script(place):
            return place
    return None


def _candidates(location: str, search_path: str | None) -> Iterator[Path]:
    """The programs that a ``pythonLocation`` may mean, as they are found: relative where the search path is."""
    if "/" in location:
        names = [location if not location.startswith("~") else str(in_home(location))]
    else:
        names = [location, "python3"] if location == DEFAULT_LOCATION else [location]
    for name in names:
        found = shutil.which(name, path=search_path) if "\0" not in name else None
        if found is not None:
            yield Path(found)


def is_script(place: Path) -> bool:
    """Return True if the file begins with ``#!``, as a shim: which interpreter it picks, only running it tells."""
    try:
        with place.open("rb") as stream:
            return stream.read(2) == b"#!"
    except OSError:
        return False


def _behind_shim(interpreter: Path) -> Path:
    try:
        with interpreter.open("rb") as stream:
            if stream.read(2) != b"#!":
                return interpreter
    except OSError as error:
        raise _cannot_use(interpreter, error.strerror or str(error)) from None
    script = f"import sys; print(); print({LISTING_MARK.decode()!r} + sys.executable)"
    found = Path(os.fsdecode(_answer(interpreter, script, None)))
    return found if found.is_absolute() else interpreter


def lock_of(interpreter: Path, cache: Path, environment: Mapping[str, str]) -> EnvironmentLock:
    """The lock of an interpreter: what it is, its platform, every package it sees under these variables.

    Asking it costs a process; the answer is kept in ``cache`` and holds until the interpreter, a folder of its
    search path, or a variable that decides about them changes.

    Raises:
        UserError: the interpreter does not run.
    """
    status = _stamp(interpreter)
    if status is None:
        raise _cannot_use(interpreter, "it is not there")
    real = interpreter.resolve()
    variables = {name: environment[name] for name in DECIDING if name in environment}
    key = hashlib.sha256(
        repr((str(interpreter), str(real), _stamp(real), sorted(variables.items()))).encode()
    ).hexdigest()
    kept = cache / "interpreters" / f"{key[:32]}.json"
    listing = _read_cached(kept)
    if listing is None:
        asked_ns = time.time_ns()
        listing = _list(interpreter, environment)
        if asked_ns - max((stamp or 0 for stamp in listing.stamps.values()), default=0) > SETTLED_NS:
            _keep(kept, listing)
    return lock_from(bytes(listing.lock))


def _keep(kept: Path, listing: Listing) -> None:
    """A cache that cannot be written costs time, nothing else."""
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_whole(kept, msgspec.json.encode(listing))
    except OSError:
        return


def _read_cached(kept: Path) -> Listing | None:
    try:
        listing = msgspec.json.decode(read_file(os.fspath(kept), None, LARGEST_KEPT)[0], type=Listing)
        lock_from(bytes(listing.lock))
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    fresh = all(_stamp(Path(path)) == stamp for path, stamp in listing.stamps.items())
    return listing if fresh else None


def _stamp(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except (OSError, ValueError):
        return None


def _list(interpreter: Path, environment: Mapping[str, str]) -> Listing:
    answer = _answer(interpreter, listing_script(), environment)
    try:
        found = msgspec.json.decode(answer)
        return Listing(msgspec.Raw(canonical(found["lock"])), found["stamps"])
    except (msgspec.MsgspecError, KeyError, TypeError) as error:
        raise _cannot_use(interpreter, f"its answer cannot be read ({error})") from None


def _answer(interpreter: Path, script: str, environment: Mapping[str, str] | None) -> bytes:
    """What a script prints after the mark (a ``sitecustomize`` may print too), run far from the user's modules."""
    import subprocess

    try:
        ended = subprocess.run(
            [interpreter, "-B", "-c", script],
            env=environment, cwd="/" if environment is not None else None, stdin=subprocess.DEVNULL,
            capture_output=True, timeout=LISTING_TIMEOUT_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise _cannot_use(interpreter, f"it did not answer within {LISTING_TIMEOUT_S:.0f} seconds") from None
    except (OSError, ValueError) as error:
        raise _cannot_use(interpreter, str(error)) from None
    for line in ended.stdout.splitlines():
        if line.startswith(LISTING_MARK):
            return line[len(LISTING_MARK) :]
    said = ended.stderr.decode("utf-8", "backslashreplace").strip().splitlines() or ["it printed nothing"]
    raise _cannot_use(interpreter, said[-1])


def _cannot_use(interpreter: Path, why: str) -> UserError:
    return UserError(
        f"The interpreter {safe_text(str(interpreter))} cannot be used: {why}.",
        "Set pythonLocation in the .compute to an interpreter that runs here.",
    )
