"""Host keys: a machine that cannot show that it is the one it should be is not talked to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from amltool.hosts.ssh import SshHost, SshSettings
from amltool.hosts.ssh_host_keys import (
    HostKeyError,
    HostKeyProblem,
    OfferedKey,
    add_host_key,
    check_host_key,
    known_keys,
    user_file,
)
from tests.components.ssh_machine import SshMachine

KEY, OTHER = b"\0\0\0\x0bssh-ed25519 one", b"\0\0\0\x0bssh-ed25519 two"


def offered(key: bytes = KEY, host: str = "vm.example.org", port: int = 22) -> OfferedKey:
    return OfferedKey(host, port, "ssh-ed25519", key)


def line(names: str, key: bytes = KEY, kind: str = "ssh-ed25519") -> str:
    return f"{names} {kind} {base64.b64encode(key).decode()} a comment\n"


def hashed(name: str, salt: bytes = b"salt" * 5) -> str:
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "known_hosts"


def check(file: Path, key: OfferedKey) -> None:
    check_host_key(key, known_keys(key.host, key.port, [file]))


@pytest.mark.parametrize(
    ("names", "key"),
    [
        ("vm.example.org", offered()),
        ("VM.example.org", offered()),
        ("10.0.0.1,vm.example.org", offered()),
        ("*.example.org", offered()),
        ("vm?example.org", offered()),
        ("[vm.example.org]:2222", offered(port=2222)),
        (hashed("vm.example.org"), offered()),
        (hashed("[vm.example.org]:2222"), offered(port=2222)),
    ],
)
def test_a_machine_is_known_by_any_form_of_its_name(file: Path, names: str, key: OfferedKey) -> None:
    file.write_text(f"# a comment\n\nnonsense\nvm.example.org ssh-ed25519 not-base64!\n{line(names)}")
    check(file, key)


@pytest.mark.parametrize(
    "names", ["other.example.org", "[vm.example.org]:2222", "*.example.org,!vm.example.org", hashed("other"), "|1|x|y"]
)
def test_a_line_about_another_machine_says_nothing(file: Path, names: str) -> None:
    file.write_text(line(names))
    with pytest.raises(HostKeyError) as refused:
        check(file, offered())
    assert refused.value.problem is HostKeyProblem.UNKNOWN


def test_a_machine_on_another_port_is_another_machine(file: Path) -> None:
    file.write_text(line("vm.example.org"))
    with pytest.raises(HostKeyError, match=r"\[vm\.example\.org\]:2222 is not known"):
        check(file, offered(port=2222))


def test_an_unknown_key_is_refused_with_its_fingerprint_and_how_to_accept_it(file: Path) -> None:
    digest = base64.b64encode(hashlib.sha256(KEY).digest()).decode().rstrip("=")
    with pytest.raises(HostKeyError) as refused:
        check(file, offered())
    assert f"SHA256:{digest}" in refused.value.what
    assert f"--accept-host-key SHA256:{digest}" in refused.value.remedy


def test_a_changed_key_is_refused_with_both_fingerprints_and_the_line(file: Path) -> None:
    file.write_text("\n" + line("vm.example.org", OTHER))
    with pytest.raises(HostKeyError) as refused:
        check(file, offered())
    assert refused.value.problem is HostKeyProblem.CHANGED
    for part in (offered().fingerprint, offered(OTHER).fingerprint, f"{file}:2"):
        assert part in refused.value.what


def test_a_key_of_a_type_that_was_not_known_is_a_changed_key(file: Path) -> None:
    file.write_text(line("vm.example.org", OTHER, "ssh-rsa"))
    with pytest.raises(HostKeyError) as refused:
        check(file, offered())
    assert refused.value.problem is HostKeyProblem.CHANGED


def test_a_revoked_key_is_refused_though_another_line_trusts_it(file: Path) -> None:
    file.write_text(line("vm.example.org") + "@revoked " + line("*"))
    with pytest.raises(HostKeyError, match="is revoked") as refused:
        check(file, offered())
    assert refused.value.problem is HostKeyProblem.REVOKED


def test_a_certificate_authority_does_not_make_a_key_known(file: Path) -> None:
    file.write_text("@cert-authority " + line("*.example.org"))
    with pytest.raises(HostKeyError, match="certificate authority") as refused:
        check(file, offered())
    assert refused.value.problem is HostKeyProblem.UNKNOWN


def test_an_accepted_key_is_known_from_then_on(file: Path) -> None:
    file.write_text(line("other", OTHER).rstrip("\n"))  # an editor left no end of line
    add_host_key(offered(port=2222), file)
    check(file, offered(port=2222))
    check(file, offered(OTHER, host="other"))


def test_an_accepted_key_goes_into_the_users_own_file_which_only_they_read() -> None:
    add_host_key(offered())
    assert user_file() == Path(os.environ["HOME"]) / ".ssh/known_hosts"
    assert stat.S_IMODE(user_file().stat().st_mode) == 0o600
    assert stat.S_IMODE(user_file().parent.stat().st_mode) == 0o700
    check(user_file(), offered())


def refusal(settings: SshSettings) -> HostKeyError:
    with pytest.raises(HostKeyError) as refused:
        SshHost(settings).connect()
    return refused.value


def test_a_real_machine_that_is_unknown_is_refused_then_accepted(ssh_machine: SshMachine, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    settings = replace(ssh_machine.settings(tmp_path), known_hosts=(known,))
    refused = refusal(settings)
    assert refused.problem is HostKeyProblem.UNKNOWN
    assert "Accepted" not in sshd_log(ssh_machine, refused.offered)
    add_host_key(refused.offered, known)
    host = SshHost(settings)
    assert host.facts().user == ssh_machine.user
    host.close()
    assert known.read_text() == ssh_machine.known_hosts_line


def test_a_real_machine_whose_key_has_changed_or_is_revoked_is_refused(ssh_machine: SshMachine, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    settings = replace(ssh_machine.settings(tmp_path), known_hosts=(known,))
    known.write_text(line(ssh_machine.address, OTHER))
    assert refusal(settings).problem is HostKeyProblem.CHANGED
    known.write_text(ssh_machine.known_hosts_line + f"@revoked * {ssh_machine.host_key}\n")
    assert refusal(settings).problem is HostKeyProblem.REVOKED


def test_a_machine_shows_the_key_that_is_known_of_the_several_it_has(ssh_machine: SshMachine, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    key = ssh_machine.execute(["cat", "/etc/ssh/ssh_host_ecdsa_key.pub"])[1]
    known.write_text(f"{ssh_machine.address} {key}")
    host = SshHost(replace(ssh_machine.settings(tmp_path), known_hosts=(known,)))
    host.connect()
    host.close()


def sshd_log(machine: SshMachine, key: OfferedKey) -> str:
    assert key.key == base64.b64decode(machine.host_key.split()[1])
    return "\n".join(machine.execute(["cat", "/var/log/sshd.log"])[1].splitlines()[-2:])
