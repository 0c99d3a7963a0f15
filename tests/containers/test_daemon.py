"""What containers are made with, and what the daemon is asked for beside them."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from amltool.containers.daemon import ContainerSpec, DockerDaemon
from amltool.containers.values import seconds_of
from amltool.hosts.local import LocalHost


def test_the_users_proxies_are_known_and_no_container_shows_them(
    python_image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxies = {"default": {"httpProxy": "http://ada:canary@proxy.example.org:3128", "noProxy": "localhost"}}
    (tmp_path / "config.json").write_text(json.dumps({"proxies": proxies}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    daemon = DockerDaemon(LocalHost(tmp_path))
    assert daemon.proxies()["HTTP_PROXY"] == "http://ada:canary@proxy.example.org:3128"
    assert daemon.proxies()["no_proxy"] == "localhost"
    name = f"amltool-test-{uuid.uuid4().hex}"
    container = daemon.create(ContainerSpec(image=python_image, command=["true"], name=name, labels={}))
    try:
        with daemon._asked() as api:
            assert "canary" not in json.dumps(api.inspect_container(container))
    finally:
        daemon.remove(container)


def test_without_proxies_there_are_none(docker_daemon: DockerDaemon) -> None:
    assert docker_daemon.proxies() == {}


def test_an_image_has_the_labels_it_was_made_with_whatever_is_in_them(
    docker_daemon: DockerDaemon, python_image: str
) -> None:
    name = f"amltool-test-{uuid.uuid4().hex}"
    labels = {"quoted": 'a "b" $HOME \\ \n c', "own": ""}
    spec = ContainerSpec(image=python_image, command=["true"], name=name, labels={"own": "of the container"})
    container = docker_daemon.create(spec)
    image = None
    try:
        image = docker_daemon.commit(container, f"{name}:1", ['ENTRYPOINT [""]', 'CMD ["python3", "-V"]'], labels)
        found = docker_daemon.image(f"{name}:1")
        assert found is not None
        assert found.id == image
        assert found.labels == labels
    finally:
        docker_daemon.remove(container)
        if image is not None:
            docker_daemon.remove_image(image)


def test_a_volume_is_made_once_and_weighed(docker_daemon: DockerDaemon) -> None:
    name = f"amltool-test-{uuid.uuid4().hex}"
    docker_daemon.make_volume(name, "amltool.test")
    docker_daemon.make_volume(name, "amltool.test")
    try:
        [kept] = [volume for volume in docker_daemon.volumes("amltool.test") if volume.name == name]
        assert kept.size == 0
    finally:
        docker_daemon.remove_volume(name)
    assert [volume for volume in docker_daemon.volumes("amltool.test") if volume.name == name] == []
    docker_daemon.remove_volume(name)


def test_a_name_that_no_registry_answers_for_has_no_digest(docker_daemon: DockerDaemon) -> None:
    assert docker_daemon.registry_digest("127.0.0.1:9/nothing:1") is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-21T16:27:28Z", 1795278448.0),
        ("2026-11-21T16:27:28.5Z", 1795278448.5),
        ("2026-11-21T17:27:28.123456789+01:00", 1795278448.123456789),
    ],
)
def test_a_time_of_docker_is_the_same_in_every_zone_and_to_every_digit(text: str, seconds: float) -> None:
    assert seconds_of(text) == pytest.approx(seconds, abs=1e-6)
