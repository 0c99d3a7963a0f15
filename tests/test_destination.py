"""Files brought to a folder: whatever lies in it already, nothing outside of it is written."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amltool.destination import Destination
from amltool.errors import UserError

PARTS = ["outputs", "models", "best.pt"]
METHODS = ["put", "write_at", "has", "reading", "begun", "move", "remove"]


def hard_link(place: Path, victim: Path) -> None:
    os.link(victim / "file", place)


PLANTS: dict[str, Callable[[Path, Path], None]] = {
    "link to the victim": lambda place, victim: place.symlink_to(victim),
    "relative link": lambda place, victim: place.symlink_to(os.path.relpath(victim, place.parent)),
    "link to a file": lambda place, victim: place.symlink_to(victim / "file"),
    "link to what is not there yet": lambda place, victim: place.symlink_to(victim / "new"),
    "hard link": hard_link,
    "FIFO": lambda place, _: os.mkfifo(place),
    "file": lambda place, _: place.write_bytes(b"old"),
    "folder": lambda place, _: place.mkdir(),
}


def shown(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(PLANTS)),
    st.integers(1, 3),
    st.sampled_from(METHODS),
)
def test_a_victim_outside_stays_byte_for_byte(plant: str, depth: int, what: str) -> None:
    with tempfile.TemporaryDirectory() as made:
        victim, folder = Path(made, "victim"), Path(made, "into")
        (victim / "models").mkdir(parents=True)
        for name in ("file", "best.pt", "models/best.pt"):
            (victim / name).write_bytes(b"precious")
        before = shown(victim)
        place = folder.joinpath(*PARTS[:depth])
        place.parent.mkdir(parents=True)
        PLANTS[plant](place, victim)
        destination = Destination(folder)
        with contextlib.suppress(OSError, UserError):
            if what == "put":
                destination.put(PARTS, [b"new", b"er"])
            elif what == "write_at":
                destination.write_at(PARTS, b"newer", 3)
            elif what == "has":
                destination.has(PARTS)
            elif what == "begun":
                with destination.begun(PARTS) as stream:
                    stream.write(b"newer")
            elif what == "move":
                destination.put(["source"], [b"newer"])
                destination.move(["source"], PARTS)
            elif what == "remove":
                destination.remove(PARTS)
            else:
                with destination.reading(PARTS) as stream:
                    assert stream.read() != b"precious" or plant == "hard link"
        assert shown(victim) == before
        if what == "put" and depth == len(PARTS) and plant != "folder":
            assert place.read_bytes() == b"newer"
        assert not [path for path in folder.rglob("*.tmp") if not path.is_symlink()]


def test_a_link_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "into").mkdir()
    (tmp_path / "into" / "outputs").symlink_to(tmp_path)
    with pytest.raises(UserError, match="into/outputs is a link"):
        Destination(tmp_path / "into").put(PARTS, [b"new"])


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "into").symlink_to("real")
    Destination(tmp_path / "into").put(PARTS, [b"new"])
    assert (tmp_path / "real" / "outputs" / "models" / "best.pt").read_bytes() == b"new"


def test_a_file_grows_where_it_was_put(tmp_path: Path) -> None:
    destination = Destination(tmp_path)
    destination.put(PARTS, [b"one\n"])
    destination.write_at(PARTS, b"two\n", 4)
    with destination.reading(PARTS) as stream:
        assert stream.read() == b"one\ntwo\n"
