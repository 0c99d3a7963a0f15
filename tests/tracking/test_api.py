"""What each call of the tracking API writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from amltool import tracking
from tests.tracking.run_folder import RunFolder


def test_a_metric_has_a_value_and_maybe_a_step(inside: RunFolder) -> None:
    tracking.log_metric("accuracy", 0.9, step=1)
    tracking.log_metric("accuracy", 0.97)

    assert inside.logged() == [("metric", "accuracy", 0.9, 1), ("metric", "accuracy", 0.97, None)]


def test_a_metric_that_is_an_array_is_a_list(inside: RunFolder) -> None:
    numpy = pytest.importorskip("numpy")

    tracking.log_metric("recall", numpy.array([1.0, 0.5]))

    assert inside.logged() == [("list", "recall", [1.0, 0.5], None)]


def test_metrics_are_logged_together(inside: RunFolder) -> None:
    tracking.log_metrics({"accuracy": 0.9, "loss": 0.1}, step=2)

    assert inside.logged() == [("metric", "accuracy", 0.9, 2), ("metric", "loss", 0.1, 2)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2], [1, 2]),
        ((number for number in range(3)), [0, 1, 2]),
        ({"a": 1}.items(), [["a", 1]]),
        (map(str, [1, 2]), ["1", "2"]),
        ("text", ["text"]),
        (5, [5]),
        ([], []),
    ],
)
def test_a_list_is_anything_that_can_be_gone_through(inside: RunFolder, values: Any, expected: Any) -> None:
    tracking.log_list("values", values)

    assert inside.logged() == [("list", "values", expected, None)]


def test_a_row_may_have_a_column_called_name(inside: RunFolder) -> None:
    tracking.log_row("class", name="setosa", f1=1.0)
    tracking.log_row(name="class", f1=0.9)

    assert [entry[1:3] for entry in inside.logged()] == [
        ("class", {"name": "setosa", "f1": 1.0}),
        ("class", {"f1": 0.9}),
    ]


def test_a_row_without_a_name_is_refused() -> None:
    with pytest.raises(TypeError, match="log_row takes the name"):
        tracking.log_row()


def test_a_table_is_a_list_for_each_column(inside: RunFolder) -> None:
    tracking.log_table("scores", {"label": ["a", "b"], "f1": (1, 2), "n": 3})

    assert inside.logged() == [("table", "scores", {"label": ["a", "b"], "f1": [1, 2], "n": [3]}, None)]


def test_parameters_and_tags(inside: RunFolder) -> None:
    tracking.log_parameter("lr", 0.1)
    tracking.log_parameters({"seed": 3})
    tracking.tag("baseline")
    tracking.tag("reviewed by", "Ada")

    assert [entry[:3] for entry in inside.logged()] == [
        ("parameter", "lr", 0.1),
        ("parameter", "seed", 3),
        ("tag", "baseline", None),
        ("tag", "reviewed by", "Ada"),
    ]


def test_the_run_knows_its_id_and_folders(inside: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZUREML_NATIVE_SHARE_DIRECTORY", "/shared/")
    monkeypatch.chdir("/")

    assert tracking.run_id() == "20261121T081502-3f9c2ab-k4qd"
    assert tracking.outputs_directory() == str(inside.work / "outputs")
    assert tracking.share_directory() == "/shared/"


def test_outside_a_run_there_is_no_id_but_a_folder_to_write_to(tmp_path: Path) -> None:
    assert tracking.run_id() is None
    assert tracking.share_directory() is None
    assert Path(tracking.outputs_directory()).is_dir()
    assert tracking.outputs_directory() == str(tmp_path / "outputs")


@pytest.mark.parametrize("arguments", [{}, {"path": "a.png", "plot": object()}])
def test_an_image_is_a_path_or_a_plot(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="log_image takes one of path and plot"):
        tracking.log_image("picture", **arguments)


def test_importing_it_loads_nothing_of_ours_but_itself() -> None:
    script = "import sys, amltool.tracking; print(*sorted(n for n in sys.modules if n.startswith('amltool')))"

    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()

    assert loaded == [
        "amltool",
        "amltool.tracking",
        "amltool.tracking.outputs",
        "amltool.tracking.recording",
        "amltool.tracking.values",
    ]
