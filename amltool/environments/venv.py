"""Virtual environments: by uv where it is there, else by Python's own venv and pip."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

import msgspec

from amltool.configuration.compute import ComputeTarget
from amltool.environments.folder import Choice
from amltool.environments.lock import LockSource, normal_name
from amltool.environments.pythons import Python, ask, find_python, has_command
from amltool.environments.recipe import Recipe
from amltool.environments.steps import Steps
from amltool.errors import TargetError, UserError
from amltool.hosts.base import Host

UV = "uv"
VENV = "venv and pip"
VENV_GIVES = frozenset({"pip", "setuptools"})
"""What ``python -m venv`` installs unasked (setuptools before Python 3.12 only)."""
ANSWER_S = 30.0
_FIX_PACKAGES = "Correct the package in the conda dependencies file (or the index under `pip` in the .compute)."


class VirtualEnvironment:
    """A venv with what pip installs, for recipes that need no conda."""

    source = LockSource.VENV

    def __init__(self, compute: ComputeTarget) -> None:
        self._location = compute.python_location
        self._uv_can_do = compute.pip.configuration_file is None  # uv does not read pip.conf

    def choose(self, host: Host, recipe: Recipe) -> Choice | None:
        """As `Kind.choose`: an exact version, else (of a lock) one that differs in the last number only."""
        uv = self._uv_can_do and has_command(host, UV)
        for wanted in _wanted(recipe):
            found = find_python(host, wanted, self._location) or (_of_uv(host, wanted) if uv else None)
            if found is not None:
                return self._choice(found, uv)
            if uv:
                return None
        raise _no_python(recipe.python, uv=False)

    def fetch(self, host: Host, recipe: Recipe, steps: Steps) -> Choice:
        """As `Kind.fetch`: uv may have the version asked for, and else the lock's last number is let go."""
        for wanted in _wanted(recipe):
            found = find_python(host, wanted, self._location) or _of_uv(host, wanted)
            if found is None:
                try:
                    steps.run(f"uv python install {wanted}", [UV, "python", "install", _uv_request(wanted)], "")
                except UserError:
                    continue
                found = _of_uv(host, wanted)
            if found is not None:
                return self._choice(found, uv=True)
        raise _no_python(recipe.python, uv=True)

    def _choice(self, found: Python, uv: bool) -> Choice:
        if not uv and not found.has_pip:
            raise UserError(
                f"{found.path} cannot make virtual environments: it has no module ensurepip.",
                f"Install it (Debian and Ubuntu: apt install python{_minor(found.version)}-venv), or install uv.",
            )
        return Choice(UV if uv else VENV, found.path, (found.version, found.build))

    def make(self, steps: Steps, recipe: Recipe, choice: Choice, prefix: PurePosixPath) -> None:
        """As `Kind.make`."""
        uv = choice.tool == UV
        python = str(prefix / "bin" / "python")
        begin = [UV, "venv", "--python", choice.python] if uv else [choice.python, "-m", "venv"]
        steps.run("Making the virtual environment", [*begin, str(prefix)], "Look whether that Python is whole.")
        if recipe.python_tools():
            steps.run(
                "Installing pip's own packages", [*_pip(python, "install", uv), *recipe.python_tools()], _FIX_PACKAGES
            )
        install_pip_part(steps, recipe, _pip(python, "install", uv))
        unwanted = sorted(VENV_GIVES - {_name(line) for line in recipe.pip}) if recipe.exact else []
        if unwanted and not uv:  # the lock does not know them
            steps.run("Removing what the lock does not have", [*_pip(python, "uninstall", uv), *unwanted], "")

    def variables(self, prefix: PurePosixPath) -> dict[str, str]:
        """As `Kind.variables`."""
        return {"VIRTUAL_ENV": str(prefix)}


def install_pip_part(steps: Steps, recipe: Recipe, install: Sequence[str]) -> None:
    """Have pip (or uv) install the requirements of a recipe; none is fine.

    Raises:
        UserError: it failed.
    """
    for path, content in recipe.pip_files().items():
        steps.host.write(steps.folder / path, content, mode=0o600)
    if recipe.pip:
        steps.run("Installing the pip packages", [*install, *recipe.pip_arguments()], _FIX_PACKAGES)


def _pip(python: str, verb: str, uv: bool) -> list[str]:
    if uv:
        return [UV, "pip", verb, "--python", python]
    return [python, "-m", "pip", verb, *(["--yes"] if verb == "uninstall" else ["--progress-bar", "off"])]


def _wanted(recipe: Recipe) -> list[str | None]:
    """The versions that will do, the best first: a lock's own, else its neighbours."""
    if not recipe.exact or recipe.python is None:
        return [recipe.python]
    return [recipe.python, _minor(recipe.python)]


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _name(line: str) -> str:
    return normal_name(re.split(r"==| @ ", line, maxsplit=1)[0])


def _of_uv(host: Host, wanted: str | None) -> Python | None:
    """An interpreter that uv has fetched before."""
    try:
        result = host.run([UV, "python", "find", "--no-python-downloads", _uv_request(wanted)], timeout_s=ANSWER_S)
        path = result.stdout.decode("utf-8", "surrogateescape").strip()
        found = ask(host, [path]) if result.exit_code == 0 and path else None
        return msgspec.structs.replace(found, path=path) if found is not None and found.fits(wanted) else None
    except (OSError, TargetError):
        return None


def _uv_request(wanted: str | None) -> str:
    """For uv: it wants ``3.11`` where conda may write ``3.11.*``."""
    return re.sub(r"\.\*$", "", (wanted or "3").strip())


def _no_python(wanted: str | None, *, uv: bool) -> UserError:
    more = "" if uv else " Or install uv, which can fetch it."
    if wanted is None:
        return UserError(
            "There is no Python 3.6 or newer on this host.", f"Set pythonLocation in the .compute to one.{more}"
        )
    return UserError(
        f"The conda dependencies file asks for Python {wanted}, and there is none on this host.",
        f"Install it so that python{_minor(re.sub('^[<>=!~ ]*', '', wanted))} is on the PATH, or name it as "
        f"pythonLocation in the .compute, or ask for another version.{more}",
    )
