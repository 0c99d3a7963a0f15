"""Conda environments: by micromamba, mamba or conda where one is there, else by the py-rattler library."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path, PurePosixPath

import msgspec

from amltool.environments.folder import Choice
from amltool.environments.lock import LockSource
from amltool.environments.pythons import has_command
from amltool.environments.recipe import Recipe
from amltool.environments.steps import Steps
from amltool.environments.venv import install_pip_part
from amltool.errors import TargetError, UserError
from amltool.hosts.base import Host
from amltool.hosts.local import LocalHost
from amltool.layout import HostLayout

COMMANDS = ("micromamba", "mamba", "conda")
RATTLER = "py-rattler"
SCRIPT = "conda_by_rattler.py"
_DEFAULTS = ("https://repo.anaconda.com/pkgs/main", "https://repo.anaconda.com/pkgs/r")
_FIX_PACKAGES = "Correct the packages or the channels in the conda dependencies file."
_LOCKED = (
    "A package of the lock is gone from its channel or is no longer the one that was installed: run without the lock "
    "(amltool submit --commit), or give the channel back."
)


class CondaEnvironment:
    """A conda environment, with what its own pip installs afterwards."""

    source = LockSource.CONDA

    def choose(self, host: Host, recipe: Recipe) -> Choice | None:  # noqa: ARG002
        """As `Kind.choose`: which of the commands makes it does not matter for what comes out."""
        return Choice("conda")

    def fetch(self, host: Host, recipe: Recipe, steps: Steps) -> Choice:  # noqa: ARG002
        """As `Kind.fetch`; there is never anything to fetch."""
        raise TargetError(f"{host.name} has no conda any more.", "Try again.")

    def make(self, steps: Steps, recipe: Recipe, choice: Choice, prefix: PurePosixPath) -> None:  # noqa: ARG002
        """As `Kind.make`."""
        tool = _tool(steps.host, recipe)
        command = _by_rattler(steps, recipe, prefix) if tool == RATTLER else _by_command(steps, recipe, tool, prefix)
        remedy = _LOCKED if recipe.explicit else _FIX_PACKAGES
        steps.run(f"Making the conda environment with {tool}", command, remedy)
        python = str(prefix / "bin" / "python")
        install_pip_part(steps, recipe, [python, "-m", "pip", "install", "--progress-bar", "off"])

    def variables(self, prefix: PurePosixPath) -> dict[str, str]:
        """As `Kind.variables`; without the last, packages of the user's home would be seen."""
        return {"CONDA_PREFIX": str(prefix), "PYTHONNOUSERSITE": "1"}


def _tool(host: Host, recipe: Recipe) -> str:
    for command in COMMANDS:
        if has_command(host, command):
            return command
    if isinstance(host, LocalHost) and importlib.util.find_spec("rattler") is not None:
        return RATTLER
    named = ", ".join(recipe.needs_conda[:5]) + (" ..." if len(recipe.needs_conda) > 5 else "")
    raise UserError(
        f"Only conda can install some packages ({named}), and {host.name} has no conda, mamba or micromamba.",
        "Install one of them, or the library that does without: pip install 'amltool[conda]'; or name the packages "
        "under `pip:` in the conda dependencies file, where pip has them too.",
    )


def _by_rattler(steps: Steps, recipe: Recipe, prefix: PurePosixPath) -> list[str]:
    channels = [one for name in recipe.conda_channels() for one in (_DEFAULTS if name == "defaults" else (name,))]
    plan = {"channels": channels, "packages": recipe.conda_packages(), "explicit": recipe.explicit}
    steps.host.write(steps.folder / "conda.json", msgspec.json.encode(plan), mode=0o600)
    script = Path(__file__).with_name("scripts") / SCRIPT
    cache = HostLayout(steps.host.root).cache / "conda"
    return [sys.executable, "-B", "-I", str(script), str(prefix), str(steps.folder / "conda.json"), str(cache)]


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
