"""The lock of an execution environment: what it resolved to, as canonical JSON, and how two of them differ."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from amltool.errors import UserError

if TYPE_CHECKING:
    from amltool.environments.recipe import Recipe

LISTING_MARK = b"amltool-listing:"
PROJECT_FILE = "project:"
"""Begins the URL of a package that was installed from a file of the project: ``project:PATH#sha256=HEX``."""
_CREDENTIALS = re.compile(r"(?<=://)(?!\$\{)[^/@\s]+@|(?<=/t/)[^/\s]+(?=/)")
_VARIABLES = re.compile(r"(?:\$\{[A-Z_][A-Z0-9_]*\}:?)+")


class LockSource(str, Enum):
    """What was built; the lock of a user's own interpreter has none."""

    VENV = "venv"
    CONDA = "conda"
    IMAGE = "image"


class LockedPackage(msgspec.Struct, frozen=True):
    """One installed distribution; ``url`` where it came from no index, ``editable`` where it is a folder in use.

    ``vcs`` is the kind of repository the URL names (``git``); ``installer`` is ``conda`` where conda installed it.
    """

    name: str
    version: str
    url: str | None = None
    editable: bool = False
    vcs: str | None = None
    installer: str | None = None

    @property
    def by_conda(self) -> bool:
        return self.installer == "conda"


class BaseImage(msgspec.Struct, frozen=True, omit_defaults=True):
    """The image another was built from: ``digest`` (``name@sha256:...``) where a registry knows it, else ``id``."""

    name: str
    digest: str | None = None
    id: str | None = None


class EnvironmentLock(msgspec.Struct, frozen=True):
    """What an execution environment resolved to: canonical JSON, and its SHA-256 in hex (`lock_sha256` of records)."""

    content: bytes
    sha256: str
    packages: tuple[LockedPackage, ...]
    version: str


class CondaPackage(msgspec.Struct, frozen=True):
    """A package in a conda environment: its distribution (``NAME-VERSION-BUILD``), its URL, what it needs."""

    name: str
    distribution: str
    url: str = ""
    md5: str = ""
    sha256: str = ""
    depends: tuple[str, ...] = ()


class Listing(msgspec.Struct, frozen=True):
    """What `listing` wrote: the lock of an interpreter as it is, the time stamps (ns) of all that decides it, and
    conda's packages where they were asked for."""

    lock: msgspec.Raw
    stamps: dict[str, int | None]
    explicit: tuple[CondaPackage, ...] = ()


class LockContent(msgspec.Struct, frozen=True):
    """The content of a lock, as far as anything is read from it again; other keys are allowed."""

    python: dict[str, Any] = {}
    platform: dict[str, Any] = {}
    packages: tuple[LockedPackage, ...] = ()
    conda: tuple[str, ...] = ()
    source: LockSource | None = None
    explicit: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    pip_options: tuple[str, ...] = ()
    variables: dict[str, str] = {}
    base_image: BaseImage | None = None


def listing_script() -> str:
    """What to give an interpreter as ``python -B -c`` to have it list itself; modules of its folder do not shadow."""
    script = Path(__file__).with_name("listing.py").read_text("utf-8")
    return f"import sys; sys.path[:1] = [p for p in sys.path[:1] if p]\n{script}"


def read_listing(output: bytes) -> Listing | None:
    """What `listing` wrote among all that an interpreter printed (a ``sitecustomize`` may print too); `None` where it
    wrote nothing that can be read."""
    for line in output.splitlines():
        if line.startswith(LISTING_MARK):
            try:
                return msgspec.json.decode(line[len(LISTING_MARK) :], type=Listing)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                return None
    return None


def canonical(content: Any) -> bytes:
    """JSON with its keys in order, so that equal contents have equal bytes."""
    return msgspec.json.encode(content, order="sorted")


def built_lock(output: bytes, *, source: LockSource, recipe: Recipe, base_image: BaseImage | None = None) -> bytes:
    """The lock of an environment that was built: ``output`` is what ``python -c LISTING explicit`` printed in it.

    The same packages give the same bytes wherever the environment lies: no path of its own is in it, nor credentials.

    Raises:
        UserError: the environment's interpreter did not answer.
    """
    listing = read_listing(output)
    if listing is None:
        raise UserError(
            "The environment was built, but its interpreter does not say what is installed.",
            "Look at its python: it must run and be Python 3.6 or newer.",
        )
    found = msgspec.json.decode(listing.lock)
    found["python"].pop("executable", None)
    found["packages"] = [_as_locked(package, recipe) for package in found["packages"]]
    found |= {"source": source.value, "pip_options": [without_credentials(line) for line in recipe.pip_options]}
    found["variables"] = dict(recipe.variables)
    if listing.explicit:
        found["explicit"] = _explicit_in_order(listing.explicit, recipe)
        found["channels"] = [without_credentials(channel) for channel in recipe.channels]
    if base_image is not None:
        found["base_image"] = base_image
    return canonical(found)


def _as_locked(package: dict[str, Any], recipe: Recipe) -> dict[str, Any]:
    url = package.get("url")
    if not url:
        return package
    from urllib.parse import quote  # 3 ms that most commands need not pay

    for path, content in recipe.files.items():
        if url.startswith("file:") and url.partition("#")[0].endswith(f"/{quote(path)}"):
            return {**package, "url": f"{PROJECT_FILE}{path}#sha256={hashlib.sha256(content).hexdigest()}"}
    return {**package, "url": without_credentials(url)}


def without_credentials(text: str) -> str:
    """URLs in a text without their user and password or token; ``${NAME}`` in their place is a reference, and stays."""

    def kept(found: re.Match[str]) -> str:
        return found[0] if _VARIABLES.fullmatch(found[0].rstrip("@")) else ""

    return _CREDENTIALS.sub(kept, text).replace("/t//", "/")


