"""``volumes`` of a compute target, as Docker is asked for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from amltool.containers.volumes import volumes_on
from amltool.errors import UserError
from amltool.hosts.local import LocalHost


@pytest.fixture
def host(tmp_path: Path) -> LocalHost:
    return LocalHost(tmp_path / "root")


def test_a_folder_of_the_machine_and_a_volume_of_docker_are_passed_on(host: LocalHost, tmp_path: Path) -> None:
    given = [f"{tmp_path}:/data:ro", "packages:/packages"]
    assert volumes_on(host, given) == given


def test_a_tilde_is_the_home_folder(host: LocalHost, isolated_home: Path) -> None:
    (isolated_home / "data").mkdir()
    assert volumes_on(host, ["~/data:/data"]) == [f"{isolated_home}/data:/data"]


@pytest.mark.parametrize(
    "volume", ["data", "data:", ":/data", "./data:/data", "a/b:/data", "/tmp:data", "~nobody-here:/data"]
)
def test_what_is_no_volume_is_refused(host: LocalHost, volume: str) -> None:
    with pytest.raises(UserError, match="SOURCE:TARGET"):
        volumes_on(host, [volume])


def test_a_folder_that_is_not_there_is_refused_and_not_made(host: LocalHost, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no"):
        volumes_on(host, [f"{tmp_path}/none:/data"])
    assert not (tmp_path / "none").exists()
