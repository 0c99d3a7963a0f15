"""A record is at most 16 KB in a note, whatever was asked for and logged, and nothing of it is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amltool.artifact import Artifact, Metric, Omission
from amltool.commands.artifacts import artifacts_of, whole_run
from amltool.configuration.secrets import as_recorded
from amltool.history.journal import RunRequest, RunState
from amltool.history.validation import read_event
from amltool.layout import LARGEST_RECORD, LocalLayout
from amltool.run import (
    Exit,
    FolderFile,
    LongList,
    ProjectNames,
    Run,
    RunRecord,
    SettingsUsed,
    SharedFolder,
    WholeRecord,
    event_to_line,
    fold,
)
from amltool.stores import open_store
from amltool.targets.bounding import bounded
from amltool.targets.recording import record_of

RUN_ID = "20261121T081502-3f9c2ab-k4qd"
COMMIT = "3f9c2ab" + "0" * 33

text = st.text(st.characters(codec="utf-8"), max_size=40)
long_text = st.one_of(text, st.builds(lambda word, times: (word or "é") * times, text, st.integers(1, 3000)))
names = st.one_of(text, st.builds(lambda number: f"name {number} " + "n" * 900, st.integers(0, 50)))
number = st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False))
value = st.one_of(number, long_text, st.lists(number, max_size=3000), st.dictionaries(names, long_text, max_size=8))
many = st.integers(0, 400)


def numbered(count: int, make: Any) -> dict[str, Any]:
    return {f"key {at}": make(at) for at in range(count)}


def texts(values: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, str]]:
    return st.one_of(
        st.dictionaries(names, values, max_size=6),
        st.builds(lambda count: numbered(count, lambda at: f"value {at}"), many),
    )


def metric(last: Any) -> Metric:
    return Metric(last, 3, last, last) if isinstance(last, (int, float)) else Metric(last, 3)


metrics = st.one_of(
    st.dictionaries(names, st.builds(metric, value), max_size=5),
    st.builds(lambda count: numbered(count, metric), st.integers(0, 2000)),
)
path = st.builds(lambda at, length: f"outputs/{at}/{'p' * length}", st.integers(0, 9), st.integers(1, 250))
artifacts = st.lists(st.builds(Artifact, path, st.just(3), st.just("a" * 64)), max_size=200)
omitted = st.lists(st.builds(Omission, path, st.none(), long_text), max_size=50)
files = st.lists(st.builds(FolderFile, path, st.integers(0, 9)), max_size=200)

argument = st.one_of(st.binary(max_size=60), st.builds(lambda word, times: word * times, st.binary(max_size=9), many))
argument = argument.map(lambda word: word.replace(b"\0", b""))

requests = st.builds(
    RunRequest, run_id=st.just(RUN_ID), run_number=st.just(1), created=st.just("2026-11-21T08:15:02.123Z"),
    user=long_text, project=st.builds(ProjectNames, long_text, long_text, long_text), prefix=st.just("."),
    source_directory=st.just("."), profile=st.just("sdk"), commit=st.just(COMMIT), tree=st.just("1" * 40),
    base_commit=st.just(COMMIT), dirty=st.just(False), script=long_text, command=st.just([]),
    arguments=st.one_of(st.lists(argument, max_size=9), st.builds(lambda n: [b"argument"] * n, many)),
    run_configuration=text, run_configuration_content=st.dictionaries(names, value, max_size=5),
    environment_variables=texts(long_text), framework=text, target=text, target_type=text, compute=text,
    compute_effect=st.dictionaries(names, value, max_size=5), max_artifact_size=st.integers(1, 2**40),
    artifact_store=st.none() | long_text, timeout_s=st.none() | st.floats(1, 1e6), sweep_id=st.none() | long_text,
)  # fmt: skip
states = st.builds(
    RunState, host=long_text, metrics=metrics, parameters=texts(long_text), tags=texts(long_text), artifacts=artifacts,
    omitted=omitted, end=st.builds(Exit, exit_code=st.just(0), reason=st.none() | long_text), application_id=text,
    shared_folder=st.none() | st.builds(SharedFolder, long_text, long_text, files, files),
)  # fmt: skip


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """As much of an opened project as finding artifacts needs; nothing has to survive a power cut."""
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr("os.fsync", lambda _: None)
    layout = LocalLayout(tmp_path_factory.mktemp("clone"))
    project = SimpleNamespace(settings=SimpleNamespace(artifact_store=None))
    yield SimpleNamespace(git=SimpleNamespace(layout=layout), project=project)
    monkeypatch.undo()


def noted(record: RunRecord, opened: Any) -> Run:
    """The run as the history gives it back."""
    line = event_to_line(bounded(record, lambda: open_store(None, opened.git.layout.store)))
    assert len(line) <= LARGEST_RECORD
    event = read_event(line)
    assert isinstance(event, RunRecord)
    return fold(event, ())


def kept(whole: RunRecord, record: RunRecord, opened: Any) -> RunRecord:
    """The whole record with its long lists read from the store."""
    store = open_store(None, opened.git.layout.store)

    def read(entries: Any, kind: type) -> Any:
        if not isinstance(entries, LongList):
            return entries
        with store.open(entries.sha256) as stream:
            return msgspec.json.decode(stream.read(), type=list[kind])

    share = whole.shared_folder
    if share is not None:
        at_start, at_end = read(share.at_start, FolderFile), read(share.at_end, FolderFile)
        share = msgspec.structs.replace(share, at_start=at_start, at_end=at_end)
    return msgspec.structs.replace(
        whole,
        artifacts=read(whole.artifacts, Artifact),
        omitted=read(whole.omitted, Omission),
        shared_folder=share,
    )


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(requests, states)
def test_any_request_and_state_give_a_line_that_round_trips_by_way_of_the_store(
    opened: Any, request: RunRequest, state: RunState
) -> None:
    record = record_of(request, state)
    run = noted(record, opened)
    whole = whole_run(opened, run).record

    assert (run.record.run_id, run.record.status, run.record.commit) == (record.run_id, record.status, record.commit)
    assert artifacts_of(opened, run) == record.artifacts
    assert kept(whole, record, opened) == record


def test_a_short_record_is_left_alone_and_needs_no_store() -> None:
    record = RunRecord(run_id=RUN_ID, status="Completed", metrics={"a": Metric(1.0, 1, 1.0, 1.0)})
    assert bounded(record, lambda: pytest.fail("no store is needed")) is record


def test_numbers_stay_in_the_record_beside_a_long_list_and_a_long_text(opened: Any) -> None:
    record = RunRecord(
        run_id=RUN_ID, commit=COMMIT, status="Completed", parameters={"config": "z" * 1_000_000, "lr": "0.1"},
        metrics={"predictions": Metric([n / 7 for n in range(200_000)], 1), "accuracy": Metric(0.9, 1, 0.9, 0.9)},
    )  # fmt: skip
    short = noted(record, opened).record
    assert short.metrics["accuracy"] == record.metrics["accuracy"]
    assert isinstance(short.whole, WholeRecord)
    assert short.metrics["predictions"].last == {
        "count": 200_000, "bytes": short.whole.bytes, "sha256": short.whole.sha256, "path": "record.json",
    }  # fmt: skip
    assert (short.parameters["lr"], short.parameters["config"][:3], short.whole.keys) == (
        "0.1", "zzz", ["metrics", "parameters"],
    )  # fmt: skip


def test_files_become_a_long_list_and_stay_files(opened: Any) -> None:
    files = [Artifact(f"outputs/{number:03}", 1, "a" * 64) for number in range(200)]
    run = noted(RunRecord(run_id=RUN_ID, commit=COMMIT, status="Completed", artifacts=files), opened)
    assert isinstance(run.record.artifacts, LongList)
    assert run.record.whole is msgspec.UNSET
    assert artifacts_of(opened, run) == files


def test_a_whole_record_of_another_run_is_not_believed(opened: Any) -> None:
    store = open_store(None, opened.git.layout.store)
    other = bounded(RunRecord(run_id=RUN_ID[:-4] + "zzzz", commit=COMMIT, status="Completed", user="u" * 20_000),
                    lambda: store)  # fmt: skip
    forged = fold(msgspec.structs.replace(other, run_id=RUN_ID), ())
    assert whole_run(opened, forged) is forged


FROM_ELSEWHERE = {
    "v": "the version of the journal's form",
    "prefix": "is project.path",
    "command": "is script and arguments",
    "interpreted": "is told by the script's mode in the commit",
    "conda_dependencies_file": "is in run_configuration_content, and its default with the version of amltool",
    "spark_dependencies_file": "is in run_configuration_content, and its default with the version of amltool",
    "keep_run_folders": "is about what stays on the host after the run",
    "tolerances": "are in the verdict, which they are about",
    "tracked": "is true of every run that has a record",
}
"""Fields of a request that are not in the record, with the reason."""
UNDER_ANOTHER_NAME = {"compute": "compute", "compute_effect": "compute"}


def test_every_field_of_a_request_is_in_the_record_or_there_is_a_reason() -> None:
    known = {*RunRecord.__struct_fields__, *SettingsUsed.__struct_fields__, *FROM_ELSEWHERE, *UNDER_ANOTHER_NAME}
    assert set(RunRequest.__struct_fields__) - known == set()


@pytest.mark.parametrize(
    ("name", "written", "kept"),
    [
        ("RATE", "0.5", "0.5"),
        ("API_TOKEN", "abc123", "${env:API_TOKEN}"),
        ("API_TOKEN", "${env:OTHER}", "${env:OTHER}"),
        ("DB_PASSWORD", "", ""),
        ("HTTPS_PROXY", "http://me:pw@proxy", "${env:HTTPS_PROXY}"),
        ("HTTPS_PROXY", "http://me:${env:PW}@proxy", "http://me:${env:PW}@proxy"),
        ("HTTPS_PROXY", "http://proxy:80", "http://proxy:80"),
    ],
)
def test_a_secret_in_plain_text_is_a_reference_in_the_record(name: str, written: str, kept: str) -> None:
    assert as_recorded({name: written}) == {name: kept}


def test_no_secret_of_a_request_is_in_its_record(tmp_path: Path) -> None:
    request = RunRequest(
        run_id=RUN_ID, run_number=1, created="", user="", project=ProjectNames(), prefix=".", source_directory=".",
        profile="sdk", commit=COMMIT, tree="", base_commit="", dirty=False, script="", command=[], arguments=[],
        run_configuration="", run_configuration_content={}, environment_variables={"API_TOKEN": "canary"},
        framework="", target="", target_type="", compute="", max_artifact_size=1,
    )  # fmt: skip
    assert b"canary" not in event_to_line(record_of(request, RunState()))
