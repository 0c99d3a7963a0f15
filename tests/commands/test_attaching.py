"""What `attach` and `detach` refuse and write, where no machine is needed to see it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import keyring
import keyring.backend
import keyring.errors
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amltool.commands.attaching import Attached, Attachment, attach
from amltool.commands.detaching import detach
from amltool.commands.keeping_passwords import forget_password, keep_password
from amltool.commands.opening import Opened, open_project
from amltool.commands.reaching import TargetState, check_targets
from amltool.configuration.secrets import SecretKind, SecretReference, parse_reference
from amltool.errors import TargetError, UserError
from amltool.hosts.ssh_host_keys import OfferedKey
from amltool.render import attached_text
from tests.amltool_command import amltool, make_project, submit
from tests.waiting import promised

SECRET = "open sesame 4711"
VM = "address: vm.example.org\ntype: remote\nusername: ada\n"
MACHINE = Attachment("vm", "remote", "127.0.0.1:1", username="ada")
"""Nothing listens there: who tries to connect is told so."""


class Keyring(keyring.backend.KeyringBackend):
    """A keyring that works, in memory."""

    priority = 1.0

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # keyring's has no types
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


class LockedKeyring(Keyring):
    """A keyring that takes nothing, and says what it was to take."""

    def set_password(self, service: str, username: str, password: str) -> None:
        raise RuntimeError(f"cannot keep {password}")

    def delete_password(self, service: str, username: str) -> None:
        raise keyring.errors.PasswordDeleteError("locked")


class ForgettingKeyring(Keyring):
    """As keyring's own null backend: takes everything and keeps nothing."""

    def set_password(self, service: str, username: str, password: str) -> None:
        pass


class Person:
    """Somebody at a terminal, who accepts nothing and has one password; ``asked`` is what was asked for."""

    def __init__(self, *, there: bool = True) -> None:
        self.can_ask = there
        self.asked: list[str] = []

    def say(self, message: str) -> None:
        pass

    def accepts(self, offered: OfferedKey) -> bool:
        self.asked.append("host key")
        return False

    def password(self, user: str, machine: str) -> str:
        self.asked.append("password")
        return SECRET


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    folder = make_project(tmp_path / "iris", {"train.py": "print('ran')\n"})
    return open_project(folder)


@pytest.fixture
def memory_keyring() -> Iterator[Keyring]:
    before, made = keyring.get_keyring(), Keyring()
    keyring.set_keyring(made)
    yield made
    keyring.set_keyring(before)


def files(opened: Opened) -> list[str]:
    return sorted(path.name for path in (opened.project.root / "aml_config").iterdir())


def refused(opened: Opened, wanted: Attachment, person: Person | None = None) -> str:
    """What is said to an attachment that cannot be; nothing of it is left."""
    before = files(opened)
    with pytest.raises(UserError) as caught:
        attach(opened, wanted, person or Person())
    assert files(opened) == before
    return str(caught.value)


# attach


def test_a_name_in_use_is_refused(opened: Opened) -> None:
    said = refused(opened, replace(MACHINE, name="local"))
    assert said == (
        "There is a compute target local already.\nUse another name, or detach it first: amltool detach local"
    )


def test_the_name_of_another_targets_run_configuration_is_refused(opened: Opened) -> None:
    (opened.project.root / "aml_config/vm.runconfig").write_text("Target: local\n")
    assert "There is a run configuration vm already, and it is not for a compute target vm." in refused(opened, MACHINE)


def test_the_name_of_a_broken_run_configuration_is_refused(opened: Opened) -> None:
    (opened.project.root / "aml_config/vm.runconfig").write_text("Target: [\n")
    assert "There is a run configuration vm already" in refused(opened, MACHINE)


@pytest.mark.parametrize("name", ["", "../vm", "a/b", ".vm", "-vm", "vm.compute", "vm.runconfig", "v\nm", " vm"])
def test_a_name_that_is_no_name_is_refused(opened: Opened, name: str) -> None:
    assert "cannot name a compute target" in refused(opened, replace(MACHINE, name=name))


@pytest.mark.parametrize("kind", ["local", "localdocker", "Remote", ""])
def test_only_machines_over_ssh_are_attached(opened: Opened, kind: str) -> None:
    assert "--type remotedocker" in refused(opened, replace(MACHINE, type=kind))


@pytest.mark.parametrize("address", ["", "ada@vm", "vm:0", "vm:99999", "v m", "https://vm"])
def test_an_address_that_is_none_is_refused_in_the_words_of_the_option(opened: Opened, address: str) -> None:
    assert refused(opened, replace(MACHINE, address=address)).startswith("--address")


def test_a_user_that_is_none_is_refused_in_the_words_of_the_option(opened: Opened) -> None:
    assert refused(opened, replace(MACHINE, username="a b")).startswith("--username: expected a user name")


def test_two_ways_to_log_in_are_refused(opened: Opened) -> None:
    wanted = replace(MACHINE, key_file="~/.ssh/id", asks_password=True)
    assert "--key-file and --password are two ways to log in." in refused(opened, wanted)


