"""A clone of somebody else's repository: its files are read with care, and commands that only look run none of it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.amltool_command import LOCAL, amltool, make_project, submit
from tests.repositories import commit_all, git
from tests.tasks_in_process import faults, run_task

SCRIPT = "open('outputs/x.txt', 'w').write('x')\n"
LOOKING = (
    ("doctor",), ("doctor", "--json"), ("targets",), ("targets", "--check"), ("check",), ("check", "--list"), ("runs",),
    ("check", "--staged"), ("clean",), ("runconfig",), ("history.check",), ("prepare", "--target", "venv", "--check"),
    ("hooks.run", "pre-commit"), ("prepare", "--check"),
)  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project", {"train.py": SCRIPT})


def socket_at(place: Path) -> None:
    before = Path.cwd()
    os.chdir(place.parent)  # the name of a socket is at most 107 bytes
    try:
        socket.socket(socket.AF_UNIX).bind(place.name)
    finally:
        os.chdir(before)


def sparse(place: Path) -> None:
    with place.open("wb") as stream:
        stream.truncate(2 << 30)


ODD_FILES: dict[str, Callable[[Path], object]] = {
    "zero": lambda place: place.symlink_to("/dev/zero"),
    "fifo": os.mkfifo,
    "link to a fifo": lambda place: (
        os.mkfifo(place.with_name(f"{place.name}.pipe")),
        place.symlink_to(f"{place.name}.pipe"),
    ),
    "socket": socket_at,
    "2 GB": sparse,
    "loop": lambda place: place.symlink_to(place.name),
    "dangling": lambda place: place.symlink_to("nowhere"),
    "folder": Path.mkdir,
    "binary": lambda place: place.write_bytes(bytes(range(256)) * 10),
    "proc": lambda place: place.symlink_to("/proc/self/mem"),
}
FILES = (
    "aml_config/local.compute", "aml_config/local.runconfig", "aml_config/conda_dependencies.yml",
    "aml_config/project.yml", "aml_config/spark_dependencies.yml", "pyproject.toml", ".amlignore", ".gitignore",
    ".azureml/project.json", "aml_config/other.compute", "aml_config/project.json",
)  # fmt: skip
WITH_FILES = (("check",), ("doctor",), ("prepare", "--check"))
WITH_FILES_TOO = (
    ("check", "--staged"), ("targets",), ("targets", "--check"), ("runconfig",), ("runs",), ("clean",),
    ("runconfig", "new", "--target", "local"), ("hooks.run", "pre-commit"), ("attach", "local"),
)  # fmt: skip


def try_files(project: Path, kind: str, names: Sequence[str], commands: Sequence[tuple[str, ...]]) -> None:
    for name in names:
        place = project / name
        place.parent.mkdir(exist_ok=True)
        kept = place.read_bytes() if place.exists() else None
        place.unlink(missing_ok=True)
        ODD_FILES[kind](place)

        for words in commands:
            assert faults(run_task(project, *words), allowed=(0, 1, 10)) == [], (name, words)

        (project / "aml_config/new.runconfig").unlink(missing_ok=True)
        place.rmdir() if place.is_dir() and not place.is_symlink() else place.unlink()
        if kept is not None:
            place.write_bytes(kept)


@pytest.mark.parametrize(("first", "kind"), list(enumerate(ODD_FILES)))
def test_a_file_that_is_none_is_a_sentence(project: Path, first: int, kind: str) -> None:
    names = (FILES[0], *FILES[1 + first % 3 :: 3])
    try_files(project, kind, names, WITH_FILES)


@pytest.mark.torture
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ODD_FILES)
def test_a_file_that_is_none_is_a_sentence_of_every_command(project: Path, kind: str) -> None:
    try_files(project, kind, FILES, (*WITH_FILES, *WITH_FILES_TOO))


@pytest.mark.parametrize("kind", ["zero", "fifo", "2 GB", "loop"])
def test_a_compute_that_is_no_file_is_refused_by_submit(project: Path, kind: str) -> None:
    (project / "aml_config/local.compute").unlink()
    ODD_FILES[kind](project / "aml_config/local.compute")

    done = amltool(project, "submit", "--target", "local", "train.py", check=False)

    assert done.returncode == 1
    assert "local.compute" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_large_file_of_a_commit_is_refused_and_the_next_question_is_answered(project: Path) -> None:
    from amltool.git.command import Git, OversizedError

    (project / "large").write_bytes(b"x" * 3_000_000)
    commit_all(project)
    with Git.at(project).objects() as objects:
        with pytest.raises(OversizedError):
            objects.read("HEAD:large", 1000)
        assert objects.read("HEAD:train.py", 1000) == ("blob", SCRIPT.encode())
        assert objects.read("HEAD:train.py\nHEAD:large") is None
        assert objects.read("HEAD:train.py") == ("blob", SCRIPT.encode())


def test_a_link_within_the_repository_is_followed(project: Path) -> None:
    (project / "aml_config/local.compute").rename(project / "shared.txt")
    (project / "aml_config/local.compute").symlink_to("../shared.txt")
    commit_all(project)

    assert submit(project)["status"] == "Completed"


class TestOneBadCompute:
    @pytest.fixture
    def project(self, project: Path) -> Path:
        (project / "aml_config/gpu.compute").write_text('type: remotedocker\naddress: ""\nusername: ""\n')
        commit_all(project)
        return project

    def test_targets_lists_the_good_ones_and_names_it(self, project: Path) -> None:
        done = run_task(project, "targets")
        rows = json.loads(run_task(project, "targets", "--json").stdout)

        assert done.stdout.startswith("target")
        assert "local" in done.stdout
        assert "aml_config/gpu.compute:2" in done.stdout
        assert [(row["name"], row["error"] is None) for row in rows] == [("gpu", False), ("local", True)]

    def test_every_command_about_another_target_goes_on(self, project: Path) -> None:
        assert "target local" in run_task(project, "doctor").stdout
        assert run_task(project, "runconfig", "other", "--target", "local").exit_code == 0
        assert submit(project)["status"] == "Completed"
        assert run_task(project, "clean", "--yes").exit_code == 0

    def test_it_is_named_where_it_is_asked_for(self, project: Path) -> None:
        done = run_task(project, "clean", "--target", "gpu")

        assert (done.exit_code, "gpu.compute" in done.stderr) == (1, True)
        assert "gpu" in run_task(project, "clean").stderr


PLACES = {
    "relative": lambda clone: "./tool",
    "absolute": lambda clone: f"{clone}/tool",
    "by the current folder": lambda clone: "/proc/self/cwd/tool",
    "by a link": lambda clone: str(clone.parent / "link"),
    "upwards": lambda clone: f"aml_config/../../{clone.name}/tool",
    "another name": lambda clone: "tool",
}


@pytest.mark.parametrize("place", PLACES)
def test_who_only_looks_runs_no_file_of_the_repository(
    project: Path, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owned = tmp_path / "owned"
    (project / "tool").write_text(f'#!/bin/sh\ntouch {owned}\nexec python3 "$@"\n')
    (project / "tool").chmod(0o755)
    for name in ("sitecustomize.py", "usercustomize.py", "json.py", "amltool.py"):
        (project / name).write_text(f"open({str(owned)!r}, 'w')\n")
    location = PLACES[place](tmp_path / "clone")
    compute = LOCAL["aml_config/local.compute"] + f"pythonLocation: {location}\n"
    (project / "aml_config/local.compute").write_text(compute)
    (project / "aml_config/venv.compute").write_text(compute + "userManagedEnvironment: false\n")
    (project / "aml_config/venv.runconfig").write_text(LOCAL["aml_config/local.runconfig"].replace("local", "venv"))
    (project / ".gitattributes").write_text("* filter=owned diff=owned merge=owned\n")
    commit_all(project)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(project), str(clone))
    (tmp_path / "link").symlink_to(clone / "tool")
    if place == "another name":
        monkeypatch.setenv("PATH", f".:{clone}:{os.environ['PATH']}")

    for words in LOOKING:
        assert faults(run_task(clone, *words), allowed=(0, 1, 10)) == [], words
        assert not owned.exists(), words

    said = run_task(clone, "targets", "--check").stdout
    assert "was not run" in said


def test_an_interpreter_of_an_activated_environment_is_named_as_ever(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    (project / ".venv/bin").mkdir(parents=True)
    (project / ".venv/bin/python").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", f"{project}/.venv/bin:{os.environ['PATH']}")

    assert f"{project}/.venv/bin/python" in run_task(project, "doctor").stdout