def _explicit_in_order(packages: tuple[CondaPackage, ...], recipe: Recipe) -> list[str]:
    """What was built from a lock keeps its order and checksums: installing from URLs may not write down what depends on
    what, and an old conda not the checksum that it was given."""
    given = {url.partition("#")[0]: (number, url) for number, url in enumerate(recipe.explicit)}
    urls = [_explicit(package) for package in in_order(packages)]
    urls = [given.get(url, (0, url))[1] for url in urls]
    return sorted(urls, key=lambda url: given.get(url.partition("#")[0], (len(given), url))[0])


def _explicit(package: CondaPackage) -> str:
    digest = package.md5 or (f"sha256:{package.sha256}" if package.sha256 else "")
    return without_credentials(package.url) + (f"#{digest}" if digest else "")


def in_order(packages: tuple[CondaPackage, ...]) -> list[CondaPackage]:
    """Conda packages so that each comes after what it depends on (by name among equals; a circle is cut)."""
    by_name = {package.name: package for package in sorted(packages, key=lambda one: one.name)}
    placed: dict[str, CondaPackage] = {}
    begun: set[str] = set()
    for first in by_name:
        waiting = [first]
        while waiting:
            name = waiting[-1]
            needs = [one.split(" ")[0] for one in sorted(by_name[name].depends)] if name not in begun else []
            begun.add(name)
            missing = [one for one in needs if one in by_name and one not in begun]
            waiting += reversed(missing)
            if not missing:
                placed.setdefault(waiting.pop(), by_name[name])
    return list(placed.values())


def lock_from(content: bytes) -> EnvironmentLock:
    """The lock that this content is. Raises msgspec.MsgspecError where it is none."""
    lock = read_lock(content)
    return EnvironmentLock(
        content, hashlib.sha256(content).hexdigest(), lock.packages, str(lock.python.get("version", ""))
    )


def read_lock(content: bytes) -> LockContent:
    """What a lock says. Raises msgspec.MsgspecError or UnicodeDecodeError where it is none."""
    return msgspec.json.decode(content, type=LockContent)


def base_image_of(lock: bytes) -> BaseImage | None:
    """The base image a lock names, ``None`` where it is of no image (or no lock)."""
    try:
        return read_lock(lock).base_image
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def editable_packages(lock: bytes) -> list[LockedPackage]:
    """Packages whose code is a folder in use: it may change without any lock showing it."""
    try:
        return [package for package in lock_from(lock).packages if package.editable]
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return []


def compare_locks(first: bytes, second: bytes) -> list[str]:
    """How two environments differ, a line each: ``numpy 1.26.4 -> 2.0.0``; empty when they do not."""
    if first == second:
        return []
    try:
        a, b = read_lock(first), read_lock(second)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ["the environment locks differ"]
    lines = [*_changed_python(a.python, b.python), *_changed_values(a.platform, b.platform, "platform")]
    lines += _changed_base(a.base_image, b.base_image)
    packages = _by_name(a), _by_name(b)
    for name in sorted({*packages[0], *packages[1]}):
        was, now = packages[0].get(name), packages[1].get(name)
        if was is None or now is None or _told(was) != _told(now):
            lines.append(_changed_package(was, now))
    gone, come = sorted({*a.conda} - {*b.conda}), sorted({*b.conda} - {*a.conda})
    lines += [f"conda {name} is gone" for name in gone] + [f"conda {name} is new" for name in come]
    return lines or (["the environment locks differ"] if a.source is b.source else [])


def _changed_python(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Where it lies says something only of two interpreters of the user: a built one lies where amltool puts it."""
    if "executable" in a and "executable" in b:
        return _changed_values(a, b, "python")
    without = [{name: value for name, value in one.items() if name != "executable"} for one in (a, b)]
    return _changed_values(without[0], without[1], "python")


def _changed_values(a: Mapping[str, Any], b: Mapping[str, Any], what: str) -> list[str]:
    changed = [name for name in sorted({*a, *b}) if a.get(name) != b.get(name)]
    if "version" in changed and "build" in changed:
        changed.remove("build")
    return [f"{what} {name} {a.get(name, 'unknown')} -> {b.get(name, 'unknown')}" for name in changed]


def _changed_base(a: BaseImage | None, b: BaseImage | None) -> list[str]:
    """Two names of one image are no difference."""
    if a is None or b is None or (a.digest or a.id) == (b.digest or b.id):
        return []
    return [f"base image {_image(a)} -> {_image(b)}"]


def _image(image: BaseImage) -> str:
    exact = (image.digest or image.id or "unknown").rpartition("@")[2]
    return f"{image.name} ({exact[:19]})"


def _by_name(lock: LockContent) -> dict[str, LockedPackage]:
    return {normal_name(package.name): package for package in lock.packages}


def normal_name(name: str) -> str:
    """The one spelling of a distribution's name that indexes go by (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _told(package: LockedPackage) -> tuple[object, ...]:
    return package.version, package.url, package.editable


def _changed_package(was: LockedPackage | None, now: LockedPackage | None) -> str:
    if was is None and now is not None:
        return f"{now.name} {now.version} is new"
    if now is None and was is not None:
        return f"{was.name} {was.version} is gone"
    assert was is not None and now is not None  # noqa: S101, PT018 - one of them differs from the other
    if was.version != now.version:
        return f"{now.name} {was.version} -> {now.version}"
    return f"{now.name} {now.version}: {_source(was)} -> {_source(now)}"


def _source(package: LockedPackage) -> str:
    return (package.url or "an index") + (" (editable)" if package.editable else "")
