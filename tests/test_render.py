"""What others wrote is made harmless before it reaches a terminal."""

from __future__ import annotations

import pytest

from amltool.artifact import Metric
from amltool.commands.verdicts import NOTHING, VerdictReport
from amltool.render import check_text, duration, harmless, number, run_text, runs_table, size, table, verdict_text
from amltool.run import Run, RunRecord, RunStatus, Verdict

EVIL = "\x1b[31mred\x1b[0m\n\u202e\x07"


def run(**changes: object) -> Run:
    record = RunRecord(run_id="20261121T081502-3f9c2ab-k4qd", status=RunStatus.COMPLETED, **changes)  # type: ignore[arg-type]
    return Run(record, {EVIL: EVIL})


def test_control_characters_of_a_note_never_reach_the_terminal() -> None:
    evil = run(script=EVIL, host=EVIL, user=EVIL, reason=EVIL, metrics={EVIL: Metric(last=EVIL, count=1)})
    for text in (run_text(evil), runs_table([evil], []), table((EVIL,), [[EVIL]])):
        assert "\x1b" not in text
        assert "\x07" not in text
        assert "\u202e" not in text


def test_harmless_keeps_ordinary_text() -> None:
    assert harmless("Größe 1 µm, 数") == "Größe 1 µm, 数"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.1234567, "0.123457"),
        (3, "3"),
        (True, "True"),
        ("NaN", "NaN"),
        ([1.0, 2.5], "1, 2.5"),
        ("x" * 99, "x" * 47 + "…"),
    ],
)
def test_metrics_are_shown_short(value: object, shown: str) -> None:
    assert number(value) == shown


def test_sizes_and_durations_are_for_people() -> None:
    assert (size(0), size(1536), size(5 << 30), size(None)) == ("0 B", "1.5 KB", "5.0 GB", "?")
    assert (duration(4.892), duration(3723.5), duration(None)) == ("0:00:04.892", "1:02:03.500", "N/A")


def test_a_narrow_terminal_holds_every_run_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amltool.tables.WIDE", 60)
    metrics = {name: Metric(last=0.5, min=0.5, max=0.5, count=1) for name in ("accuracy", "loss")}
    one = run(script="train.py", target="local", started="2026-11-21T08:15:02.123Z", metrics=metrics)

    header, row = runs_table([one], []).splitlines()

    assert header.split() == ["run", "status", "script", "accuracy"]
    assert row.split() == [one.run_id, "Completed", "train.py", "0.5"]


def test_a_wide_one_shows_every_column() -> None:
    assert "started" in runs_table([run(started="2026-11-21T08:15:02.123Z")], [])


def test_a_problem_without_a_remedy_leaves_no_gap() -> None:
    limits = {"max_size": 1, "max_files": None, "profile": "sdk"}
    problem = {"level": "error", "message": "a.compute:1: wrong", "remedy": ""}
    report = {"size": 0, "files": 0, "limits": limits, "ignore_file": None, "problems": [problem, problem]}

    assert "\n\n\n" not in check_text(report)


def test_a_verdict_on_nothing_says_what_was_compared() -> None:
    assert "only how they ended" in verdict_text(VerdictReport(Verdict.NOT_COMPARABLE, (), (), (NOTHING,)))


def test_no_runs_yet_says_how_to_make_one() -> None:
    assert "amltool submit" in runs_table([], [])
