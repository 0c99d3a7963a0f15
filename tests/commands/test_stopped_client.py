"""A client that is stopped by Ctrl-Z, or hangs, drives a run: nobody who looks at that run waits without a word."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from amltool.commands import drivers, looking
from amltool.commands.looking import Unrecorded, cancel_run, console_of, list_runs, shown, wait_for
from amltool.commands.opening import Opened, open_project
from amltool.locks import LockedError
from amltool.run import RunRecord
from tests.amltool_command import amltool, make_project
from tests.waiting import wait_until

TOP = str(Path(__file__).resolve().parents[2])
HOLDS = """
import os, sys, time
print("begun", flush=True)
while os.path.exists(sys.argv[1]):
    time.sleep(0.02)
print("ended", flush=True)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project", {"train.py": HOLDS})


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said after two seconds is said at once here, and a cancel waits for nobody for long."""
    for module in (drivers, looking):
        monkeypatch.setattr(module, "SAID_AFTER_S", 0.0)
    monkeypatch.setattr(looking, "CANCEL_S", 0.3)


@contextmanager
def submitted(project: Path, hold: Path, *, stopped: bool = True) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A submit that follows its run, and is stopped then: the process and the run's id."""
    command = [sys.executable, "-m", "amltool", "submit", "train.py", "--target", "local", "--", str(hold)]
    with subprocess.Popen(
        command,
        cwd=project,
        env={**os.environ, "PYTHONPATH": TOP},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"begun\n"
            [entry] = (project / ".git/amltool/runs").iterdir()
            wait_until(lambda: '"launched"' in (entry / "state.json").read_text())
            if stopped:
                process.send_signal(signal.SIGSTOP)
                wait_until(lambda: " T " in Path(f"/proc/{process.pid}/stat").read_text())
            yield process, entry.name
        finally:
            hold.unlink(missing_ok=True)
            process.send_signal(signal.SIGCONT)
            process.communicate(timeout=240)


class Heard:
    """A `Watcher` that remembers, and stops waiting once it was told something that has a word in it."""

    def __init__(self, until: str = "") -> None:
        self.until = until
        self.said: list[str] = []
        self.printed = b""

    def console(self, content: bytes) -> None:
        self.printed += content

    def all_of(self, blocks: Iterator[bytes]) -> None:
        for block in blocks:
            self.console(block)

    def say(self, message: str) -> None:
        self.said.append(message)
        if self.until and self.until in message:
            raise KeyboardInterrupt

    def status(self, status: object) -> None: ...
    def log(self, line: str) -> None: ...
    def progress(self, what: str, size: int, total: int | None) -> None: ...


def opened_in(project: Path) -> Opened:
    return open_project(project)


def test_a_cancel_returns_though_the_client_is_stopped_and_the_run_is_over_then(project: Path, hold: Path) -> None:
    with submitted(project, hold) as (client, run_id):
        done = cancel_run(opened_in(project), run_id)
        assert isinstance(done, Unrecorded)
        assert done.is_canceled
        assert f"process {client.pid} (amltool submit train.py --target local)" in done.told
        assert f"kill -CONT {client.pid}" in done.told
        assert [entry.is_cancel_reached for entry in opened_in(project).journal.entries()] == [True]
        assert hold.exists(), "else it ended by itself"
        client.send_signal(signal.SIGCONT)
        assert client.wait(120) == 130
    assert isinstance(found := shown(opened_in(project), run_id), looking.Run)
    assert found.record.status.value == "Canceled"


def test_the_next_command_records_it_where_the_stopped_client_is_killed(project: Path, hold: Path) -> None:
    with submitted(project, hold) as (client, run_id):
        cancel_run(opened_in(project), run_id)
        client.kill()
        client.wait(120)
        listing = list_runs(opened_in(project))
    assert [(run.run_id, run.record.status.value) for run in listing.runs] == [(run_id, "Canceled")]


def test_a_cancel_does_not_wait_for_a_client_that_hangs(project: Path, hold: Path) -> None:
    """Here the test itself holds the run's lock, and does nothing."""
    run_id = json.loads(amltool(project, "submit", "train.py", "--detach", "--json", "--", str(hold)).stdout)["run_id"]
    [drives_it] = opened_in(project).journal.entries()
    for driver in _background_drivers(run_id):
        os.kill(driver, signal.SIGKILL)
    wait_until(lambda: not drives_it.is_driven())
    with drives_it.driven():
        done = cancel_run(opened_in(project), run_id)
    assert isinstance(done, Unrecorded)
    assert f"process {os.getpid()} (" in done.told
    assert isinstance(cancel_run(opened_in(project), run_id), RunRecord)


def _background_drivers(run_id: str) -> list[int]:
    """Processes of this run only: its id is in their words."""
    wait_until(lambda: _with_word(run_id))
    return _with_word(run_id)


def _with_word(word: str) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"amltool.tasks.background" in words and word.encode() in words:
            found.append(int(process.name))
    return found


def test_whoever_waits_or_reads_its_console_is_told_and_goes_on(project: Path, hold: Path) -> None:
    with submitted(project, hold) as (client, run_id):
        waits = Heard(until=f"kill -CONT {client.pid}")
        with pytest.raises(KeyboardInterrupt):
            wait_for(opened_in(project), run_id, waits)
        assert waits.printed == b"begun\n"
        reads = Heard(until=f"kill -CONT {client.pid}")
        with pytest.raises(KeyboardInterrupt):
            reads.all_of(console_of(opened_in(project), run_id, follow=True, watcher=reads))
        assert reads.printed == b"begun\n"
        assert len(waits.said) == len(reads.said) == 1


def test_whoever_waits_for_a_run_that_ended_hears_who_has_to_record_it(project: Path, hold: Path) -> None:
    with submitted(project, hold) as (client, run_id):
        waits = Heard(until=f"process {client.pid} (amltool submit")
        hold.unlink()
        with pytest.raises(KeyboardInterrupt):
            wait_for(opened_in(project), run_id, waits)


@pytest.mark.parametrize("ends_by", ["cancel", "itself"])
def test_whoever_waits_for_a_run_that_is_over_gives_up_while_its_client_is_stopped(
    project: Path, hold: Path, monkeypatch: pytest.MonkeyPatch, ends_by: str
) -> None:
    monkeypatch.setattr(drivers, "STOPPED_S", 0.3)
    with submitted(project, hold) as (client, run_id):
        if ends_by == "cancel":
            cancel_run(opened_in(project), run_id)
        else:
            hold.unlink()
        with pytest.raises(LockedError, match=f"is over, and is not recorded while process {client.pid}") as told:
            wait_for(opened_in(project), run_id, Heard())
        assert f"kill -CONT {client.pid}" in told.value.remedy
        client.send_signal(signal.SIGCONT)
        client.wait(60)
    assert wait_for(opened_in(project), run_id, Heard()).record.status.value in ("Canceled", "Completed")


def test_whoever_waits_for_a_run_that_goes_on_waits_though_its_client_is_stopped(
    project: Path, hold: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drivers, "STOPPED_S", 0.0)
    with submitted(project, hold) as (_, run_id):
        asked: list[bool] = []
        driver = drivers.DriverWatch(opened_in(project).journal.entries()[0], lambda _: None)
        for _ in range(5):
            driver.look(lambda: bool(asked.append(True)))
        assert len(asked) > 1, run_id


def test_a_client_that_is_at_work_is_not_spoken_of(project: Path, hold: Path) -> None:
    with submitted(project, hold, stopped=False):
        watch = Heard()
        [entry] = opened_in(project).journal.entries()
        driver = drivers.DriverWatch(entry, watch.say)
        for _ in range(5):
            driver.look(lambda: False)
        assert watch.said == []
        assert rows(project)[0]["note"] == ""


def rows(project: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(amltool(project, "runs", "--json").stdout)
    return found


def test_show_and_runs_name_the_client_that_is_stopped(project: Path, hold: Path) -> None:
    with submitted(project, hold) as (client, run_id):
        [row] = rows(project)
        assert row["run_id"] == run_id
        assert f"process {client.pid}" in row["note"]
        assert f"kill -CONT {client.pid}" in row["note"]
        assert f"kill -CONT {client.pid}" in amltool(project, "show", run_id).stdout
        assert f"process {client.pid}" in amltool(project, "runs").stdout


def test_the_table_and_json_list_the_same_runs(project: Path, hold: Path, tmp_path: Path) -> None:
    amltool(project, "submit", "train.py", "--", str(tmp_path / "none"))
    with submitted(project, hold) as (_, run_id):
        table = amltool(project, "runs").stdout.splitlines()
        assert [line.split()[0] for line in table[1:]] == [row["run_id"] for row in rows(project)]
        assert rows(project)[0]["run_id"] == run_id
        [newest] = json.loads(amltool(project, "runs", "-n", "1", "--json").stdout)
        assert newest["run_id"] == run_id
