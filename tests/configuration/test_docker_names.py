"""Names of images, containers, networks and volumes: what is none never becomes a part of an address of the daemon."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amltool.configuration.compute import BASE_IMAGE_VARIABLE, default_base_image, read_compute
from amltool.configuration.docker_names import is_docker_name, is_image, is_network
from amltool.containers.daemon import DockerDaemon
from amltool.containers.volumes import volumes_on
from amltool.errors import ConfigurationError, UserError
from amltool.hosts.local import LocalHost

GOOD = [
    "python", "python:3.12-slim", "mambaorg/micromamba:2-debian12-slim", "localhost:5000/a/b:c",
    "registry.example.org/a_b", "a__b/c--d.e", "[::1]:5000/x", "python@sha256:" + "a" * 64,
    "host/x:1@sha256:" + "0" * 64, "sha256:" + "f" * 64, "abcdef123456", "mcr.microsoft.com/azureml/base:latest",
    "Registry.Example.org/x",
]  # fmt: skip
BAD = [
    "x/../../..", "..", "../x", "x/..", "/x", "x/", "x//y", "x?y", "x#y", "x%2e%2e", "x\\y", "x y", "x\ny", "x:",
    ":x", "x@", "x@sha256:z", "-x", "--help", "x;y", "x:a/b:c", "UPPER", "x/Y", "\u202ex", "x\0", "x" * 1000,
    "a" + "-" * 600, "é", "x/./y", "x&y=1", "host:port/x", "",
]  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_what_docker_takes_is_an_image(name: str) -> None:
    assert is_image(name)
    assert quote(name, safe="/:@[]") == name


@pytest.mark.parametrize("name", BAD, ids=repr)
def test_anything_else_is_none_and_nothing_is_asked(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = DockerDaemon(LocalHost())
    asked: list[Any] = []
    monkeypatch.setattr(daemon, "_ask", lambda *words: asked.append(words))
    monkeypatch.setattr(daemon, "_asked", lambda: asked.append("asked"))

    assert not is_image(name)
    for ask in (daemon.image, lambda each: list(_pulled(daemon, each)), daemon.registry_digest, daemon.remove_image):
        with pytest.raises(UserError):
            ask(name)
    assert asked == []


def _pulled(daemon: DockerDaemon, name: str) -> Iterator[Any]:
    yield from daemon.pull(name)


@pytest.mark.timeout(60)
@given(st.text(st.sampled_from("abA0.-_/:@[]\\% \n?#"), max_size=200) | st.text(max_size=50))
@settings(deadline=None)
def test_no_image_leads_to_another_address(name: str) -> None:
    if is_image(name):
        parts = name.split("/")
        assert not {"", ".", ".."} & set(parts)
        assert name.isascii()
        assert not set(name) & set("?#%\\ \n\0&=")


@given(st.text(max_size=30))
@settings(deadline=None)
def test_no_name_leads_to_another_address(name: str) -> None:
    if is_docker_name(name) or is_network(name):
        assert quote(name, safe=":") == name
        assert not name.startswith((".", "/", "-"))


@pytest.mark.parametrize(
    "line", ["baseDockerImage: x/../../..", "baseDockerImage: '-v'", "network: 'a/../b'", 'network: "a\\nb"']
)
def test_a_compute_target_with_such_a_name_has_a_mistake(line: str) -> None:
    with pytest.raises(ConfigurationError, match=r"no (image|network)'s name"):
        read_compute("docker", f"type: localdocker\n{line}\n".encode(), "docker.compute")


def test_a_variable_with_such_a_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BASE_IMAGE_VARIABLE, "x/../..")

    with pytest.raises(UserError, match=BASE_IMAGE_VARIABLE):
        default_base_image()


@pytest.mark.parametrize("volume", ["..:/x", "a?b:/x", "a\nb:/x", "-v:/x"])
def test_a_volume_of_such_a_name_is_refused(volume: str) -> None:
    with pytest.raises(UserError):
        volumes_on(LocalHost(), [volume])
