"""The verdict of a rerun: what counts, what does not, and what is said about the causes."""

from __future__ import annotations

import json
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amltool.artifact import Artifact, Metric, Omission
from amltool.commands.findings import Finding, compare_value
from amltool.commands.judging import LONGEST_SENTENCE, MOST_SENTENCES, told
from amltool.commands.verdicts import NOTHING, Left, VerdictReport, compare_runs
from amltool.run import (
    EXACTLY,
    EnvironmentUsed,
    FolderFile,
    LongList,
    RunRecord,
    RunStatus,
    SharedFolder,
    Tolerances,
    Verdict,
)

ORIGINAL = RunRecord(
    run_id="20261121T081502-3f9c2ab-k4qd",
    status=RunStatus.COMPLETED,
    exit_code=0,
    script="train.py",
    arguments=["--lr", "0.1"],
    target="local",
    target_type="local",
    host="laptop",
    commit="3f9c2ab" + "0" * 33,
    tree="1" * 40,
    artifacts=[Artifact("console.log", 3, "a" * 64), Artifact("outputs/model.pkl", 5, "b" * 64)],
    metrics={"accuracy": Metric(0.96, 2, 0.91, 0.96)},
    environment=EnvironmentUsed("k", "c" * 64, None),
)
SERIES = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5)


def changed(**changes) -> RunRecord:
    return msgspec.structs.replace(ORIGINAL, run_id="20261121T081502-3f9c2ab-zzzz", rerun_of=ORIGINAL.run_id, **changes)


def outputs(*pairs: tuple[str, str]) -> dict:
    return {"artifacts": [Artifact(f"outputs/{path}", 5, digest * 64) for path, digest in pairs]}


def metrics(**values) -> dict:
    found = {}
    for name, value in values.items():
        found[name] = value if isinstance(value, Metric) else Metric(value, 1)
    return {"metrics": found}


def series(metric: Metric, name: str) -> list[dict]:
    first = metric.last if metric.min is None else metric.min
    values = [first] * (metric.count - 1) + [metric.last]
    return [
        {"kind": "image" if "outputs/" in str(value) else "metric", "name": name, "value": value} for value in values
    ]


def left(record: RunRecord, artifacts: list[Artifact] | None = None) -> Left:
    """What such a record's run left, with the lines it logged."""
    lines = [line for name, metric in record.metrics.items() for line in series(metric, name)]
    content = b"\n".join(msgspec.json.encode(line) for line in lines)
    found = Left.by(record, artifacts)
    if found.artifacts is None:
        return found
    logged = Artifact("metrics.jsonl", len(content), "e" * 64)
    return replace(
        found, artifacts=[*found.artifacts, logged], contents=lambda one: [content] if one == logged else None
    )


def compare(
    original: RunRecord, rerun: RunRecord, tolerances: Tolerances = EXACTLY, artifacts=(None, None), **more
) -> VerdictReport:
    return compare_runs(left(original, artifacts[0]), left(rerun, artifacts[1]), tolerances, **more)


def verdict(rerun: RunRecord, original: RunRecord = ORIGINAL, tolerances: Tolerances = EXACTLY) -> Verdict:
    return compare(original, rerun, tolerances).verdict


def causes(rerun: RunRecord, original: RunRecord = ORIGINAL, **more) -> list[str]:
    """Of a rerun whose model differs."""
    differing = msgspec.structs.replace(rerun, **outputs(("model.pkl", "f")))
    return list(compare(original, differing, **more).causes)


