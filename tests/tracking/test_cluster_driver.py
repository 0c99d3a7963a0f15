"""Zip files with which a project reaches the nodes of a cluster, and the guard of what its script starts there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amltool.tracking import processes
from amltool.tracking.cluster_driver import pack, unpack
from tests.components import mounts
from tests.waiting import wait_until

NAMES = st.text(alphabet="abcé -_.", min_size=1, max_size=8).filter(lambda name: name not in (".", ".."))
FILES = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=3).map(tuple), st.tuples(st.binary(max_size=40), st.booleans()), max_size=6
)


@given(FILES)
@settings(deadline=None, max_examples=50)
def test_a_project_comes_out_as_it_went_in(
    tmp_path_factory: object, files: dict[tuple[str, ...], tuple[bytes, bool]]
) -> None:
    top = tmp_path_factory.mktemp("packed")  # type: ignore[attr-defined]
    source, target = top / "source", top / "target"
    source.mkdir()
    for parts, (content, executable) in files.items():
        path = source.joinpath(*parts)
        if any(parent.is_file() for parent in path.parents) or path.is_dir():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o755 if executable else 0o644)

    pack(str(source), str(top / "x.zip"))
    target.mkdir()
    unpack(str(top / "x.zip"), str(target))

    assert _files(target) == _files(source)


def test_links_stay_links_and_folders_at_the_top_can_be_left_out(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "sub/outputs").mkdir(parents=True)
    (source / "outputs").mkdir()
    (source / "outputs/old.txt").write_text("old")
    (source / "sub/outputs/kept.txt").write_text("kept")
    (source / "link").symlink_to("sub")
    (source / "file-link").symlink_to("sub/outputs/kept.txt")

    pack(str(source), str(tmp_path / "x.zip"), without=("outputs",))
    target.mkdir()
    unpack(str(tmp_path / "x.zip"), str(target))

    assert sorted(_files(target)) == ["file-link", "link", "sub/outputs/kept.txt"]
    assert (target / "link").readlink() == Path("sub")


DRIVER = """
import os, subprocess, sys, time
from amltool.tracking import processes
from amltool.tracking.cluster_driver import Guard
guard = Guard(processes)
script = "import os, time; os.fork() or os.setsid(); open(str(os.getpid()), 'x'); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", script], start_new_session=True, preexec_fn=guard.watch)
if sys.argv[1] == "ended":
    while len([name for name in os.listdir(".") if name.isdigit()]) < 2:
        time.sleep(0.01)
    child.kill()
    guard.end()
else:
    child.wait()
"""


@pytest.mark.parametrize("how", ["ended", "killed"])
@pytest.mark.skipif(not processes.LINUX, reason="a cluster's nodes run Linux")
def test_what_a_script_started_in_a_container_ends_with_it_or_with_its_driver(tmp_path: Path, how: str) -> None:
    root = str(Path(__file__).parents[2])
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, how], cwd=tmp_path, env={**os.environ, "PYTHONPATH": root})
    if how == "killed":
        wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
        driver.send_signal(signal.SIGKILL)
    driver.wait()

    pids = [int(path.name) for path in tmp_path.iterdir()]
    assert len(pids) == 2
    wait_until(lambda: not any(mounts.is_alive(pid) for pid in pids))


def _files(folder: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for place, folders, names in os.walk(folder):
        for name in names + [each for each in folders if (Path(place) / each).is_symlink()]:
            path = Path(place) / name
            key = str(path.relative_to(folder))
            found[key] = path.readlink() if path.is_symlink() else (path.read_bytes(), path.stat().st_mode)
    return found
