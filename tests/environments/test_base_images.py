"""Base images: fetched once, and meaning the same from then on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from amltool.containers.daemon import DockerDaemon
from amltool.environments.base_images import BaseImages, Known
from amltool.errors import UserError
from amltool.hosts.local import LocalHost
from tests.environments.image_building import Told
from tests.environments.registry import Registry, registry_running


@pytest.fixture
def registry(docker_daemon: DockerDaemon) -> Iterator[Registry]:
    with registry_running() as found:
        yield found
        for digest in found.manifests:
            image = docker_daemon.image(f"127.0.0.1:{found.port}/sample/base@{digest}")
            if image is not None:
                docker_daemon.remove_image(image.id)


@pytest.fixture
def images(docker_daemon: DockerDaemon, tmp_path: Path) -> BaseImages:
    return BaseImages(docker_daemon, LocalHost(tmp_path))


def test_an_image_that_is_not_here_is_fetched_with_progress(images: BaseImages, registry: Registry) -> None:
    digest = registry.push("1", os.urandom(2_000_000))
    told = Told()
    base = images.bring(registry.name("1"), told)
    assert base.image.digest is not None
    assert base.image.digest.endswith(digest)
    assert told.said == [f"Fetching the image {registry.name('1')}."]
    assert told.done > 2_000_000
    assert base.notices == ()


def test_an_image_that_is_here_is_not_fetched(images: BaseImages, registry: Registry) -> None:
    registry.push("1", b"one")
    images.bring(registry.name("1"), Told())
    registry.tags.clear()
    told = Told()
    images.bring(registry.name("1"), told)
    assert told.said == []


def test_an_image_that_was_removed_is_fetched_as_it_was_and_a_moved_tag_is_told(
    images: BaseImages, registry: Registry, docker_daemon: DockerDaemon
) -> None:
    name, first = registry.name("1"), registry.push("1", b"one")
    before = images.bring(name, Told()).image
    docker_daemon.remove_image(before.id)
    moved = registry.push("1", b"two")
    base = images.bring(name, Told())
    assert base.image.id == before.id
    assert moved in base.notices[0]
    assert first in base.notices[0]
    assert f"docker pull {name}" in base.notices[0]


def test_the_id_of_a_pinned_image_is_known_while_it_is_not_here(
    images: BaseImages, registry: Registry, docker_daemon: DockerDaemon
) -> None:
    registry.push("1", b"one")
    before = images.bring(registry.name("1"), Told()).image
    docker_daemon.remove_image(before.id)
    assert images.known(registry.name("1")) == Known(before.id, before.architecture, is_here=False)


def test_what_the_user_pulls_is_what_the_name_means_from_then_on(
    images: BaseImages, registry: Registry, docker_daemon: DockerDaemon
) -> None:
    name, first = registry.name("1"), registry.push("1", b"one")
    images.bring(name, Told())
    second = registry.push("1", b"two")
    list(docker_daemon.pull(name))
    base = images.bring(name, Told())
    assert second in base.notices[0]
    assert first in base.notices[0]
    docker_daemon.remove_image(base.image.id)
    again = images.bring(name, Told())
    assert again.image.id == base.image.id


def test_a_pinned_image_that_is_gone_from_its_registry_is_explained(
    images: BaseImages, registry: Registry, docker_daemon: DockerDaemon
) -> None:
    name, digest = registry.name("1"), registry.push("1", b"one")
    before = images.bring(name, Told()).image
    docker_daemon.remove_image(before.id)
    registry.push("1", b"two")
    registry.blobs.clear()  # the daemon itself remembers manifests
    with pytest.raises(UserError, match=f"docker pull {name}") as raised:
        images.bring(name, Told())
    assert digest in str(raised.value)


def test_a_name_that_no_registry_knows_is_a_users_mistake(images: BaseImages, registry: Registry) -> None:
    with pytest.raises(UserError, match="baseDockerImage"):
        images.bring(registry.name("nothing"), Told())


def test_the_image_of_a_lock_is_fetched_by_its_digest(
    images: BaseImages, registry: Registry, docker_daemon: DockerDaemon
) -> None:
    registry.push("1", b"one")
    before = images.bring(registry.name("1"), Told()).image
    assert before.digest is not None
    docker_daemon.remove_image(before.id)
    registry.push("1", b"two")
    assert images.bring_locked(registry.name("1"), before.digest, Told()).image.id == before.id


def test_the_image_of_a_lock_that_is_nowhere_is_explained(images: BaseImages, registry: Registry) -> None:
    gone = f"127.0.0.1:{registry.port}/sample/base@sha256:{'0' * 64}"
    with pytest.raises(UserError, match="cannot be had any more") as raised:
        images.bring_locked("sample", gone, Told())
    assert gone in str(raised.value)
    assert "docker load" in str(raised.value)


def test_the_image_of_a_lock_that_no_registry_ever_had_is_explained(images: BaseImages) -> None:
    with pytest.raises(UserError, match="without a registry cannot be fetched"):
        images.bring_locked("sample", f"sha256:{'0' * 64}", Told())
