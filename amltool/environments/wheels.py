"""Wheels that are got on this machine for an environment of another one, which reaches no package index."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from amltool.configuration.compute import ComputeTarget
from amltool.environments.building import build_variables
from amltool.environments.pythons import find_python
from amltool.environments.recipe import Recipe, platform_here, platform_of
from amltool.environments.steps import Steps
from amltool.errors import UserError
from amltool.hosts.local import LocalHost
from amltool.hosts.streaming import streaming

FOLDER = "wheels"
CHUNK = 1 << 20
_FIX = "Correct the package in the conda dependencies file (or the index under `pip` in the .compute)."
_REMEDY = (
    "Let it reach one: network, and pip, buildArguments and caCertificates of the .compute. Or take the cluster's own "
    "Python: userManagedEnvironment: true"
)


def wheels_from_here(
    compute: ComputeTarget, steps: Steps, recipe: Recipe, version: str, tools: Sequence[str]
) -> tuple[Steps, Recipe]:
    """Get the wheels of a recipe (and of ``tools``) here, for Python ``version``, and send them to the host of
    ``steps``, once: steps that know no other index than these, and the recipe that names exactly them.

    Raises:
        UserError: this machine cannot stand in for that one, or a package cannot be had here, either.
    """
    python = _python_here(steps, version)
    here = LocalHost()
    with tempfile.TemporaryDirectory(prefix="amltool-wheels-") as made:
        variables = build_variables(compute)
        building = steps.on(here, PurePosixPath(made), variables.variables)
        place = Path(made) / "venv"
        own = str(place / "bin/python")
        building.run("Making a place to get packages here", [python, "-m", "venv", str(place)], "Try again.")
        get = [own, "-m", "pip", "wheel", "--progress-bar", "off", "--wheel-dir"]
        building.run("Getting the tools here", [*get, "tools", *tools, *recipe.python_tools()], _FIX)
        for path, content in recipe.pip_files().items():
            here.write(PurePosixPath(made) / path, content, mode=0o600)
        if recipe.pip:
            building.run("Getting the pip packages here", [*get, FOLDER, *recipe.pip_arguments()], _FIX)
        wanted = sorted((Path(made) / FOLDER).glob("*.whl"))
        _send(steps, [*sorted((Path(made) / "tools").glob("*.whl")), *wanted])
    pins = tuple("{}=={}".format(*wheel.name.split("-")[:2]) for wheel in wanted)
    only = _only(steps.folder / FOLDER)
    known = Recipe(
        python=recipe.python, packages=recipe.packages, pip=pins, variables=recipe.variables, exact=recipe.exact
    )
    return steps.on(steps.host, steps.folder, only, more=True), known


def _only(folder: PurePosixPath) -> dict[str, str]:
    """Variables that tell pip and uv of no index but a folder."""
    links = f"file://{quote(str(folder))}"
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": links, "UV_NO_INDEX": "1", "UV_FIND_LINKS": links}


def _python_here(steps: Steps, version: str) -> str:
    there = f"{steps.host.name} reaches no package index"
    if platform_of(steps.host) != platform_here():
        raise UserError(
            f"{there}, and packages got on this machine ({platform_here()}) are not for that one "
            f"({platform_of(steps.host)}).",
            f"{_REMEDY}.",
        )
    minor = ".".join(version.split(".")[:2])
    found = find_python(LocalHost(), minor, "python3")
    if found is None or not found.has_pip:
        raise UserError(
            f"{there}, and this machine has no Python {minor} with pip to get the packages with.",
            f"Install Python {minor} here, the one of that machine: then they are got here and sent. {_REMEDY}.",
        )
    return found.path


def _send(steps: Steps, files: Sequence[Path]) -> None:
    total = sum(file.stat().st_size for file in files)
    steps.say(f"Sending {len(files)} packages ({total / (1 << 20):.1f} MB) to {steps.host.name}.")
    folder = steps.folder / FOLDER
    steps.host.make_folder(folder)
    talking = streaming(steps.host)
    for file in files:
        if talking is None:
            steps.host.write(folder / file.name, file.read_bytes())
            continue
        with contextlib.closing(talking.open_stream(["sh", "-c", 'cat >"$0"', str(folder / file.name)])) as stream:
            for chunk in _chunks(file):
                stream.write(chunk)
                steps.progress("packages", len(chunk), total)
            stream.close_writing()
            if stream.wait():
                said = stream.stderr().decode("utf-8", "backslashreplace").strip().rpartition("\n")[2]
                raise UserError(f"{file.name} cannot be written on {steps.host.name}: {said}.", "Make room there.")


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as content:
        yield from iter(lambda: content.read(CHUNK), b"")
