"""What is to be installed: the recipe of an environment, from the dependency files or from the lock of a run."""

from __future__ import annotations

import hashlib
import os
import re

import msgspec

from amltool.configuration.dependencies import CondaDependencies, read_conda_dependencies, without_build
from amltool.environments.base import EnvironmentRequest, ReadFile
from amltool.environments.lock import PROJECT_FILE, LockContent, LockedPackage, LockSource, read_lock
from amltool.environments.requirements import read_requirements
from amltool.errors import UserError
from amltool.hosts.base import Host
from amltool.hosts.local import LocalHost

REQUIREMENTS = "requirements.txt"
CONSTRAINTS = "constraints.txt"
DEFAULT_CHANNELS = ("conda-forge",)
NOARCH = "noarch"
TOOLS = frozenset({"pip", "setuptools", "wheel"})
"""What a virtual environment is given by conda's names, too."""
_CONDA_PACKAGE = re.compile(r"(?:[^\s:]+::)?([A-Za-z0-9_][A-Za-z0-9_.-]*)\s*(.*)", re.DOTALL)
_SUBFOLDERS = {"x86_64": "64", "amd64": "64", "i686": "32", "arm64": "arm64"}


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """What an environment is built from; complete in itself.

    ``python`` is a version or constraint as conda writes it, or the exact version of a lock. ``packages`` are conda's
    (``numpy=1.26``), python's own among them; ``explicit`` the URLs of a lock (``#md5`` or ``#sha256:HEX``), in an
    order that installs, which replace packages and channels. ``pip`` are requirements, one a line, of which those that
    begin with ``./`` name one of ``files`` (path in the project -> content); ``pip_options`` are the option lines of a
    requirements file (``--index-url ...``), ``constraints`` the lines of a constraints file. ``exact`` is true for a
    lock: everything is named, nothing else may come along. ``needs_conda`` names what only conda can install.
    """

    python: str | None = None
    packages: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    explicit: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()
    pip_options: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    files: dict[str, bytes] = {}
    variables: dict[str, str] = {}
    needs_conda: tuple[str, ...] = ()
    exact: bool = False

    def key(self, *circumstances: str) -> str:
        """What names the environment that this recipe gives in these circumstances (platform, base image): 32 hex."""
        digests = {path: hashlib.sha256(content).hexdigest() for path, content in self.files.items()}
        content = {**msgspec.structs.asdict(self), "files": digests, "circumstances": circumstances}
        return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()[:32]

    def pip_files(self) -> dict[str, bytes]:
        """The files to lay in a folder in which then `pip_arguments` are given to ``pip install``; none without pip."""
        if not self.pip:
            return {}
        laid = {**self.files, REQUIREMENTS: _lines(*self.pip_options, *self.pip)}
        return {**laid, CONSTRAINTS: _lines(*self.constraints)} if self.constraints else laid

    def pip_arguments(self) -> list[str]:
        """What follows ``pip install`` (or ``uv pip install``) in the folder with `pip_files`."""
        options = ["--no-deps"] if self.exact else []
        options += ["--constraint", CONSTRAINTS] if self.constraints else []
        return [*options, "--requirement", REQUIREMENTS]

    def python_tools(self) -> tuple[str, ...]:
        """What the file asks for of pip, setuptools and wheel among conda's packages, as requirements."""
        parts = (_CONDA_PACKAGE.fullmatch(package) for package in self.packages)
        return tuple(f"{part[1]}{_as_pip(part[2])}" for part in parts if part and part[1].lower() in TOOLS)

    def conda_packages(self) -> tuple[str, ...]:
        """What conda is asked for: the packages, with python, and pip where pip has something to install."""
        names = {
            re.split(r"[\s=<>!~\[]", package.rpartition("::")[2], maxsplit=1)[0].lower() for package in self.packages
        }
        wanted = ("python", "pip") if self.pip else ("python",)
        return (*self.packages, *(name for name in wanted if name not in names))

    def conda_channels(self) -> tuple[str, ...]:
        """Where conda looks, the first first: those of the file, else conda-forge."""
        return tuple(one for one in self.channels if one != "nodefaults") or DEFAULT_CHANNELS


