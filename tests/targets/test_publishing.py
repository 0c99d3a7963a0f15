"""The publication of a run while it goes on, in a store in memory, as its driver sends it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from amltool.artifact import STORED_HERE
from amltool.errors import TargetError, UserError
from amltool.history.journal import RunRequest, RunState, Step
from amltool.hosts.local import LocalHost
from amltool.layout import CONSOLE_FILE, METRICS_FILE, HostLayout
from amltool.run import ProjectNames, RunRecord, RunStatus
from amltool.targets import publishing
from amltool.targets.publishing import Publication
from amltool.targets.recording import record_of
from amltool.testing.live_stores import RUN, FakeLiveStore
from tests.waiting import wait_until

REQUEST = RunRequest(
    run_id=RUN, run_number=1, created="2026-12-01T04:00:00.000Z", user="Ada", project=ProjectNames(name="iris"),
    prefix="", source_directory=".", profile="sdk", commit="0123abc" + "0" * 33, tree="b" * 40,
    base_commit="0123abc" + "0" * 33, dirty=False, script="train.py", command=[], arguments=[],
    run_configuration="local", run_configuration_content={}, framework="Python", target="local", target_type="local",
    compute="", max_artifact_size=1000,
)  # fmt: skip


class Store(FakeLiveStore):
    """Counts, and fails while it is ``away``."""

    away = False
    asked = 0

    def publish(self, run_id: str, state: bytes) -> None:
        self._answer()
        super().publish(run_id, state)

    def append(self, run_id: str, path: str, position: int, content: bytes) -> int:
        self._answer()
        return super().append(run_id, path, position, content)

    def lengths(self, run_id: str) -> dict[str, int]:
        self._answer()
        return super().lengths(run_id)

    def _answer(self) -> None:
        self.asked += 1
        if self.away:
            raise TargetError("The store is away.", "Wait.")


class Launcher:
    def live_work(self, host: LocalHost, folder: Any) -> PurePosixPath:
        return PurePosixPath(folder.work)


class Target(msgspec.Struct):
    host: Any
    launcher: Launcher


class Run(msgspec.Struct, dict=True):
    """The part of a `Drive` that is looked at."""

    target: Target
    request: RunRequest
    state: RunState
    folder: Any
    said: list[str] = []

    @property
    def watcher(self) -> Run:
        return self

    def say(self, message: str) -> None:
        self.said.append(message)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "LOOK_S", 0.01)
    monkeypatch.setattr(publishing, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(publishing, "LONGEST_PAUSE_S", 0.02)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    host = LocalHost(tmp_path)
    folder = HostLayout(host.root).run(RUN)
    Path(folder.logs).mkdir(parents=True)
    return Run(Target(host, Launcher()), REQUEST, RunState(step=Step.LAUNCHED, status=RunStatus.RUNNING), folder)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def publication(run: Run, store: Store) -> Iterator[Publication]:
    made = Publication(run, lambda: store)  # type: ignore[arg-type]
    made.begin()
    yield made
    made.leave()


def written(run: Run, path: str, content: bytes, mode: str = "ab") -> None:
    with (Path(run.folder.path) / path).open(mode) as stream:
        stream.write(content)


def record(run: Run) -> RunRecord:
    return record_of(run.request, replace(run.state, status=RunStatus.COMPLETED))


def shown(store: Store) -> dict[str, bytes]:
    return dict(store.files.get(RUN, {}))


def test_what_a_run_writes_is_shown_as_it_grows(run: Run, store: Store, publication: Publication) -> None:
    written(run, CONSOLE_FILE, b"one\n")
    written(run, METRICS_FILE, b'{"name": "loss"}\n')
    (Path(run.folder.logs) / "deep").mkdir()
    written(run, "work/logs/deep/a.log", b"epoch 1\n")
    wait_until(lambda: len(shown(store)) == 3)
    written(run, CONSOLE_FILE, b"two\n" * 1_000_000)
    wait_until(lambda: shown(store)[CONSOLE_FILE] == b"one\n" + b"two\n" * 1_000_000)
    assert shown(store)["logs/deep/a.log"] == b"epoch 1\n"
    assert json.loads(store.states[RUN])["status"] == "Running"


def test_each_status_is_shown_and_the_record_at_the_end(run: Run, store: Store, publication: Publication) -> None:
    wait_until(lambda: RUN in store.states)
    run.state = replace(run.state, step=Step.COLLECTED, status=RunStatus.FINALIZING)
    publication.note()
    wait_until(lambda: json.loads(store.states[RUN])["status"] == "Finalizing")
    written(run, CONSOLE_FILE, b"one\n")
    publication.finish(record(run))
    said = json.loads(store.states[RUN])
    assert (said["event"], said["run_id"], said["commit"]) == ("run", RUN, REQUEST.commit)
    assert shown(store) == {}
    assert run.said == []


def test_who_takes_over_goes_on_where_the_files_end(run: Run, store: Store) -> None:
    written(run, CONSOLE_FILE, b"one\ntwo\n")
    store.append(RUN, CONSOLE_FILE, 0, b"one\n")  # by a client that was killed then
    second = Publication(run, lambda: store)  # type: ignore[arg-type]
    second.begin()
    wait_until(lambda: shown(store)[CONSOLE_FILE] == b"one\ntwo\n")
    store.append(RUN, CONSOLE_FILE, 8, b"three\n")  # it was not dead after all
    written(run, CONSOLE_FILE, b"three\nfour\n")
    wait_until(lambda: shown(store)[CONSOLE_FILE] == b"one\ntwo\nthree\nfour\n")
    second.leave()


def test_a_store_that_is_away_is_said_once_and_loses_nothing(run: Run, store: Store, publication: Publication) -> None:
    written(run, CONSOLE_FILE, b"one\n")
    wait_until(lambda: CONSOLE_FILE in shown(store))
    store.away = True
    written(run, CONSOLE_FILE, b"two\n")
    asked = store.asked
    wait_until(lambda: store.asked > asked + 5)
    store.away = False
    wait_until(lambda: shown(store)[CONSOLE_FILE] == b"one\ntwo\n")
    assert run.said == ["Other clones may not see this run as it goes on. The store is away."]


def test_a_store_that_stays_away_holds_up_no_end(
    run: Run, store: Store, publication: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "FINISH_S", 0.1)
    store.away = True
    publication.finish(record(run))
    assert len(run.said) == 1


def test_a_folder_that_is_gone_holds_up_no_end_at_all(
    run: Run, store: Store, publication: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "FINISH_S", 10_000.0)
    wait_until(lambda: RUN in store.states)

    def gone(run_id: str) -> None:
        raise UserError(f"There is no place for {run_id}.", "Mount it.")

    monkeypatch.setattr(store, "finish", gone)
    publication.finish(record(run))
    assert len(run.said) == 1


def test_a_file_that_began_anew_is_shown_as_it_is(run: Run, store: Store, publication: Publication) -> None:
    written(run, "work/logs/status", b"long ago")
    wait_until(lambda: shown(store).get("logs/status") == b"long ago")
    written(run, "work/logs/status", b"now", "wb")
    wait_until(lambda: shown(store).get("logs/status") == b"now")


def test_what_is_no_file_or_too_large_is_not_shown(run: Run, store: Store, publication: Publication) -> None:
    (Path(run.folder.logs) / "link").symlink_to("/etc/passwd")
    written(run, "work/logs/large", b"x" * 1001)
    written(run, "work/logs/small", b"x" * 1000)
    wait_until(lambda: "logs/small" in shown(store))
    assert set(shown(store)) == {"logs/small"}


def test_a_name_that_the_store_cannot_have_stops_no_other(run: Run, store: Store, publication: Publication) -> None:
    folder = Path(run.folder.logs).joinpath(*["x" * 200] * 6)
    folder.mkdir(parents=True)
    (folder / "a").write_text("content")
    written(run, "work/logs/z", b"content")
    wait_until(lambda: "logs/z" in shown(store))
    assert run.said == []


def test_nothing_is_done_for_the_store_of_a_clone_alone(run: Run) -> None:
    from amltool.stores import open_live
    from amltool.stores.base import Access

    alone = Publication(run, lambda: open_live(STORED_HERE, Access()))  # type: ignore[arg-type]
    alone.begin()
    alone.finish(record(run))
    assert run.said == []


def test_a_run_that_never_began_is_taken_back(run: Run, store: Store, publication: Publication) -> None:
    wait_until(lambda: RUN in store.states)
    publication.withdraw()
    assert store.states == {}
