"""Queries on the run history: one that does not fit is a sentence; the limit and the best metric are kept to."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from amltool.artifact import Metric
from amltool.commands.queries import query_runs
from amltool.errors import UserError
from amltool.run import Run, RunRecord, RunStatus
from tests.amltool_command import amltool, make_project

LOGS = "import amltool.tracking as t, sys\nt.log_metric('loss', int(sys.argv[1]))\n"


def record_with(**metrics: Any) -> RunRecord:
    named = {name: Metric(last=value, min=None, max=None, count=1) for name, value in metrics.items()}
    return RunRecord(run_id="20261121T081502-3f9c2ab-k4qd", status=RunStatus.COMPLETED, script="t.py", metrics=named)


QUERIES = [
    "[?a > 'x']", "[?script_name > `1`]", "sort_by(@, &a)", "foo(@)", "length()", "[?a==", "", " ", "[::0]", "(" * 2000,
    "&a", "sum([].run_id)", "[?run_id < run_number]", "join(',', [].a)", "\x1b[31m", "{a: }",
]  # fmt: skip


@pytest.fixture(scope="module")
def queried(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    records = [record_with(a=value) for value in (1, "s", None)]
    return [Run(record, {}) for record in records]


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_that_does_not_fit_is_a_sentence(queried: list[Run], query: str) -> None:
    with pytest.raises(UserError, match="The query cannot be used: "):
        query_runs(queried, query)


@given(some.text(alphabet="[]?@&|.`'\"(){}<>=!abc012,:* ", max_size=12))
@settings(deadline=None, max_examples=300)
def test_any_query_gives_a_value_or_a_sentence(query: str) -> None:
    with contextlib.suppress(UserError):
        json.dumps(query_runs([Run(record_with(a=1, b="x"), {}), Run(record_with(a="s"), {})], query))


def test_a_query_sees_as_many_runs_as_the_limit_says(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project", {"t.py": LOGS})
    ids = [json.loads(amltool(folder, "submit", "t.py", "--json", "--", str(n)).stdout)["run_id"] for n in (2, 1)]

    def asked(*words: str) -> Any:
        return json.loads(amltool(folder, "runs", *words, "--json").stdout)

    assert asked("--query", "[].run_id") == [ids[1], ids[0]]
    assert asked("--query", "[].run_id", "--limit", "1") == [ids[1]]
    for words in (["--best", "-loss"], ["--best=-loss"]):
        assert [run["run_id"] for run in asked(*words)] == [ids[1], ids[0]]
    assert [run["run_id"] for run in asked("--best", "loss", "-n", "1")] == [ids[0]]
    for wrong in (["--best", "-n", "1"], ["--best="], ["--best", "-"]):
        done = amltool(folder, "runs", *wrong, check=False)
        assert done.returncode == 1, wrong
        assert "--best" in done.stderr
