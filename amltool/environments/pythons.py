"""Interpreters of a host that environments can be made with."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from amltool.environments.scripts.fits import fits
from amltool.errors import TargetError
from amltool.files import write_whole
from amltool.hosts.base import Host
from amltool.hosts.local import LocalHost
from amltool.layout import HostLayout
from amltool.tracking.run_folders import LARGEST_MARK, read_file

ANSWER_S = 60.0
NEWEST = 20
"""Interpreters ``python3.6`` to ``python3.20`` are looked for where a constraint is all that is asked."""
_ASK = """
import importlib.util, json, sys
from sys import version_info as v
print(json.dumps({
    "path": getattr(sys, "_base_executable", None) or sys.executable,
    "version": ".".join(map(str, v[:3])) + ("" if v[3] == "final" else v[3] + str(v[4])),
    "build": sys.version.replace(chr(10), " "),
    "has_pip": importlib.util.find_spec("ensurepip") is not None,
}))
"""


class Python(msgspec.Struct, frozen=True):
    """An interpreter: ``path`` on its host, ``version`` (``3.11.7``), ``build`` as it says it itself, and whether it
    can put pip into a virtual environment."""

    path: str
    version: str
    build: str
    has_pip: bool = True

    def fits(self, wanted: str | None) -> bool:
        numbers = [int(part) for part in re.findall(r"\d+", self.version)[:3]]
        return numbers >= [3, 6] and (wanted is None or bool(fits(numbers, wanted)))


def find_python(host: Host, wanted: str | None, location: str) -> Python | None:
    """The interpreter for ``wanted`` (a version or constraint as conda writes it): one named for it, else the one
    ``pythonLocation`` names, else any other that fits; ``None`` where there is none."""
    candidates = _candidates(wanted, location, local=isinstance(host, LocalHost))
    cache = _cache(host, wanted, candidates) if isinstance(host, LocalHost) else None
    found = _cached(cache)
    if found is not None and found.fits(wanted):
        return found
    for candidate in candidates:
        answer = ask(host, [candidate])
        if answer is not None and answer.fits(wanted):
            _keep(cache, answer)
            return answer
    return None


def has_command(host: Host, name: str) -> bool:
    """Whether a host finds a command of this name."""
    if isinstance(host, LocalHost):
        return shutil.which(name) is not None
    return host.run(["sh", "-c", f"command -v {name}"], timeout_s=ANSWER_S).exit_code == 0


def ask(host: Host, command: Sequence[str]) -> Python | None:
    """What a command that may be an interpreter says of itself."""
    try:
        result = host.run([*command, "-B", "-E", "-s", "-c", _ASK], timeout_s=ANSWER_S)
        return msgspec.json.decode(result.stdout.splitlines()[-1], type=Python) if result.exit_code == 0 else None
    except (OSError, ValueError, TargetError, IndexError):  # not there, no interpreter, or one that hangs
        return None


def _candidates(wanted: str | None, location: str, *, local: bool) -> list[str]:
    at = str(Path(location).expanduser()) if local and location.startswith("~") else location
    exact = re.match(r"\s*(?:==?|~=)?\s*(\d+\.\d+)", wanted or "")
    named = [f"python{exact[1]}"] if exact else []
    others = [f"python3.{minor}" for minor in range(NEWEST, 5, -1)] if wanted and not exact else []
    return list(dict.fromkeys([*named, at, "python", "python3", *others, *([sys.executable] if local else [])]))


def _cache(host: Host, wanted: str | None, candidates: Sequence[str]) -> Path | None:
    """Where the answer is kept: named for all that decides it. A script among the candidates (pyenv's shims) may decide
    otherwise the next time; where a version is asked for, the one that was found then is as good."""
    seen: list[object] = []
    for candidate in candidates:
        found = shutil.which(candidate)
        if found is None:
            continue
        try:
            if wanted is None and _is_script(found):
                return None
            real = os.path.realpath(found)
            seen.append((found, real, _stamp(real)))
        except OSError:
            continue
    digest = hashlib.sha256(repr((wanted, candidates, seen)).encode("utf-8", "surrogateescape")).hexdigest()
    return Path(HostLayout(host.root).cache) / "pythons" / f"{digest[:32]}.json"


def _is_script(path: str) -> bool:
    with open(path, "rb") as stream:  # noqa: PTH123 - a hot path
        return stream.read(2) == b"#!"


def _stamp(path: str) -> int:
    return os.stat(path).st_mtime_ns  # noqa: PTH116 - a hot path


class _Kept(msgspec.Struct, frozen=True):
    python: Python
    stamp: int


def _cached(cache: Path | None) -> Python | None:
    try:
        if cache is None:
            return None
        kept = msgspec.json.decode(read_file(os.fspath(cache), None, LARGEST_MARK)[0], type=_Kept)
        return kept.python if _stamp(kept.python.path) == kept.stamp else None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _keep(cache: Path | None, found: Python) -> None:
    try:
        if cache is not None:
            cache.parent.mkdir(parents=True, exist_ok=True)
            write_whole(cache, msgspec.json.encode(_Kept(found, _stamp(found.path))))
    except OSError:
        return  # it costs time, nothing else
