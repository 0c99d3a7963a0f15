"""Whose turn it is: never more runs than the limit, first come, first served, whatever becomes of their clients."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from amltool.tracking import processes, turns

TRACKING = Path(turns.__file__).parent


def mark_of(run_id: str) -> int:
    return processes.LEAST_MARK + sum(run_id.encode())


class Line:
    """The turns of one compute target, with the folders of its runs."""

    def __init__(self, top: Path) -> None:
        self.folder, self.runs = top / "turns/vm", top / "runs"
        self.alive: set[str] = set()
        self.in_containers: set[str] = set()

    def place(self, run_id: str) -> Path:
        folder = self.runs / run_id
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def answer(self, run_id: str, limit: int = 1) -> dict[str, Any]:
        self.place(run_id)
        mark = 0 if run_id in self.in_containers else mark_of(run_id)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(turns.processes, "marked", self.marked)
            return turns.ask(str(self.folder), str(self.runs), run_id, limit, mark)

    def marked(self, mark: int, run_id: str) -> set[int]:
        """The processes of a run, as their mark tells."""
        return {os.getpid()} if run_id in self.alive and mark == mark_of(run_id) else set()

    def has_turn(self, run_id: str, limit: int = 1) -> bool:
        return bool(self.answer(run_id, limit)["has_turn"])

    def start(self, run_id: str, **changes: object) -> None:
        """As the bootstrap does; it is this process, which has no mark: that is asked of `marked`."""
        if not changes:
            self.alive.add(run_id)
        us = processes.process(os.getpid())
        assert us is not None
        start = {
            "boot": processes.boot_id(),
            "pid": us.pid,
            "process_started": us.started,
            "pid_namespace": processes.pid_namespace(),
            **changes,
        }
        (self.place(run_id) / "start.json").write_text(json.dumps(start))

    def end(self, run_id: str) -> None:
        (self.runs / run_id / "exit.json").write_text('{"exit_code": 0}')
        self.alive.discard(run_id)

    def leave(self, run_id: str) -> None:
        turns.leave(str(self.folder), run_id)

    def kept(self) -> dict[str, Any]:
        place = self.folder / "turns.json"
        return json.loads(place.read_text()) if place.exists() else {}

    def age(self, run_id: str, seconds: float) -> None:
        """Its client was not heard of for so long."""
        kept = self.kept()
        kept[run_id]["asked"] -= seconds
        (self.folder / "turns.json").write_text(json.dumps(kept))


@pytest.fixture
def line(tmp_path: Path) -> Line:
    return Line(tmp_path)


def test_as_many_have_their_turn_as_the_limit_says(line: Line) -> None:
    assert [line.has_turn(run_id, 2) for run_id in ("a", "b", "c")] == [True, True, False]
    assert line.answer("d", 2) == {
        "has_turn": False, "under_way": 2, "ahead": 1, "behind": "a b c", "elsewhere": "", "hinted": "",
    }  # fmt: skip


def test_the_first_of_those_before_it_are_named_the_ones_under_way_first(line: Line) -> None:
    for run_id in ("z", "y", "x", "w"):
        line.has_turn(run_id, 2)
    assert line.answer("v", 2)["behind"] == "z y x"


def test_asking_again_changes_nothing(line: Line) -> None:
    assert [line.has_turn("a") for _ in range(3)] == [True, True, True]
    assert [line.has_turn("b") for _ in range(3)] == [False, False, False]


def test_a_run_that_goes_on_keeps_its_turn_however_long_its_client_is_silent(line: Line) -> None:
    line.has_turn("a")
    line.start("a")
    line.age("a", 30 * 86400)
    assert not line.has_turn("b")


def test_a_run_that_ended_makes_way_though_nobody_says_so(line: Line) -> None:
    line.has_turn("a")
    line.start("a")
    line.end("a")
    assert line.has_turn("b")


@pytest.mark.parametrize("changes", [{"pid": 2**22 + 1}, {"boot": "another"}])
def test_a_run_that_is_lost_makes_way(line: Line, changes: dict[str, object]) -> None:
    line.has_turn("a")
    line.start("a", **changes)
    assert line.has_turn("b")


def test_a_run_whose_folder_is_gone_makes_way(line: Line) -> None:
    line.has_turn("a")
    (line.runs / "a").rmdir()
    assert line.has_turn("b")


def test_a_run_whose_client_says_so_makes_way_and_nothing_is_left(line: Line) -> None:
    line.has_turn("a")
    line.leave("a")
    assert line.has_turn("b")
    line.leave("b")
    assert [path.name for path in line.folder.iterdir()] == ["lock"]


def test_leaving_where_nobody_ever_asked_makes_nothing(line: Line) -> None:
    line.leave("a")
    assert not line.folder.exists()


def test_a_turn_that_is_not_used_is_lost_after_a_time_and_not_before(line: Line) -> None:
    line.has_turn("a")
    line.age("a", turns.STARTING_S - 5)
    assert not line.has_turn("b")
    line.age("a", 10)
    assert line.has_turn("b")
    assert not line.has_turn("a"), "it may not start any more beside the other"


def test_who_lost_its_turn_is_the_first_to_have_the_next(line: Line) -> None:
    line.has_turn("a")
    line.age("a", turns.STARTING_S + 1)
    line.has_turn("b")
    line.has_turn("c")
    line.has_turn("a")
    line.leave("b")
    assert not line.has_turn("c")
    assert line.has_turn("a")


def test_a_run_that_started_after_its_turn_was_lost_counts_all_the_same(line: Line) -> None:
    line.has_turn("a")
    line.age("a", turns.STARTING_S + 1)
    line.has_turn("b")
    line.start("a")
    line.leave("b")
    assert not line.has_turn("c")


def test_a_run_that_has_begun_is_not_kept_waiting_by_a_client_that_goes_on_with_it(line: Line) -> None:
    line.has_turn("a")
    line.has_turn("b")
    line.start("b")
    assert line.has_turn("b")


def test_a_run_that_began_unseen_is_not_kept_waiting_and_counts_from_then_on(line: Line) -> None:
    line.has_turn("a")
    line.start("b")
    assert line.has_turn("b"), "as after a power cut that took the file"
    line.leave("a")
    assert not line.has_turn("c")


def test_first_come_first_served_whoever_asks_first_when_a_place_is_free(line: Line) -> None:
    for run_id in ("a", "b", "c"):
        line.has_turn(run_id)
    line.leave("a")
    assert not line.has_turn("c")
    assert line.has_turn("b")


def test_who_waits_and_is_not_heard_of_holds_up_nobody_and_keeps_its_number(line: Line) -> None:
    for run_id in ("a", "b", "c", "d"):
        line.has_turn(run_id)
    line.age("b", turns.WAITING_S + 1)
    line.leave("a")
    assert line.has_turn("c")
    assert not line.has_turn("b")
    line.leave("c")
    assert not line.has_turn("d")
    assert line.has_turn("b")


def test_each_run_has_the_limit_that_it_was_submitted_with(line: Line) -> None:
    assert [line.has_turn("a", 1), line.has_turn("b", 1), line.has_turn("c", 3)] == [True, False, True]


def test_a_clock_that_is_set_back_does_not_make_the_dead_seem_alive(line: Line) -> None:
    for run_id in ("a", "b", "c"):
        line.has_turn(run_id)
    line.age("b", -86400)
    line.has_turn("c")
    line.age("b", turns.WAITING_S + 1)
    line.leave("a")
    assert line.has_turn("c")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a": 1}', b"\xff", b'{"a": {"number": null}}'])
def test_a_damaged_file_holds_up_nobody(line: Line, content: bytes) -> None:
    line.has_turn("b")
    (line.folder / "turns.json").write_bytes(content)
    assert line.has_turn("a")
    assert list(line.kept()) == ["a"]


def test_of_a_run_in_a_container_only_who_runs_containers_can_say_that_it_is_over(line: Line) -> None:
    line.in_containers.add("a")
    for run_id in ("a", "b"):
        line.has_turn(run_id, 2)
    line.start("a", pid_namespace="pid:[1]", boot="of a machine in this machine")
    line.start("b")
    assert line.answer("c", 2)["elsewhere"] == "a"
    line.end("a")
    answer = line.answer("c", 2)
    assert (answer["has_turn"], answer["hinted"]) == (False, "a"), "its folder is its own to write"


@pytest.mark.parametrize("forged", ["start.json", "exit.json", "both", "gone", "folder"])
def test_a_run_that_writes_what_it_likes_keeps_its_own_turn_only(line: Line, forged: str) -> None:
    line.has_turn("a")
    line.start("a")
    turns.begun(str(line.folder), "a")
    folder = line.runs / "a"
    if forged in ("start.json", "both"):
        (folder / "start.json").write_text('{"pid": 1, "boot": "another", "mark": 1024, "run_id": "b"}')
    if forged in ("exit.json", "both"):
        (folder / "exit.json").write_text('{"exit_code": 0}')
    if forged == "gone":
        (folder / "start.json").unlink()
        line.age("a", turns.STARTING_S + 1)
    if forged == "folder":
        folder.rename(line.runs / "away")
    assert not line.has_turn("b")
    line.alive.clear()
    assert line.has_turn("b")


def test_turns_that_a_client_of_before_left_are_gone_on_with(line: Line) -> None:
    line.has_turn("a")
    kept = line.kept()
    for name in ("mark", "begun"):
        del kept["a"][name]
    (line.folder / "turns.json").write_text(json.dumps(kept))
    assert not line.has_turn("b")
    line.start("a", pid_namespace="pid:[1]")
    assert not line.has_turn("b")
    line.end("a")
    assert line.has_turn("b")


def test_who_dies_while_it_asks_leaves_no_lock(line: Line) -> None:
    line.has_turn("a")
    dies = "import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], os.O_RDWR), fcntl.LOCK_EX); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", dies, str(line.folder / "lock")])
    line.leave("a")
    assert line.has_turn("b")


def test_one_who_waits_too_long_to_ask_is_told_that_it_has_to_wait(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "ASKED_S", 0.05)
    line.has_turn("a")
    line.leave("a")
    lock = turns._locked(str(line.folder), 1.0)
    assert lock is not None
    answer = line.answer("b")
    assert answer.pop("locked_by").startswith(f"process {os.getpid()} (")
    assert answer == {"has_turn": False, "under_way": None, "ahead": None, "behind": "", "elsewhere": "", "hinted": ""}
    os.close(lock)
    assert line.has_turn("b")


def test_of_many_who_ask_at_once_no_more_than_the_limit_have_their_turn(line: Line) -> None:
    ask = (
        "import sys, types\n"
        "package = sys.modules['alone'] = types.ModuleType('alone'); package.__path__ = [sys.argv[1]]\n"
        "from alone.turns import main\nsys.stdin.read()\nmain(sys.argv[2:])"
    )
    asking = []
    for number in range(12):
        line.place(f"r{number}")
        words = [
            "-I",
            "-S",
            "-c",
            ask,
            str(TRACKING),
            "ask",
            str(line.folder),
            str(line.runs),
            f"r{number}",
            "3",
            str(mark_of("r")),
        ]
        asking.append(subprocess.Popen([sys.executable, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE))
    for each in asking:
        assert each.stdin is not None
        each.stdin.close()
    answers = [json.loads(each.stdout.read()) for each in asking if each.stdout is not None]
    for each in asking:
        assert each.wait(120) == 0
    assert sum(answer["has_turn"] for answer in answers) == 3
    assert sorted(answer["under_way"] + answer["ahead"] for answer in answers) == list(range(12))


class AnyOrder(RuleBasedStateMachine):
    """Runs that wait, start, end and vanish in any order; clients that die and come back."""

    limit = 2
    names = st.sampled_from("abcdef")

    @initialize()
    def begin(self) -> None:
        self.top = tempfile.TemporaryDirectory()
        self.line = Line(Path(self.top.name))
        self.alive: set[str] = set()
        self.may_start: set[str] = set()
        self.under_way: set[str] = set()
        self.over: set[str] = set()

    @rule(run_id=names)
    def ask(self, run_id: str) -> None:
        if run_id in self.over:
            return
        if self.line.has_turn(run_id, self.limit):
            if run_id not in self.under_way:
                self.may_start.add(run_id)
            self.alive.discard(run_id)
        else:
            assert run_id not in self.under_way
            self.may_start.discard(run_id)
            assert len(self.under_way | self.may_start) + len(self.alive - {run_id}) >= self.limit, (
                "it waits for nobody"
            )
            self.alive.add(run_id)

    @precondition(lambda self: self.may_start)
    @rule(number=st.integers(0, 5))
    def start(self, number: int) -> None:
        run_id = sorted(self.may_start)[number % len(self.may_start)]
        self.line.start(run_id)
        self.may_start.remove(run_id)
        self.under_way.add(run_id)
        self.alive.discard(run_id)

    @precondition(lambda self: self.under_way)
    @rule(number=st.integers(0, 5), is_told=st.booleans())
    def end(self, number: int, is_told: bool) -> None:
        run_id = sorted(self.under_way)[number % len(self.under_way)]
        self.line.end(run_id)
        self.under_way.remove(run_id)
        self.over.add(run_id)
        if is_told:
            self.line.leave(run_id)

    @rule(run_id=names)
    def die(self, run_id: str) -> None:
        if run_id in self.line.kept():
            self.line.age(run_id, 2 * turns.STARTING_S)
            self.alive.discard(run_id)
            self.may_start.discard(run_id)

    @invariant()
    def never_more_than_the_limit(self) -> None:
        assert len(self.under_way | self.may_start) <= self.limit

    def teardown(self) -> None:
        if hasattr(self, "top"):
            self.top.cleanup()


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
