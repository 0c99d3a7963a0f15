from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
from pathlib import Path

import pytest

from amltool import __version__
from amltool.tasks import ns
from amltool.tasks.program import SENTENCE, AmltoolProgram
from tests.tasks.sample_project import Project, make_project


def test_its_version_is_told(project: Project) -> None:
    assert project.run("amltool", "--version").out == f"amltool {__version__}\n"


@pytest.mark.parametrize("line", [[], ["--help"]])
def test_help_begins_with_what_it_is_for_and_lists_the_tasks(project: Project, line: list[str]) -> None:
    ended = project.run("amltool", *line)

    assert ended.code == 0
    assert ended.out.startswith(SENTENCE)
    assert "submit" in ended.out


def test_an_unknown_task_is_refused_with_the_nearest_one(project: Project) -> None:
    ended = project.run("amltool", "submitt", "train.py")

    assert (ended.code, ended.err) == (
        1,
        "No idea what 'submitt' is!\nDid you mean submit? amltool --list names the tasks there are.\n",
    )


def test_an_option_before_the_task_that_cannot_be_read_is_a_sentence(project: Project) -> None:
    ended = project.run("amltool", "--command-timeout", "abc", "runs")

    assert (ended.code, "Traceback" in ended.err) == (1, False)
    assert "An option before the task" in ended.err


@pytest.mark.parametrize("line", [["submit", "--help"], ["--list"]])
def test_help_fits_a_narrow_terminal(project: Project, program: str, line: list[str]) -> None:
    terminal, ours = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 12, 0, 0))

    ended = subprocess.run(
        [*project.command(program), *line], cwd=project.folder, env=project.environment, stdout=ours,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    shown = os.read(terminal, 65536)
    os.close(ours)
    os.close(terminal)

    assert (ended.returncode, ended.stderr) == (0, b"")
    assert b"Run a script of this project." in shown


def test_a_broken_file_of_the_invoke_command_does_not_matter(project: Project, isolated_home: Path) -> None:
    (isolated_home / ".invoke.yaml").write_text("{")

    assert project.run("amltool", "doctor").code == 0


def test_bytecode_of_what_a_task_imports_is_kept(tmp_path: Path, program: str) -> None:
    project = make_project(tmp_path)

    assert project.run(program, "doctor", PYTHONDONTWRITEBYTECODE="").code == 0

    assert list(tmp_path.glob("__pycache__/late*.pyc"))


def test_no_bytecode_is_kept_where_python_was_told_so(tmp_path: Path, program: str) -> None:
    project = make_project(tmp_path)

    assert project.run(program, "doctor", PYTHONDONTWRITEBYTECODE="1").code == 0

    assert not list(tmp_path.glob("__pycache__/late*.pyc"))


@pytest.mark.parametrize("step", ["create_config", "parse_core", "parse_tasks", "update_config", "execute"])
def test_ctrl_c_ends_with_130_wherever_it_comes(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    program = AmltoolProgram(ns)
    monkeypatch.setattr(program, step, interrupted)

    with pytest.raises(SystemExit) as ended:
        program.run(["amltool", "--version"] if step == "create_config" else ["amltool", "runs"])

    assert ended.value.code == 130
