"""The interpreter of a login on a machine: found, listed and kept in mind by one command there."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from amltool.environments.base import EnvironmentRequest
from amltool.environments.interpreter import UserInterpreter
from amltool.environments.interpreter_there import InterpreterThere
from amltool.environments.lock import compare_locks, read_lock
from amltool.environments.login import Login
from amltool.errors import TargetError, UserError
from amltool.hosts.base import CommandResult
from amltool.hosts.local import LocalHost

REQUEST = EnvironmentRequest(read=lambda _: None)
SPARK = EnvironmentRequest(read=lambda _: None, framework="PySpark")


class Counting(LocalHost):
    """This machine, with its commands counted."""

    asked = 0

    def run(self, command: Sequence[str], *, input: bytes = b"", timeout_s: float | None = None) -> CommandResult:
        self.asked += 1
        return super().run(command, input=input, timeout_s=timeout_s)


@pytest.fixture
def host(tmp_path: Path) -> Counting:
    return Counting(tmp_path / "root")


def program(place: Path, text: str) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    place.chmod(0o755)
    return place


def test_it_is_the_same_as_one_of_this_machine(host: Counting) -> None:
    login = Login(host, sys.executable)
    there = InterpreterThere(sys.executable, login).find(host, REQUEST)
    here = UserInterpreter(sys.executable, host, login.variables()).find(host, REQUEST)
    assert there.python == here.python
    assert compare_locks(here.lock, there.lock) == []
    assert read_lock(there.lock).python == read_lock(here.lock).python


def test_one_question_is_enough_for_all(host: Counting) -> None:
    login = Login(host, sys.executable)
    InterpreterThere(sys.executable, login).find(host, REQUEST)
    assert login.variables()["PATH"]
    assert host.asked == 1


def test_what_was_listed_once_is_kept_over_there(host: Counting) -> None:
    first = InterpreterThere(sys.executable, Login(host, sys.executable)).find(host, REQUEST)
    [kept] = (Path(host.root) / "cache" / "interpreters").iterdir()
    content = json.loads(kept.read_text())
    content["lock"]["packages"] = [{"name": "from-the-cache", "version": "1", "url": None, "editable": False}]
    kept.write_text(json.dumps(content))

    again = InterpreterThere(sys.executable, Login(host, sys.executable)).find(host, REQUEST)

    assert again.lock != first.lock
    assert [package.name for package in read_lock(again.lock).packages] == ["from-the-cache"]


def test_a_package_that_was_installed_since_is_seen(host: Counting, tmp_path: Path) -> None:
    import subprocess

    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = str(tmp_path / "venv/bin/python")
    before = InterpreterThere(python, Login(host, sys.executable)).find(host, REQUEST)
    [site] = (tmp_path / "venv").glob("lib/python*/site-packages")
    (site / "new-1.0.dist-info").mkdir()
    (site / "new-1.0.dist-info" / "METADATA").write_text("Name: new\nVersion: 1.0\n")
    after = InterpreterThere(python, Login(host, sys.executable)).find(host, REQUEST)
    assert [package.name for package in read_lock(before.lock).packages] == []
    assert [package.name for package in read_lock(after.lock).packages] == ["new"]


def test_a_shim_is_asked_which_interpreter_it_picks(host: Counting, tmp_path: Path) -> None:
    shim = program(tmp_path / "shims/python", f'#!/bin/sh\necho noise\nexec {sys.executable} "$@"\n')
    found = InterpreterThere(str(shim), Login(host, sys.executable)).find(host, REQUEST)
    assert found.python == [sys.executable]


def test_spark_beside_the_interpreter_comes_first(host: Counting, tmp_path: Path) -> None:
    import subprocess

    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = str(tmp_path / "venv/bin/python")
    spark = program(tmp_path / "venv/bin/spark-submit", "#!/bin/sh\n")
    login = Login(host, sys.executable)
    assert InterpreterThere(python, login).find(host, SPARK).spark_submit == [str(spark)]
    assert InterpreterThere(python, login).find(host, REQUEST).spark_submit == []


@pytest.mark.parametrize("location", ["no-such-python", "/no/such/python"])
def test_one_that_is_not_there_is_the_users_to_put_right(host: Counting, location: str) -> None:
    with pytest.raises(UserError, match=f"There is no interpreter '{location}' on {host.name}") as raised:
        InterpreterThere(location, Login(host, sys.executable)).find(host, REQUEST)
    assert "pythonLocation" in str(raised.value)


def test_one_that_does_not_run_says_why(host: Counting, tmp_path: Path) -> None:
    broken = program(tmp_path / "python", "#!/bin/sh\necho it is broken >&2\nexit 3\n")
    with pytest.raises(UserError, match="it is broken"):
        InterpreterThere(str(broken), Login(host, sys.executable)).find(host, REQUEST)


def test_how_we_came_there_is_no_variable_of_a_login(host: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.1 1 192.0.2.2 22")
    monkeypatch.setenv("BYTES", os.fsdecode(b"\xff=\n"))
    variables = Login(host, sys.executable).variables()
    assert "SSH_CONNECTION" not in variables
    assert variables["BYTES"] == os.fsdecode(b"\xff=\n")


def test_a_machine_whose_python_does_not_run_is_said(host: Counting, tmp_path: Path) -> None:
    old = program(tmp_path / "python", "#!/bin/sh\necho too old >&2\nexit 1\n")
    with pytest.raises(TargetError, match="did not say what a login there sees: too old"):
        Login(host, str(old)).variables()


def test_programs_are_found_on_the_search_path_of_a_login(host: Counting) -> None:
    login = Login(host, sys.executable)
    seen = login.seen(host)
    assert seen.run(["sh", "-c", 'printf %s "$PATH"']).stdout.decode() == login.variables()["PATH"]
    assert seen.root == host.root
