"""Advice is followed word for word: it has to help at once, and still after ``git add -A && git commit``."""

from __future__ import annotations

import random
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from amltool.commands.checking import check
from amltool.commands.opening import open_project
from tests.repositories import commit_all, git, make_repository, write_files

KB = 1024
CONFIGURATION = {
    "aml_config/local.compute": 'type: "local"\n',
    "aml_config/local.runconfig": (
        'Target: local\nArgumentVector: ["code/train.py"]\nCondaDependenciesFile: env/conda.yml\n'
    ),
    "aml_config/conda_dependencies.yml": "dependencies:\n  - python=3.11\n",
    "aml_config/more.md": "x\n",
    "env/conda.yml": "dependencies:\n  - python=3.11\n",
    "code/train.py": "print(1)\n",
    "main.py": "print(2)\n",
    "pyproject.toml": '[tool.amltool]\nscript = "main.py"\n[tool.amltool.limits]\nmax_size = "40 KB"\nmax_files = 20\n',
}
NEEDED = {*CONFIGURATION, ".amlignore", ".gitignore"} - {"aml_config/more.md"}


def follow(remedy: str, folder: Path) -> list[str]:
    """Add the lines to the files that remedy 1 names, run its command, and give the lines."""
    first = remedy.partition("  2. ")[0]
    files = re.findall(r"\.(?:git|aml)ignore", first.partition("add to ")[2].partition("\n")[0])
    lines = [line[5:] for line in first.split("\n") if line.startswith("     /")]
    assert lines, remedy
    for name in files:
        with (folder / name).open("a") as stream:
            stream.write("\n".join(["", *lines, ""]))
    for command in [line.strip() for line in first.split("\n") if line.startswith("     git ")]:
        subprocess.run(["bash", "-c", command], cwd=folder, check=True, capture_output=True)
    return lines


def problems(folder: Path, *, staged: bool = False) -> list[dict[str, Any]]:
    found = check(open_project(folder), staged=staged)
    return [each for each in found["problems"] if each["id"] in ("size", "files", "file-size")]


def make_heavy(folder: Path, seed: int) -> None:
    chance = random.Random(seed)
    names = ("data", "data/raw", "a b", "code", "it's", "*", "env", "ümlaut", "deep/er")
    for number in range(chance.randrange(15, 40)):
        name = chance.choice(names)
        size = chance.choice((10, 10, 100, 3 * KB, 30 * KB))
        write_files(folder, {f"{name}/f {number}.bin": "x" * size})


@pytest.mark.parametrize("ruling", [".amlignore", ".gitignore", None])
@pytest.mark.parametrize("seed", range(6))
def test_what_is_advised_helps_for_good_and_takes_away_nothing_a_run_needs(
    tmp_path: Path, seed: int, ruling: str | None
) -> None:
    folder = make_repository(tmp_path / "project", dict(CONFIGURATION))
    if ruling:
        write_files(folder, {ruling: "*.log\n"})
    make_heavy(folder, seed)
    if seed % 2:
        commit_all(folder)
    else:
        git(folder, "add", "-A")
    needed = set(check(open_project(folder), paths=True)["paths"]) & NEEDED
    lines: list[str] = []
    for _ in range(4):  # one piece of advice for each limit, and the ten heaviest may not be enough
        if found := problems(folder):
            lines += follow(found[0]["remedy"], folder)
    assert problems(folder) == []
    commit_all(folder)
    assert problems(folder) == problems(folder, staged=True) == []
    assert needed <= set(check(open_project(folder), paths=True)["paths"])
    for line in lines:
        tracked = git(folder, "--literal-pathspecs", "ls-files", "--", line.strip("/").replace("\\", ""))
        assert tracked == ""


def test_a_file_too_many_names_no_configuration(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "project", dict(CONFIGURATION))
    write_files(folder, {f"notes {number}.txt": "x" for number in range(13)})
    (found,) = problems(folder)
    assert "/aml_config" not in found["remedy"]
    assert "/code" not in found["remedy"]


def test_a_heavy_file_of_a_submodule_is_left_out_and_no_command_fails(tmp_path: Path) -> None:
    library = make_repository(tmp_path / "library", {"lib.py": "1\n", "big.bin": "x" * 50 * KB})
    folder = make_repository(tmp_path / "project", dict(CONFIGURATION))
    git(folder, "submodule", "--quiet", "add", str(library), "lib")
    commit_all(folder)
    (found,) = problems(folder)
    assert follow(found["remedy"], folder) == ["/lib/big.bin"]
    commit_all(folder)
    assert problems(folder) == []
    assert "lib/lib.py" in check(open_project(folder), paths=True)["paths"]


def test_single_files_over_their_limit_are_left_out_for_good(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "project", dict(CONFIGURATION))
    write_files(folder, {"pyproject.toml": '[tool.amltool]\nmax_file_size = "1 KB"\n', ".amlignore": ""})
    write_files(folder, {"data/big.bin": "x" * 5 * KB})
    commit_all(folder)
    (found,) = problems(folder)
    follow(found["remedy"], folder)
    commit_all(folder)
    assert problems(folder) == []
    assert git(folder, "ls-files", "data") == ""
