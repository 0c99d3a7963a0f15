"""A run whose machine runs out of disk or of memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tracking.bootstrapped import (  # noqa: F401 (pytest finds fixtures by name)
    BOOTSTRAP,
    LINUX,
    background,
    call,
    end_of,
    folder_fixture,
    spec,
)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", place]
    if not LINUX or os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk needs root on Linux")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def room(disk: Path) -> int:
    return os.statvfs(disk).f_bavail


def fill(disk: Path) -> None:
    subprocess.run(["dd", "if=/dev/zero", f"of={disk}/fill", "bs=4k"], stderr=subprocess.DEVNULL)
    assert room(disk) == 0


def test_the_end_of_a_run_is_written_though_the_disk_is_full(small_disk: Path) -> None:
    folder = small_disk / "run"
    (folder / "work").mkdir(parents=True)
    call("run", folder, content=spec("sh", "-c", "cat /dev/zero > fill; exit 5"))
    assert room(small_disk) == 0
    assert end_of(folder)["exit_code"] == 5


def test_a_full_disk_holds_a_redacted_console_back_but_loses_nothing(small_disk: Path) -> None:
    folder = small_disk / "run"
    (folder / "work").mkdir(parents=True)
    script = "cat /dev/zero > fill 2>/dev/null; yes | head -c 30000; exit 5"
    process = background(folder, spec("sh", "-c", script, secrets=["hunter22"]))
    time.sleep(0.7)
    assert not (folder / "exit.json").exists()
    (folder / "work" / "fill").unlink()
    process.wait(120)
    assert (folder / "console.log").read_bytes() == b"y\n" * 15000
    assert end_of(folder)["exit_code"] == 5


def test_a_disk_that_is_full_from_the_start_starts_nothing(small_disk: Path) -> None:
    folder = small_disk / "run"
    (folder / "work").mkdir(parents=True)
    fill(small_disk)
    assert call("run", folder, content=spec("touch", "started")).returncode == 1
    assert not (folder / "start.json").exists()
    assert not (folder / "work" / "started").exists()


@pytest.fixture
def little_memory() -> Iterator[Path]:
    """A control group whose processes may have 32 MB."""
    own = Path("/proc/self/cgroup").read_text().splitlines() if LINUX else []
    groups = {line.split(":")[1]: line.split(":")[2] for line in own}
    top = Path("/sys/fs/cgroup")
    version_1 = "memory" in groups
    parent = top / "memory" / groups["memory"].lstrip("/") if version_1 else top / groups.get("", "/").lstrip("/")
    group = parent / f"amltool-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / ("memory.limit_in_bytes" if version_1 else "memory.max")).write_text("32M")
    except OSError as error:
        if group.exists():
            group.rmdir()
        pytest.skip(f"no control group with a memory limit can be made here: {error.strerror}")
    yield group
    group.rmdir()


def test_a_command_that_was_killed_for_want_of_memory_says_so(folder: Path, little_memory: Path) -> None:
    greedy = "held = bytearray(200_000_000); held[::4096] = b'x' * len(held[::4096])"
    command = [sys.executable, "-I", "-S", str(BOOTSTRAP), "run", str(folder)]
    subprocess.run(
        ["sh", "-c", f'echo $$ > "{little_memory}/cgroup.procs"; exec "$@"', "sh", *command],
        input=spec(sys.executable, "-I", "-S", "-c", greedy),
        check=True,
        timeout=60,
    )
    assert (end_of(folder)["signal"], end_of(folder)["reason"]) == ("SIGKILL", "out of memory")


def test_a_command_that_was_merely_killed_is_not_out_of_memory(folder: Path) -> None:
    call("run", folder, content=spec("sh", "-c", "kill -9 $$"))
    assert (end_of(folder)["signal"], end_of(folder)["reason"]) == ("SIGKILL", None)
