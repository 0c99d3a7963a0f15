"""How the container of a run is made."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest

from amltool.containers.daemon import DockerDaemon
from amltool.errors import UserError
from amltool.hosts.base import CommandResult
from amltool.hosts.local import LocalHost
from amltool.launchers.base import Expected
from amltool.launchers.container_spec import ContainerSettings, Owner, account_of, container_spec, owner_of
from amltool.layout import RunFolder
from amltool.testing.hosts import FakeHost

ROOT = "root:x:0:0:root:/root:/bin/bash\n"


class Confining(DockerDaemon):
    """A daemon that says how it confines containers, and counts how often it is asked."""

    def __init__(self, *security: str) -> None:
        self.asked = 0
        self._security = set(security)

    def security(self) -> set[str]:
        self.asked += 1
        return self._security


@pytest.fixture
def host(tmp_path: Path) -> LocalHost:
    return LocalHost(tmp_path)


def spec_with(host: LocalHost, **settings: object) -> object:
    wanted = Expected(run_id="R", folder=RunFolder(host.root / "runs" / "R"), image="i", python=["p"], accounts=ROOT)
    return container_spec(host, wanted, ContainerSettings(library=host.root / "lib", **settings), Owner(7, 7), "m")  # type: ignore[arg-type]


def test_runs_are_the_users_own(host: LocalHost) -> None:
    assert owner_of(host, Confining("seccomp"), "m") == Owner(os.getuid(), os.getgid())


def test_on_another_host_they_are_those_of_its_user() -> None:
    host = FakeHost(programs={"sh": lambda command, content: CommandResult(0, b"1001\n1002\n", b"")})
    assert owner_of(host, Confining(), "m") == Owner(1001, 1002)


def test_the_root_of_a_rootless_docker_is_the_user(host: LocalHost) -> None:
    assert owner_of(host, Confining("rootless"), "m") == Owner(0, 0)


def test_user_namespaces_and_selinux_are_left_aside(host: LocalHost) -> None:
    owner = owner_of(host, Confining("userns", "selinux"), "m")
    assert (owner.user_namespace, owner.security) == ("host", ("label=disable",))


def test_a_daemon_is_asked_once_until_it_is_started_again(host: LocalHost) -> None:
    daemon = Confining("seccomp")
    for mark in ("one", "one", "two", "two"):
        owner_of(host, daemon, mark)
    assert daemon.asked == 2


def test_a_damaged_note_of_that_is_no_hindrance(host: LocalHost) -> None:
    host.write(host.root / "cache" / "docker.json", b"\xff")
    assert owner_of(host, Confining("rootless"), "one").uid == 0


def test_a_user_whom_the_image_knows_keeps_the_name() -> None:
    accounts = f"{ROOT}ada:x:1000:1000::/home/ada:/bin/sh\n"
    account = account_of(accounts, Owner(1000, 1000))
    assert (account.name, account.accounts) == ("ada", None)


@pytest.mark.parametrize("accounts", [ROOT, ""])
def test_a_user_whom_the_image_does_not_know_gets_a_line(accounts: str) -> None:
    account = account_of(accounts, Owner(1000, 100))
    assert account.accounts is not None
    first, last = account.accounts.splitlines()
    assert first.startswith("root:x:0:0:")
    assert last == "amltool:x:1000:100::/azureml-run/home:/bin/sh"
    assert account_of(account.accounts, Owner(1000, 100)).name == account.name == "amltool"


def test_root_needs_no_line() -> None:
    assert account_of("", Owner(0, 0)).accounts is None


@pytest.mark.parametrize(
    "volume", ["data/x:/x", "./x:/x", "../x:/x", "/tmp", "/tmp:x", ":/x", "x:", "~nobody-here/x:/x"]
)
def test_a_volume_that_is_none_is_refused_with_what_one_is(host: LocalHost, volume: str) -> None:
    with pytest.raises(UserError, match="SOURCE:TARGET"):
        spec_with(host, volumes=(volume,))


def test_a_folder_to_mount_that_is_not_there_is_said_and_not_made(host: LocalHost, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"there is no {tmp_path}/nothing"):
        spec_with(host, volumes=(f"{tmp_path}/nothing:/x",))
    assert not (tmp_path / "nothing").exists()


def test_volumes_of_the_home_folder_and_of_docker_are_taken(host: LocalHost, isolated_home: Path) -> None:
    (isolated_home / "corpus").mkdir()
    spec = spec_with(host, volumes=("~/corpus:/corpus:ro", "kept-by-docker:/kept"))
    assert spec.volumes == [f"{isolated_home}/corpus:/corpus:ro", "kept-by-docker:/kept"]  # type: ignore[attr-defined]


def test_without_shared_volumes_nothing_of_the_host_is_mounted(host: LocalHost) -> None:
    assert not spec_with(host, shared_volumes=False, share=PurePosixPath("/share")).mounts  # type: ignore[attr-defined]


def test_what_is_mounted_is_the_run_the_library_the_share_and_the_accounts(host: LocalHost) -> None:
    mounts = spec_with(host, share=PurePosixPath("/share")).mounts  # type: ignore[attr-defined]
    assert {mount.target: mount.read_only for mount in mounts} == {
        "/azureml-run": False,
        "/azureml-lib": True,
        "/azureml-share": False,
        "/etc/passwd": True,
    }
