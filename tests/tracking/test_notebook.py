"""Real notebooks with a real kernel, in a run folder."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from amltool.tracking.notebook import executed_path
from tests.notebooks import notebook, printed
from tests.tracking.run_folder import RunFolder

Execute = Callable[..., "subprocess.CompletedProcess[str]"]


def command(python: Path, run: RunFolder, *arguments: str) -> list[str]:
    return [str(python), str(run.site.parent / "path/amltool/tracking/notebook.py"), *arguments]


@pytest.fixture
def execute(run: RunFolder, notebook_python: Path) -> Execute:
    def executed(
        content: str, *arguments: str, path: str = "a.ipynb", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        (run.work / path).parent.mkdir(exist_ok=True)
        (run.work / path).write_text(content)
        return subprocess.run(
            command(notebook_python, run, path, *arguments),
            cwd=run.work, env=run.environment(**variables), capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    return executed


def outcome(run: RunFolder, path: str = "a.ipynb") -> str:
    return (run.work / "outputs" / path).read_text()


def test_what_cells_print_is_on_the_console_and_in_the_executed_notebook(execute: Execute, run: RunFolder) -> None:
    ended = execute(
        notebook(
            "print('é☃')",
            "import os; os.system('echo from a child')",
            "import sys; print('bad', file=sys.stderr)",
            "6*7",
        )
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout in ("é☃\nfrom a child\n0\n42\n", "é☃\n0\nfrom a child\n42\n", "é☃\n0\n42\nfrom a child\n")
    assert ended.stderr == "bad\n"
    assert sorted(printed(outcome(run)).splitlines()) == ["bad", "from a child", "é☃"]


def test_what_child_processes_print_just_before_a_cell_is_over_is_not_lost(execute: Execute, run: RunFolder) -> None:
    cells = [f"_ = os.system('echo {number}; echo e{number} >&2')" for number in range(30)]

    ended = execute(notebook("import os", *cells))

    assert ended.returncode == 0, ended.stderr
    numbers = [str(number) for number in range(30)]
    assert ended.stdout.split() == numbers
    assert ended.stderr.split() == [f"e{number}" for number in numbers]
    assert sorted(printed(outcome(run)).split()) == sorted([*numbers, *(f"e{number}" for number in numbers)])


SLOW_READER = """
import os, sys, threading, time
read, reader = os.read, sys.stdout.watch_fd_thread
def slow(descriptor, size):
    found = read(descriptor, size)
    if threading.current_thread() is reader:
        time.sleep(0.5)
    return found
