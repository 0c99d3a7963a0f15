"""What is written to the notes stays, whoever else writes, and whoever is killed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from amltool.errors import UserError
from amltool.git import note_tree, notes, refs
from amltool.git.command import Git
from amltool.git.notes import append_lines, keep_snapshots, note_of, record
from amltool.git.reading_notes import changed_notes, read_notes
from amltool.layout import HISTORY_REF, NOTES_REF, SNAPSHOTS_REF

PACKAGE = Path(notes.__file__).parents[2]

WRITER = """
import sys
from pathlib import Path
from amltool.git.command import Git
from amltool.git.notes import record
git = Git.at(Path(sys.argv[1]))
sys.stdin.readline()
for count in range(int(sys.argv[3])):
    line = f'{{"writer": {sys.argv[2]}, "count": {count}}}'.encode()
    record(git, {sys.argv[4]: [line]}, keep=[sys.argv[4]])
    print(line.decode(), flush=True)
"""


def run_git(top: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=top, check=True, capture_output=True, text=True).stdout


def new_repository(top: Path, *options: str) -> Git:
    top.mkdir()
    run_git(top, "init", "-q", *options)
    (top / "train.py").write_text("print('trained')\n")
    run_git(top, "add", ".")
    run_git(top, "commit", "-q", "-m", "first")
    return Git.at(top)


@pytest.fixture
def git(tmp_path: Path) -> Git:
    return new_repository(tmp_path / "project")


def head(git: Git) -> str:
    assert git.head is not None
    return git.head


def lines_of(git: Git, commit: str) -> list[bytes]:
    return (note_of(git, commit) or b"").splitlines()


def commits(count: int) -> list[str]:
    chance = random.Random(7)
    return [f"{chance.getrandbits(160):040x}" for _ in range(count)]


def assert_sound(git: Git) -> None:
    checked = subprocess.run(["git", "fsck", "--strict", "--no-dangling"], cwd=git.top, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_git_log_shows_a_line_beside_its_commit(git: Git) -> None:
    append_lines(git, {head(git): [b'{"run_id": "here"}']})

    assert '{"run_id": "here"}' in run_git(git.top, "log", "--notes=amltool/runs")
    assert_sound(git)


def test_lines_are_added_after_those_that_are_there(git: Git) -> None:
    append_lines(git, {head(git): [b"one"]})
    append_lines(git, {head(git): [b"two", b"three"]})

    assert lines_of(git, head(git)) == [b"one", b"two", b"three"]


def test_a_line_that_is_there_is_not_added_again(git: Git) -> None:
    append_lines(git, {head(git): [b"one", b"one"]})
    tip = git.ref(NOTES_REF)

    append_lines(git, {head(git): [b"one"]})

    assert git.ref(NOTES_REF) == tip
    assert lines_of(git, head(git)) == [b"one"]


def test_a_line_with_a_newline_is_refused(git: Git) -> None:
    with pytest.raises(ValueError, match="one non-empty line"):
        append_lines(git, {head(git): [b"one\ntwo"]})


def test_a_note_that_somebody_wrote_without_a_last_newline_is_kept_apart(git: Git) -> None:
    blob = (
        subprocess.run(
            ["git", "hash-object", "-w", "--stdin"], cwd=git.top, input=b"theirs", capture_output=True, check=True
        )
        .stdout.decode()
        .strip()
    )
    run_git(git.top, "notes", "--ref=amltool/runs", "add", "-C", blob, head(git))

    append_lines(git, {head(git): [b"ours"]})

    assert lines_of(git, head(git)) == [b"theirs", b"ours"]


def test_git_notes_finds_every_note_whatever_their_number(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(note_tree, "SPLIT", 8)
    names = commits(400)
    for start in range(0, 400, 50):
        append_lines(git, {name: [name[:7].encode()] for name in names[start : start + 50]})

    listed = [line.split()[1] for line in run_git(git.top, "notes", "--ref=amltool/runs", "list").splitlines()]

    assert sorted(listed) == sorted(names)
    assert lines_of(git, names[123]) == [names[123][:7].encode()]
    assert_sound(git)


def test_we_read_and_extend_what_git_notes_wrote_with_a_fanout_of_its_own(git: Git) -> None:
    tree = run_git(git.top, "rev-parse", "HEAD^{tree}").strip()
    made = subprocess.run(
        ["git", "fast-import", "--quiet"], cwd=git.top, check=True, capture_output=True,
        input="".join(
            f"commit refs/heads/many\nmark :{n}\ncommitter a <a@b> {n} +0000\ndata 0\nM 040000 {tree} \n\n"
            for n in range(1, 601)
        ).encode() + f"commit {NOTES_REF}\ncommitter a <a@b> 1 +0000\ndata 0\n".encode()
        + b"".join(b"N inline :%d\ndata 3\nold\n" % n for n in range(1, 601)),
    )  # fmt: skip
    assert made.returncode == 0
    names = run_git(git.top, "rev-list", "refs/heads/many").split()

    append_lines(git, {name: [b"new"] for name in names[:300]})

    assert {len(lines_of(git, name)) for name in names[:300]} == {2}
    assert {len(lines_of(git, name)) for name in names[300:]} == {1}
    assert len(run_git(git.top, "notes", "--ref=amltool/runs", "list").splitlines()) == 600


def test_a_folder_that_holds_notes_and_folders_of_notes_is_split_without_loss(
    git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(note_tree, "SPLIT", 8)
    blob = run_git(git.top, "rev-parse", "HEAD:train.py").strip()
    deep, flat = "ab" + "1" * 38, ["ab" + f"{n}" * 38 for n in range(2, 8)] + ["cd" + f"{n}" * 38 for n in range(6)]
    inner = make_tree(git, f"100644 blob {blob}\t{deep[2:]}\n")
    root = make_tree(git, f"040000 tree {inner}\tab\n" + "".join(f"100644 blob {blob}\t{name}\n" for name in flat))
    run_git(git.top, "update-ref", NOTES_REF, run_git(git.top, "commit-tree", root, "-m", "mixed").strip())

    append_lines(git, {"ef" * 20: [b"new"]})

    assert all(lines_of(git, name) == [b"print('trained')"] for name in [deep, *flat])
    assert len(run_git(git.top, "notes", "--ref=amltool/runs", "list").splitlines()) == len(flat) + 2
    assert_sound(git)


def make_tree(git: Git, entries: str) -> str:
    made = subprocess.run(["git", "mktree"], cwd=git.top, input=entries, text=True, capture_output=True, check=True)
    return made.stdout.strip()


def test_what_differs_between_two_tips_is_told_by_commit(git: Git) -> None:
    first, second, third = commits(3)
    append_lines(git, {first: [b"1"], second: [b"2"]})
    old = git.ref(NOTES_REF) or ""
    append_lines(git, {second: [b"more"], third: [b"3"]})
    new = git.ref(NOTES_REF) or ""

    changed, now = changed_notes(git, old, new)

    assert changed == sorted([second, third])
    assert {note.commit: note.content for note in now} == {second: b"2\nmore\n", third: b"3\n"}


def test_all_notes_of_a_tip_are_read(git: Git) -> None:
    wanted = {name: [name.encode()] for name in commits(30)}
    append_lines(git, wanted)

    read = {note.commit: note.content for note in read_notes(git, git.ref(NOTES_REF) or "")}

    assert read == {name: lines[0] + b"\n" for name, lines in wanted.items()}


def test_a_snapshot_survives_amend_and_gc(git: Git) -> None:
    snapshot = head(git)
    record(git, {snapshot: [b"run"]}, keep=[snapshot])

    run_git(git.top, "commit", "-q", "--amend", "-m", "other")
    run_git(git.top, "reflog", "expire", "--expire=now", "--all")
    run_git(git.top, "gc", "-q", "--prune=now")

    assert git.resolve(snapshot) == snapshot
    assert lines_of(git, snapshot) == [b"run"]


def test_without_the_snapshots_ref_amend_and_gc_take_it_away(git: Git) -> None:
    snapshot = head(git)
    append_lines(git, {snapshot: [b"run"]})

    run_git(git.top, "commit", "-q", "--amend", "-m", "other")
    run_git(git.top, "reflog", "expire", "--expire=now", "--all")
    run_git(git.top, "gc", "-q", "--prune=now")

    assert git.resolve(snapshot) is None


def test_a_snapshot_is_kept_once(git: Git) -> None:
    keep_snapshots(git, [head(git)])
    tip = git.ref(SNAPSHOTS_REF)

    keep_snapshots(git, [head(git), head(git)])

    assert git.ref(SNAPSHOTS_REF) == tip


def test_a_snapshot_that_is_not_there_is_refused_and_nothing_is_written(git: Git) -> None:
    with pytest.raises(UserError, match="is not in this repository"):
        record(git, {head(git): [b"run"]}, keep=["1" * 40])

    assert git.ref(NOTES_REF) is None


def test_user_index_branch_and_files_are_left_alone(git: Git) -> None:
    (git.top / "train.py").write_text("print('changed')\n")
    before = run_git(git.top, "status", "--porcelain=v2", "--branch")

    record(git, {head(git): [b"run"]}, keep=[head(git)])

    assert run_git(git.top, "status", "--porcelain=v2", "--branch") == before
    assert run_git(git.top, "for-each-ref", "refs/heads", "refs/tags").count("\n") == 1


def test_a_linked_worktree_writes_the_same_history(git: Git, tmp_path: Path) -> None:
    run_git(git.top, "worktree", "add", "-q", "--detach", str(tmp_path / "linked"))
    linked = Git.at(tmp_path / "linked")

    record(linked, {head(git): [b"from the linked one"]}, keep=[head(git)])

    assert lines_of(git, head(git)) == [b"from the linked one"]
    assert git.ref(SNAPSHOTS_REF) is not None


def test_a_repository_of_sha256_objects_has_a_history_too(tmp_path: Path) -> None:
    git = new_repository(tmp_path / "long", "--object-format=sha256")
    record(git, {head(git): [b"one"]}, keep=[head(git)])
    record(git, {head(git): [b"two"]}, keep=[head(git)])

    assert len(head(git)) == 64
    assert lines_of(git, head(git)) == [b"one", b"two"]
    assert "two" in run_git(git.top, "log", "--notes=amltool/runs")
    assert_sound(git)


def test_packed_refs_are_read_and_written_over(git: Git) -> None:
    record(git, {head(git): [b"one"]}, keep=[head(git)])
    run_git(git.top, "pack-refs", "--all", "--prune")
    assert not (git.common_dir / NOTES_REF).exists()

    assert refs.tip_of(git, NOTES_REF) == git.ref(NOTES_REF)
    append_lines(git, {head(git): [b"two"]})

    assert lines_of(git, head(git)) == [b"one", b"two"]
    assert refs.tip_of(git, NOTES_REF) == git.ref(NOTES_REF)


def test_the_reflog_tells_what_moved_the_ref(git: Git) -> None:
    append_lines(git, {head(git): [b"one"]})

    assert "amltool: record" in run_git(git.top, "reflog", "show", NOTES_REF)


def test_a_replaced_commit_does_not_confuse_us(git: Git) -> None:
    append_lines(git, {head(git): [b"one"]})
    other = run_git(git.top, "commit-tree", "HEAD^{tree}", "-m", "other").strip()
    run_git(git.top, "replace", git.ref(NOTES_REF) or "", other)

    append_lines(git, {head(git): [b"two"]})

    assert lines_of(git, head(git)) == [b"one", b"two"]


def test_a_hook_of_the_user_cannot_refuse_our_refs(git: Git) -> None:
    hook = git.common_dir / "hooks" / "reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)

    append_lines(git, {head(git): [b"one"]})

    assert lines_of(git, head(git)) == [b"one"]


@pytest.mark.parametrize("ref", [NOTES_REF, SNAPSHOTS_REF])
def test_a_lock_that_a_killed_writer_left_is_recovered(git: Git, ref: str) -> None:
    lock = git.common_dir / f"{ref}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_bytes(b"")
    os.utime(lock, (1, 1))

    record(git, {head(git): [b"one"]}, keep=[head(git)])

    assert lines_of(git, head(git)) == [b"one"]
    assert not lock.exists()


def test_a_young_lock_is_somebody_elses_and_is_waited_for(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "PATIENCE_S", 0.1)
    lock = git.common_dir / f"{NOTES_REF}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_bytes(b"")

    with pytest.raises(UserError, match="locked"):
        append_lines(git, {head(git): [b"one"]})

    assert lock.exists()


def test_no_lock_but_ours_is_ever_removed(git: Git) -> None:
    locks = [git.common_dir / place for place in ("refs/heads/main.lock", "index.lock", "packed-refs.lock")]
    for lock in locks:
        lock.write_bytes(b"")
        os.utime(lock, (1, 1))

    append_lines(git, {head(git): [b"one"]})

    assert all(lock.exists() for lock in locks)
    assert not refs.remove_stale_lock(git, "refs/heads/main")


def test_a_foreign_writer_between_our_look_and_our_move_loses_nothing(
    git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_lines(git, {head(git): [b"first"]})
    moved = refs.move_refs
    intruded: list[int] = []

    def after_an_intruder(*arguments: object) -> bool:
        if not intruded:
            intruded.append(1)
            run_git(git.top, "notes", "--ref=amltool/runs", "append", "-m", "intruder", head(git))
        return moved(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(notes, "move_refs", after_an_intruder)
    append_lines(git, {head(git): [b"ours"]})

    assert set(lines_of(git, head(git))) == {b"first", b"intruder", b"ours", b""}


def test_a_ref_in_the_way_is_a_clear_error(git: Git) -> None:
    run_git(git.top, "update-ref", "refs/notes/amltool", "HEAD")

    with pytest.raises(UserError, match="Git could not write the run history"):
        append_lines(git, {head(git): [b"one"]})


def start_writer(git: Git, number: int, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(git.top), str(number), str(count), head(git)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(PACKAGE)},
    )  # fmt: skip


def let_all_begin(writers: list[subprocess.Popen[str]]) -> None:
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()


def disturb(git: Git, other: Path, is_over: Callable[[], bool]) -> int:
    """Commits, fetches and gc beside the writers; how many rounds there were."""
    rounds = 0
    while not is_over():
        run_git(git.top, "commit", "-q", "--allow-empty", "-m", f"beside {rounds}")
        run_git(git.top, "fetch", "-q", str(other), f"+refs/heads/*:refs/remotes/other{rounds % 3}/*")
        if rounds % 4 == 0:
            run_git(git.top, "gc", "-q")
        rounds += 1
    return rounds


@pytest.mark.parametrize("each", [5, pytest.param(25, marks=pytest.mark.torture)])
def test_sixteen_writers_beside_gc_commits_and_fetches_lose_nothing(git: Git, tmp_path: Path, each: int) -> None:
    other = new_repository(tmp_path / "other")
    writers = [start_writer(git, number, each) for number in range(16)]
    let_all_begin(writers)

    rounds = disturb(git, other.top, lambda: all(writer.poll() is not None for writer in writers))

    acknowledged = [line for writer in writers for line in writer.communicate()[0].splitlines()]
    assert [writer.returncode for writer in writers] == [0] * 16
    assert len(acknowledged) == 16 * each
    assert sorted(lines_of(git, head(git))) == sorted(line.encode() for line in acknowledged)
    assert rounds > 1
    assert_sound(git)


def test_the_same_writers_with_git_notes_append_lose_records(git: Git) -> None:
    """The proof that the test above can fail: what Git itself offers loses what it acknowledged."""
    loop = (
        'i=0; ok=0; while [ $i -lt 15 ]; do git notes --ref=amltool/runs append -m "$0-$i" HEAD 2>/dev/null'
        " && ok=$((ok+1)); i=$((i+1)); done; echo $ok"
    )
    writers = [
        subprocess.Popen(["sh", "-c", loop, str(number)], cwd=git.top, stdout=subprocess.PIPE, text=True)
        for number in range(12)
    ]

    acknowledged = sum(int(writer.communicate()[0]) for writer in writers)

    kept = [line for line in lines_of(git, head(git)) if line]
    assert len(kept) < acknowledged


def kill_once(git: Git, number: int, after_s: float) -> list[bytes]:
    """A writer and its gits are killed at some moment; what it had acknowledged."""
    writer = start_writer(git, number, 1000)
    let_all_begin([writer])
    assert writer.stdout is not None
    first = writer.stdout.readline()
    time.sleep(after_s)
    os.killpg(writer.pid, signal.SIGKILL)
    return [line.encode() for line in (first + writer.communicate()[0]).splitlines() if line.endswith("}")]


@pytest.mark.parametrize("times", [20, pytest.param(200, marks=pytest.mark.torture)])
def test_a_killed_writer_loses_nothing_it_acknowledged_and_blocks_nobody(
    git: Git, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refs, "STALE_S", 0.05)
    chance = random.Random(times)
    acknowledged: list[bytes] = []

    for number in range(times):
        acknowledged += kill_once(git, number, chance.uniform(0, 0.06))
        append_lines(git, {head(git): [f'{{"after": {number}}}'.encode()]})
        acknowledged.append(f'{{"after": {number}}}'.encode())

    there = lines_of(git, head(git))
    assert set(acknowledged) <= set(there)
    assert len(there) == len(set(there))
    assert all(json.loads(line) for line in there)
    assert not refs.stale_locks(git)
    assert_sound(git)


def test_a_writer_that_was_killed_between_the_refs_leaves_no_lock(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refs, "STALE_S", 0.05)
    append_lines(git, {head(git): [b'{"first": 1}']})
    before = refs.tip_of(git, HISTORY_REF)
    append_lines(git, {head(git): [b'{"second": 2}']})
    git.run("update-ref", HISTORY_REF, str(before))
    (git.common_dir / f"{HISTORY_REF}.lock").touch()

    append_lines(git, {head(git): [b'{"third": 3}']})

    assert not refs.stale_locks(git)
    assert refs.tip_of(git, HISTORY_REF) == refs.tip_of(git, NOTES_REF)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m,nr_inodes=400", "tmpfs", str(place)], capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"a full disk needs the right to mount one: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(filler: Path) -> None:
    """Write until the disk is full."""
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as handle:
        while True:
            handle.write(os.urandom(4096))


def test_a_full_disk_is_a_clear_error_and_the_history_is_as_it_was(small_disk: Path) -> None:
    git = new_repository(small_disk / "project", "--template=")
    record(git, {head(git): [b"one"]}, keep=[head(git)])
    filler = small_disk / "filler"
    fill(filler)

    with pytest.raises(UserError, match="No space left"):
        record(git, {head(git): [b'{"large": "%s"}' % os.urandom(20_000).hex().encode()]})

    assert lines_of(git, head(git)) == [b"one"]
    filler.unlink()
    record(git, {head(git): [b"two"]})
    assert lines_of(git, head(git)) == [b"one", b"two"]
    assert_sound(git)