def test_a_base_image_is_for_docker_only(opened: Opened) -> None:
    assert "--base-docker-image is for remotedocker." in refused(opened, replace(MACHINE, base_docker_image="debian"))


def test_a_password_in_place_of_a_reference_is_refused_and_not_repeated(opened: Opened) -> None:
    said = refused(opened, replace(MACHINE, password_reference=SECRET))
    assert "is no reference to a secret" in said
    assert SECRET not in said


def test_a_passphrase_in_place_of_a_reference_is_refused_and_not_repeated(opened: Opened) -> None:
    said = refused(opened, replace(MACHINE, key_file="~/.ssh/id", passphrase_reference=SECRET))
    assert said.startswith("--passphrase-reference is no reference to a secret.")
    assert SECRET not in said


def test_a_passphrase_is_that_of_a_key_file(opened: Opened) -> None:
    said = refused(opened, replace(MACHINE, passphrase_reference="${env:KEY_PASSPHRASE}"))
    assert said.startswith("--passphrase-reference is for the key of --key-file.")


@pytest.mark.parametrize("error", [RuntimeError("no D-Bus"), ModuleNotFoundError("No module named 'nosuch'")])
def test_a_keyring_that_cannot_be_used_is_said_before_a_password_is_asked_for(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken() -> Keyring:
        raise error

    monkeypatch.setattr(keyring, "get_keyring", broken)
    person = Person()
    said = refused(opened, replace(MACHINE, asks_password=True), person)
    assert said.startswith(f"The keyring cannot be used: {type(error).__name__}: {error}.")
    assert "--password-reference '${env:NAME}'" in said
    assert person.asked == []


def test_a_password_is_not_asked_for_without_a_terminal(opened: Opened, memory_keyring: Keyring) -> None:
    person = Person(there=False)
    said = refused(opened, replace(MACHINE, asks_password=True), person)
    assert said.startswith("A password is typed at a terminal, and there is none.\nGive --password-reference")
    assert person.asked == []


def test_without_a_keyring_no_password_is_asked_for(opened: Opened) -> None:
    from keyring.backends import fail

    before = keyring.get_keyring()
    keyring.set_keyring(fail.Keyring())  # type: ignore[no-untyped-call] # as above
    person = Person()
    try:
        said = refused(opened, replace(MACHINE, asks_password=True), person)
    finally:
        keyring.set_keyring(before)
    assert said.startswith("This machine has no keyring to keep a password in.")
    assert "--password-reference '${env:NAME}'" in said
    assert person.asked == []


def test_a_machine_that_does_not_answer_is_not_attached(opened: Opened, memory_keyring: Keyring) -> None:
    person = Person()
    with pytest.raises(TargetError, match=r"127\.0\.0\.1:1 is unreachable: it refuses the connection"):
        attach(opened, replace(MACHINE, asks_password=True), person)
    assert files(opened) == ["local.compute", "local.runconfig"]
    assert person.asked == []
    assert memory_keyring.kept == {}


def test_a_project_without_its_folder_is_told_to_make_it(tmp_path: Path) -> None:
    from tests.repositories import make_repository

    opened = open_project(make_repository(tmp_path / "bare", {"a": "b"}))
    with pytest.raises(UserError, match="amltool init"):
        attach(opened, MACHINE, Person())


def test_what_a_machine_says_does_not_command_the_terminal() -> None:
    made = Attached("vm", "remote", "vm", "ada", "Docker \x1b[2J20.10", ["aml_config/vm.compute"], [])
    assert attached_text(made) == (
        "ada@vm can be used: Docker \\x1b[2J20.10.\nWrote aml_config/vm.compute\n"
        "Next: amltool submit --target vm train.py"
    )


# the keyring


@given(user=st.from_regex(r"[a-z_][a-z0-9_.-]{0,30}", fullmatch=True), port=st.integers(1, 65535))
def test_a_kept_password_is_found_again_by_what_is_written(user: str, port: int) -> None:
    before = keyring.get_keyring()
    keyring.set_keyring(Keyring())
    try:
        reference = keep_password(f"iris/vm@[fe80::1]:{port}", user, SECRET)
        read = parse_reference(str(reference))
        assert read == reference
        assert read is not None
        assert read.resolve() == SECRET
        assert forget_password(reference)
        assert not forget_password(reference)
    finally:
        keyring.set_keyring(before)


@pytest.mark.parametrize("kind", [LockedKeyring, ForgettingKeyring])
def test_a_keyring_that_does_not_keep_is_said_without_the_password(
    memory_keyring: Keyring, kind: type[Keyring]
) -> None:
    keyring.set_keyring(kind())
    with pytest.raises(UserError) as caught:
        keep_password("iris/vm@vm:22", "ada", SECRET)
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert "--password-reference" in caught.value.remedy


def test_a_password_that_the_user_keeps_there_himself_stays(memory_keyring: Keyring) -> None:
    memory_keyring.set_password("lab", "ada", SECRET)
    assert not forget_password(SecretReference(SecretKind.KEYRING, "lab", "ada"))
    assert memory_keyring.kept == {("lab", "ada"): SECRET}


# detach


@pytest.fixture
def attached(opened: Opened) -> Opened:
    folder = opened.project.root / "aml_config"
    (folder / "vm.compute").write_text(VM)
    (folder / "vm.runconfig").write_text("Target: vm\n")
    return opened


def test_detach_deletes_the_compute_target_and_leaves_the_run_configuration(attached: Opened) -> None:
    done = detach(attached, "vm")
    assert done.message == "Detaching vm compute target for project iris successful"
    assert files(attached) == ["local.compute", "local.runconfig", "vm.runconfig"]


def test_detach_takes_the_password_out_of_the_keyring(attached: Opened, memory_keyring: Keyring) -> None:
    reference = keep_password("iris/vm@vm.example.org:22", "ada", SECRET)
    path = attached.project.root / "aml_config/vm.compute"
    path.write_text(f"{VM}password: {reference}\n")
    assert detach(attached, "vm").forgot_password
    assert memory_keyring.kept == {}


def test_a_password_that_another_target_uses_too_stays(attached: Opened, memory_keyring: Keyring) -> None:
    reference = keep_password("iris/vm@vm.example.org:22", "ada", SECRET)
    for name in ("vm", "twin"):
        (attached.project.root / f"aml_config/{name}.compute").write_text(f"{VM}password: {reference}\n")
    assert not detach(attached, "vm").forgot_password
    assert len(memory_keyring.kept) == 1


def test_a_password_that_the_keyring_does_not_let_go_is_said(attached: Opened, memory_keyring: Keyring) -> None:
    locked = LockedKeyring()
    locked.kept["amltool/iris/vm@vm.example.org:22", "ada"] = SECRET
    keyring.set_keyring(locked)
    path = attached.project.root / "aml_config/vm.compute"
    path.write_text(f"{VM}password: ${{keyring:amltool/iris/vm@vm.example.org:22/ada}}\n")
    done = detach(attached, "vm")
    assert "The stored password stays" in done.trouble
    assert "keyring del 'amltool/iris/vm@vm.example.org:22' ada" in done.trouble
    assert not path.exists()


def test_a_target_whose_file_is_broken_can_be_detached(attached: Opened) -> None:
    (attached.project.root / "aml_config/vm.compute").write_text("type: [\n")
    assert detach(attached, "vm").removed == "aml_config/vm.compute"


@pytest.mark.parametrize("name", ["nowhere", "../vm", ""])
def test_a_target_that_is_not_there_cannot_be_detached(attached: Opened, name: str) -> None:
    with pytest.raises(UserError, match="doesn't exist at") as caught:
        detach(attached, name)
    assert caught.value.remedy == "There are: local, vm."


def test_a_target_with_an_unfinished_run_is_detached_only_by_force(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "iris", {"sleep.py": "import time; time.sleep(60)\n"})
    run_id = submit(folder, "sleep.py", "--detach")["run_id"]
    try:
        refusal = amltool(folder, "detach", "local", check=False)
        assert refusal.returncode == 1
        assert f"1 unfinished run(s) are on local: {run_id}." in refusal.stderr
        assert (folder / "aml_config/local.compute").exists()
    finally:
        amltool(folder, "detach", "local", "--force")
        assert not (folder / "aml_config/local.compute").exists()
        amltool(folder, "cancel", run_id)
    assert json.loads(amltool(folder, "show", run_id, "--json").stdout)["status"] == "Canceled"


# targets --check


def test_targets_on_this_machine_are_looked_at(opened: Opened) -> None:
    (local,) = check_targets(opened)
    assert (local.name, local.state, local.run_configurations) == ("local", TargetState.OK, ("local",))
    assert "with " in local.message
    assert local.free


def test_a_target_that_cannot_be_read_does_not_hide_the_others(attached: Opened) -> None:
    (attached.project.root / "aml_config/broken.compute").write_text("type: remot\n")
    found = {target.name: target for target in check_targets(attached)}
    assert found["local"].state is TargetState.OK
    assert found["broken"].state is TargetState.ERROR
    assert "aml_config/broken.compute:1:7" in found["broken"].message


def test_a_machine_that_refuses_is_unreachable_and_the_command_fails(attached: Opened) -> None:
    root = attached.project.root
    (root / "aml_config/vm.compute").write_text(VM.replace("vm.example.org", "127.0.0.1:1"))
    done = amltool(root, "targets", "--check", "--json", check=False)
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert done.returncode == 1
    assert rows["vm"]["state"] == "unreachable"
    assert rows["vm"]["address"] == "127.0.0.1:1"
    assert (rows["local"]["state"], rows["local"]["free"] > 0) == ("ok", True)


def test_a_machine_that_never_says_a_word_holds_nobody_up(attached: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amltool.commands.reaching.CHECK_S", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        (attached.project.root / "aml_config/vm.compute").write_text(VM.replace("vm.example.org", address))
        began = time.monotonic()
        found = {target.name: target for target in check_targets(attached)}
    assert time.monotonic() - began < promised(4)
    assert (found["vm"].state, found["vm"].address) == (TargetState.UNREACHABLE, address)
    assert found["vm"].message == "It did not answer within 2 seconds."
    assert found["local"].state is TargetState.OK
