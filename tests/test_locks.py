"""A lock that is held is named with its holder, and given up; bounds are made small here, and nothing is timed."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amltool import files, locks
from amltool.environments.base import Progress
from amltool.environments.folder import _alone, _lock_file
from amltool.files import locked
from amltool.git.command import Git
from amltool.git.notes import append_lines
from amltool.history import index
from amltool.history.numbers import next_run_number
from amltool.hosts.local import LocalHost
from amltool.locks import Holder, LockedError, holder_of, noted
from amltool.tracking.lock_holder import short
from tests.amltool_command import amltool, make_project
from tests.environments.conftest import PLANTS, Told, plant_at
from tests.repositories import git as run_git
from tests.repositories import make_repository
from tests.waiting import wait_until

TOP = Path(__file__).parents[1]
OURS = "import sys; from pathlib import Path; from amltool.files import locked\nwith locked(Path(sys.argv[1])): "
FOREIGN = "import fcntl, sys\nhandle = open(sys.argv[1], 'a')\nfcntl.flock(handle, fcntl.LOCK_EX)\n"
HOLDS = "print('held', flush=True); sys.stdin.read()"


@contextmanager
def holding(path: Path, script: str = OURS + HOLDS) -> Iterator[int]:
    """A process that holds the lock of a file; its number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        cwd=TOP,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process.pid
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()