class TestReproduced:
    def test_equal_outputs_metrics_and_exit_are_reproduced(self):
        report = compare(ORIGINAL, changed())
        assert report.verdict is Verdict.REPRODUCED
        assert report.causes == ()
        assert all(row.same for row in (*report.outputs, *report.metrics))

    def test_console_logs_and_times_do_not_count(self):
        artifacts = [Artifact("console.log", 9, "f" * 64), Artifact("logs/x", 1, "f" * 64), ORIGINAL.artifacts[1]]
        assert verdict(changed(artifacts=artifacts, duration_s=99.0, host="other")) is Verdict.REPRODUCED

    def test_a_failure_that_fails_again_in_the_same_way_is_reproduced(self):
        failed = msgspec.structs.replace(ORIGINAL, status=RunStatus.FAILED, exit_code=7)
        # its console, by which it is known that it failed in the same way, is the same
        assert verdict(changed(status=RunStatus.FAILED, exit_code=7), failed) is Verdict.REPRODUCED

    @pytest.mark.parametrize("value", ["NaN", "Infinity", None, True, "text", [1, "NaN"], {"a": [1.0]}])
    def test_a_value_equals_itself_whatever_it_is(self, value):
        original = msgspec.structs.replace(ORIGINAL, **metrics(m=value))
        assert verdict(changed(**metrics(m=value)), original) is Verdict.REPRODUCED

    def test_a_plot_that_is_named_after_the_time_it_was_drawn_is_the_same_plot(self):
        original = msgspec.structs.replace(
            ORIGINAL, **outputs(("roc_1795255502.png", "b")), **metrics(roc="outputs/roc_1795255502.png")
        )
        rerun = changed(**outputs(("roc_1795255999.png", "b")), **metrics(roc="outputs/roc_1795255999.png"))
        assert verdict(rerun, original) is Verdict.REPRODUCED

    @given(SERIES)
    def test_every_series_reproduces_itself(self, values):
        logged = metrics(m=Metric(values[-1], len(values), min(values), max(values)))
        original = msgspec.structs.replace(ORIGINAL, **logged)
        assert verdict(changed(**logged), original) is Verdict.REPRODUCED


class TestDiffers:
    @pytest.mark.parametrize(
        "change",
        [
            outputs(("model.pkl", "f")),
            outputs(),
            outputs(("model.pkl", "b"), ("more.txt", "f")),
            metrics(accuracy=Metric(0.95, 2, 0.91, 0.96)),
            metrics(accuracy=Metric(0.96, 2, 0.90, 0.96)),
            metrics(accuracy=Metric(0.96, 3, 0.91, 0.96)),
            metrics(accuracy=Metric("NaN", 2, 0.91, 0.96)),
            metrics(),
            {"exit_code": 1, "status": RunStatus.FAILED},
            {"exit_code": None, "signal": "SIGKILL", "status": RunStatus.FAILED},
        ],
        ids=[
            "changed output",
            "missing output",
            "new output",
            "last",
            "min",
            "count",
            "nan",
            "missing metric",
            "exit",
            "signal",
        ],
    )
    def test_what_differs_is_told(self, change):
        assert verdict(changed(**change)) is Verdict.DIFFERS

    def test_true_is_not_one(self):
        original = msgspec.structs.replace(ORIGINAL, **metrics(m=True))
        assert verdict(changed(**metrics(m=1)), original) is Verdict.DIFFERS

    def test_a_tolerance_does_not_excuse_an_output(self):
        assert verdict(changed(**outputs(("model.pkl", "f"))), tolerances=Tolerances(rtol=1.0)) is Verdict.DIFFERS

    def test_the_worst_of_all_decides(self):
        rerun = changed(**outputs(("model.pkl", "f")), **metrics(accuracy=Metric(0.9600001, 2, 0.91, 0.9600001)))
        assert verdict(rerun, tolerances=Tolerances(rtol=0.1)) is Verdict.DIFFERS


