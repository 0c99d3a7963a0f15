"""A run waits for its turn: what its client says, keeps, lets go and asks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

import pytest

from amltool.errors import TargetError
from amltool.history.journal import Step
from amltool.hosts.base import CommandResult
from amltool.hosts.local import LocalHost
from amltool.layout import HostLayout
from amltool.locks import LockedError
from amltool.run import RunStatus
from amltool.targets import turns
from amltool.tracking import turns as turns_there


class There:
    """Another machine, for what is asked of it here; ``asked`` are the words after the program."""

    name = "there"

    def __init__(self, root: Path) -> None:
        self._host = LocalHost(root)
        self.asked: list[list[str]] = []
        self.is_away = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)

    def run(self, command: Sequence[str], *, input: bytes = b"", timeout_s: float | None = None) -> CommandResult:
        if self.is_away:
            raise TargetError("there is unreachable.", "Try again.")
        self.asked.append(list(command[5:]))
        return self._host.run(command, input=input, timeout_s=timeout_s)


class Launcher:
    """Has let go of ``let_go``; ``over`` are the runs that Docker knows to be over."""

    def __init__(self) -> None:
        self.let_go: list[str] = []
        self.over: set[str] = set()
        self.looked = 0

    def forget(self, _: object, folder: Any) -> bool:
        self.let_go.append(folder.path.name)
        return True

    def is_over(self, _: object, folder: Any) -> bool:
        self.looked += 1
        return folder.path.name in self.over


class Waiting:
    """A placed run and all of its drive that waiting uses."""

    def __init__(self, host: Any, run_id: str, limit: int = 1) -> None:
        self.folder = HostLayout(host.root).run(run_id)
        host.make_folder(self.folder.path)
        self.target = SimpleNamespace(
            host=host, launcher=Launcher(), name="vm", max_concurrent_runs=limit, type="localdocker"
        )
        self.request = SimpleNamespace(run_id=run_id)
        self.state = SimpleNamespace(step=Step.PLACED)
        self.entry = SimpleNamespace(cancel_asked=False, is_there=True)
        self.watcher = self
        self.turn: turns.Turn | None = None
        self.is_ready = True
        self.begun_share: object = "listed before"
        self.said: list[str] = []
        self.statuses: list[RunStatus] = []
        self.waited_for: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)

    def done(self, step: Step, status: RunStatus) -> None:
        assert step is Step.PLACED
        self.statuses.append(status)

    def enter(self, status: RunStatus) -> None:
        assert status is self.statuses[-1]

    def waits_for(self, what: str) -> None:
        self.waited_for += [what]

    def has_turn(self, *, patient: bool = False) -> bool:
        return turns.has_turn(self, patient=patient)  # type: ignore[arg-type]

    def leave(self) -> None:
        turns.leave(self)  # type: ignore[arg-type]


@pytest.fixture(params=["here", "there"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return LocalHost(tmp_path / "root") if request.param == "here" else There(tmp_path / "root")


def kept(host: Any) -> dict[str, Any]:
    return json.loads(Path(HostLayout(host.root).turns("vm") / "turns.json").read_text())  # type: ignore[no-any-return]


def test_who_has_to_wait_says_so_once_and_lets_go_of_what_it_was_made_ready_with(host: Any) -> None:
    first, second = Waiting(host, "first"), Waiting(host, "second")
    assert first.has_turn()
    assert [second.has_turn() for _ in range(3)] == [False] * 3
    assert second.said == ["Queued: 1 of 1 runs of vm are under way (maxConcurrentRuns)."]
    assert second.statuses == [RunStatus.QUEUED]
    assert second.target.launcher.let_go == ["second"]
    assert second.begun_share is None
    first.leave()
    assert second.has_turn()
    assert (first.said, first.target.launcher.let_go) == ([], [])


def test_what_a_queued_run_waits_for_is_left_for_those_who_look_at_it(host: Any) -> None:
    runs = [Waiting(host, run_id) for run_id in ("first", "second", "third", "fourth", "fifth")]
    assert [run.has_turn() for run in runs] == [True, False, False, False, False]
    assert runs[0].waited_for == []
    assert runs[1].waited_for == ["its turn on vm (maxConcurrentRuns), behind first"]
    assert runs[4].waited_for == ["its turn on vm (maxConcurrentRuns), behind first, second, third and 1 more"]
    runs[0].leave()
    assert not runs[2].has_turn()
    assert runs[2].waited_for[-1] == "its turn on vm (maxConcurrentRuns), behind second"


def test_what_a_client_that_died_may_have_started_is_not_let_go_of(host: Any) -> None:
    first, second = Waiting(host, "first"), Waiting(host, "second")
    second.is_ready = False  # it goes on with a run that another client placed
    assert first.has_turn()
    assert not second.has_turn()
    assert second.target.launcher.let_go == []


def test_the_program_comes_to_the_machine_once_where_it_is_not_there(tmp_path: Path) -> None:
    host = There(tmp_path / "root")
    run = Waiting(host, "first")
    assert run.has_turn()
    run.leave()
    assert [words[0] for words in host.asked] == ["ask", "ask", "leave"]


def test_a_machine_that_is_away_while_a_run_waits_is_for_whoever_drives_it(tmp_path: Path) -> None:
    host = There(tmp_path / "root")
    host.is_away = True
    run = Waiting(host, "first")
    with pytest.raises(TargetError, match="unreachable"):
        run.has_turn()
    run.leave()
    host.is_away = False
    assert run.has_turn()


def test_a_machine_where_the_program_fails_says_what_it_said(tmp_path: Path) -> None:
    host = There(tmp_path / "root")
    host.write(HostLayout(host.root).root / "turns", b"a file is in the way")
    with pytest.raises(TargetError, match=r"NotADirectoryError|FileExistsError"):
        Waiting(host, "first").has_turn()


def test_an_answer_is_good_for_a_while_and_then_asked_for_again(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Waiting(host, "first"), Waiting(host, "second")
    assert first.has_turn()
    turns_there.leave(os.fspath(HostLayout(host.root).turns("vm")), "first")
    assert second.has_turn()
    assert first.has_turn(), "it was told so just now"
    assert first.turn is not None
    first.turn.had_at -= turns.SURE_S + 1  # it slept
    assert not first.has_turn()


def test_a_turn_is_kept_while_its_start_takes_long(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "KEEP_S", 0.1)
    run = Waiting(host, "first")
    assert run.has_turn()
    before = kept(host)["first"]["asked"]
    until = time.monotonic() + 120
    while kept(host)["first"]["asked"] == before and time.monotonic() < until:
        time.sleep(0.05)
    assert kept(host)["first"]["asked"] > before
    run.state.step = Step.LAUNCHED
    assert run.turn is not None
    assert run.turn.keeping is not None
    run.turn.keeping.join(120)
    assert not run.turn.keeping.is_alive()


def test_pauses_grow_and_are_longer_for_those_who_are_not_next(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    paused: list[tuple[str, float]] = []
    monkeypatch.setattr(turns, "_pause", lambda run, seconds: paused.append((run.request.run_id, seconds)))
    first, following, last = (Waiting(host, name) for name in ("first", "next", "last"))
    first.has_turn()
    for _ in range(9):
        assert not following.has_turn(patient=True)
        assert not last.has_turn(patient=True)
    of_next = [seconds for name, seconds in paused if name == "next"]
    of_last = [seconds for name, seconds in paused if name == "last"]
    assert of_next[:2] == [0.5, 0.75]
    assert (max(of_next), max(of_last)) == (2.0, 5.0)
    assert max(of_last) + 5 < turns_there.WAITING_S


def test_a_pause_ends_when_somebody_wants_the_run_canceled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "FIRST_PAUSE_S", 60.0)
    monkeypatch.setattr(turns, "LONGEST_PAUSE_NEXT_S", 60.0)
    host = LocalHost(tmp_path / "root")
    Waiting(host, "first").has_turn()
    run = Waiting(host, "second")
    threading.Timer(0.1, lambda: setattr(run.entry, "cancel_asked", True)).start()
    begun = time.monotonic()
    assert not run.has_turn(patient=True)
    assert time.monotonic() - begun < 50


def test_a_container_that_is_over_makes_way_though_its_folder_does_not_say_so(host: Any) -> None:
    first, second = Waiting(host, "first"), Waiting(host, "second")
    first.has_turn()
    host.write(PurePosixPath(first.folder.start), b'{"pid_namespace": "pid:[1]"}')
    assert not second.has_turn()
    assert not second.has_turn()
    assert second.target.launcher.looked == 1, "Docker is not asked each time"
    assert second.turn is not None
    second.turn.looked_elsewhere -= turns.LOOK_ELSEWHERE_S
    second.target.launcher.over.add("first")
    assert not second.has_turn(patient=True)
    assert second.has_turn()


def test_what_cannot_be_written_here_is_said(tmp_path: Path) -> None:
    from amltool.errors import UserError

    host = LocalHost(tmp_path / "root")
    run = Waiting(host, "first")
    (tmp_path / "root/turns").write_text("a file is in the way")
    with pytest.raises(UserError, match="Cannot write"):
        run.has_turn()


def test_it_needs_nothing_of_what_a_login_shell_would_set(tmp_path: Path) -> None:
    host = There(tmp_path / "root")
    Waiting(host, "first").has_turn()
    from amltool.tracking import travel

    bootstrap = travel.at(HostLayout(host.root).tracking(travel.digest(travel.files()))).bootstrap
    words = ["ask", str(tmp_path / "turns"), str(tmp_path / "runs"), "x", "1", "0"]
    command = ["/usr/bin/env", "-i", sys.executable, "-I", "-S", str(bootstrap), "turns", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert json.loads(done.stdout)["has_turn"], done.stderr


def test_turns_that_another_keeps_locked_are_said_once_and_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    target = SimpleNamespace(name="vm", host=SimpleNamespace(name="gpu"))
    run: Any = SimpleNamespace(target=target, watcher=SimpleNamespace(say=said.append))
    turn = turns.Turn()
    for _ in range(3):
        turns._tell_locked(run, turn, "process 708 (sleep 100)")
    assert said == ["Waiting for the turns of vm on gpu, kept locked by process 708 (sleep 100)."]
    turns._tell_locked(run, turn, "")  # it was free in between
    turns._tell_locked(run, turn, "process 709 (sleep 100)")
    monkeypatch.setattr(turns, "LOCKED_S", -1.0)
    with pytest.raises(LockedError, match="kept locked by process 709"):
        turns._tell_locked(run, turn, "process 709 (sleep 100)")
