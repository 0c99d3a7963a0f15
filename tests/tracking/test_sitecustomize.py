"""The tracking API is on every Python's search path, last, and nothing else about that Python changes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.tracking.run_folder import RunFolder, python_of

WHERE = "import amltool.tracking, azureml.core; print(azureml.core.__file__)"


def write(folder: Path, modules: dict[str, str]) -> str:
    for name, content in modules.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return str(folder)


def test_it_is_the_last_place_that_is_looked_in(run: RunFolder) -> None:
    path = run.says("import sys; print(*sys.path, sep='\\n')").splitlines()

    assert path[-1] == str(run.site.parent / "path")
    assert str(run.site) not in path
    assert path[0] == str(run.work)


def test_it_loads_no_module_beyond_a_bare_start(run: RunFolder, tmp_path: Path) -> None:
    script = "import sys; print(*sorted(sys.modules))"
    empty = tmp_path / "empty"
    empty.mkdir()

    bare = subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONPATH": str(empty)}, capture_output=True, text=True, check=True
    ).stdout.split()

    assert set(run.says(script).split()) - set(bare) <= {"sitecustomize"}


def test_a_child_python_has_it_too(run: RunFolder) -> None:
    run.says(
        "import subprocess, sys, os\nos.chdir('/')\n"
        "subprocess.check_call([sys.executable, '-c', 'from amltool import tracking; tracking.log_metric(\"a\", 1)'])"
    )

    assert run.logged() == [("metric", "a", 1, None)]


def test_spawned_workers_have_it_too(run: RunFolder) -> None:
    run.says(
        "import multiprocessing\nfrom amltool import tracking\ndef work(n): tracking.log_metric('a', n)\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(2) as pool: pool.map(work, range(4))"
    )

    assert sorted(value for _, _, value, _ in run.logged()) == [0, 1, 2, 3]


def test_a_virtual_environment_has_it_too(run: RunFolder, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)

    printed = run.says(WHERE, python=str(tmp_path / "venv" / "bin" / "python"))

    assert printed.strip() == str(run.site.parent / "path" / "azureml" / "core" / "__init__.py")


def test_an_isolated_python_does_not_have_it(run: RunFolder) -> None:
    ended = subprocess.run([sys.executable, "-I", "-c", "import azureml"], env=run.environment(), capture_output=True)

    assert b"No module named 'azureml'" in ended.stderr


def test_a_real_azureml_wins(run: RunFolder, tmp_path: Path) -> None:
    real = write(tmp_path / "real", {"azureml/__init__": "", "azureml/core/__init__": "print('the real one')"})

    assert run.says("import azureml.core", PYTHONPATH=real) == "the real one\n"


def test_parts_of_a_real_azureml_win_and_the_rest_is_ours(run: RunFolder, tmp_path: Path) -> None:
    real = write(tmp_path / "real", {"azureml/core/__init__": "REAL = True"})

    printed = run.says(
        "import azureml.core, azureml.logging\nprint(azureml.core.REAL, azureml.logging.__file__)", PYTHONPATH=real
    )

    assert printed == f"True {run.site.parent}/path/azureml/logging.py\n"


def test_the_way_the_real_azureml_shares_its_name_works(run: RunFolder, tmp_path: Path) -> None:
    shares = "__path__ = __import__('pkgutil').extend_path(__path__, __name__)"
    real = write(tmp_path / "real", {"azureml/__init__": shares, "azureml/core/__init__": "REAL = True"})

    printed = run.says("import azureml.core, azureml.logging\nprint(azureml.core.REAL)", PYTHONPATH=real)

    assert printed == "True\n"


def test_a_real_amltool_wins(run: RunFolder, tmp_path: Path) -> None:
    real = write(tmp_path / "real", {"amltool/__init__": "print('the real one')"})

    assert run.says("import amltool", PYTHONPATH=real) == "the real one\n"


def test_a_folder_of_the_project_called_azureml_hides_nothing(run: RunFolder) -> None:
    write(run.work / "azureml", {"notes": ""})

    assert run.says(WHERE).strip() == str(run.site.parent / "path" / "azureml" / "core" / "__init__.py")


def test_the_sitecustomize_it_shadows_runs_under_its_name(run: RunFolder, tmp_path: Path) -> None:
    theirs = write(tmp_path / "theirs", {"sitecustomize": "import sys\nsys.path.append('/theirs')\nMARK = 7"})

    printed = run.says("import sitecustomize, sys\nprint(sitecustomize.MARK, *sys.path[-2:])", PYTHONPATH=theirs)

    assert printed == f"7 /theirs {run.site.parent}/path\n"


@pytest.mark.parametrize(
    ("fault", "said"),
    [("raise ValueError('broken')", "ValueError: broken"), ("import not_there", "No module named 'not_there'")],
)
def test_one_that_raises_is_reported_as_ever_and_tracking_works(
    run: RunFolder, tmp_path: Path, fault: str, said: str
) -> None:
    theirs = write(tmp_path / "theirs", {"sitecustomize": fault})

    ended = run.python("from amltool import tracking\ntracking.log_metric('a', 1)", PYTHONPATH=theirs)
    alone = subprocess.run([sys.executable, "-c", ""], env={"PYTHONPATH": theirs}, capture_output=True, text=True)

    assert ended.returncode == 0
    assert said in ended.stderr
    assert ended.stderr == alone.stderr
    assert run.logged() == [("metric", "a", 1, None)]


def test_one_that_ends_the_interpreter_ends_it(run: RunFolder, tmp_path: Path) -> None:
    theirs = write(tmp_path / "theirs", {"sitecustomize": "raise SystemExit(5)"})

    ended = run.python("print('not reached')", PYTHONPATH=theirs)
    alone = subprocess.run([sys.executable, "-c", "print('not reached')"], env={"PYTHONPATH": theirs})

    assert (ended.returncode, ended.stdout) == (alone.returncode, "")
    assert ended.returncode != 0


def test_two_runs_around_each_other_use_their_own_sitecustomize_each(run: RunFolder, tmp_path: Path) -> None:
    from tests.tracking.run_folder import place

    outer = place(tmp_path / "outer")

    path = run.says("import sys; print(*sys.path[-2:])", PYTHONPATH=str(outer))

    assert path == f"{tmp_path}/outer/path {run.site.parent}/path\n"


def test_usercustomize_runs_after_it(run: RunFolder, tmp_path: Path) -> None:
    theirs = write(tmp_path / "theirs", {"usercustomize": "import amltool.tracking"})

    printed = run.says("import sys; print('usercustomize' in sys.modules)", PYTHONPATH=theirs)

    # A virtual environment without the system's packages has no usercustomize, with us or without.
    assert printed == f"{sys.prefix == sys.base_prefix}\n"


def test_a_relative_metrics_file_is_the_one_of_the_start(run: RunFolder) -> None:
    run.says(
        "import os, subprocess, sys\nos.chdir('/')\nfrom amltool import tracking\ntracking.log_metric('a', 1)\n"
        "subprocess.check_call([sys.executable, '-c', 'from amltool import tracking; tracking.log_metric(\"b\", 2)'])\n"
        "tracking.log_image('c', plot=type('P', (), {'savefig': lambda self, to, format: None})())",
        AMLTOOL_METRICS_FILE="../metrics.jsonl",
    )

    assert [name for _, name, _, _ in run.logged()] == ["a", "b", "c"]
    assert len(list((run.work / "outputs").iterdir())) == 1


def test_python_2_is_left_as_it_is(run: RunFolder, tmp_path: Path) -> None:
    python = python_of("2.7")
    if python is None:
        pytest.skip("no Python 2.7 on this machine")
    theirs = write(tmp_path / "theirs", {"sitecustomize": "MARK = 7"})

    ended = run.python("import sitecustomize, sys\nprint(sitecustomize.MARK)", python=python, PYTHONPATH=theirs)

    assert (ended.stdout, ended.stderr) == ("7\n", "")