class TestWithinTolerance:
    def test_metrics_within_the_tolerance_with_equal_outputs_are_within_tolerance(self):
        rerun = changed(**metrics(accuracy=Metric(0.9601, 2, 0.9099, 0.9601)))
        assert verdict(rerun, tolerances=Tolerances(rtol=0.001)) is Verdict.WITHIN_TOLERANCE
        assert verdict(rerun, tolerances=Tolerances(atol=0.001)) is Verdict.WITHIN_TOLERANCE
        assert verdict(rerun, tolerances=Tolerances(rtol=0.00001)) is Verdict.DIFFERS

    def test_equal_runs_are_reproduced_whatever_the_tolerance(self):
        assert verdict(changed(), tolerances=Tolerances(rtol=0.5, atol=0.5)) is Verdict.REPRODUCED

    def test_numbers_in_lists_and_tables_have_the_tolerance_too(self):
        original = msgspec.structs.replace(ORIGINAL, **metrics(m={"a": [1.0, 2.0], "b": ["x", "y"]}))
        close, far = {"a": [1.0, 2.001], "b": ["x", "y"]}, {"a": [1.0, 2.001], "b": ["x", "z"]}
        assert verdict(changed(**metrics(m=close)), original, Tolerances(rtol=0.01)) is Verdict.WITHIN_TOLERANCE
        assert verdict(changed(**metrics(m=far)), original, Tolerances(rtol=0.01)) is Verdict.DIFFERS

    def test_lists_of_other_lengths_differ(self):
        original = msgspec.structs.replace(ORIGINAL, **metrics(m=[1, 2]))
        assert verdict(changed(**metrics(m=[1, 2, 3])), original, Tolerances(atol=9.0)) is Verdict.DIFFERS

    def test_infinity_is_within_no_tolerance_of_a_number(self):
        original = msgspec.structs.replace(ORIGINAL, **metrics(m="Infinity"))
        assert verdict(changed(**metrics(m=1e300)), original, Tolerances(rtol=1e9, atol=1e9)) is Verdict.DIFFERS

    def test_a_number_too_large_for_a_float_does_no_harm(self):
        assert compare_value(10**400, 10**400 + 1, Tolerances(rtol=0.1)) is Finding.DIFFERS

    def test_an_ignored_output_that_differs_is_within_tolerance(self):
        rerun = changed(**outputs(("model.pkl", "f")))
        for pattern in ("*.pkl", "model.pkl", "outputs/*"):
            assert verdict(rerun, tolerances=Tolerances(ignored_outputs=(pattern,))) is Verdict.WITHIN_TOLERANCE
        assert verdict(rerun, tolerances=Tolerances(ignored_outputs=("*.txt",))) is Verdict.DIFFERS

    def test_an_ignored_output_that_is_equal_stays_reproduced(self):
        assert verdict(changed(), tolerances=Tolerances(ignored_outputs=("*",))) is Verdict.REPRODUCED

    def test_an_ignored_metric_that_differs_is_within_tolerance(self):
        rerun = changed(**metrics(accuracy=Metric(0.96, 2, 0.91, 0.96), seconds=3.0))
        assert verdict(rerun, tolerances=Tolerances(ignored_metrics=("sec*",))) is Verdict.WITHIN_TOLERANCE