def recipe_of(request: EnvironmentRequest, platform: str | None = None) -> Recipe:
    """The recipe of a request: its lock's where there is one that can be built from, else its conda file's.

    ``platform`` (``linux-64``) is what the environment is for: conda packages that a lock names for another one are of
    no use there, and the loose file rules.

    Raises:
        ConfigurationError: the conda file has mistakes.
        UserError: what it names is not in the snapshot, or cannot be part of a recipe.
    """
    if request.lock is not None:
        locked = recipe_of_lock(request.lock, request.read, platform)
        if locked is not None:
            return locked
    name = request.conda_file
    content = request.read(name) if name is not None else None
    if name is None or content is None:
        return Recipe()
    return _of_dependencies(read_conda_dependencies(content, name), name, request.read)


def recipe_of_lock(lock: bytes, read: ReadFile | None = None, platform: str | None = None) -> Recipe | None:
    """The recipe that gives what a lock names; ``None`` where it cannot be built from: it is of a user's own Python,
    it is for another ``platform``, or something in it came from a place that only its machine knew.

    Raises:
        UserError: a file of the project that was installed is not in the snapshot as it was.
    """
    try:
        content = read_lock(lock)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    if content.source is None or (content.conda and not content.explicit and content.source is LockSource.CONDA):
        return None
    if platform is not None and not all(_fits(url, platform) for url in content.explicit):
        return None
    files: dict[str, bytes] = {}
    pins = []
    for package in content.packages:
        if not package.by_conda:
            pin = _pin(package, files, read)
            if pin is None:
                return None
            pins.append(pin)
    return Recipe(
        python=_version(content),
        channels=content.channels,
        explicit=content.explicit,
        pip=tuple(pins),
        pip_options=tuple(line for line in content.pip_options if line != "--require-hashes"),  # a lock has none
        files=files,
        variables=content.variables,
        needs_conda=_conda_names(content),
        exact=True,
    )


def _of_dependencies(found: CondaDependencies, name: str, read: ReadFile) -> Recipe:
    wanted = read_requirements(found.pip, name, read)
    return Recipe(
        python=found.python_version,
        packages=found.packages,
        channels=found.channels,
        pip=wanted.lines,
        pip_options=wanted.options,
        constraints=wanted.constraints,
        files=wanted.files,
        variables=dict(found.variables),
        needs_conda=found.needs_conda,
    )


def _as_pip(constraint: str) -> str:
    """A conda constraint in pip's words: ``=23.1`` means ``==23.1.*`` there; a build is conda's own."""
    constraint = without_build(constraint).replace(" ", "")
    if re.match(r"=[^=]", constraint):
        version = constraint[1:]
        return f"=={version}" if version.endswith("*") else f"=={version}.*"
    return f"=={constraint}" if constraint[:1].isdigit() else constraint


def _lines(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _version(content: LockContent) -> str | None:
    version = content.python.get("version")
    return version if isinstance(version, str) and version else None


def _conda_names(content: LockContent) -> tuple[str, ...]:
    return tuple(name.rsplit("-", 2)[0] for name in content.conda) if content.explicit else ()


def _fits(url: str, platform: str) -> bool:
    folder = url.rpartition("/")[0].rpartition("/")[2]
    return folder in (platform, NOARCH)


def _pin(package: LockedPackage, files: dict[str, bytes], read: ReadFile | None) -> str | None:
    url = package.url
    if url is None:
        return f"{package.name}=={package.version}"
    if url.startswith(PROJECT_FILE):
        path, _, digest = url[len(PROJECT_FILE) :].partition("#sha256=")
        content = read(path) if read is not None else None
        if content is None or hashlib.sha256(content).hexdigest() != digest:
            raise UserError(
                f"The environment was made with {path} of the project, which is not in this snapshot as it was.",
                "Run the snapshot of the original run (amltool rerun RUN).",
            )
        files[path] = content
        return f"./{path}"
    if package.editable or url.startswith("file:"):
        return None
    return f"{package.name} @ {package.vcs + '+' if package.vcs else ''}{url}"


def platform_here() -> str:
    """What this machine's builds are for, in conda's words: ``linux-64``, ``osx-arm64``."""
    machine = os.uname()
    return conda_platform(machine.sysname, machine.machine)


def platform_of(host: Host) -> str:
    """What a host's builds are for, in conda's words."""
    if isinstance(host, LocalHost):
        return platform_here()
    system, _, machine = host.run(["uname", "-sm"]).stdout.decode().strip().partition(" ")
    return conda_platform(system, machine)


def conda_platform(system: str, machine: str) -> str:
    """The name of conda's folder for a platform; ``system`` and ``machine`` as ``uname -s`` and ``-m`` say them."""
    return f"{'osx' if system.lower() == 'darwin' else 'linux'}-{_SUBFOLDERS.get(machine, machine)}"
