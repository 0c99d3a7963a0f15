"""What a daemon says no with is a sentence that says what to do."""

from __future__ import annotations

import pytest

from amltool.containers.refusals import container_refused, no_daemon, no_image

FULL = "write /var/lib/docker/tmp/x: no space left on device"


def test_a_full_disk_is_said_whatever_it_stood_in_the_way_of() -> None:
    for error in (container_refused("vm", "The container x cannot be made", FULL), no_image("base:1", FULL)):
        assert "the disk of Docker" in error.what
        assert "is full" in error.what
        assert error.remedy.startswith("Make room there")


@pytest.mark.parametrize(
    ("said", "what", "remedy"),
    [
        ('could not select device driver "" with capabilities: [[gpu]]', "no GPU to give", "nvidia-container-toolkit"),
        ("No such image: amltool/x:1", "its image was removed meanwhile", "Submit again"),
        ("bind source path does not exist: /gone", "source path does not exist: /gone", "`volumes` in the .compute"),
        ("network nothing not found", "network nothing not found", "in the .compute"),
    ],
)
def test_a_container_that_is_refused_says_why_and_what_to_do(said: str, what: str, remedy: str) -> None:
    error = container_refused("vm", "The container cannot be started", said)
    assert what in error.what
    assert remedy in error.remedy


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (PermissionError(13, "Permission denied"), "does not let this user in"),
        (FileNotFoundError(2, "No such file or directory"), "does not answer on vm."),
        (ConnectionRefusedError(111, "Connection refused"), "does not answer on vm."),
        (OSError("the answer is not Docker's"), "does not answer on vm: the answer is not Docker's."),
    ],
)
def test_a_daemon_that_cannot_be_asked_says_why(error: Exception, what: str) -> None:
    assert what in no_daemon("vm", error).what
