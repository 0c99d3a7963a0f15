"""The plan of an image's build: the files of its build container, and how its failure is explained."""

from __future__ import annotations

import io
import os
import shlex
from collections.abc import Mapping
from pathlib import Path

import msgspec

from amltool.configuration.compute import DEFAULT_BASE_IMAGE, ComputeTarget
from amltool.containers.refusals import is_full
from amltool.environments.base_images import Base
from amltool.environments.building import (
    build_failed,
    build_variables,
    certificate_variables,
    pip_configuration_file,
    recipe_secrets,
    url_secrets,
)
from amltool.environments.image_build import CERTIFICATES, ENVIRONMENT, TOP, BuildPlan, Failure
from amltool.environments.lock import listing_script
from amltool.environments.recipe import Recipe
from amltool.errors import UserError

BUILD_VERSION = "1"
"""Raised when the build script changes what is built: every image is then built anew."""

CREATE_CONDA = "create the conda environment"
"""The step of scripts/build.sh in which conda, micromamba or py-rattler fetch packages."""

_SCRIPTS = ("build.sh", "activated.sh", "fits.py", "facts.py", "conda_by_rattler.py")
_BUILD = f"{TOP}/build"
_PRIVATE = f"{TOP}/private"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be in an image: a recipe (``None``: what the base image has, which the user manages, and whose Python
    is at ``python_location``) and certificates to trust; ``key`` names all of it."""

    key: str
    recipe: Recipe | None = None
    certificates: bytes = b""
    python_location: str = ""


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What a build has around it: the project it is for, the proxies of this user's Docker, what is mounted."""

    project: str
    proxies: Mapping[str, str] = {}
    volumes: tuple[str, ...] = ()


def plan_of(wanted: Wanted, base: Base, compute: ComputeTarget, around: Surroundings) -> BuildPlan:
    """The plan that brings about what is wanted.

    Raises:
        UserError: a secret that the ``.compute`` refers to is not there.
    """
    variables: dict[str, str] = {}
    secrets: tuple[str, ...] = ()
    if wanted.recipe is not None:
        found = build_variables(compute, ca_certificates=CERTIFICATES, pip_configuration=f"{_PRIVATE}/pip.conf")
        variables = {**around.proxies, **found.variables}
        secrets = (
            *found.secrets,
            *recipe_secrets(wanted.recipe),
            *(secret for value in around.proxies.values() for secret in url_secrets(value)),
        )
        if not wanted.certificates and shell_certificates() is not None:
            variables |= certificate_variables(f"{_BUILD}/trusted.pem")
        configuration = pip_configuration_file(compute)
        if configuration is not None:
            variables["AMLTOOL_PIP_CONFIGURATION"] = configuration.read_text("utf-8", "replace")
    return BuildPlan(
        key=wanted.key,
        project=around.project,
        image=base.image.id,
        files=_archive(_files(wanted)),
        variables=variables,
        secrets=secrets,
        network=compute.network,
        volumes=around.volumes,
    )


def _files(wanted: Wanted) -> dict[str, bytes]:
    """What lies in the build's folder: name -> content."""
    here = Path(__file__).parent
    files = {name: (here / "scripts" / name).read_bytes() for name in _SCRIPTS}
    files["listing.py"] = listing_script().encode()
    files["plan.sh"] = "".join(f"{line}\n" for line in _plan_lines(wanted)).encode()
    recipe = wanted.recipe
    if recipe is None:
        return files
    conda = {"packages": _conda_packages(recipe), "channels": recipe.conda_channels(), "explicit": recipe.explicit}
    files["conda.json"] = msgspec.json.encode(conda)
    if recipe.explicit:
        files["explicit.txt"] = "\n".join(["@EXPLICIT", *recipe.explicit, ""]).encode()
    if wanted.certificates:
        files["ca-certificates.pem"] = wanted.certificates
    elif (of_shell := shell_certificates()) is not None:
        files["shell-certificates.pem"] = of_shell.read_bytes()
    return files | {f"recipe/{path}": content for path, content in recipe.pip_files().items()}


def _plan_lines(wanted: Wanted) -> list[str]:
    """What scripts/build.sh reads as shell."""
    recipe = wanted.recipe
    if recipe is None:
        location = wanted.python_location
        return ["MODE=list", f"PYTHON_LOCATION={shlex.quote('python python3' if location == 'python' else location)}"]
    create = ["create", "-y", "-p", ENVIRONMENT]
    if recipe.explicit:
        create += ["--file", f"{_BUILD}/explicit.txt"]
    else:
        create += ["--override-channels", *(part for one in recipe.conda_channels() for part in ("-c", one))]
        create += _conda_packages(recipe)
    return [
        "MODE=build",
        f"PYTHON={shlex.quote(recipe.python or '')}",
        f"NEEDS_CONDA={int(bool(recipe.needs_conda or recipe.explicit))}",
        f"PIP={int(bool(recipe.pip))}",
        f"TOOLS={int(bool(recipe.python_tools()))}",
        f'conda_create() {{ "$1" {shlex.join(create)}; }}',
        f'pip_install() {{ "$1" -I -m pip install {shlex.join(recipe.pip_arguments())}; }}',
        f'pip_tools() {{ "$1" -I -m pip install {shlex.join(recipe.python_tools())}; }}',
    ]


