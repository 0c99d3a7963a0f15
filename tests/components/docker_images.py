"""The base images of the tests: the one that is named, one that is there, or ours, made once and kept as a tar file."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from amltool.containers.daemon import DockerDaemon
from amltool.errors import UserError
from amltool.files import locked
from tests.components import docker_service, mounts, places
from tests.components.docker_recipes import CERTIFICATES_IN_CONTAINER, PYTHON, RELEASE, Recipe
from tests.components.required import is_required, missing

if TYPE_CHECKING:
    from docker.api.client import APIClient  # noqa: TID251 (a type; the client comes through our one door)

USUAL = tuple(f"python:3.{minor}{kind}" for minor in (12, 11, 13, 10, 14) for kind in ("-slim", "", "-slim-bookworm"))
"""Images with Python and venv that a developer may have."""
MAKING_S = 900
_NAMING = "AMLTOOL_TEST_DOCKER_IMAGE=…"
_INHERITED = ("http_proxy", "https_proxy", "no_proxy", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")


def image(daemon: DockerDaemon, recipe: Recipe) -> str:
    """The name of an image for a recipe; it is there when this returns."""
    if recipe is PYTHON and places.NAMED_IMAGE:
        return _named(daemon, places.NAMED_IMAGE)
    if daemon.image(recipe.image):
        return recipe.image
    if is_required("docker"):
        with locked(places.state() / "images.lock", within_s=MAKING_S):
            _bring(daemon, recipe)
        return recipe.image
    there = next((name for name in USUAL if recipe is PYTHON and daemon.image(name)), None)
    or_else = f"; {_NAMING} names another" if recipe is PYTHON else ""
    return there or missing("docker", f"the image {recipe.image} is not here{or_else}")


def bring_tar(api: APIClient, file: Path, name: str) -> None:
    """Make an image of a tar file of a root folder."""
    with _patience(api):
        repository, _, tag = name.rpartition(":")
        said = api.import_image_from_file(str(file), repository, tag)
    if '"errorDetail"' in said:
        pytest.fail(f"the image {name} cannot be imported: {said[-500:]}", pytrace=False)


def cached_tar(recipe: Recipe) -> Path:
    """Where the root folder of a recipe's image is kept."""
    return places.CACHE / f"{recipe.name}-{recipe.key}.tar"


def _named(daemon: DockerDaemon, name: str) -> str:
    try:
        if daemon.image(name) is None:
            list(daemon.pull(name))
    except UserError as error:
        missing("docker", str(error))
    return name


def _bring(daemon: DockerDaemon, recipe: Recipe) -> None:
    if daemon.image(recipe.image):
        return
    file, api = cached_tar(recipe), docker_service.client()
    if not file.exists():
        places.CACHE.mkdir(parents=True, exist_ok=True)
        beside = file.with_suffix(f".{os.getpid()}.part")
        try:
            if recipe.base is None:
                _bootstrap(recipe, beside)
            else:
                _bring(daemon, recipe.base)
                _run_script(api, recipe, beside)
            beside.rename(file)
        finally:
            beside.unlink(missing_ok=True)
        for older in places.CACHE.glob(f"{recipe.name}-*.tar"):
            if older != file:
                older.unlink()
    bring_tar(api, file, recipe.image)


def _bootstrap(recipe: Recipe, file: Path) -> None:
    if os.getuid() != 0 or not mounts.found("debootstrap"):
        pytest.fail(f"only root can make a base image, with debootstrap; or name one: {_NAMING}", pytrace=False)
    root = Path(tempfile.mkdtemp(prefix="debian-", dir=places.CACHE))
    included = f"--include={','.join(recipe.packages)}"
    log, variables = places.state() / "debootstrap.log", {**os.environ, "PATH": mounts.SYSTEM_PATH}
    commands = (
        ["debootstrap", "--variant=minbase", included, RELEASE, str(root)],
        ["chroot", str(root), "sh", "-euc", recipe.whole_script],
        ["tar", "--numeric-owner", "--exclude=./proc/*", "--exclude=./sys/*", "-C", str(root), "-cf", str(file), "."],
    )
    try:
        with log.open("wb") as stream:
            for command in commands:
                done = subprocess.run(
                    command, env=variables, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, timeout=MAKING_S
                )
                if done.returncode:
                    said = log.read_text(errors="replace")[-2000:]
                    pytest.fail(f"{command[0]} cannot make the base image:\n{said}", pytrace=False)
    finally:
        mounts.remove(root)


def _run_script(api: APIClient, recipe: Recipe, file: Path) -> None:
    assert recipe.base
    variables = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    variables.update(DEBIAN_FRONTEND="noninteractive", LC_ALL="C.UTF-8")
    if places.CERTIFICATES:
        variables.update(PIP_CERT=CERTIFICATES_IN_CONTAINER, SSL_CERT_FILE=CERTIFICATES_IN_CONTAINER)
    container = api.create_container(
        recipe.base.image,
        ["sh", "-euc", recipe.whole_script],
        environment=variables,
        host_config=api.create_host_config(network_mode="host"),
    )["Id"]
    try:
        with _patience(api):
            if places.CERTIFICATES:
                api.put_archive(container, "/tmp", _archive(places.CERTIFICATES))
            api.start(container)
            if code := api.wait(container)["StatusCode"]:
                said = api.logs(container, tail=20).decode(errors="replace")
                pytest.fail(f"the image {recipe.image} cannot be made (exit {code}):\n{said}", pytrace=False)
            with file.open("wb") as stream:
                for piece in api.export(container):
                    stream.write(piece)
    finally:
        api.remove_container(container, force=True)


def _archive(certificates: Path) -> bytes:
    content, archive = certificates.read_bytes(), io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo(Path(CERTIFICATES_IN_CONTAINER).name)
        member.size, member.mode = len(content), 0o644
        tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()


@contextlib.contextmanager
def _patience(api: APIClient) -> Iterator[None]:
    usual, api.timeout = api.timeout, MAKING_S
    try:
        yield
    finally:
        api.timeout = usual