class TestNotComparable:
    @pytest.mark.parametrize(
        "change",
        [
            {"status": RunStatus.CANCELED},
            {"status": RunStatus.RUNNING},
            {"status": RunStatus.FAILED, "exit_code": None, "reason": "the host restarted"},
        ],
        ids=["canceled", "running", "lost"],
    )
    def test_a_run_that_did_not_come_to_its_end_is_not_comparable(self, change):
        assert verdict(changed(**change)) is Verdict.NOT_COMPARABLE
        assert verdict(changed(), msgspec.structs.replace(ORIGINAL, **change)) is Verdict.NOT_COMPARABLE

    def test_it_says_which_run_and_why(self):
        lost = changed(status=RunStatus.FAILED, exit_code=None, reason="the host restarted")
        [cause] = compare(ORIGINAL, lost).causes
        assert cause == "the rerun did not come to an end of its own: Failed (the host restarted)"

    def test_a_list_of_artifacts_that_is_not_here_cannot_be_compared(self):
        rerun = changed(artifacts=LongList(300, 1, "0" * 64, "artifacts.json"))
        assert verdict(rerun) is Verdict.NOT_COMPARABLE
        given_both = compare(ORIGINAL, rerun, artifacts=(ORIGINAL.artifacts, ORIGINAL.artifacts))
        assert given_both.verdict is Verdict.REPRODUCED

    def test_an_output_too_large_to_collect_cannot_be_compared(self):
        gap = {"omitted": [Omission("outputs/huge.bin", 600, "over 512 MB")]}
        original = msgspec.structs.replace(ORIGINAL, **gap)
        report = compare(original, changed(**gap))
        assert report.verdict is Verdict.NOT_COMPARABLE
        assert "outputs/huge.bin" in report.not_compared[0]

    def test_of_another_size_it_differs(self):
        original = msgspec.structs.replace(ORIGINAL, omitted=[Omission("outputs/huge.bin", 600, "over 512 MB")])
        rerun = changed(omitted=[Omission("outputs/huge.bin", 601, "over 512 MB")])
        assert verdict(rerun, original) is Verdict.DIFFERS

    def test_one_that_only_one_run_left_differs(self):
        assert verdict(changed(omitted=[Omission("outputs/x", 600, "over 512 MB")])) is Verdict.DIFFERS

    def test_to_ignore_it_settles_it(self):
        gap = {"omitted": [Omission("outputs/huge.bin", 600, "over 512 MB")]}
        original = msgspec.structs.replace(ORIGINAL, **gap)
        ignoring = Tolerances(ignored_outputs=("huge.bin",))
        assert verdict(changed(**gap), original, ignoring) is Verdict.WITHIN_TOLERANCE

    def test_a_link_that_nobody_read_cannot_be_compared(self):
        gap = {"omitted": [Omission("outputs/latest", None, "it is a link out of the run folder")]}
        report = compare(msgspec.structs.replace(ORIGINAL, **gap), changed(**gap))
        assert report.verdict is Verdict.NOT_COMPARABLE
        [said] = report.not_compared
        assert said.startswith("outputs/latest: not collected in either run (it is a link")

    def test_a_run_that_left_nothing_cannot_be_compared(self):
        nothing = {"artifacts": [], "metrics": {}}
        report = compare(msgspec.structs.replace(ORIGINAL, **nothing), changed(**nothing))
        assert (report.verdict, report.causes) == (Verdict.NOT_COMPARABLE, (NOTHING,))

    def test_a_series_that_is_not_here_cannot_be_compared(self):
        report = compare_runs(ORIGINAL, changed())
        assert report.verdict is Verdict.NOT_COMPARABLE
        assert report.not_compared[0].startswith("metrics.jsonl: not compared value by value")

    @pytest.mark.parametrize("reason", ["time-out after 2 s", "out of memory", "stopped with docker stop"])
    def test_a_run_that_was_ended_did_not_come_to_its_end(self, reason):
        ended = {"status": RunStatus.FAILED, "exit_code": 0, "reason": reason}
        assert verdict(changed(**ended), msgspec.structs.replace(ORIGINAL, **ended)) is Verdict.NOT_COMPARABLE

    def test_a_log_that_was_not_collected_does_not_count(self):
        assert verdict(changed(omitted=[Omission("logs/huge.log", 600, "over 512 MB")])) is Verdict.REPRODUCED

    def test_a_long_list_of_gaps_cannot_be_compared(self):
        gaps = {"omitted": LongList(201, 1, "0" * 64, "omitted.json")}
        assert verdict(changed(**gaps), msgspec.structs.replace(ORIGINAL, **gaps)) is Verdict.NOT_COMPARABLE

    def test_what_certainly_differs_is_said_before_what_is_unknown(self):
        gap = {"omitted": [Omission("outputs/huge.bin", 600, "over 512 MB")]}
        original = msgspec.structs.replace(ORIGINAL, **gap)
        assert verdict(changed(**gap, **outputs(("model.pkl", "f"))), original) is Verdict.DIFFERS