def _conda_packages(recipe: Recipe) -> list[str]:
    """The packages, python with the version that the recipe names (that of a lock is not among them)."""
    version = recipe.python or ""
    python = f"python={version}" if version[:1].isdigit() else f"python{version}"
    return [python if package == "python" else package for package in recipe.conda_packages()]


def _archive(files: Mapping[str, bytes]) -> bytes:
    """A tar archive of the build's folder, to be unpacked in ``/``; root's, and the same for the same files."""
    import tarfile

    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for folder in (TOP, _BUILD):
            entry = tarfile.TarInfo(folder.lstrip("/"))
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for path in sorted(files):
            entry = tarfile.TarInfo(f"{_BUILD}/{path}".lstrip("/"))
            entry.size, entry.mode = len(files[path]), 0o644
            archive.addfile(entry, io.BytesIO(files[path]))
    return content.getvalue()


def explain(failure: Failure, base: str, wanted: Wanted, compute: ComputeTarget) -> UserError:
    """Why there is no image, and what to do."""
    recipe = wanted.recipe or Recipe()
    problem, _, detail = failure.problem.partition(" ")
    with_conda = (
        f"a base image with conda, mamba or micromamba (baseDockerImage in {compute.name}.compute, such as "
        f"{DEFAULT_BASE_IMAGE})"
    )
    if problem == "no-python":
        return UserError(
            f"The file asks for Python {recipe.python or '3'}, and the base image {base} has {detail or 'no Python'}.",
            f"Ask for a version that is there, or choose a base image that has it, or {with_conda}: conda brings any.",
        )
    if problem == "no-venv":
        return UserError(
            f"The Python of the base image {base} ({detail}) cannot make virtual environments: it has no venv or no "
            "ensurepip.",
            f"Install it in the base image (Debian: apt install python3-venv), or choose {with_conda}.",
        )
    if problem == "no-conda" or failure.step.startswith("fetch py-rattler"):
        return _no_conda(failure, base, recipe, with_conda)
    if problem == "old-python":
        return UserError(
            f"Python {detail} is too old: what starts a run in a container needs Python 3.6 or newer.",
            "Ask for a newer Python (`- python=3.11` in the dependency file), or choose a base image that has one.",
        )
    if problem == "no-such-python":
        return UserError(
            f"{compute.name}.compute says userManagedEnvironment: true, and the image {base} has no "
            f"{wanted.python_location}.",
            "Name its Python as pythonLocation, choose an image that has one, or let amltool build the environment "
            "(userManagedEnvironment: false).",
        )
    if problem == "full" or any(is_full(line) for line in failure.lines):
        left = f" ({int(detail) // 1024} MB are left)" if detail.isdigit() else ""
        return build_failed(
            f"The disk of Docker is full{left}: the step to {failure.step}",
            failure.lines,
            "Make room there (docker system df, amltool clean), then run the same command again.",
        )
    remedy = (
        "Mend the dependency file, or network, pip, buildArguments and caCertificates of the .compute; then run the "
        "same command again."
    )
    if recipe.explicit and failure.step == CREATE_CONDA:
        remedy = (
            "If a package of the lock is gone from its channel, or is no longer the one that was installed: submit the "
            "script anew, which takes what the dependency file means today, or give the channel that package back. "
            "If the channel cannot be reached: network, buildArguments and caCertificates of the .compute."
        )
    return build_failed(
        f"Building the execution environment on {base}: the step to {failure.step}", failure.lines, remedy
    )


def shell_certificates() -> Path | None:
    """The CA certificates that this user's shell tells pip and others to trust; for builds, where the ``.compute``
    names none: the network that shows them is this machine's, and no run elsewhere needs them."""
    for name in ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"):
        path = Path(os.environ.get(name) or "-")
        if path.is_absolute() and path.is_file() and os.access(path, os.R_OK):
            return path
    return None


def _no_conda(failure: Failure, base: str, recipe: Recipe, with_conda: str) -> UserError:
    names = ", ".join(recipe.needs_conda)
    what = f"Only conda can install {names}; the base image {base} has no conda command, and "
    if failure.problem:
        what += "no Python from 3.10 on with which py-rattler could stand in for it."
    else:
        what += "py-rattler, which could stand in for it, cannot be fetched:\n"
        what += "\n".join(f"  {line}" for line in failure.lines)
    return UserError(what, f"Choose {with_conda}, or move these packages under `- pip:`.")
