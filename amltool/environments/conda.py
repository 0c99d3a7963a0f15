"""Conda environments: by micromamba, mamba or conda where one is there, else by the py-rattler library.

On this machine the library is part of amltool's own Python (the extra ``conda``); on another one pip fetches it for the
build, with the settings of pip that the ``.compute`` has, and a Python of that machine runs it.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path, PurePosixPath

import msgspec

from amltool.environments.folder import Choice
from amltool.environments.lock import LockSource
from amltool.environments.pythons import find_python, has_command
from amltool.environments.recipe import Recipe
from amltool.environments.steps import Steps
from amltool.environments.venv import install_pip_part
from amltool.errors import TargetError, UserError
from amltool.hosts.base import Host
from amltool.hosts.local import LocalHost
from amltool.layout import HostLayout

COMMANDS = ("micromamba", "mamba", "conda")
RATTLER = "py-rattler"
RATTLER_NEEDS = ">=3.10"
SCRIPT = "conda_by_rattler.py"
_DEFAULTS = ("https://repo.anaconda.com/pkgs/main", "https://repo.anaconda.com/pkgs/r")
_FIX_PACKAGES = "Correct the packages or the channels in the conda dependencies file."
_INSTALL = (
    "Install one of them there (micromamba is one file on the PATH), or name the packages under `pip:` in the conda "
    "dependencies file, where pip has them too"
)
_LOCKED = (
    "A package of the lock is gone from its channel or is no longer the one that was installed: run without the lock "
    "(amltool submit --commit), or give the channel back."
)


class CondaEnvironment:
    """A conda environment, with what its own pip installs afterwards."""

    source = LockSource.CONDA

    def __init__(self, location: str = "python3") -> None:
        """``location`` is an interpreter of the host that py-rattler may be installed for."""
        self._location = location

    def choose(self, host: Host, recipe: Recipe) -> Choice | None:  # noqa: ARG002
        """As `Kind.choose`: which of the commands makes it does not matter for what comes out."""
        return Choice("conda")

    def fetch(self, host: Host, recipe: Recipe, steps: Steps) -> Choice:  # noqa: ARG002
        """As `Kind.fetch`; there is never anything to fetch."""
        raise TargetError(f"{host.name} has no conda any more.", "Try again.")

    def make(self, steps: Steps, recipe: Recipe, choice: Choice, prefix: PurePosixPath) -> None:  # noqa: ARG002
        """As `Kind.make`."""
        tool = _command(steps.host) or RATTLER
        if tool == RATTLER:
            python = _python_here(recipe, steps.host) or self._python_there(steps, recipe)
            command = _by_rattler(steps, recipe, python, prefix)
        else:
            command = _by_command(steps, recipe, tool, prefix)
        remedy = _LOCKED if recipe.explicit else _FIX_PACKAGES
        steps.run(f"Making the conda environment with {tool}", command, remedy)
        own = str(prefix / "bin" / "python")
        install_pip_part(steps, recipe, [own, "-m", "pip", "install", "--progress-bar", "off"])

    def variables(self, prefix: PurePosixPath) -> dict[str, str]:
        """As `Kind.variables`; without the last, packages of the user's home would be seen."""
        return {"CONDA_PREFIX": str(prefix), "PYTHONNOUSERSITE": "1"}

    def _python_there(self, steps: Steps, recipe: Recipe) -> str:
        """An interpreter of another machine with py-rattler, in a place that goes with the build's folder.

        Raises:
            UserError: there is no Python for it, or it cannot be fetched.
        """
        host = steps.host
        found = find_python(host, RATTLER_NEEDS, self._location)
        if found is None or not found.has_pip:
            why = "has no ensurepip" if found is not None else f"is not there in version {RATTLER_NEEDS}"
            raise _no_conda(
                recipe, host, f", and its Python {why}: py-rattler cannot stand in for them.", f"{_INSTALL}."
            )
        place = steps.folder / "rattler"
        python = str(place / "bin" / "python")
        steps.run("Making a place for py-rattler", [found.path, "-m", "venv", str(place)], f"{_INSTALL}.")
        steps.run(
            f"Fetching py-rattler, since {host.name} has no conda, mamba or micromamba,",
            [python, "-m", "pip", "install", "--progress-bar", "off", RATTLER],
            f"{_INSTALL}; or let pip reach an index: network, pip, buildArguments and caCertificates of the .compute.",
        )
        return python


def _command(host: Host) -> str | None:
    return next((command for command in COMMANDS if has_command(host, command)), None)


def _python_here(recipe: Recipe, host: Host) -> str | None:
    """Our own interpreter, which has py-rattler; ``None`` for another machine.

    Raises:
        UserError: it has not.
    """
    if not isinstance(host, LocalHost):
        return None
    if importlib.util.find_spec("rattler") is None:
        raise _no_conda(
            recipe,
            host,
            ".",
            "Install one of them, or the library that does without: pip install 'amltool[conda]'; or name the packages "
            "under `pip:` in the conda dependencies file, where pip has them too.",
        )
    return sys.executable


def _no_conda(recipe: Recipe, host: Host, rest: str, remedy: str) -> UserError:
    names = recipe.needs_conda
    named = ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
    return UserError(
        f"Only conda can install some packages ({named}), and {host.name} has no conda, mamba or micromamba{rest}",
        remedy,
    )


def _by_rattler(steps: Steps, recipe: Recipe, python: str, prefix: PurePosixPath) -> list[str]:
    channels = [one for name in recipe.conda_channels() for one in (_DEFAULTS if name == "defaults" else (name,))]
    plan = {"channels": channels, "packages": recipe.conda_packages(), "explicit": recipe.explicit}
    steps.host.write(steps.folder / "conda.json", msgspec.json.encode(plan), mode=0o600)
    script = steps.folder / SCRIPT
    steps.host.write(script, Path(__file__).with_name("scripts").joinpath(SCRIPT).read_bytes(), mode=0o600)
    cache = HostLayout(steps.host.root).cache / "conda"
    return [python, "-B", "-I", str(script), str(prefix), str(steps.folder / "conda.json"), str(cache)]


def _by_command(steps: Steps, recipe: Recipe, tool: str, prefix: PurePosixPath) -> list[str]:
    """Channels may hold credentials, so all goes into a file; ``nodefaults`` keeps the user's own channels out."""
    if recipe.explicit:
        name, content = "explicit.txt", "".join(f"{line}\n" for line in ("@EXPLICIT", *recipe.explicit)).encode()
    else:
        name = "environment.yml"
        channels = [*recipe.conda_channels(), "nodefaults"]
        content = msgspec.json.encode({"channels": channels, "dependencies": recipe.conda_packages()})  # JSON is YAML
    steps.host.write(steps.folder / name, content, mode=0o600)
    verb = ["create"] if recipe.explicit or tool != "conda" else ["env", "create"]
    yes = ["--yes"] if verb == ["create"] else []
    return [tool, *verb, *yes, "--prefix", str(prefix), "--file", str(steps.folder / name)]
