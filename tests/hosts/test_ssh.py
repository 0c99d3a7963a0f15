"""What is particular to a machine over SSH as a host: the connection, and what happens when it goes away."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from amltool.errors import TargetError, UserError
from amltool.hosts.base import FileKind, Piece
from amltool.hosts.ssh import SshHost, SshSettings
from amltool.hosts.ssh_failures import LostError
from tests.components.ssh_agent import no_agent_fixture  # noqa: F401 (pytest finds fixtures by name)
from tests.components.ssh_machine import SshMachine
from tests.waiting import promised, wait_until

SAYS_PID = 'echo $$ > "$0"; exec sleep 60'


def ours(machine: SshMachine) -> list[str]:
    """The processes there of the user."""
    return [line for line in machine.execute(["ps", "-u", machine.user, "-o", "args="])[1].splitlines() if line]


# what it is


def test_its_root_is_in_the_home_folder_there(ssh_machine: SshMachine, tmp_path: Path) -> None:
    settings = ssh_machine.settings(tmp_path)
    roots = [SshHost(settings, root).root for root in (None, "~/other", "runs", "/srv/amltool")]
    home = PurePosixPath(ssh_machine.home)
    assert roots == [home / ".amltool", home / "other", home / "runs", PurePosixPath("/srv/amltool")]


def test_what_it_says_of_itself_came_with_the_connection(ssh_host: SshHost, ssh_machine: SshMachine) -> None:
    facts = ssh_host.facts()
    assert (facts.uid, facts.user, facts.home, facts.platform) == (1000, "ada", ssh_machine.home, "linux")
    assert (facts.git, facts.docker) == ("/usr/bin/git", "/usr/bin/docker")
    assert facts.boot_id == ssh_host.read(PurePosixPath("/proc/sys/kernel/random/boot_id")).decode().strip()
    assert ssh_host.round_trips == 1  # the reading


def test_a_machine_that_started_again_has_another_boot_id(
    ssh_host: SshHost, ssh_machine: SshMachine, tmp_path: Path
) -> None:
    before = ssh_host.facts().boot_id
    ssh_machine.reboot()
    again = SshHost(ssh_machine.settings(tmp_path))  # it may have another address now
    assert again.facts().boot_id not in ("", before)
    again.close()


def test_its_name_is_what_the_user_wrote() -> None:
    assert SshHost(SshSettings("vm", port=2222)).name == "vm:2222"
    assert SshHost(SshSettings("vm")).name == "vm"


def test_nothing_of_ours_is_left_in_its_files_or_processes(ssh_host: SshHost, ssh_machine: SshMachine) -> None:
    before = ssh_machine.execute(["find", ssh_machine.home, "-newer", "/run/boot_id"])[1]
    ssh_host.connect()
    assert any("python3 -I" in line for line in ours(ssh_machine))
    ssh_host.close()
    wait_until(lambda: not ours(ssh_machine))
    assert ssh_machine.execute(["find", ssh_machine.home, "-newer", "/run/boot_id"])[1] == before


def test_a_login_shell_that_talks_does_no_harm(ssh_host: SshHost, ssh_machine: SshMachine) -> None:
    talk = "yes welcome | head -n 2000; echo warning >&2"
    ssh_machine.execute(["sh", "-c", f"echo '{talk}' > {ssh_machine.home}/.bashrc"], user="ada")
    try:
        assert ssh_host.run(["echo", "said"]).stdout == b"said\n"
    finally:
        ssh_machine.execute(["rm", f"{ssh_machine.home}/.bashrc"])


@pytest.mark.parametrize("shell", ["/bin/bash", "/bin/dash", "/bin/tcsh"])
def test_words_reach_a_command_exactly_through_any_login_shell(
    ssh_host: SshHost, ssh_machine: SshMachine, request: pytest.FixtureRequest, shell: str
) -> None:
    ssh_machine.execute(["usermod", "--shell", shell, "ada"])
    request.addfinalizer(lambda: ssh_machine.execute(["usermod", "--shell", "/bin/bash", "ada"]))
    words = ["", " ", "a b", "it's", '"', "$HOME", "`id`", "!", "\n", "ä", os.fsdecode(b"\xff"), "-n", "*"]
    script = "import os, sys; sys.stdout.buffer.write(b'\\0'.join(map(os.fsencode, sys.argv[1:])))"
    expected = b"\0".join(map(os.fsencode, words))
    assert ssh_host.run(["python3", "-c", script, *words]).stdout == expected
    with ssh_host.open_stream(["python3", "-c", script, *words]) as stream:
        assert stream.read() == expected


def test_a_machine_without_python_is_a_sentence(ssh_host: SshHost, ssh_machine: SshMachine) -> None:
    ssh_machine.execute(["mv", "/usr/bin/python3", "/usr/bin/python3.away"])
    try:
        with pytest.raises(UserError, match="has no python3") as refused:
            ssh_host.connect()
    finally:
        ssh_machine.execute(["mv", "/usr/bin/python3.away", "/usr/bin/python3"])
    assert "apt-get install python3" in refused.value.remedy


def test_a_user_who_may_run_nothing_is_a_sentence(ssh_host: SshHost, ssh_machine: SshMachine) -> None:
    ssh_machine.execute(["usermod", "--shell", "/usr/sbin/nologin", "ada"])
    try:
        with pytest.raises(UserError, match="not available"):
            ssh_host.connect()
    finally:
        ssh_machine.execute(["usermod", "--shell", "/bin/bash", "ada"])


# what it does


def test_a_command_over_its_time_is_ended_with_all_it_started(ssh_host: SshHost, place: PurePosixPath) -> None:
    with pytest.raises(TargetError, match=r"did not end within 0\.5 s"):
        ssh_host.run(["sh", "-c", 'sleep 60 & echo $! > "$0"; wait', str(place / "pid")], timeout_s=0.5)
    pid = ssh_host.read(place / "pid").decode().strip()
    wait_until(lambda: ssh_host.run(["kill", "-0", pid]).exit_code)


def test_a_command_ended_by_a_signal_has_its_number_below_zero(ssh_host: SshHost) -> None:
    assert ssh_host.run(["sh", "-c", "kill -9 $$"]).exit_code == -9


def test_a_started_command_has_a_session_of_its_own_and_no_streams_of_ours(
    ssh_host: SshHost, place: PurePosixPath
) -> None:
    script = (
        "import os, sys; text = '%d %d %s %s %s' % (os.getsid(0), os.getpid(), os.getcwd(),"
        " os.readlink('/proc/self/fd/1'), os.readlink('/proc/self/fd/2')); open(sys.argv[1], 'w').write(text)"
    )
    ssh_host.start(["python3", "-c", script, str(place / "seen")])
    wait_until(lambda: ssh_host.exists(place / "seen") and ssh_host.read(place / "seen"))
    session, pid, *rest = ssh_host.read(place / "seen").decode().split()
    assert session == pid
    assert rest == ["/", "/dev/null", "/dev/null"]


def test_a_large_file_is_read_in_parts_that_come_ahead(ssh_host: SshHost, place: PurePosixPath) -> None:
    content = os.urandom(5_000_001)
    ssh_host.write(place / "file", content)
    with ssh_host.open(place, "file") as stream:
        assert stream.read(10) == content[:10]
        assert stream.read() == content[10:]
        assert stream.read() == b""
    with ssh_host.open(place, "file") as stream:
        assert stream.read(1) == content[:1]  # and no more of it
    assert ssh_host.read(place / "file") == content


def test_several_files_take_one_round_trip(ssh_host: SshHost, place: PurePosixPath) -> None:
    before = ssh_host.round_trips
    ssh_host.write_many([(place / "a" / str(number), b"%d" % number, 0o600) for number in range(50)])
    contents = list(ssh_host.pieces(place, [Piece(name, 9) for name in ("a/7", "missing", "a/9")]))
    assert ssh_host.round_trips - before == 2
    assert (contents[0], contents[2]) == (b"7", b"9")
    assert isinstance(contents[1], FileNotFoundError)


def test_a_walk_of_many_files_comes_in_blocks(ssh_host: SshHost, place: PurePosixPath) -> None:
    ssh_host.run(["sh", "-c", 'cd "$0"; seq 1700 | xargs touch', str(place)])
    seen = list(ssh_host.walk(place))
    assert [file.path for file in seen] == sorted(str(number) for number in range(1, 1701))
    assert all(file.kind is FileKind.FILE and file.inode and file.ctime_ns for file in seen)


def test_a_tree_deeper_than_any_path_is_removed(ssh_host: SshHost, place: PurePosixPath) -> None:
    script = "import os, sys; os.chdir(sys.argv[1])\nfor _ in range(300): os.mkdir('d' * 20); os.chdir('d' * 20)"
    assert ssh_host.run(["python3", "-c", script, str(place)]).exit_code == 0
    ssh_host.remove(place)
    assert not ssh_host.exists(place)


@pytest.mark.parametrize("mode", ["000", "500", "555"])
def test_a_tree_is_removed_whatever_modes_its_folders_have(ssh_host: SshHost, place: PurePosixPath, mode: str) -> None:
    ssh_host.write(place / "a" / "b" / "file", b"")
    ssh_host.run(["chmod", mode, *(str(place / path) for path in ("a/b", "a"))])
    ssh_host.remove(place)
    assert not ssh_host.exists(place)


def test_what_may_not_be_written_is_a_permission_error(ssh_host: SshHost) -> None:
    with pytest.raises(PermissionError):
        ssh_host.write(PurePosixPath("/etc/amltool/file"), b"")


def test_a_full_disk_there_is_an_error_and_leaves_nothing(ssh_host: SshHost, ssh_machine: SshMachine) -> None:
    ssh_machine.execute(["sh", "-c", "mkdir /small && mount -t tmpfs -o size=1m,mode=777 tmpfs /small"])
    try:
        with pytest.raises(OSError, match="No space left on device"):
            ssh_host.write(PurePosixPath("/small/file"), bytes(3_000_000))
        assert ssh_host.names(PurePosixPath("/small")) == []
    finally:
        ssh_machine.execute(["umount", "/small"])


def test_many_threads_share_one_connection(ssh_host: SshHost, ssh_machine: SshMachine, place: PurePosixPath) -> None:
    def use(number: int) -> bool:
        content = os.urandom(40_000)
        for turn in range(5):
            ssh_host.write(place / f"{number}-{turn}", content)
            assert ssh_host.run(["cat", str(place / f"{number}-{turn}")]).stdout == content
        return True

    with ThreadPoolExecutor(12) as threads:
        assert all(threads.map(use, range(12)))
    assert sum("sshd: ada" in line for line in ours(ssh_machine)) == 1


def test_a_long_command_holds_nobody_up(ssh_host: SshHost, place: PurePosixPath) -> None:
    until = 'until [ "$(cat "$0")" = 19 ]; do sleep 0.05; done'
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(ssh_host.run, ["sh", "-c", until, str(place / "file")], timeout_s=60)
        for number in range(20):
            ssh_host.write(place / "file", b"%d" % number)
        assert waiting.result().exit_code == 0


def test_a_stream_goes_both_ways_until_both_ends_are_closed(ssh_host: SshHost) -> None:
    content = os.urandom(3_000_000)
    with ssh_host.open_stream(["sh", "-c", "echo complained >&2; cat; exit 3"]) as stream:
        writing = threading.Thread(target=lambda: (stream.write(content), stream.close_writing()))
        writing.start()
        assert hashlib.sha256(stream.read()).digest() == hashlib.sha256(content).digest()
        writing.join()
        assert stream.wait(120) == 3
        assert stream.stderr() == b"complained\n"


def test_a_stream_of_a_missing_program_says_so(ssh_host: SshHost) -> None:
    with ssh_host.open_stream(["no-such-program"]) as stream, pytest.raises(FileNotFoundError):
        stream.wait(120)


def test_a_stream_that_nobody_reads_is_a_broken_pipe(ssh_host: SshHost) -> None:
    with ssh_host.open_stream(["true"]) as stream:
        assert stream.read() == b""
        with pytest.raises(BrokenPipeError):
            stream.write(bytes(10_000_000))


def test_compression_is_a_setting(ssh_machine: SshMachine, tmp_path: Path) -> None:
    host = SshHost(replace(ssh_machine.settings(tmp_path), compression=True))
    content = bytes(2_000_000)
    before = sent_bytes()
    assert host.run(["cat"], input=content).stdout == content
    host.close()
    assert sent_bytes() - before < 1_000_000


def sent_bytes() -> int:
    """What this machine sent to containers, in bytes, as its bridge counts it."""
    return int(Path("/sys/class/net/docker0/statistics/tx_bytes").read_text())


# when it cannot be reached


def test_a_name_that_does_not_exist_is_unreachable() -> None:
    with pytest.raises(TargetError, match=r"no-such-machine\.invalid is unreachable: its name cannot be found"):
        SshHost(SshSettings("no-such-machine.invalid")).connect()


def test_a_port_that_nobody_listens_on_is_unreachable(ssh_machine: SshMachine, tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="refuses the connection"):
        SshHost(replace(ssh_machine.settings(tmp_path), port=2)).connect()


def test_a_server_that_is_no_ssh_server_is_unreachable(tmp_path: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "0"], cwd=tmp_path,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert server.stdout
    port = int(server.stdout.readline().split()[5])
    try:
        with pytest.raises(TargetError, match="is unreachable"):
            SshHost(SshSettings("127.0.0.1", port=port)).connect()
    finally:
        server.terminate()
        server.wait(120)
        server.stdout.close()


def test_a_server_with_too_many_guests_is_tried_again(ssh_machine: SshMachine, tmp_path: Path) -> None:
    settings = ssh_machine.settings(tmp_path)
    change = "s/^MaxStartups.*/MaxStartups {}/"
    ssh_machine.execute(["sed", "-i", change.format("1:100:2"), "/etc/ssh/sshd_config"])
    ssh_machine.restart_sshd()
    hosts = [SshHost(settings) for _ in range(6)]
    try:
        with ThreadPoolExecutor(6) as threads:
            list(threads.map(SshHost.connect, hosts))
        assert "drop connection" in ssh_machine.execute(["tail", "-n", "100", "/var/log/sshd.log"])[1]
    finally:
        for host in hosts:
            host.close()
        ssh_machine.execute(["sed", "-i", change.format("100"), "/etc/ssh/sshd_config"])
        ssh_machine.restart_sshd()


def test_nothing_is_printed_about_a_connection_that_fails(
    ssh_machine: SshMachine, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(TargetError):
        SshHost(replace(ssh_machine.settings(tmp_path), port=2)).connect()
    host = SshHost(ssh_machine.settings(tmp_path))
    host.connect()
    ssh_machine.stop_sshd()
    with pytest.raises(TargetError):
        host.names(host.root.parent)
    assert capfd.readouterr().err == ""


def test_a_cut_is_noticed_within_15_seconds_and_mended_by_itself(
    ssh_host: SshHost, ssh_machine: SshMachine, place: PurePosixPath
) -> None:
    ssh_host.write(place / "file", b"content")
    ssh_machine.cut()
    begun = time.monotonic()
    with pytest.raises(TargetError, match="is unreachable"):
        ssh_host.read(place / "file")
    took_s = time.monotonic() - begun
    ssh_machine.mend()
    assert took_s < promised(15)
    assert ssh_host.read(place / "file") == b"content"


def test_a_cut_while_an_answer_is_awaited_is_noticed_as_well(ssh_host: SshHost, ssh_machine: SshMachine) -> None:
    ssh_host.connect()
    threading.Timer(0.5, ssh_machine.cut).start()
    begun = time.monotonic()
    with pytest.raises(LostError, match="is unreachable"):
        ssh_host.run(["sleep", "60"])
    assert time.monotonic() - begun < promised(15)


def test_a_cut_behind_another_machine_is_noticed_as_well(
    isolated_home: Path, ssh_machine: SshMachine, ssh_jump: SshMachine
) -> None:
    ssh_machine.known_behind(ssh_jump, isolated_home)
    host = SshHost(SshSettings(ssh_machine.address, username="ada", key_file=ssh_machine.key_file))
    begun = time.monotonic()
    host.connect()
    login_s = time.monotonic() - begun
    ssh_machine.cut()
    begun = time.monotonic()
    with pytest.raises(TargetError, match="is unreachable"):
        host.names(PurePosixPath("/"))
    assert (
        time.monotonic() - begun < promised(15) + 2 * login_s
    )  # each time it is tried again, the first one lets us in
    ssh_machine.mend()
    assert "etc" in host.names(PurePosixPath("/"))
    host.close()


def test_a_server_that_starts_again_is_not_noticed(
    ssh_host: SshHost, ssh_machine: SshMachine, place: PurePosixPath
) -> None:
    ssh_host.write(place / "file", b"content")
    ssh_machine.stop_sshd()
    starting = threading.Timer(1, ssh_machine.start_sshd)
    starting.start()
    assert ssh_host.read(place / "file") == b"content"
    assert list(ssh_host.walk(place))
    starting.join()


@contextlib.contextmanager
def restarted_when(machine: SshMachine, path: PurePosixPath) -> Iterator[None]:
    """Its sshd ends and starts again as soon as something was written there."""

    def restart() -> None:
        wait_until(lambda: machine.execute(["test", "-s", str(path)])[0] == 0)
        machine.restart_sshd()

    restarting = threading.Thread(target=restart)
    restarting.start()
    yield
    restarting.join()


def test_what_must_not_happen_twice_is_not_asked_again(
    ssh_host: SshHost, ssh_machine: SshMachine, place: PurePosixPath
) -> None:
    script = 'echo once >> "$0"; sleep 60'
    with restarted_when(ssh_machine, place / "done"), pytest.raises(LostError):
        ssh_host.run(["sh", "-c", script, str(place / "done")])
    assert ssh_host.read(place / "done") == b"once\n"


def test_a_command_ends_there_when_the_connection_ends_but_a_started_one_goes_on(
    ssh_host: SshHost, ssh_machine: SshMachine, place: PurePosixPath
) -> None:
    ssh_host.start(["sh", "-c", SAYS_PID, str(place / "started")])
    with restarted_when(ssh_machine, place / "run"), pytest.raises(LostError):
        ssh_host.run(["sh", "-c", SAYS_PID, str(place / "run")])
    pids = [ssh_host.read(place / name).decode().strip() for name in ("started", "run")]
    wait_until(lambda: ssh_host.run(["kill", "-0", pids[1]]).exit_code)
    assert ssh_host.run(["kill", pids[0]]).exit_code == 0


def test_a_started_command_outlives_us_with_all_of_its_input(
    ssh_machine: SshMachine, ssh_host: SshHost, place: PurePosixPath, tmp_path: Path
) -> None:
    client = (
        "import os, signal, sys; from pathlib import Path; from amltool.hosts.ssh import SshHost, SshSettings;"
        "address, key, known, kept = sys.argv[1:];"
        "host = SshHost(SshSettings(address, username='ada', key_file=Path(key), known_hosts=(Path(known),)));"
        "host.start(['sh', '-c', 'sleep 1; cat > \"$0.part\"; mv \"$0.part\" \"$0\"', kept], input=b'said ' * 100_000);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    settings = ssh_machine.settings(tmp_path)
    words = [settings.address, str(settings.key_file), str(settings.known_hosts[0]), str(place / "kept")]
    root = Path(__file__).parents[2]
    died = subprocess.run([sys.executable, "-c", client, *words], env={**os.environ, "PYTHONPATH": str(root)})
    assert died.returncode == -signal.SIGKILL
    wait_until(lambda: ssh_host.exists(place / "kept"))
    assert ssh_host.read(place / "kept") == b"said " * 100_000


def test_a_large_file_over_a_slow_link_is_no_lost_connection(
    ssh_host: SshHost, ssh_machine: SshMachine, place: PurePosixPath
) -> None:
    content = os.urandom(120_000)
    ssh_host.write(place / "file", content)
    ssh_machine.slow(0.1)  # 100 kbit/s: longer than a silence may be
    before = ssh_host.round_trips
    assert ssh_host.read(place / "file") == content
    assert ssh_host.round_trips == before + 1


def test_a_process_that_was_forked_makes_a_connection_of_its_own(ssh_host: SshHost) -> None:
    here = ssh_host.run(["sh", "-c", "echo $PPID"]).stdout
    source, sink = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(sink, ssh_host.run(["sh", "-c", "echo $PPID"]).stdout)
        finally:
            os._exit(0)
    os.close(sink)
    there = os.read(source, 100)
    os.close(source)
    os.waitpid(child, 0)
    assert there not in (b"", here)
    assert ssh_host.run(["sh", "-c", "echo $PPID"]).stdout == here
