"""The Git commands that share a history, as docs/history-format.md and messages have them, run word for word."""

from __future__ import annotations

import random
import re
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from amltool.commands.hook_history import unpushed_history
from amltool.commands.opening import open_project
from amltool.commands.restore import snapshot_of
from amltool.errors import UserError
from amltool.git.command import Git
from amltool.git.notes import keep_for_run
from amltool.git.snapshots import take
from amltool.git.survey import survey
from amltool.history.checking import Fault, check
from amltool.history.history import History
from amltool.layout import FETCH_HISTORY, NOTES_REF, SNAPSHOTS_REF
from amltool.limits import Profile
from amltool.run import RunRecord, RunStatus, new_run_id, timestamp
from tests.history.conftest import START
from tests.repositories import commit_all, git, make_repository, write_files

PAGE = Path(__file__).parents[2] / "docs/history-format.md"
SECTION = PAGE.read_text().split("## Sharing by plain Git")[1].split("\n## ")[0]
GET, GIVE, LOOK = (block.splitlines() for block in re.findall(r"^```sh\n(.*?)^```$", SECTION, re.DOTALL | re.MULTILINE))


class Clone:
    """A clone in which runs are recorded as `submit` does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, command: str) -> int:
        return subprocess.run(["sh", "-c", command], cwd=self.folder, capture_output=True).returncode

    def get(self) -> None:
        for command in GET:
            assert self.run(command) == 0, command

    def give(self) -> None:
        for _ in range(3):
            if [self.run(command) for command in GIVE] == [0, 0]:
                return
            self.get()
        raise AssertionError(f"{self.folder.name} cannot give")

    def record(self, number: int, *, dirty: bool) -> str:
        write_files(self.folder, {f"{self.folder.name}.txt": f"{number}"})
        if not dirty:
            commit_all(self.folder)
        opened, now = Git.at(self.folder), START + timedelta(seconds=7 * number)
        snapshot = take(opened, survey(opened, "", ".", Profile.SDK))
        keep_for_run(opened, snapshot.commit, snapshot.base_commit)
        record = RunRecord(
            run_id=new_run_id(snapshot.commit, now), run_number=number, status=RunStatus.COMPLETED, exit_code=0,
            script="train.py", arguments=[], target="local", commit=snapshot.commit, tree=snapshot.tree,
            base_commit=snapshot.base_commit, created=timestamp(now), dirty=dirty,
        )  # fmt: skip
        History(opened).record([record], keep=[snapshot.commit])
        return record.run_id

    @property
    def ids(self) -> set[str]:
        return {run.run_id for run in History(Git.at(self.folder)).runs(limit=None)}

    @property
    def is_sound(self) -> bool:
        return check(Git.at(self.folder)) == [] and self.run("git fsck") == 0


@pytest.fixture
def clones(tmp_path: Path) -> list[Clone]:
    """Three clones of one bare repository; nothing was recorded or shared yet."""
    first = make_repository(tmp_path / "ada", {"train.py": "print(1)\n"}, "-b", "main")
    git(tmp_path, "clone", "-q", "--bare", str(first), "origin.git")
    git(first, "remote", "add", "origin", str(tmp_path / "origin.git"))
    for name in ("bob", "eve"):
        git(tmp_path, "clone", "-q", str(tmp_path / "origin.git"), name)
    return [Clone(tmp_path / name) for name in ("ada", "bob", "eve")]


@pytest.mark.parametrize("dirty", [True, False])
def test_a_first_get_brings_what_somebody_gave(clones: list[Clone], dirty: bool) -> None:
    ada, bob, _ = clones
    run_id = ada.record(1, dirty=dirty)
    ada.give()
    bob.get()

    assert bob.ids == {run_id}
    assert bob.is_sound


@pytest.mark.parametrize("seed", range(2))
def test_whoever_records_gets_and_gives_in_any_order_all_have_all_in_the_end(clones: list[Clone], seed: int) -> None:
    moves, recorded = random.Random(seed), set()
    for number in range(1, 8):
        clone = moves.choice(clones)
        recorded.add(clone.record(number, dirty=moves.random() < 0.6))
        for clone in moves.sample(clones, moves.randrange(3)):
            if _has_runs(clone) and moves.random() < 0.6:
                clone.give()
            elif clone.ids or _is_given(clone):
                clone.get()
    for clone in (*clones, *clones):
        clone.get()
        if _has_runs(clone):
            clone.give()
    for number, clone in enumerate(clones, 8):
        clone.run("git reflog expire --expire=now --all && git gc -q --prune=now")
        assert clone.ids == recorded
        assert clone.is_sound
        assert clone.record(number, dirty=True) in clone.ids, "later records keep working"
        assert clone.is_sound


def _has_runs(clone: Clone) -> bool:
    return clone.run(f"git rev-parse --verify {SNAPSHOTS_REF}") == 0


def _is_given(clone: Clone) -> bool:
    return clone.run(f"git ls-remote --exit-code origin {NOTES_REF}") == 0


def test_what_is_given_can_be_looked_at_before(clones: list[Clone]) -> None:
    clones[0].record(1, dirty=True)
    said = subprocess.run(["sh", "-c", LOOK[0]], cwd=clones[0].folder, capture_output=True, check=True).stdout
    assert b"ada.txt" in said


def test_the_command_in_messages_is_that_of_the_page() -> None:
    assert FETCH_HISTORY.replace("REMOTE", "origin") == " && ".join(GET)


def follow(clone: Clone, remedy: str) -> None:
    """Run the command of a message, with the name of a remote for REMOTE."""
    assert clone.run(remedy[remedy.index("git fetch") :].replace("REMOTE", "origin")) == 0


def test_who_follows_the_message_about_a_missing_snapshot_has_it(clones: list[Clone]) -> None:
    ada, bob, _ = clones
    ada.record(1, dirty=True)
    ada.give()
    git(bob.folder, "fetch", "-q", "origin", f"{NOTES_REF}:{NOTES_REF}")
    [finding] = check(Git.at(bob.folder))
    [run] = History(Git.at(bob.folder)).runs()
    with pytest.raises(UserError) as refused:
        snapshot_of(open_project(bob.folder), run)
    assert finding.fault is Fault.MISSING_SNAPSHOT
    assert finding.remedy.endswith(FETCH_HISTORY)
    follow(bob, refused.value.remedy)

    assert bob.is_sound
    assert snapshot_of(open_project(bob.folder), run).commit == run.record.commit


def test_who_follows_the_message_about_a_missing_blob_has_it(clones: list[Clone]) -> None:
    ada, bob, _ = clones
    ada.record(1, dirty=True)
    ada.give()
    bob.get()
    blob = git(bob.folder, "notes", f"--ref={NOTES_REF}", "list").split()[0]
    (bob.folder / ".git/objects" / blob[:2] / blob[2:]).unlink()
    [finding] = [each for each in check(Git.at(bob.folder)) if each.fault is Fault.DAMAGED_NOTE][:1]
    follow(bob, finding.remedy)
    again = [each for each in check(Git.at(bob.folder)) if each.fault is Fault.WRONG_INDEX]
    assert again, "the index was made while the blob was missing; its message is followed, too"
    Git.at(bob.folder).layout.index.unlink()

    assert bob.is_sound


def test_the_push_that_a_hook_names_gives_all(clones: list[Clone]) -> None:
    ada, bob, _ = clones
    run_id = ada.record(1, dirty=True)
    told = unpushed_history(Git.at(ada.folder), "origin", "somewhere")
    assert ada.run(told[told.index("git push") : told.index(" (to hear")]) == 0
    bob.get()

    assert bob.ids == {run_id}
    assert bob.is_sound
