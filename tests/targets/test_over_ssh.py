"""How the machine of a compute target is reached, from what its ``.compute`` says."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pytest

from amltool.configuration.compute import read_compute
from amltool.errors import TargetError, UserError
from amltool.git.command import Git
from amltool.git.snapshots import take
from amltool.git.survey import survey
from amltool.hosts.ssh_settings import SshSettings
from amltool.layout import HostLayout
from amltool.limits import Profile
from amltool.run import ProjectNames
from amltool.snapshot import Snapshot
from amltool.targets import Place, open_target, over_ssh
from amltool.targets.over_ssh import Machine, ssh_settings
from amltool.tracking import travel
from tests.repositories import make_repository
from tests.targets.machine_there import CountedStream, MachineThere, tree_on_disk

SETTLED = "root: /home/ada/.amltool\nnativeSharedDirectory: /home/ada/share/\n"


def settings(more: str = "", address: str = "vm.example.org") -> SshSettings:
    return ssh_settings(read_compute("vm", f"type: remote\naddress: {address}\nusername: ada\n{more}".encode(), "vm"))


def test_a_port_that_nobody_named_is_left_to_the_users_configuration_of_ssh() -> None:
    assert settings().port is None
    assert settings(address="vm.example.org:2222").port == 2222


def test_a_key_file_lies_on_this_machine() -> None:
    assert settings("privateKeyFile: ~/.ssh/id_vm\n").key_file == Path.home() / ".ssh/id_vm"


def test_a_password_is_fetched_when_it_is_needed_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    password = settings("password: ${env:VM_PASSWORD}\n").password
    assert password is not None
    monkeypatch.setenv("VM_PASSWORD", "canary")
    assert password() == "canary"


def test_a_passphrase_is_fetched_when_it_is_needed_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    passphrase = settings("privateKeyFile: ~/.ssh/id_vm\nprivateKeyPassphrase: ${env:KEY_PASSPHRASE}\n").passphrase
    assert passphrase is not None
    monkeypatch.setenv("KEY_PASSPHRASE", "canary")
    assert passphrase("~/.ssh/id_vm") == "canary"


def test_a_key_in_the_ancestors_credential_service_is_explained() -> None:
    with pytest.raises(UserError, match="credential service") as raised:
        settings("privateKey: AzureMlSecret=1234\n")
    assert "privateKeyFile" in raised.value.remedy


def test_a_key_in_the_credential_service_does_not_matter_beside_one_that_can_be_had() -> None:
    assert settings("privateKey: AzureMlSecret=1234\nuseSshKey: true\n").use_ssh_key


@pytest.mark.parametrize("kind", ["remote", "remotedocker"])
def test_a_run_that_is_gone_on_with_asks_nothing_of_a_machine_that_may_be_away(kind: str, tmp_path: Path) -> None:
    content = f"type: {kind}\naddress: 192.0.2.1\nusername: ada\n{SETTLED}"
    target = open_target(read_compute("vm", content.encode(), "vm"), ProjectNames("a", "w", "iris", "."), tmp_path)
    assert target.host.root == PurePosixPath("/home/ada/.amltool")
    assert target.share == PurePosixPath("/home/ada/share/a/w/iris")


def test_without_shared_volumes_a_container_over_there_has_no_shared_folder(tmp_path: Path) -> None:
    content = f"type: remotedocker\naddress: 192.0.2.1\nusername: ada\nsharedVolumes: false\n{SETTLED}"
    target = open_target(read_compute("vm", content.encode(), "vm"), ProjectNames("a", "w", "iris", "."), tmp_path)
    assert (target.share, target.share_in_run) == (None, None)
    assert "aml_config/vm.compute says `sharedVolumes: false`" in target.hint


class RacedMachine(MachineThere):
    """Another client puts there what travels with runs, a moment after we looked for it."""

    def open_stream(self, command: Sequence[str]) -> CountedStream:
        stream = super().open_stream(command)
        if self.opened == 1:
            stream.wait(120)
            travel.install(self)
        return stream


@pytest.mark.parametrize("kind", [MachineThere, RacedMachine])
def test_a_snapshot_is_placed_whoever_puts_there_what_places_it(
    kind: type[MachineThere], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = kind(tmp_path)

    snapshot = place_on(there, tmp_path, monkeypatch)

    assert tree_on_disk(Path(HostLayout(there.root).run("run-001").work)) == snapshot.tree


def test_what_places_snapshots_but_does_not_run_there_is_a_sentence_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = MachineThere(tmp_path)
    (there.programs / "python3").unlink()
    (there.programs / "python3").write_text("#!/bin/sh\necho out of order >&2\nexit 1\n")
    (there.programs / "python3").chmod(0o755)

    with pytest.raises(TargetError, match="out of order"):
        place_on(there, tmp_path, monkeypatch)


def test_what_travels_is_put_there_once_though_a_snapshot_and_a_container_need_it_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = MachineThere(tmp_path)
    machine = machine_of("vm", there, make_repository(tmp_path / "project"), monkeypatch)
    asked, install = [], travel.install

    def slow(host: object) -> travel.Installed:
        asked.append(host)
        time.sleep(0.2)  # another one that would begin as well has begun by then
        return install(host)

    monkeypatch.setattr(travel, "install", slow)
    other = threading.Thread(target=lambda: machine.installed)
    other.start()

    assert machine.installed.bootstrap == machine.tracking.bootstrap
    other.join()
    assert len(asked) == 1


def place_on(there: MachineThere, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Snapshot:
    """Place a small project in the folder of ``run-001`` there."""
    project = make_repository(folder / "project", {"train.py": "print('hello')\n"})
    git = Git.at(project)
    snapshot = take(git, survey(git, "", ".", Profile.SDK))
    machine_of("vm", there, project, monkeypatch).place(git, HostLayout(there.root).run("run-001"), snapshot)
    return snapshot


def machine_of(name: str, there: MachineThere, project: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(over_ssh, "_host", lambda _: there)
    compute = read_compute(name, b"type: remote\naddress: 192.0.2.1\nusername: ada\n", name)
    return Machine(compute, Place(ProjectNames("a", "w", "iris", "."), project))
