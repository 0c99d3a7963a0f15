"""The daemon of this machine is the one that Docker's own command would ask."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from amltool.containers.address import proxies_here, proxy_variables, socket_here


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"DOCKER_CONFIG": str(tmp_path)}


def write_context(folder: Path, name: str, host: str, *, current: bool = True) -> None:
    place = folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    place.mkdir(parents=True)
    (place / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": host}}}))
    if current:
        (folder / "config.json").write_text(json.dumps({"currentContext": name}))


def test_without_any_setting_it_is_at_the_usual_socket(environment: dict[str, str]) -> None:
    assert socket_here(environment) == "/var/run/docker.sock"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"auths": {}}', '{"currentContext": "default"}'])
def test_a_configuration_without_a_context_means_the_usual_socket(
    environment: dict[str, str], tmp_path: Path, content: str
) -> None:
    (tmp_path / "config.json").write_text(content)
    assert socket_here(environment) == "/var/run/docker.sock"


def test_docker_host_comes_before_the_context(environment: dict[str, str], tmp_path: Path) -> None:
    write_context(tmp_path, "desktop", "unix:///desktop.sock")
    assert socket_here({**environment, "DOCKER_HOST": "unix:///other.sock"}) == "/other.sock"


def test_the_current_context_says_where(environment: dict[str, str], tmp_path: Path) -> None:
    write_context(tmp_path, "desktop", "unix:///home/ada/.docker/desktop/docker.sock")
    assert socket_here(environment) == "/home/ada/.docker/desktop/docker.sock"


def test_the_variable_names_another_context(environment: dict[str, str], tmp_path: Path) -> None:
    write_context(tmp_path, "colima", "unix:///colima.sock", current=False)
    assert socket_here({**environment, "DOCKER_CONTEXT": "colima"}) == "/colima.sock"


@pytest.mark.parametrize("address", ["tcp://10.0.0.1:2376", "ssh://ada@vm", "npipe:////./pipe/docker", "unix://d.sock"])
def test_what_is_no_socket_is_left_to_the_package(environment: dict[str, str], tmp_path: Path, address: str) -> None:
    assert socket_here({**environment, "DOCKER_HOST": address}) is None
    write_context(tmp_path, "there", address)
    assert socket_here(environment) is None


def test_a_context_that_nobody_knows_is_left_to_the_package(environment: dict[str, str]) -> None:
    assert socket_here({**environment, "DOCKER_CONTEXT": "gone"}) is None


def test_proxies_are_those_for_the_daemons_address(environment: dict[str, str], tmp_path: Path) -> None:
    proxies = {"default": {"httpProxy": "http://a"}, "unix:///other.sock": {"httpsProxy": "http://b", "noProxy": "c"}}
    (tmp_path / "config.json").write_text(json.dumps({"proxies": proxies}))
    assert proxies_here(environment) == {"http_proxy": "http://a", "HTTP_PROXY": "http://a"}
    assert proxies_here({**environment, "DOCKER_HOST": "unix:///other.sock"}) == {
        "https_proxy": "http://b", "HTTPS_PROXY": "http://b", "no_proxy": "c", "NO_PROXY": "c",
    }  # fmt: skip


@pytest.mark.parametrize("proxies", [None, [], "x", {"default": None}, {"default": {"httpProxy": 3, "noProxy": ""}}])
def test_what_is_no_proxy_sets_nothing(proxies: object) -> None:
    assert proxy_variables(proxies) == {}