os.read = slow
_ = os.system("echo first")
"""


@pytest.mark.parametrize("end", ["", "; 1/0"])
def test_what_a_child_of_the_last_cell_printed_is_waited_for(execute: Execute, run: RunFolder, end: str) -> None:
    ended = execute(notebook(SLOW_READER, f"_ = os.system('echo late'){end}"))
    assert (ended.returncode, ended.stdout) == (int(bool(end)), "first\nlate\n")
    assert printed(outcome(run)) == "first\nlate\n"


def test_a_child_of_a_cell_that_fails_is_heard_to_its_end(execute: Execute) -> None:
    ended = execute(notebook("import os; os.system('seq 20000'); 1/0"))
    assert (ended.returncode, ended.stdout.split()) == (1, [str(number) for number in range(1, 20001)])


def test_what_a_thread_prints_when_its_cell_is_over_is_in_that_cell_or_a_later_one(
    execute: Execute, run: RunFolder
) -> None:
    late = "import threading, time; threading.Timer(0.3, print, ['late']).start()"
    ended = execute(notebook(late, "time.sleep(1); print('second')"))
    assert sorted(ended.stdout.split()) == ["late", "second"]
    assert sorted(printed(outcome(run)).split()) == ["late", "second"]


def test_a_cell_that_closes_its_streams_does_not_hold_the_run(execute: Execute) -> None:
    ended = execute(notebook("import os; print('said', flush=True); os.close(1); os.close(2)"))
    assert (ended.returncode, ended.stdout) == (0, "said\n")


def test_the_notebook_of_the_project_stays_as_it_is(execute: Execute, run: RunFolder) -> None:
    execute(content := notebook("print(1)"))
    assert (run.work / "a.ipynb").read_text() == content


def test_the_executed_notebook_lies_below_outputs_as_in_the_project(execute: Execute, run: RunFolder) -> None:
    (run.work / "notes").mkdir()
    (run.work / "notes" / "beside.py").write_text("x = 5")
    ended = execute(notebook("import beside, os; print(beside.x, os.getcwd())"), path="notes/a.ipynb")
    assert ended.stdout == f"5 {run.work}\n"
    assert printed(outcome(run, "notes/a.ipynb")) == ended.stdout


@pytest.mark.parametrize(
    ("path", "executed"),
    [("a.ipynb", "a.ipynb"), ("./b/a.ipynb", "b/a.ipynb"), ("outputs/a.ipynb", "a.ipynb"), ("/x/a.ipynb", "x/a.ipynb")],
)
def test_an_executed_notebook_has_one_place(path: str, executed: str) -> None:
    assert executed_path(path) == str(Path.cwd() / "outputs" / executed)


def test_output_comes_while_a_cell_still_runs(run: RunFolder, notebook_python: Path) -> None:
    (run.work / "a.ipynb").write_text(notebook("import time; print('now', flush=True); time.sleep(60)"))
    started = subprocess.Popen(
        command(notebook_python, run, "a.ipynb"), cwd=run.work, env=run.environment(), stdout=subprocess.PIPE
    )
    assert started.stdout is not None
    assert started.stdout.readline() == b"now\n"
    started.terminate()
    assert started.wait(120) == -signal.SIGTERM


def test_a_notebook_that_is_asked_to_end_keeps_what_was_done(run: RunFolder, notebook_python: Path) -> None:
    (run.work / "a.ipynb").write_text(notebook("print('first')", "import time; print('second'); time.sleep(60)"))
    started = subprocess.Popen(
        command(notebook_python, run, "a.ipynb"),
        cwd=run.work, env=run.environment(), stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert started.stdout is not None
    assert [started.stdout.readline(), started.stdout.readline()] == [b"first\n", b"second\n"]
    started.terminate()
    assert started.wait(120) == -signal.SIGTERM
    assert printed(outcome(run)) == "first\nsecond\n"


def test_a_cell_that_fails_ends_the_run_with_its_traceback(execute: Execute, run: RunFolder) -> None:
    ended = execute(notebook("print('one')", "1/0", "print('never')"))
    assert (ended.returncode, ended.stdout) == (1, "one\n")
    assert "ZeroDivisionError: division by zero\n" in ended.stderr
    assert "\x1b" not in ended.stderr
    assert ended.stderr.endswith("amltool: cell 2 of a.ipynb failed: ZeroDivisionError\n")
    assert [len(cell["outputs"]) for cell in json.loads(outcome(run))["cells"]] == [1, 1, 0]


@pytest.mark.parametrize(
    ("cell", "code"), [("sys.exit(3)", 3), ("sys.exit()", 0), ("sys.exit('bad luck')", 1), ("os._exit(7)", 7)]
)
def test_a_cell_that_exits_ends_the_run_as_a_script(execute: Execute, run: RunFolder, cell: str, code: int) -> None:
    ended = execute(notebook("print('one')", f"import os, sys; {cell}", "print('never')"))
    assert (ended.returncode, ended.stdout) == (code, "one\n")
    assert ("bad luck" in ended.stderr) == ("bad luck" in cell)
    assert printed(outcome(run)).startswith("one\n")


def test_a_killed_kernel_is_how_the_run_ended(execute: Execute, run: RunFolder) -> None:
    ended = execute(notebook("print('one')", "import os; os.kill(os.getpid(), 9)"))
    assert ended.returncode == -signal.SIGKILL
    assert ended.stderr == "amltool: the kernel of a.ipynb ended in cell 2 by signal 9\n"
    assert printed(outcome(run)) == "one\n"


def test_where_a_kernel_crashed_is_shown(execute: Execute) -> None:
    ended = execute(notebook("import ctypes; ctypes.string_at(0)"))
    assert ended.returncode == -signal.SIGSEGV
    assert "Fatal Python error: Segmentation fault" in ended.stderr


def test_arguments_are_set_after_the_parameters_cell(execute: Execute, run: RunFolder) -> None:
    content = notebook("print(rate * 2, repr(name), steps)", parameters="rate = 1\nname = 'a'\nsteps = 5")
    ended = execute(content, "rate=0.25", "name=it's é")
    assert ended.stdout == '0.5 "it\'s é" 5\n'
    cells = json.loads(outcome(run))["cells"]
    assert [cell["metadata"].get("tags") for cell in cells] == [["parameters"], ["injected-parameters"], None]


def test_arguments_without_a_parameters_cell_come_first(execute: Execute) -> None:
    assert execute(notebook("print(rate)"), "rate=3").stdout == "3\n"


def test_parameters_of_an_earlier_run_are_replaced(execute: Execute, run: RunFolder) -> None:
    execute(notebook("print(rate)", parameters="rate = 1"), "rate=2")
    assert execute(outcome(run), "rate=3").stdout == "3\n"
    assert len(json.loads(outcome(run))["cells"]) == 3


def test_a_parameter_that_the_notebook_does_not_know_is_said(execute: Execute) -> None:
    ended = execute(notebook("print(rate)", parameters="rate = 1"), "rat=2")
    assert (ended.returncode, ended.stdout) == (0, "1\n")
    assert ended.stderr == "amltool: the cell tagged parameters of a.ipynb knows no rat; it is set all the same.\n"


def test_metrics_of_cells_are_recorded(execute: Execute, run: RunFolder) -> None:
    ended = execute(notebook("from amltool import tracking", "tracking.log_metric('loss', 0.5)"))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [json.loads(line)["value"] for line in run.metrics.read_text().splitlines()] == [0.5]


def test_nothing_is_written_in_the_users_home_or_left_in_the_temporary_folder(execute: Execute, tmp_path: Path) -> None:
    (temporary := tmp_path / "temporary").mkdir()
    assert execute(notebook("print(1)"), TMPDIR=str(temporary)).returncode == 0
    assert list(temporary.iterdir()) == []
    assert sorted(path.name for path in Path.home().iterdir()) == [".gitconfig"]


def test_a_kernel_of_the_users_is_not_taken_for_this_python(execute: Execute) -> None:
    theirs = Path.home() / ".local/share/jupyter/kernels/python3"
    theirs.mkdir(parents=True)
    (theirs / "kernel.json").write_text(json.dumps({"argv": ["/bin/false"], "display_name": "x", "language": "python"}))
    ended = execute(notebook("print(1)", kernelspec={"name": "python3", "display_name": "x", "language": "python"}))
    assert (ended.returncode, ended.stdout) == (0, "1\n")


def test_a_kernel_of_another_language_that_is_not_there_is_named(execute: Execute) -> None:
    ended = execute(notebook("1", kernelspec={"name": "ir", "display_name": "R", "language": "R"}))
    assert ended.returncode == 1
    assert ended.stderr.endswith("amltool: a.ipynb wants the kernel ir, and it is not installed here.\n")


@pytest.mark.parametrize("content", ["", "{}", "<<<<<<< HEAD", '{"cells": 5, "nbformat": 4, "nbformat_minor": 5}'])
def test_what_is_no_notebook_is_said(execute: Execute, content: str) -> None:
    ended = execute(content)
    assert ended.returncode == 1
    assert ended.stderr.startswith("amltool: a.ipynb cannot be read as a notebook: ")
    assert "Traceback" not in ended.stderr


def test_an_environment_that_cannot_run_notebooks_is_told_what_to_add(run: RunFolder) -> None:
    (run.work / "a.ipynb").write_text(notebook("print(1)"))
    ended = subprocess.run(
        [sys.executable, "-S", *command(Path(), run, "a.ipynb")[1:]],
        cwd=run.work, env=run.environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == 1
    assert ended.stderr.startswith("amltool: a.ipynb is a notebook, and this environment has nothing that runs one.\n")
    assert "Add nbclient and ipykernel under pip in conda_dependencies.yml" in ended.stderr


def test_an_argument_that_sets_nothing_is_refused_before_anything_runs(run: RunFolder) -> None:
    ended = subprocess.run(
        command(Path(sys.executable), run, "a.ipynb", "--rate", "0.1"), cwd=run.work, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("amltool: '--rate' is no argument of a notebook, which takes NAME=VALUE only.\n")


def test_the_modules_of_tracking_do_not_shadow_the_users(execute: Execute, run: RunFolder) -> None:
    (run.work / "values.py").write_text("mine = 1")
    assert execute(notebook("import values; print(values.mine)")).stdout == "1\n"


def test_a_long_notebook_is_written_before_it_ends(run: RunFolder, notebook_python: Path) -> None:
    (run.work / "a.ipynb").write_text(notebook("print('done')", "import time; print('now'); time.sleep(60)"))
    often = "from amltool.tracking import notebook; notebook.SAVE_S = 0; notebook.main(['a.ipynb'])"
    started = subprocess.Popen(
        [notebook_python, "-c", often], cwd=run.work, env=run.environment(), stdout=subprocess.PIPE
    )
    assert started.stdout is not None
    assert [started.stdout.readline(), started.stdout.readline()] == [b"done\n", b"now\n"]
    started.kill()
    started.wait(120)
    assert printed(outcome(run)) == "done\n"