def stop(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: f"{pid} (python" in Path(f"/proc/{pid}/stat").read_text() and " T " in _state(pid))


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks are said, and given up, as soon as they are met."""
    monkeypatch.setattr(locks, "SAID_AFTER_S", 0.0)
    for module, name in ((files, "LOCKED_S"), (locks, "STOPPED_S"), (index, "ELSE_MEMORY_S")):
        monkeypatch.setattr(module, name, 0.05)


@pytest.fixture
def git(tmp_path: Path) -> Git:
    return Git.at(make_repository(tmp_path / "work", {"train.py": "print(1)\n"}))


@pytest.mark.parametrize("script", [OURS + HOLDS, FOREIGN + HOLDS], ids=["one of ours", "another program"])
def test_the_holder_of_a_lock_is_the_process_that_has_it(tmp_path: Path, script: str) -> None:
    path = tmp_path / "lock"
    path.write_text("1 00:00:00\n")  # what an earlier holder left says nothing
    assert holder_of(path) is None
    with holding(path, script) as pid:
        holder = holder_of(path)
        assert holder is not None
        assert holder.pid == pid
        assert "python" in holder.command
        assert (holder.since != "") is (script == OURS + HOLDS)
        assert not holder.is_stopped
        stop(pid)
        holder = holder_of(path)
        assert holder is not None
        assert holder.is_stopped
        assert f"kill -CONT {pid}" in holder.remedy
    assert holder_of(path) is None


@pytest.mark.parametrize("plant", PLANTS)
def test_what_took_the_place_of_a_lock_is_neither_followed_nor_written(tmp_path: Path, plant: str) -> None:
    path = tmp_path / "lock"
    victim = plant_at(path, plant, tmp_path)
    with pytest.raises(LockedError, match="not a regular file"), locked(path):
        pass
    assert holder_of(path) is None
    assert victim.read_text() == "precious"


def test_a_lock_is_said_once_with_its_holder_and_given_up(
    tmp_path: Path, impatient: None, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        holding(tmp_path / "lock") as pid,
        pytest.raises(LockedError) as refused,
        locked(tmp_path / "lock", "the thing"),
    ):
        pass
    assert [record.name for record in caplog.records] == ["amltool"]
    assert f"Waiting for the thing, kept locked by process {pid} (" in caplog.text
    assert refused.value.what.startswith(f"The thing was kept locked by process {pid} (")
    assert f"kill {pid}" in refused.value.remedy
    with locked(tmp_path / "lock"):
        pass  # it is free again


def test_a_lock_that_becomes_free_is_had_without_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, asked = tmp_path / "lock", []
    with holding(path) as pid, locked(path, meanwhile=lambda: asked.append(0) or os.kill(pid, signal.SIGKILL)):
        assert asked
    assert caplog.records == []


def test_a_lock_that_goes_from_hand_to_hand_is_not_given_up(tmp_path: Path, impatient: None) -> None:
    path, hands = tmp_path / "lock", []

    def pass_on() -> None:
        hands.append(0)
        if len(hands) < 40:
            path.write_text(f"{len(hands)} 00:00:00\n")
        else:
            os.kill(pid, signal.SIGKILL)

    with holding(path) as pid, locked(path, meanwhile=pass_on):
        assert len(hands) >= 40


def test_whoever_waits_may_change_their_mind(tmp_path: Path) -> None:
    def enough() -> None:
        raise KeyboardInterrupt

    with holding(tmp_path / "lock"), pytest.raises(KeyboardInterrupt), locked(tmp_path / "lock", meanwhile=enough):
        pass


@given(st.binary(max_size=60))
def test_a_note_of_any_content_is_read(note: bytes) -> None:
    pid, since, where = noted(note)
    assert pid is None or 0 <= pid < 10**9
    assert str(Holder(pid or 1, where, since, is_stopped=False)).isprintable()


def test_what_follows_two_dashes_is_not_told() -> None:
    words = ["/usr/bin/python3", "/home/a/bin/amltool", "submit", "train.py", "--", "--key", "hunter22"]
    assert short(words) == "amltool submit train.py"


def test_the_run_history_is_not_waited_for_without_a_word(
    git: Git, impatient: None, caplog: pytest.LogCaptureFixture
) -> None:
    with holding(git.layout.history_lock) as pid:
        for asked in (lambda: append_lines(git, {git.head: [b"{}"]}), lambda: next_run_number(git, lambda: 0)):
            with pytest.raises(LockedError, match=f"The run history was kept locked by process {pid}"):
                asked()
    assert len(caplog.records) == 2
    append_lines(git, {git.head: [b"{}"]})


def test_the_index_is_done_without_while_another_keeps_it_locked(
    tmp_path: Path, impatient: None, caplog: pytest.LogCaptureFixture
) -> None:
    from amltool.history.index import Index

    project = make_project(tmp_path / "work", {"train.py": "print(1)\n"})
    amltool(project, "submit", "train.py", "--target", "local")
    git = Git.at(project)
    for left in git.layout.index.parent.glob(f"{git.layout.index.name}*"):
        left.unlink()
    with holding(git.layout.index_lock) as pid:
        asked = Index(git)
        for _ in range(3):
            assert asked.ask(lambda rows: rows.tip()) == run_git(project, "rev-parse", "refs/notes/amltool/runs")
    assert f"process {pid}" in caplog.text
    assert caplog.text.count("given up") == 1  # a command that asks many questions waits once
    assert not git.layout.index.exists()


def test_the_index_is_done_without_where_its_lock_is_no_file(tmp_path: Path) -> None:
    from amltool.history.index import Index

    project = make_project(tmp_path / "work", {"train.py": "print(1)\n"})
    amltool(project, "submit", "train.py", "--target", "local")
    git = Git.at(project)
    git.layout.index.unlink(missing_ok=True)
    git.layout.index_lock.unlink(missing_ok=True)
    git.layout.index_lock.mkdir()
    assert Index(git).ask(lambda rows: rows.tip()) == run_git(project, "rev-parse", "refs/notes/amltool/runs")


def test_an_environment_that_another_builds_is_named_with_its_builder(
    tmp_path: Path, impatient: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    host, told = LocalHost(tmp_path), Told()
    monkeypatch.setattr("amltool.environments.folder.BUILD_S", 0.05)
    with (
        holding(_lock_file(host, "0123456789abcdef")) as pid,
        pytest.raises(LockedError, match=f"The execution environment 0123456789ab was kept locked by process {pid}"),
        _alone(host, "0123456789abcdef", _progress(told)),
    ):
        pass
    assert "is being built already" in told.said[0]
    assert f"process {pid}" in caplog.text


def _progress(told: Told) -> Progress:
    return told


def test_commands_name_the_lock_and_come_back(tmp_path: Path) -> None:
    """In a process of its own, as a user meets it: the word goes to standard error, the exit code is 1."""
    soon = "from amltool import locks; locks.SAID_AFTER_S, locks.STOPPED_S = 0.0, 0.1; "
    command = [sys.executable, "-c", f"{soon}from amltool.__main__ import main; main()", "submit", "train.py"]
    project = make_project(tmp_path / "work", {"train.py": "print(1)\n"})
    lock = Git.at(project).layout.history_lock
    with holding(lock, FOREIGN + HOLDS) as pid:
        stop(pid)
        done = subprocess.run(
            [*command, "--target", "local"],
            cwd=project,
            env={**os.environ, "PYTHONPATH": str(TOP)},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 1
    assert f"Waiting for the run history, kept locked by process {pid} (" in done.stderr
    assert f"kill -CONT {pid}" in done.stderr
    assert json.loads(amltool(project, "runs", "--json").stdout) == []


def test_what_is_said_of_a_lock_is_a_warning_of_our_logger(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "amltool"):
        locks.tell("100 % of it")
    assert caplog.messages == ["100 % of it"]
