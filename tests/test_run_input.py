"""Inputs of a run: their names and places, as they are made and as a record from elsewhere may say them."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import tempfile
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amltool.layout import HostLayout
from amltool.run_input import RunInput, fault_of, file_name, inputs_in, is_input_name
from amltool.tracking.framing import framed, message, read_message
from amltool.tracking.input_files import WrongBytesError, place_input, receive

RUN = "20261201T000000-3f9c2ab-aaaa"
CONTENT = b"weights"
GOOD = RunInput(name="model", file="model.pkl", size=len(CONTENT), sha256=sha256(CONTENT).hexdigest(), run_id=RUN)
odd = st.text(alphabet=st.sampled_from("ab./\\\0 \n-_~é\u202e"), max_size=12)


@given(st.one_of(odd, st.text(max_size=300)))
def test_an_input_never_lies_outside_of_its_own_folder(path: str) -> None:
    made = RunInput(name="model", file=file_name(path, "model"), size=1, sha256="0" * 64)
    assert fault_of([made]) is None
    folder = HostLayout(PurePosixPath("/root")).run(RUN)
    place = made.place(folder)
    assert place.parent == folder.inputs / "model"
    assert os.path.normpath(place) == str(place)


@given(odd)
def test_a_name_is_one_part_of_a_path_and_of_a_variable(name: str) -> None:
    if is_input_name(name):
        assert "/" not in name
        assert RunInput(name=name, file="f", size=1, sha256="").variable.isidentifier()


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["name", "file", "size", "sha256", "store", "run_id", "path", "asset", "version"]),
        st.one_of(odd, st.none(), st.integers(), st.lists(odd, max_size=2), st.just("../../.ssh/authorized_keys")),
    )
)
def test_what_a_foreign_record_says_is_an_input_or_an_error(changes: dict[str, Any]) -> None:
    try:
        found = inputs_in([{**GOOD.to_record(), **changes}])
    except ValueError:
        return
    folder = HostLayout(PurePosixPath("/root")).run(RUN)
    assert [each.place(folder).parent.parent for each in found] == [folder.inputs]
    assert os.path.normpath(found[0].place(folder)) == str(found[0].place(folder))


def test_what_is_recorded_is_read_back() -> None:
    assert inputs_in([GOOD.to_record()]) == [GOOD]
    with pytest.raises(ValueError, match="twice"):
        inputs_in([GOOD.to_record(), GOOD.to_record()])


def asked(**changes: Any) -> dict[str, Any]:
    return {"run": RUN, "name": "model", "file": "model.pkl", "size": 7, "sha256": GOOD.sha256, **changes}


@settings(deadline=None, max_examples=100)
@given(name=odd, file=odd)
def test_nothing_is_written_outside_of_the_inputs_of_the_run(name: str, file: str) -> None:
    with tempfile.TemporaryDirectory() as made:
        root = Path(made, "root")
        try:
            place_input(str(root), asked(name=name, file=file), [CONTENT])
        except (WrongBytesError, OSError):
            files = []
        else:
            files = [root / "runs" / RUN / "inputs" / name / file]
        assert [each for each in Path(made).rglob("*") if each.is_file()] == files


def test_it_may_be_placed_again(tmp_path: Path) -> None:
    for _ in range(2):
        place_input(str(tmp_path), asked(), [CONTENT[:3], CONTENT[3:]])
    [place] = [each for each in tmp_path.rglob("*") if each.is_file()]
    assert place.read_bytes() == CONTENT
    assert not stat.S_IMODE(place.stat().st_mode) & 0o222


@pytest.mark.parametrize("content", [b"", b"other", CONTENT + b"more", b"weighty"])
def test_other_bytes_never_get_the_name(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(WrongBytesError):
        place_input(str(tmp_path), asked(), [content])
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == []


@pytest.mark.parametrize("planted", ["runs", f"runs/{RUN}", f"runs/{RUN}/inputs", f"runs/{RUN}/inputs/model"])
def test_no_link_on_the_way_is_followed(tmp_path: Path, planted: str) -> None:
    victim, root = tmp_path / "victim", tmp_path / "root"
    (victim / RUN / "inputs/model").mkdir(parents=True)
    (victim / "inputs/model").mkdir(parents=True)
    (victim / "model").mkdir()
    (root / planted).parent.mkdir(parents=True)
    (root / planted).symlink_to(victim)
    with contextlib.suppress(OSError):
        place_input(str(root), asked(), [CONTENT])
    assert [each for each in victim.rglob("*") if each.is_file()] == []


def test_over_the_network_it_is_said_how_it_ended(tmp_path: Path) -> None:
    said: list[bytes] = []
    request = message({"root": str(tmp_path), **asked()})
    for content, answer in ((b"weighty", "refused"), (CONTENT, "done")):
        receive(io.BytesIO(request + framed(content) + framed(b"")).read, said.append)
        assert answer in read_message(io.BytesIO(said.pop()).read)
    assert (tmp_path / "runs" / RUN / "inputs/model/model.pkl").read_bytes() == CONTENT
