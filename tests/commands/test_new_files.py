"""New files outside outputs/ and logs/ are not kept: a run says so, once, with their number and where they lie."""

from __future__ import annotations

from pathlib import Path

from tests.amltool_command import amltool, make_project
from tests.amltool_command import submit as submitted

WRITES = """
import os
os.makedirs("checkpoints"); os.makedirs("pkg/__pycache__")
for name in ("checkpoints/1.pt", "checkpoints/2.pt", "outputs/kept.txt", "logs/kept.log", "pkg/__pycache__/x.pyc"):
    open(name, "w").write("x")
open("data.csv", "a").write("more")
os.symlink("../checkpoints/2.pt", "outputs/best.pt")
"""


def test_new_files_are_counted_and_named_once(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project", {"train.py": WRITES, "quiet.py": "print(1)\n", "data.csv": "a,b\n"})
    said = amltool(folder, "submit", "train.py").stderr
    assert said.count("1 new file lies outside outputs/ and logs/ and is not kept: checkpoints/1.pt.") == 1
    assert "/work; what is written to outputs/ is kept." in said
    assert '"left_behind":{"count":1,"examples":["checkpoints/1.pt"]}' in amltool(
        folder, "show", "@", "--json"
    ).stdout.replace(" ", "").replace("\n", "")
    assert submitted(folder, "quiet.py")["left_behind"] is None
