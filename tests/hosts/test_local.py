"""What is particular to this machine as a host."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

from amltool.errors import TargetError
from amltool.hosts.base import FileKind
from amltool.hosts.local import LocalHost, seen_from_here
from amltool.hosts.ssh import SshHost
from amltool.hosts.ssh_settings import SshSettings
from tests.waiting import wait_until


@pytest.fixture
def host(tmp_path: Path) -> LocalHost:
    return LocalHost(tmp_path / "root")


def here(path: Path) -> PurePosixPath:
    return PurePosixPath(path)


def test_its_root_is_in_the_home_folder() -> None:
    assert LocalHost().root == PurePosixPath(os.environ["HOME"]) / ".amltool"


def test_its_root_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert LocalHost(Path("runs")).root == here(tmp_path / "runs")


def test_a_command_over_its_time_is_ended_with_all_it_started(host: LocalHost, tmp_path: Path) -> None:
    script = 'sleep 60 & echo $! > "$0"; wait'
    with pytest.raises(TargetError, match=r"did not end within 0\.5 s"):
        host.run(["sh", "-c", script, str(tmp_path / "pid")], timeout_s=0.5)
    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: is_gone(pid))


def test_a_command_ended_by_a_signal_has_its_number_below_zero(host: LocalHost) -> None:
    assert host.run(["sh", "-c", "kill -9 $$"]).exit_code == -9


def test_a_started_command_has_a_session_of_its_own_and_no_streams_of_ours(host: LocalHost, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    script = (
        "import os, sys; text = '%d %d %s %s %s' % (os.getsid(0), os.getpid(), os.getcwd(),"
        " os.readlink('/proc/self/fd/1'), os.readlink('/proc/self/fd/2')); open(sys.argv[1], 'w').write(text)"
    )
    if not sys.platform.startswith("linux"):
        pytest.skip("/proc shows the streams of a process on Linux only")
    host.start([sys.executable, "-c", script, str(seen)])
    wait_until(lambda: seen.exists() and seen.read_text())
    session, pid, *rest = seen.read_text().split()
    assert session == pid
    assert rest == ["/", "/dev/null", "/dev/null"]


def test_a_started_command_leaves_no_zombie(host: LocalHost, tmp_path: Path) -> None:
    host.start(["sh", "-c", 'echo $$ > "$0"', str(tmp_path / "pid")])
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: not Path(f"/proc/{pid}").exists() and is_gone(pid))


def test_a_started_command_outlives_us(tmp_path: Path) -> None:
    client = (
        "import os, signal, sys; from amltool.hosts.local import LocalHost;"
        "LocalHost().start(['sh', '-c', 'sleep 0.5; cat > \"$0\"', sys.argv[1]], input=b'said before we died');"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    root = Path(__file__).parents[2]
    died = subprocess.run(
        [sys.executable, "-c", client, str(tmp_path / "kept")], env={**os.environ, "PYTHONPATH": str(root)}
    )
    assert died.returncode == -9
    wait_until(lambda: (tmp_path / "kept").exists() and (tmp_path / "kept").read_text() == "said before we died")


def test_a_started_command_holds_no_file_of_ours(host: LocalHost, tmp_path: Path) -> None:
    source, sink = os.pipe()
    host.start(["sleep", "5"])
    os.close(sink)
    assert os.read(source, 1) == b""  # would wait for the sleep if it held the other end
    os.close(source)


def test_what_the_kernel_makes_up_is_read_to_its_end(host: LocalHost) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("/proc is on Linux only")
    assert host.read(PurePosixPath("/proc/self/status")).startswith(b"Name:")


def test_a_file_that_is_a_link_is_not_read(host: LocalHost, tmp_path: Path) -> None:
    (tmp_path / "console.log").symlink_to("/etc/passwd")
    with pytest.raises(OSError):
        host.read(here(tmp_path / "console.log"))


@pytest.mark.parametrize("mode", [0o000, 0o500, 0o555])
def test_a_tree_is_removed_whatever_modes_its_folders_have(host: LocalHost, tmp_path: Path, mode: int) -> None:
    (tmp_path / "tree/a/b").mkdir(parents=True)
    (tmp_path / "tree/a/b/file").touch()
    for folder in ("tree/a/b", "tree/a", "tree"):
        (tmp_path / folder).chmod(mode)
    as_nobody(lambda: host.remove(here(tmp_path / "tree")), tmp_path)
    assert not (tmp_path / "tree").exists()


def test_a_tree_deeper_than_any_path_is_removed(host: LocalHost, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    within = os.open(tmp_path / "tree", os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d" * 20, dir_fd=within)
        above, within = within, os.open("d" * 20, os.O_RDONLY, dir_fd=within)
        os.close(above)
    os.close(within)
    assert [file.kind for file in host.walk(here(tmp_path / "tree"))][-1] is FileKind.OTHER
    host.remove(here(tmp_path / "tree"))
    assert not (tmp_path / "tree").exists()


def test_sockets_and_devices_are_seen_and_removed(host: LocalHost, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket"))
    (folder / "null").symlink_to("/dev/zero")
    assert {file.path: file.kind for file in host.walk(here(folder))} == {
        "null": FileKind.LINK,
        "socket": FileKind.OTHER,
    }
    with pytest.raises(OSError), host.open(here(folder), "socket"):
        pass
    host.remove(here(folder))
    assert not folder.exists()


def test_a_folder_that_cannot_be_read_is_given_as_other(host: LocalHost, tmp_path: Path) -> None:
    (tmp_path / "open/closed").mkdir(parents=True)
    (tmp_path / "open/closed/file").touch()
    (tmp_path / "open/names-only").mkdir()
    (tmp_path / "open/names-only/file").touch()
    (tmp_path / "open/closed").chmod(0o000)
    (tmp_path / "open/names-only").chmod(0o444)
    seen: list[str] = []
    as_nobody(
        lambda: seen.extend(f"{file.path} {file.kind.value}" for file in host.walk(here(tmp_path / "open"))), tmp_path
    )
    (tmp_path / "open/closed").chmod(0o700)
    assert seen == ["closed other", "names-only folder", "names-only/file other"]


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def as_nobody(act, tmp_path: Path) -> None:
    """Act without root's right to do anything, where the tests run as root."""
    if os.geteuid() != 0:
        act()
        return
    nobody = 65534
    for path in [tmp_path, *tmp_path.rglob("*")]:
        os.lchown(path, nobody, nobody)
    opened = []
    for parent in tmp_path.parents:
        if not parent.stat().st_mode & 0o001:
            opened.append((parent, parent.stat().st_mode))
            parent.chmod(parent.stat().st_mode | 0o011)
    os.setegid(nobody)
    os.seteuid(nobody)
    try:
        act()
    finally:
        os.seteuid(0)
        os.setegid(0)
        for parent, mode in opened:
            parent.chmod(mode)


def test_a_path_in_a_sentence_comes_with_its_machine_unless_that_is_this_one() -> None:
    path = PurePosixPath("/data/runs")
    assert seen_from_here(LocalHost(), path) == "/data/runs"
    assert seen_from_here(SshHost(SshSettings("vm.example.org")), path) == "/data/runs on vm.example.org"
