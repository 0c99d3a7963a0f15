"""The journal: what an unfinished run left is found again by any later process, or explained."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from amltool.errors import DamagedError, UserError
from amltool.history.journal import Journal, JournalEntry, RunRequest, RunState, Step
from amltool.layout import LocalLayout
from amltool.run import ProjectNames, RunStatus

RUN = "20261121T081502-3f9c2ab-k4qd"


def request(run_id: str = RUN) -> RunRequest:
    return RunRequest(
        run_id=run_id, run_number=1, created="", user="", project=ProjectNames(), prefix="", source_directory=".",
        profile="sdk", commit="c", tree="t", base_commit="c", dirty=False, script="train.py", command=[b"\xff"],
        arguments=[b"\xff"], run_configuration="local", run_configuration_content={}, framework="Python",
        target="local", target_type="local", compute="type: local", max_artifact_size=1,
    )  # fmt: skip


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(LocalLayout(tmp_path))


def test_a_request_comes_back_with_its_bytes(journal: Journal) -> None:
    journal.add(request())
    (entry,) = journal.entries()
    assert entry.request() == request()
    assert entry.state() == RunState()


def test_the_state_is_that_of_the_last_finished_step(journal: Journal) -> None:
    entry = journal.add(request())
    entry.save(RunState(step=Step.PLACED, status=RunStatus.PREPARING))
    found = journal.entry(RUN)
    assert found is not None
    assert found.state().step is Step.PLACED


def test_only_one_process_drives_a_run(journal: Journal) -> None:
    entry = journal.add(request())
    with entry.driven():
        assert True, "the first to drive it is who asked for it"
    started = multiprocessing.get_context("spawn").Event()
    other = multiprocessing.get_context("spawn").Process(target=hold, args=(entry.folder, started))
    other.start()
    started.wait(120)
    assert entry.is_driven()
    with pytest.raises(BlockingIOError), entry.driven():
        pass
    other.kill()
    other.join()
    with entry.driven():
        assert True, "the lock of a killed process is free"


def hold(folder: Path, started: object) -> None:
    with JournalEntry(folder).driven():
        started.set()  # type: ignore[attr-defined]
        time.sleep(60)


def test_whoever_looks_at_a_new_run_is_not_its_driver(journal: Journal) -> None:
    entry = journal.add(request())
    seen = journal.entry(entry.run_id)
    assert seen is not None
    assert seen.is_driven(), "before the one that asked for it drives it"
    with pytest.raises(BlockingIOError), seen.driven():
        pass
    with entry.driven():
        assert seen.is_driven()
    assert not seen.is_driven()
    with seen.driven(), pytest.raises(BlockingIOError), entry.driven():
        pass


def test_a_discarded_run_cannot_be_driven(journal: Journal) -> None:
    entry = journal.add(request())
    entry.discard()
    assert journal.entries() == []
    with pytest.raises(FileNotFoundError), entry.driven():
        pass


def test_an_entry_of_a_newer_version_says_so(journal: Journal) -> None:
    entry = journal.add(request())
    (entry.folder / "request.json").write_text('{"v": 99, "shape": "new"}')
    with pytest.raises(UserError, match="newer amltool"):
        entry.request()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"v": 1}'])
def test_a_damaged_entry_says_which_file_and_what_to_do(journal: Journal, content: bytes) -> None:
    entry = journal.add(request())
    (entry.folder / "request.json").write_bytes(content)
    with pytest.raises(DamagedError, match=r"request\.json.*damaged") as caught:
        entry.request()
    assert "amltool cancel" in caught.value.remedy


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_an_entry_that_is_no_file_is_damaged_and_waited_for_by_nobody(
    journal: Journal, make: Callable[[Path], None]
) -> None:
    entry = journal.add(request())
    for name in ("request.json", "cancel"):
        (entry.folder / name).unlink(missing_ok=True)
        make(entry.folder / name)
    assert [each.run_id for each in journal.entries()] == [RUN]
    assert entry.cancel_reason == ""
    with pytest.raises(DamagedError, match=r"request\.json.*damaged"):
        entry.request()


def test_a_half_made_entry_is_no_run(journal: Journal, tmp_path: Path) -> None:
    (tmp_path / "amltool" / "runs" / "half").mkdir(parents=True)
    assert journal.entries() == []


def test_a_disk_that_is_full_leaves_no_entry(journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("amltool.history.journal.write_whole", full)
    with pytest.raises(UserError, match="No space left"):
        journal.add(request())
    assert list((tmp_path / "amltool" / "runs").iterdir()) == []
