"""Files that are handed over come to lie in outputs, and nowhere else."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amltool import tracking
from amltool.tracking import outputs
from tests.tracking.run_folder import RunFolder


class Plot:
    def savefig(self, stream: Any, format: str) -> None:
        stream.write(f"a picture as {format}".encode())


class Axes:
    figure = Plot()


@settings(max_examples=200, deadline=None)
@given(
    st.text(st.characters(exclude_categories=()), max_size=300) | st.sampled_from(["../../x", "/etc/x", "outputs/x"])
)
def test_no_name_leads_out_of_outputs(name: str) -> None:
    inside = outputs.name_inside(name)

    assert os.path.normpath(f"/top/{inside}") == f"/top/{inside}"
    assert all(0 < len(os.fsencode(part)) <= 220 for part in inside.split("/"))


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("model.pkl", "model.pkl"),
        ("outputs/model.pkl", "model.pkl"),
        ("./outputs/a/model.pkl", "a/model.pkl"),
        ("outputs", "outputs"),
        ("../../etc/passwd", "etc/passwd"),
        ("", "_"),
        ("..", "_"),
    ],
)
def test_a_name_is_below_outputs(name: str, inside: str) -> None:
    assert outputs.name_inside(name) == inside


@pytest.mark.parametrize("plot", [Plot(), Axes()])
def test_a_plot_is_saved_under_its_name_in_which_there_is_no_clock(inside: RunFolder, plot: Any) -> None:
    tracking.log_image("confusion matrix", plot=plot)

    assert inside.logged() == [("image", "confusion matrix", "outputs/confusion matrix.png", None)]
    assert (inside.work / "outputs" / "confusion matrix.png").read_text() == "a picture as png"


def test_two_plots_of_one_name_are_both_kept(inside: RunFolder) -> None:
    tracking.log_image("roc", plot=Plot())
    tracking.log_image("roc", plot=Plot())

    assert [value for _, _, value, _ in inside.logged()] == [
        "outputs/roc.png",
        "outputs/roc_1.png",
    ]


def test_a_picture_in_outputs_stays_where_it_is(inside: RunFolder) -> None:
    picture = inside.work / "outputs" / "plots" / "roc.png"
    picture.parent.mkdir()
    picture.write_bytes(b"PNG")

    tracking.log_image("roc", path="outputs/plots/roc.png")

    assert inside.logged() == [("image", "roc", "outputs/plots/roc.png", None)]
    assert outputs.files_so_far() == ["outputs/plots/roc.png"]


def test_a_picture_elsewhere_is_copied_and_replaces_no_other(inside: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "roc.png").write_bytes(b"new")
    (inside.work / "outputs" / "roc.png").write_bytes(b"old")

    tracking.log_image("roc", path=tmp_path / "roc.png")

    assert inside.logged() == [("image", "roc", "outputs/roc_1.png", None)]
    assert (inside.work / "outputs" / "roc_1.png").read_bytes() == b"new"
    assert (inside.work / "outputs" / "roc.png").read_bytes() == b"old"


def test_a_picture_that_is_not_there_is_a_warning(inside: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    tracking.log_image("roc", path="gone.png")

    assert "the image roc is not kept (FileNotFoundError" in capsys.readouterr().err
    assert not inside.metrics.exists()


def test_a_plot_that_cannot_be_drawn_is_a_warning(inside: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    tracking.log_image("roc", plot=object())

    assert "the image roc is not kept (AttributeError" in capsys.readouterr().err
    assert list((inside.work / "outputs").iterdir()) == []


def test_the_files_land_in_the_runs_outputs_wherever_the_script_went(inside: RunFolder, tmp_path: Path) -> None:
    os.chdir(tmp_path)

    outputs.keep_content("a/b.txt", b"text")

    assert (inside.work / "outputs" / "a" / "b.txt").read_bytes() == b"text"


def test_a_stream_is_kept_like_a_plot(inside: RunFolder) -> None:
    kept = outputs.keep_image("roc", io.BytesIO(b"PNG"), None)

    assert kept is not None
    assert (inside.work / kept).read_bytes() == b"PNG"


def test_what_could_not_be_written_leaves_nothing(inside: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("amltool.tracking.outputs.os.replace", full)

    with pytest.raises(OSError, match="No space left"):
        outputs.keep_content("model.bin", b"content")
    assert list((inside.work / "outputs").iterdir()) == []