class TestCauses:
    def lock(self, version: str) -> bytes:
        return json.dumps({"packages": [{"name": "numpy", "version": version}]}).encode()

    def test_changed_packages_are_named(self):
        rerun = changed(environment=EnvironmentUsed("k", "d" * 64, None))
        found = causes(rerun, locks=(self.lock("1.26.4"), self.lock("2.0.0")))
        assert found == ["the environment differs: numpy 1.26.4 -> 2.0.0"]

    def test_a_lock_that_is_not_here_is_said(self):
        rerun = changed(environment=EnvironmentUsed("k", "d" * 64, None))
        assert causes(rerun) == ["the environment differs (its lock is not here)"]

    def test_another_image_is_said(self):
        rerun = changed(environment=EnvironmentUsed("k", "c" * 64, "sha256:1"))
        assert causes(rerun) == ["the image differs: none -> sha256:1"]

    def test_what_the_shared_folder_held_at_the_start_is_compared(self):
        def share(*files):
            return SharedFolder("/s/", "/s/", at_start=list(files))

        original = msgspec.structs.replace(
            ORIGINAL,
            shared_folder=share(FolderFile("a", 1, "t"), FolderFile("b", 1, "t"), FolderFile("c", 1, "t", "x")),
        )
        rerun = changed(shared_folder=share(FolderFile("a", 2, "t"), FolderFile("c", 1, "u", "x"), FolderFile("d", 1)))
        said = "the shared folder held something else at the start: a changed, b is gone, d is new"
        assert causes(rerun, original) == [said]

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"tree": "2" * 40}, "the files differ: tree 111111111111 -> 222222222222"),
            ({"arguments": ["--lr", "0.2"]}, "the arguments differ"),
            ({"run_configuration_content": {"Framework": "x"}}, "the run configuration differs: Framework"),
            ({"target": "docker", "target_type": "d"}, "the compute target differs: local (local) -> docker (d)"),
            ({"host": "server"}, "it ran on another machine: laptop -> server"),
        ],
        ids=["tree", "arguments", "configuration", "target", "host"],
    )  # fmt: skip
    def test_what_was_asked_for_otherwise_is_said(self, change, said):
        assert causes(changed(**change)) == [said]

    def test_another_ending_is_said_first(self):
        report = compare(ORIGINAL, changed(exit_code=None, signal="SIGSEGV", status=RunStatus.FAILED))
        assert report.causes[0] == "it ended otherwise: exit code 0 -> SIGSEGV"

    @pytest.mark.parametrize(
        "script",
        [b"import numpy as np\n", b"import os, random\n", b"from sklearn.linear_model import X\n", b"  import torch\n"],
    )
    def test_a_script_that_is_random_and_sets_no_seed_is_suspected(self, script):
        [cause] = causes(changed(), script=script)
        assert cause.startswith("no seed seems to be set")

    @pytest.mark.parametrize(
        "script",
        [
            b"import numpy as np\nnp.random.seed(1)\n",
            b"import torch\ntorch.manual_seed(1)\n",
            b"from sklearn.svm import SVC\nSVC(random_state=0)\n",
            b"import numpy as np\nrng = np.random.default_rng(7)\n",
            b"print('hello')\n",
            b"\xff\xfe",
        ],
    )
    def test_other_scripts_are_not(self, script):
        assert not any("seed" in cause for cause in causes(changed(), script=script))

    def test_where_nothing_recorded_differs_it_says_so(self):
        [cause] = causes(changed())
        assert cause.startswith("nothing recorded differs")


def test_the_report_as_json_names_everything_that_was_compared():
    report = compare(ORIGINAL, changed(**outputs(("model.pkl", "f"))))
    content = json.loads(json.dumps(report.to_json()))
    assert content["verdict"] == "differs"
    assert content["outputs"] == [
        {"name": "outputs/model.pkl", "finding": "differs", "original": "b" * 64, "rerun": "f" * 64}
    ]
    assert content["metrics"][0]["finding"] == "same"


@given(st.lists(st.text(max_size=500), max_size=60))
def test_what_a_verdict_says_in_a_note_is_bounded(sentences):
    shown = told(sentences)
    assert len(msgspec.json.encode(shown)) <= 21 * (LONGEST_SENTENCE + 1) + 2
    assert len(shown) <= MOST_SENTENCES + 1
    if len(sentences) > MOST_SENTENCES:
        assert shown[-1] == f"and {len(sentences) - MOST_SENTENCES} more"


def test_every_line_for_people_names_what_it_is_about():
    rerun = changed(**outputs(("model.pkl", "f"), ("new.txt", "a")), **metrics(accuracy=Metric(0.5, 2, 0.91, 0.96)))
    report = compare(ORIGINAL, rerun)
    assert [row.text() for row in (*report.outputs, *report.metrics)] == [
        "outputs/model.pkl: differs (bbbbbbbbbbbb -> ffffffffffff)",
        "outputs/new.txt: only in the rerun",
        "accuracy: 1 of 2 values differ, first value 2: 0.96 -> 0.5",
    ]
    assert {row.finding for row in report.outputs} == {Finding.DIFFERS, Finding.NEW}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(VALUES, VALUES)
def test_any_two_values_can_be_compared_and_zero_tolerance_means_equal(was, now):
    original = msgspec.structs.replace(ORIGINAL, **metrics(m=Metric(was, 1)))
    found = compare(original, changed(**metrics(m=Metric(now, 1)))).verdict
    assert found in (Verdict.REPRODUCED, Verdict.DIFFERS)
    if found is Verdict.REPRODUCED:
        assert was == now or isinstance(was, str)
